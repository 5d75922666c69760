"""What a run costs: parameter counts at the paper's sizes, and the projection from measured steps."""

import dataclasses
import sys

import pytest
import torch

from pivq.config import load_config
from pivq.discriminator import PatchDiscriminator
from pivq.model import PIVQ
from pivq.runs import cost
from pivq.runs.cost import Cost, expected_cost, measure_cost
from pivq.runs.run import run_dir
from pivq.trainer import Trainer


@pytest.mark.parametrize(
    "profile, parameters",
    [("quick", 1_295_904), ("celeba64", 58_884_099), ("celebahq256", 70_650_755), ("ffhq256", 70_650_755)],
)
def test_parameters_of_the_models(profile, parameters):
    config = load_config(profile)
    with torch.device("meta"):  # shapes alone, no memory
        model = PIVQ(config.model)
    assert sum(p.numel() for p in model.parameters()) == parameters
    latents = model.encoder(torch.empty(2, 3, config.model.image_size, config.model.image_size, device="meta"))
    assert latents.shape == (2, config.model.num_codes, config.model.dim)
    assert model.decoder(latents).shape == (2, 3, config.model.image_size, config.model.image_size)


def test_parameters_of_the_papers_discriminator():
    """By hand: 4 × 4 convolutions 3 → 64 → 128 → 256 → 512 → 1, biases at both ends, BatchNorm between."""
    discriminator = PatchDiscriminator(64, 3)
    convolutions = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 1)
    assert sum(p.numel() for p in discriminator.parameters()) == convolutions + 64 + 1 + 2 * (128 + 256 + 512)


def test_projection_by_hand():
    price = Cost(
        parameters=1_300_000, discriminator_parameters=40_000, seconds_per_step=0.36, measured_steps=20,
        peak_bytes=2 * 2**30, steps=20_000, batch_size=8, images=40_000, device="2 CPU cores",
    )  # fmt: skip
    assert (price.hours, price.images_seen, price.epochs) == (2.0, 160_000, 4.0)
    assert str(price) == (
        "1.3 M parameters (discriminator: 0.04 M), 2.0 GiB at the peak and 0.36 s per step on 2 CPU cores (20 steps "
        "measured): at most 2.0 hours for 20,000 steps, which see 160,000 images, 4.0 epochs of 40,000."
    )


def test_a_long_training_is_offered_shorter():
    price = Cost(10**6, 10**5, 0.5, 20, None, 20_000, 8, 1000, "a GPU, bf16")
    assert not str(price).endswith("hours.")
    assert str(dataclasses.replace(price, steps=500_000)).endswith("--budget 3h trains as long as fits 3 hours.")


def test_steps_are_measured_in_the_most_expensive_phase(tiny_config, monkeypatch):
    images = torch.randint(0, 256, (24, 3, 16, 16)).to(torch.uint8)
    seen = []

    def make_trainer(config, quantizer, images, device):
        trainer = Trainer(config, quantizer, images, lambda a, b: (a - b).square().mean(dim=(1, 2, 3)))
        step = trainer.train_step
        trainer.train_step = lambda batch: seen.append(step(batch)) or seen[-1]
        return trainer

    monkeypatch.setattr(cost, "load_split", lambda config, name: type("Set", (), {"images": images}))
    monkeypatch.setattr(cost, "make_trainer", make_trainer)
    price = measure_cost(tiny_config(), steps=3)
    assert len(seen) == 4 and price.measured_steps == 3, "the first one warms up"
    assert all({"adversarial", "codebook", "discriminator"} <= losses.keys() for losses in seen)
    assert price.seconds_per_step > 0 and price.peak_bytes > 10**7
    assert (price.steps, price.batch_size, price.images) == (8, 4, 24)


def test_costs_are_measured_where_the_peak_of_memory_is_unknown(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)  # as on Windows
    assert cost._peak_memory() is None
    known = cost.Cost(10**6, 10**5, 0.5, 3, 2**30, 10, 4, 24, "2 CPU cores")
    assert "1.0 GiB at the peak and 0.5 s per step on 2 CPU cores" in str(known)
    assert "0.10 M), 0.5 s per step on 2 CPU cores" in str(dataclasses.replace(known, peak_bytes=None))


@pytest.fixture
def measured(monkeypatch, tmp_path) -> list[int]:
    """Return the seeds that are measured from now on; the cost is made up, results go to an own folder."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    seeds = []

    def measure(config, quantizer, device):
        seeds.append(config.seed)
        return Cost(10**6, 10**5, 0.5 + len(seeds), 20, None, config.train.steps, 4, 24, "2 CPU cores")

    monkeypatch.setattr(cost, "measure_cost", measure)
    return seeds


def test_the_same_settings_are_measured_once(measured, tiny_config, monkeypatch):
    first = expected_cost(tiny_config())
    assert expected_cost(tiny_config()) == first and measured == [0]
    assert expected_cost(tiny_config(seed=5)) == first and measured == [0], "the seed costs nothing"
    assert expected_cost(tiny_config(train__batch_size=3)) != first and len(measured) == 2
    assert expected_cost(tiny_config(), "nearest") != first and len(measured) == 3
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    assert expected_cost(tiny_config()) != first and len(measured) == 4, "another device"
    monkeypatch.setattr(cost, "code_digest", lambda: "other")
    expected_cost(tiny_config())
    assert len(measured) == 5, "other code"


@pytest.mark.parametrize("run", ["trunk", "shared", "matching"])
def test_a_training_that_has_begun_is_not_measured(measured, tiny_config, run):
    folder = run_dir(tiny_config(), run)
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").touch()
    assert expected_cost(tiny_config()) is None and measured == []


@pytest.mark.parametrize("content", ["{", "[]", '{"x": 1}'])
def test_damaged_costs_are_measured_again(measured, tiny_config, tmp_path, content):
    first = expected_cost(tiny_config())
    (tmp_path / "results/smoke/costs.json").write_text(content)
    assert expected_cost(tiny_config()) != first and len(measured) == 2
    expected_cost(tiny_config())
    assert len(measured) == 2
