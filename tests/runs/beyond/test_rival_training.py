"""Rivals are trained in pieces: a stop loses nothing, the end is that of training straight through."""

import shutil

import pytest
import torch
from stand_ins import Perceptual, stand_in, stop_at

from pivq.config import load_config
from pivq.rivals.training import prior_settings
from pivq.runs.beyond import rival_training as module
from pivq.runs.beyond.rival_training import (
    KINDS,
    count_weights,
    encode_levels,
    rival_dir,
    settings_for_minutes,
    steps_left,
    train_rival,
)
from pivq.runs.splits import load_splits
from pivq.runs.stopping import Stopped
from pivq.storage.bounds import check_extent
from pivq.storage.checkpoint import load_checkpoint
from pivq.storage.source import rivals_digest
from pivq.storage.writing import read_sealed


@pytest.fixture
def config(tiny_config, monkeypatch, tmp_path):
    """Return small settings with noise for images; results go to `tmp_path`."""
    stand_in(monkeypatch, tmp_path)
    monkeypatch.setattr(module, "load_perceptual", lambda name: Perceptual())
    return tiny_config()


def weights(trained) -> list[torch.Tensor]:
    return [value for _, value in sorted(trained.rival.state_dict().items())]


@pytest.mark.parametrize(("kind", "prior"), [("vae", ""), ("vq-vae", "absorbing"), ("tokenset", "fixed-sum")])
def test_a_stopped_training_ends_like_a_straight_one(config, kind, prior, monkeypatch, tmp_path):
    straight = train_rival(config, kind, prior)
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "other"))
    total = sum(steps_left(config, kind, prior).values())
    assert total == 8 + (3 if prior else 0)
    with pytest.raises(Stopped, match="Stopped at step 5"):
        train_rival(config, kind, prior, bar=stop_at(monkeypatch, 5))
    assert sum(steps_left(config, kind, prior).values()) == total - 5
    if prior:
        with pytest.raises(Stopped, match=f"step 2 of {rival_dir(config, kind).name}, {prior}"):
            train_rival(config, kind, prior, bar=stop_at(monkeypatch, 3 + 2))
    resumed = train_rival(config, kind, prior)
    assert not any(steps_left(config, kind, prior).values())
    assert all(torch.equal(a, b) for a, b in zip(weights(straight), weights(resumed), strict=True))
    clock = ("seconds", "prior_seconds")
    of = [{name: value for name, value in made.facts.items() if name not in clock} for made in (straight, resumed)]
    assert of[0] == of[1] and of[0]["steps"] == 8 and of[0]["rivals_code"] == rivals_digest()


