"""What is measured of a rival, by hand on rivals whose answers are known."""

import numpy as np
import pandas as pd
import pytest
import torch
from stand_ins import Colours
from torch import nn

from pivq.data import ImageDataset, from_uint8
from pivq.losses import psnr
from pivq.metrics import frechet_distance
from pivq.probing import probe
from pivq.rivals.rival import Rival
from pivq.runs.beyond import rivalry as module
from pivq.runs.beyond.rivalry import measure, measure_copies, measure_paths, probe_features
from pivq.usage import presence


class Grey(Rival):
    """Stores the mean colour of an image in `levels` levels; draws colours at random."""

    def __init__(self, levels: int = 256):
        self.levels, self.step = levels, nn.Identity()
        self.networks = [self.step]

    bits = 24.0

    def encode(self, images):
        return ((self.levels - 1) * images.mean(dim=(2, 3))).round().long()

    def decode(self, stored):
        return self.step(stored / (self.levels - 1))[:, :, None, None].expand(-1, 3, 16, 16)

    def draw(self, count, seed):
        return torch.randint(self.levels, (count, 3), generator=torch.Generator().manual_seed(seed))

    def path(self, stored_a, stored_b, shares, seed):
        return torch.lerp(stored_a.double(), stored_b.double(), shares[:, None].double())

    def features(self, stored):
        return stored.double().numpy()


def faces(count: int, name: str) -> ImageDataset:
    """Return images of one colour each, with attributes: red, and one that is missing for all but one."""
    generator = torch.Generator().manual_seed(count)
    colours = torch.randint(256, (count, 3, 1, 1), generator=generator)
    images = colours.expand(-1, -1, 16, 16).to(torch.uint8)
    attributes = pd.DataFrame({"red": (colours[:, 0, 0, 0] > 128).long().numpy(), "rare": [1, *[0] * (count - 1)]})
    return ImageDataset(images, [f"{name}-{i}" for i in range(count)], "colours", name, f"{name} {count}",
                        attributes.astype("Int8"))  # fmt: skip


@pytest.fixture
def row(tiny_config, monkeypatch, tmp_path) -> dict:
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    config = tiny_config(evaluation__samples=40)
    return measure(Grey(), config, Colours(), faces(80, "train"), faces(60, "heldout"))


def test_a_row_has_what_can_be_computed_by_hand(row, tiny_config):
    rival, train, heldout = Grey(), faces(80, "train"), faces(60, "heldout")
    originals = from_uint8(heldout.images)
    made = rival.reconstruct(originals)
    assert row["l1"] == pytest.approx(float((made - originals).abs().mean()), abs=1e-6)
    assert row["psnr"] == pytest.approx(float(psnr(made, originals).mean()), rel=1e-5)
    assert (row["discrete"], row["passes"], row["bits"], row["samples"]) == (True, 1, 24.0, 40)
    assert row["prior_bits"] is None and row["seconds_per_sample"] > 0
    network = Colours()

    def features(stored):
        return network((255 * rival.decode(stored)).round().to(torch.uint8)).numpy()

    real = network(train.images).numpy()[:40]
    samples = features(rival.draw(40, tiny_config().seed))
    assert row["real"]["distance"] == pytest.approx(frechet_distance(real=real, fake=samples), rel=1e-6)
    own = features(rival.encode(from_uint8(train.images[:40])))
    assert row["own"]["distance"] == pytest.approx(frechet_distance(real=own, fake=samples), rel=1e-6)
    again = features(rival.encode(originals[:40]))
    assert row["control_own"]["distance"] == pytest.approx(frechet_distance(real=own, fake=again), rel=1e-6)
    assert {"precision", "recall", "density", "coverage"} <= row["real"].keys() & row["control_real"].keys()


def test_a_straight_way_is_measured_as_one(row):
    path = row["path"]
    assert path["largest_step"] == pytest.approx(1 / 16, abs=1e-4) and path["length"] == pytest.approx(1, abs=1e-4)
    assert path["smooth"] == 1 and path["pairs"] == 30 and path["nearer"] <= 0.5
    assert path["half_way"] == pytest.approx(path["cross_fade"], abs=2 / 255)


def test_a_way_that_jumps_is_not_smooth():
    class Jump(Grey):
        def path(self, stored_a, stored_b, shares, seed):
            return torch.where(shares[:, None] < 0.5, stored_a, stored_b)

    images, network = faces(10, "heldout").images, Colours()
    found = measure_paths(Jump(), images, network(faces(80, "train").images).numpy(), network, seed=0)
    assert found["largest_step"] == 1 and found["smooth"] == 0 and found["pairs"] == 5


def test_ways_between_equal_ends_are_left_out():
    images, network = torch.full((4, 3, 16, 16), 7, dtype=torch.uint8), Colours()
    found = measure_paths(Grey(), images, network(faces(80, "train").images).numpy(), network, seed=0)
    assert found["pairs"] == 0 and found["largest_step"] is None


def test_copies_are_too_near_and_held_out_images_are_not():
    generator = np.random.default_rng(0)
    real, again, heldout = (generator.normal(size=(400, 3)) for _ in range(3))
    copied = measure_copies(real, real[:50] + 1e-9, again, heldout)
    assert copied["too_near"] == 1 and copied["samples"] < 1e-6
    new = measure_copies(real, generator.normal(size=(400, 3)), again, heldout)
    assert new["too_near"] < 0.05 and new["samples"] == pytest.approx(new["again"], rel=0.2)


def test_probes_of_codes_are_those_of_the_paper_s_probing():
    generator = np.random.default_rng(0)
    codes = generator.random((120, 20)).argsort(axis=1)[:, :6]
    attributes = pd.DataFrame({"has 3": (codes == 3).any(axis=1).astype(int), "coin": generator.integers(0, 2, 120),
                               "rare": [1, 1, *[0] * 118]})  # fmt: skip
    attributes["partly"] = attributes["has 3"].astype("Int8").mask(np.arange(120) % 4 == 0)
    expected = probe(codes, attributes, 20, folds=5, seed=3)
    found = probe_features(presence(codes, 20), attributes, folds=5, seed=3)
    assert found["gain"] == pytest.approx((expected["accuracy"] - expected["baseline"]).mean())
    assert (found["significant"], found["scored"]) == (expected["significant"].sum(), expected["accuracy"].count())
    assert found["scored"] == 3


def test_numbers_are_standardised(row):
    assert row["probing"]["scored"] == 1 and row["probing"]["significant"] == 1
    generator = np.random.default_rng(0)
    features = generator.normal(size=(200, 3)) * [1e-6, 1, 1]
    attributes = pd.DataFrame({"small": (features[:, 0] > 0).astype(int)})
    assert probe_features(features, attributes, 5, 0)["gain"] > 0.35


def test_without_attributes_nothing_is_probed(tiny_config, monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    heldout = faces(60, "heldout")
    heldout.attributes = None
    config = tiny_config(evaluation__samples=20)
    assert measure(Grey(), config, Colours(), faces(80, "train"), heldout)["probing"] is None


def test_the_bits_of_a_prior_are_those_of_the_held_out_codes():
    class Counting:
        def bits(self, codes, generator):
            return float(codes.sum())

    rival, images = Grey(), faces(5, "heldout").images
    assert module._prior_bits(rival, images, torch.device("cpu"), 0) is None
    rival.prior = Counting()
    assert module._prior_bits(rival, images, torch.device("cpu"), 0) == float(rival.encode(from_uint8(images)).sum())
