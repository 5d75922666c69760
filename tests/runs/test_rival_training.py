"""Rivals are trained in pieces: a stop loses nothing, the end is that of training straight through."""

import pytest
import torch
from stand_ins import Perceptual, stand_in
from tqdm import tqdm

from pivq.runs import rival_training as module
from pivq.runs.rival_training import (
    KINDS,
    encode_levels,
    rival_dir,
    rivals_digest,
    settings_for_minutes,
    steps_left,
    train_rival,
)
from pivq.runs.splits import load_splits
from pivq.runs.stopping import Stopped
from pivq.storage.writing import read_json


@pytest.fixture
def config(tiny_config, monkeypatch, tmp_path):
    """Return small settings with noise for images; results go to `tmp_path`."""
    stand_in(monkeypatch, tmp_path)
    monkeypatch.setattr(module, "load_perceptual", lambda name: Perceptual())
    return tiny_config()


def stop_at(monkeypatch, step: int) -> None:
    """Ask the next training to stop after so many steps, autoencoder and prior together."""
    requests, count = [], [0]
    usual = module.stop_requests

    def noted():
        context = usual()
        enter = context.__enter__

        class Noted:
            def __enter__(self):
                requests.append(enter())
                return requests[-1]

            def __exit__(self, *error):
                return context.__exit__(*error)

        return Noted()

    class Bar(tqdm):
        def update(self, n=1):
            count[0] += 1
            if count[0] == step:
                requests[-1].set()

    monkeypatch.setattr(module, "stop_requests", noted)
    monkeypatch.setattr(module, "tqdm", Bar)


def weights(trained) -> list[torch.Tensor]:
    return [value for _, value in sorted(trained.rival.state_dict().items())]


@pytest.mark.parametrize(("kind", "prior"), [("vae", ""), ("vq-vae", "absorbing"), ("tokenset", "fixed-sum")])
def test_a_stopped_training_ends_like_a_straight_one(config, kind, prior, monkeypatch, tmp_path):
    straight = train_rival(config, kind, prior)
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "other"))
    total = sum(steps_left(config, kind, prior).values())
    assert total == 8 + (3 if prior else 0)
    stop_at(monkeypatch, 5)
    with pytest.raises(Stopped, match="Stopped at step 5"):
        train_rival(config, kind, prior, bar=module.tqdm(disable=True))
    assert sum(steps_left(config, kind, prior).values()) == total - 5
    stop_at(monkeypatch, 3 + 2 if prior else 99)
    if prior:
        with pytest.raises(Stopped, match=f"step 2 of {rival_dir(config, kind).name}, {prior}"):
            train_rival(config, kind, prior, bar=module.tqdm(disable=True))
    resumed = train_rival(config, kind, prior)
    assert not any(steps_left(config, kind, prior).values())
    assert all(torch.equal(a, b) for a, b in zip(weights(straight), weights(resumed), strict=True))
    clock = ("seconds", "prior_seconds")
    of = [{name: value for name, value in made.facts.items() if name not in clock} for made in (straight, resumed)]
    assert of[0] == of[1] and of[0]["steps"] == 8 and of[0]["rivals_code"] == rivals_digest()


def test_a_trained_rival_is_loaded_and_both_priors_share_its_autoencoder(config):
    first = train_rival(config, "vq-vae", "autoregressive")
    path = rival_dir(config, "vq-vae") / "autoencoder.pt"
    before = path.stat().st_mtime_ns
    second = train_rival(config, "vq-vae", "absorbing")
    assert path.stat().st_mtime_ns == before and first.facts["seconds"] == second.facts["seconds"]
    assert not first.rival.training and not first.rival.prior.training
    assert torch.equal(first.rival.quantizer.codebook, second.rival.quantizer.codebook)


def test_the_prior_is_trained_on_the_codes_of_the_averaged_autoencoder(config, monkeypatch):
    seen = []
    usual = module.PriorTrainer
    monkeypatch.setattr(module, "PriorTrainer", lambda *given: (seen.append(given[2]), usual(*given))[1])
    trained = train_rival(config, "vq-vae", "absorbing")
    images = load_splits(config)["train"].images
    assert torch.equal(seen[0], encode_levels(trained.rival, images, "cpu"))
    assert torch.equal(seen[0], trained.rival.encode(images / 255))


def test_every_kind_has_a_folder_of_its_own(tiny_config):
    folders = {rival_dir(tiny_config(seed=seed), kind) for kind in KINDS for seed in (0, 1)}
    assert len(folders) == 2 * len(KINDS)


@pytest.mark.parametrize(("kind", "prior"), [("vea", ""), ("vae", "absorbing"), ("vq-vae", "absorbin")])
def test_unknown_names_are_refused(config, kind, prior):
    with pytest.raises(ValueError, match="unknown (rival 'vea'; did you mean vae|prior 'absorbin)"):
        train_rival(config, kind, prior)


def test_other_images_and_other_code_are_noticed(config, monkeypatch):
    train_rival(config, "vae")
    monkeypatch.setattr(module, "rivals_digest", lambda: "other")
    with pytest.warns(UserWarning, match="other code"):
        train_rival(config, "vae")
    monkeypatch.setattr(module, "signature", lambda split: "others")
    with pytest.raises(ValueError, match="other images"):
        train_rival(config, "vae")


@pytest.mark.parametrize("kind", ["vae", "vq-vae", "pi-vq"])
def test_minutes_become_steps_once_for_all_seeds(config, tiny_config, kind, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "load_config", lambda *_, steps, **settings: asked.append(steps) or steps)
    monkeypatch.setattr(module, "_seconds_per_step", lambda *_: 0.5)
    assert settings_for_minutes(config, kind, 2.0) == 240
    monkeypatch.setattr(module, "_seconds_per_step", lambda *_: 99.0)
    assert settings_for_minutes(tiny_config(seed=1), kind, 2.0) == 240
    assert settings_for_minutes(config, kind, 4.0) == 2
    assert len(read_json(rival_dir(config, "vae").parent / "minutes.json")) == 2
    with pytest.raises(ValueError, match="minutes"):
        settings_for_minutes(config, kind, -1.0)


@pytest.mark.parametrize("kind", ["vae", "tokenset", "pi-vq"])
def test_a_step_is_timed_with_all_losses(config, kind, monkeypatch):
    usual_make, usual, terms = module.make_trainer, module.AutoencoderTrainer, []

    def made(trainer):
        step = trainer.train_step
        trainer.train_step = lambda images: terms.append(step(images))
        return trainer

    monkeypatch.setattr(module, "make_trainer", lambda *given: made(usual_make(*given)))
    monkeypatch.setattr(module, "AutoencoderTrainer", lambda *given: made(usual(*given)))
    assert module._seconds_per_step(config, kind, "cpu") > 0
    assert len(terms) == module.TIMED_STEPS + 2
    assert all({"l1", "perceptual", "adversarial", "commitment", "discriminator"} <= of.keys() for of in terms)