WAYS = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeroed": lambda content: bytes(len(content)),
    "flipped": lambda content: content[: len(content) // 2] + bytes([content[len(content) // 2] ^ 4])
    + content[len(content) // 2 + 1 :],
    "a web page": lambda content: b"<!DOCTYPE html><html><title>Quota exceeded</title></html>",
}  # fmt: skip


@pytest.fixture
def stopped(config, monkeypatch):
    """Return an autoencoder's folder with checkpoints of steps 5 and 4, and what its training straight through gave."""
    straight = train_rival(config, "vq-vae", "absorbing")
    shutil.rmtree(rival_dir(config, "vq-vae"))
    with pytest.raises(Stopped):
        train_rival(config, "vq-vae", bar=stop_at(monkeypatch, 5))
    folder = rival_dir(config, "vq-vae") / "autoencoder"
    steps = [load_checkpoint(folder / name)["step"] for name in ("checkpoint.pt", "checkpoint.previous.pt")]
    assert steps == [5, 4]
    return folder, straight


@pytest.mark.parametrize("way", WAYS)
def test_a_damaged_checkpoint_is_named_and_the_one_before_leads_to_the_same_end(config, stopped, way):
    folder, straight = stopped
    newest = folder / "checkpoint.pt"
    newest.write_bytes(WAYS[way](newest.read_bytes()))
    with pytest.warns(UserWarning, match=f"{newest} is damaged: resuming from checkpoint.previous.pt, of step 4"):
        resumed = train_rival(config, "vq-vae", "absorbing")
    assert all(torch.equal(a, b) for a, b in zip(weights(straight), weights(resumed), strict=True))
    assert load_checkpoint(newest)["step"] == 8 and not any(steps_left(config, "vq-vae", "absorbing").values())


def test_the_checkpoint_of_something_else_is_not_resumed(config, stopped, recwarn):
    folder, straight = stopped
    train_rival(config, "vae")
    shutil.copy(rival_dir(config, "vae") / "autoencoder" / "checkpoint.pt", folder / "checkpoint.pt")
    said = f"is not a checkpoint of {folder.parent.name}/autoencoder: resuming from checkpoint.previous.pt, of step 4"
    with pytest.warns(UserWarning, match=said):
        resumed = train_rival(config, "vq-vae", "absorbing")
    assert all(torch.equal(a, b) for a, b in zip(weights(straight), weights(resumed), strict=True))


def test_without_a_whole_checkpoint_a_training_begins_again_and_says_so(config, stopped):
    folder, straight = stopped
    (folder / "checkpoint.pt").write_bytes(b"")
    (folder / "checkpoint.previous.pt").write_bytes(b"")
    with pytest.warns(UserWarning, match=f"{folder}.* damaged or gone; {folder.parent.name}/autoencoder is trained ag"):
        again = train_rival(config, "vq-vae", "absorbing")
    assert all(torch.equal(a, b) for a, b in zip(weights(straight), weights(again), strict=True))
    (folder / "checkpoint.previous.pt").unlink()
    (folder / "checkpoint.pt").write_bytes(b"")
    with pytest.warns(UserWarning, match="checkpoint.pt is damaged or not a checkpoint; vq-vae.* again from step 0"):
        train_rival(config, "vq-vae")


def test_a_prior_of_another_autoencoder_is_trained_again(config, monkeypatch):
    straight = train_rival(config, "vq-vae", "absorbing")
    folder = rival_dir(config, "vq-vae")
    shutil.rmtree(folder / "autoencoder")
    loss = Perceptual()
    loss.factor = 2.0
    monkeypatch.setattr(module, "load_perceptual", lambda name: loss)
    with pytest.warns(UserWarning, match="of another autoencoder; vq-vae.*/absorbing is trained again from step 0"):
        other = train_rival(config, "vq-vae", "absorbing")
    assert not torch.equal(other.rival.quantizer.codebook, straight.rival.quantizer.codebook)
    shutil.rmtree(folder / "absorbing")
    once_more = train_rival(config, "vq-vae", "absorbing")
    assert all(torch.equal(a, b) for a, b in zip(weights(other), weights(once_more), strict=True))


def test_weights_that_do_not_fit_are_refused_in_one_line(config, monkeypatch):
    train_rival(config, "vq-vae")
    newest = rival_dir(config, "vq-vae") / "autoencoder" / "checkpoint.pt"
    state = load_checkpoint(newest)
    state["model"].pop(next(iter(state["model"])))
    torch.save(state, newest)
    torch.save(state, newest.with_name("checkpoint.previous.pt"))
    with pytest.raises(ValueError, match=f"{newest} does not fit this code's autoencoder: delete .* again$"):
        train_rival(config, "vq-vae")


def test_the_note_of_the_steps_is_made_again(config):
    train_rival(config, "vae")
    note = rival_dir(config, "vae") / "autoencoder" / "progress.json"
    content, (left,) = note.read_bytes(), steps_left(config, "vae").values()
    for way, damage in WAYS.items():
        note.write_bytes(damage(content))
        assert left == 0 and list(steps_left(config, "vae").values()) == [8], way
        train_rival(config, "vae")
        assert note.read_bytes() == content, way
    (note.parent / "checkpoint.pt").unlink()
    (note.parent / "checkpoint.previous.pt").unlink()
    assert list(steps_left(config, "vae").values()) == [8], "a note alone is no training"


@pytest.mark.parametrize("profile", ["quick", "smoke", "celebahq256"])
def test_the_bound_of_a_checkpoint_leaves_room_for_every_rival(profile):
    """Weights, their mean and two moments, of 4 bytes each."""
    for kind, (build, settings, priors) in KINDS.items():
        own = settings(load_config(profile))
        with torch.device("meta"):
            networks = {kind: build(own.model)}
            networks |= {name: of(own.model.codebook_size, own.model.num_codes) for name, of in priors.items()}
        for name, network in networks.items():
            of = own if name == kind else prior_settings(own)
            check_extent({"config": of.as_dict()}, 16 * count_weights(network))


def test_a_trained_rival_is_loaded_and_both_priors_share_its_autoencoder(config):
    first = train_rival(config, "vq-vae", "autoregressive")
    path = rival_dir(config, "vq-vae") / "autoencoder" / "checkpoint.pt"
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
    path = rival_dir(config, "vae").parent / "minutes.json"
    assert len(read_sealed(path)) == 2
    path.write_text(path.read_text().replace("240", "241"))
    with pytest.raises(ValueError, match="minutes.json is damaged .*; delete it to estimate the steps again"):
        settings_for_minutes(config, kind, 2.0)
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
