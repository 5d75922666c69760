"""Runs: trained once, resumed, branched from a shared trunk. On stand-ins for data and perceptual network."""

import json

import numpy as np
import pytest
import torch
from stand_ins import Perceptual, make_split, same_results, stand_in

from pivq.codebook_init import initialisation_steps
from pivq.config import Config
from pivq.model import PIVQ
from pivq.runs import training
from pivq.runs.callbacks import validate
from pivq.runs.run import find_run, run_dir
from pivq.runs.training import train, train_shared, train_trunk
from pivq.storage.checkpoint import load_checkpoint
from pivq.trainer import Trainer, TrainingDiverged

FILES = {"config.json", "images.json", "checkpoint.pt", "log.jsonl", "codes.npz", "summary.json"}


# --- What a run leaves ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantizer", ["matching", "nearest"])
def test_a_run_leaves_its_files(finished, tiny_config, quantizer):
    run = finished[0][quantizer]
    assert run.folder == run_dir(tiny_config(), quantizer)
    assert {path.name for path in run.folder.iterdir() if path.suffix != ".png"} == FILES
    values = json.loads((run.folder / "config.json").read_text())
    assert values.pop("quantizer") == quantizer
    assert values.pop("sources") == tiny_config().sources
    assert Config.from_dict(values) == tiny_config()


@pytest.mark.parametrize("quantizer", ["matching", "nearest"])
def test_codes_are_those_of_the_averaged_model(finished, tiny_config, quantizer):
    run = finished[0][quantizer]
    model = run.model()
    assert type(model.quantizer).__name__.lower().startswith(quantizer)
    with np.load(run.folder / "codes.npz") as file:
        for name in ("train", "heldout"):
            images = make_split(tiny_config(), name)
            codes = run.codes(name)
            assert codes.dtype == np.int64 and codes.shape == (len(images.ids), 4)
            assert np.array_equal(codes, model.encode(images.images.float() / 255).numpy())
            assert file[f"{name}_ids"].tolist() == images.ids
            assert file[f"{name}_codes"].dtype == np.uint8, "no larger than K needs"


@pytest.mark.parametrize("quantizer", ["matching", "nearest"])
def test_summary_is_of_all_heldout_images_and_of_the_training_codes(finished, tiny_config, quantizer):
    run = finished[0][quantizer]
    summary, codes = run.summary, run.codes("train")
    trainer = Trainer(tiny_config(), quantizer, make_split(tiny_config(), "train").images, Perceptual())
    trainer.load_state_dict(load_checkpoint(run.folder / "checkpoint.pt"))
    figures, _ = validate(trainer, make_split(tiny_config(), "heldout").images)
    assert {name: summary[name] for name in ("heldout_l1", "heldout_psnr", "heldout_perceptual")} == {
        name: value for name, value in figures.items() if name.startswith("heldout")
    }
    distinct = [len(set(row)) for row in codes.tolist()]
    assert summary["codes_in_use"] == len(np.unique(codes))
    assert summary["max_codes_per_image"] == max(distinct)
    assert summary["mean_codes_per_image"] == pytest.approx(np.mean(distinct))
    assert (summary["steps"], summary["skipped_steps"], summary["quantizer"]) == (8, 0, quantizer)
    assert summary["parameters"] == sum(p.numel() for p in trainer.model.parameters())
    assert summary["training_seconds"] == pytest.approx(sum(run.log()["seconds"].dropna()))
    assert summary["training_seconds"] > 0
    assert summary["shared_steps"] == 3


def test_the_log_covers_all_steps_and_validations(finished):
    log = finished[0]["matching"].log()
    assert log[log["l1"].notna()]["step"].tolist() == [2, 3, 4, 6, 8], "the trunk ends at 3"
    assert log[log["heldout_l1"].notna()]["step"].tolist() == [3, 4, 5, 6]


# --- The shared trunk -------------------------------------------------------------------------------------------------


def test_steps_before_t_q_are_trained_once_for_both_quantizers(finished, tiny_config):
    assert finished[1] == {"matching": 8, "nearest": 5}
    trunk = load_checkpoint(run_dir(tiny_config(), "trunk") / "checkpoint.pt")
    assert trunk["step"] == 3
    for quantizer in ("matching", "nearest"):
        trainer = Trainer(tiny_config(), quantizer, make_split(tiny_config(), "train").images, Perceptual())
        trainer.fit(3)
        for part in ("model", "ema", "discriminator"):
            state = getattr(trainer, part).state_dict()
            assert all(torch.equal(trunk[part][name], value) for name, value in state.items()), part
        assert all(torch.equal(a, b) for a, b in zip(trunk["history"], trainer.history.latents, strict=True))
        trainer.fit()
        last = load_checkpoint(finished[0][quantizer].folder / "checkpoint.pt")
        assert all(torch.equal(last["model"][name], value) for name, value in trainer.model.state_dict().items()), (
            "branching is training straight through"
        )


def test_settings_that_act_later_branch_from_the_same_trunk(finished, tiny_config, monkeypatch, recwarn):
    network = Perceptual()
    monkeypatch.setattr(training, "load_perceptual", lambda name: network)
    config = tiny_config(train__codebook_initialisations=1, train__commitment_weight=0.5)
    run = train(config, "nearest")
    assert network.calls == 5
    assert not [warning for warning in recwarn.list if "checkpoint was made with" in str(warning.message)]
    assert load_checkpoint(run.folder / "checkpoint.pt")["config"] == config.as_dict()
    straight = Trainer(config, "nearest", make_split(config, "train").images, Perceptual())
    straight.fit()
    last = load_checkpoint(run.folder / "checkpoint.pt")["model"]
    assert all(torch.equal(last[name], value) for name, value in straight.model.state_dict().items())


def test_the_trunk_can_be_trained_by_itself(finished, tiny_config, monkeypatch, tmp_path):
    network = stand_in(monkeypatch, tmp_path)
    train_trunk(tiny_config())
    train_trunk(tiny_config())
    assert network.calls == 3, "once"
    assert same_results(train(tiny_config(), "nearest"), finished[0]["nearest"])
    assert network.calls == 8
    train_trunk(tiny_config(train__quantize_from_step=0, train__codebook_initialisations=0))
    assert network.calls == 8, "there is none"


def test_no_trunk_when_quantizing_from_the_first_step(tiny_config, monkeypatch, tmp_path):
    network = stand_in(monkeypatch, tmp_path)
    config = tiny_config(train__quantize_from_step=0, train__codebook_initialisations=0)
    run = train(config, "matching")
    assert network.calls == 8
    assert not run_dir(config, "trunk").exists()
    assert run.summary["steps"] == 8


# --- Steps that are the same for both quantizers ----------------------------------------------------------------------


COMPETING = {"seed": 35, "train__learning_rate": 0.1}  # so violent that latents of an image meet after some steps


def first_step_with_a_repeat(config) -> int:
    """Return the first step in which a nearest code repeats, by looking at every step's codes."""
    trainer = Trainer(config, "nearest", make_split(config, "train").images, Perceptual())
    for step in range(config.train.steps):
        trainer.fit(step)
        if step in initialisation_steps(config.train):
            trainer.initialise_codebook()
        if step >= config.train.quantize_from_step:
            codes = trainer.model.encode(trainer.batch(step)).tolist()
            if any(len(set(row)) < len(row) for row in codes):
                return step
    return config.train.steps


@pytest.mark.parametrize("settings, some_repeat", [({}, False), (COMPETING, True)])
def test_steps_are_shared_until_latents_of_an_image_have_one_nearest_code(
    tiny_config, monkeypatch, tmp_path, capsys, settings, some_repeat
):
    config = tiny_config(**settings)
    stand_in(monkeypatch, tmp_path / "alone")
    alone = {quantizer: train(config, quantizer) for quantizer in ("matching", "nearest")}
    network = stand_in(monkeypatch, tmp_path / "shared")
    shared = train_shared(config)
    assert shared == first_step_with_a_repeat(config)
    assert (3 < shared < 8) if some_repeat else shared == 8
    assert ("the quantizers differ" in capsys.readouterr().out) == some_repeat
    assert network.calls == shared
    together = {quantizer: train(config, quantizer) for quantizer in ("matching", "nearest")}
    assert network.calls == shared + 2 * (8 - shared), "each trains only what is its own"
    for quantizer, run in together.items():
        monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "shared"))
        assert run.summary["shared_steps"] == shared
        states = [load_checkpoint(r.folder / "checkpoint.pt") for r in (run, alone[quantizer])]
        for part in ("model", "ema", "discriminator"):
            assert all(torch.equal(states[0][part][n], value) for n, value in states[1][part].items()), part
        assert np.array_equal(run.codes("heldout"), alone[quantizer].codes("heldout"))


def test_interrupted_shared_steps_go_on(tiny_config, monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path, interrupt_at=6)
    with pytest.raises(KeyboardInterrupt):
        train_shared(tiny_config())
    network = stand_in(monkeypatch, tmp_path)
    assert train_shared(tiny_config()) == 8
    assert network.calls == 4, "the last checkpoint was of step 4"
    assert train_shared(tiny_config()) == 8
    assert network.calls == 4, "there is nothing left to do"


def test_only_the_nearest_quantizer_can_say_how_long_steps_are_shared(tiny_config):
    trainer = Trainer(tiny_config(), "matching", make_split(tiny_config(), "train").images, Perceptual())
    with pytest.raises(ValueError, match="asks the nearest quantizer"):
        trainer.fit(while_distinct=True)


# --- Interruptions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantizer, cut, done_again", [("matching", 1, 1), ("nearest", 3, 0), ("nearest", 6, 2)])
def test_an_interrupted_run_goes_on_and_ends_alike(
    finished, tiny_config, monkeypatch, tmp_path, capsys, quantizer, cut, done_again
):
    stand_in(monkeypatch, tmp_path, interrupt_at=cut)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(), quantizer)
    assert find_run(tiny_config(), quantizer) is None
    network = stand_in(monkeypatch, tmp_path)
    run = train(tiny_config(), quantizer)
    assert network.calls == 8 - cut + done_again, "steps since the last checkpoint, at T_q and 4, are done again"
    assert same_results(run, finished[0][quantizer])
    assert f"{quantizer}: going on from step " in capsys.readouterr().out


def test_an_interrupted_trunk_goes_on_for_whoever_needs_it(finished, tiny_config, monkeypatch, tmp_path, recwarn):
    often = {"evaluation__checkpoint_every": 2}
    stand_in(monkeypatch, tmp_path, interrupt_at=2)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(**often, train__commitment_weight=0.5), "matching")
    network = stand_in(monkeypatch, tmp_path)
    run = train(tiny_config(**often), "nearest")
    assert network.calls == 6, "two of the trunk's steps were there"
    assert same_results(run, finished[0]["nearest"])
    assert not [warning for warning in recwarn.list if "checkpoint was made with" in str(warning.message)]


def test_an_unfinished_run_has_its_own_quantizer_whoever_trained_the_trunk(tiny_config, monkeypatch, tmp_path):
    network = stand_in(monkeypatch, tmp_path, interrupt_at=3)
    for quantizer in ("matching", "nearest"):
        with pytest.raises(KeyboardInterrupt):
            train(tiny_config(), quantizer)
        model = PIVQ.from_pretrained(run_dir(tiny_config(), quantizer))
        assert type(model.quantizer).__name__.lower().startswith(quantizer)
    assert network.calls == 3


def test_a_run_cut_off_before_its_summary_only_gets_that(finished, tiny_config, monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(training, "encode_images", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(OSError, match="No space left"):
            train(tiny_config(), "matching")
    network = stand_in(monkeypatch, tmp_path)
    run = train(tiny_config(), "matching")
    assert network.calls == 0
    assert same_results(run, finished[0]["matching"])


def test_a_damaged_checkpoint_is_named(tiny_config, monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path, interrupt_at=6)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(), "matching")
    path = run_dir(tiny_config(), "matching") / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=f"{path.parent.name}/checkpoint.pt is damaged"):
        train(tiny_config(), "matching")


@pytest.mark.parametrize("bad_from, step, last", [(0, 2, "none yet"), (5, 7, "matching-seed0-[^/]+/checkpoint.pt")])
def test_a_diverged_run_names_its_last_good_checkpoint(tiny_config, monkeypatch, tmp_path, bad_from, step, last):
    stand_in(monkeypatch, tmp_path, bad_from=bad_from)
    message = f"3 steps in a row up to step {step} .* Last good checkpoint: .*{last}$"
    with pytest.raises(TrainingDiverged, match=message):
        train(tiny_config(), "matching")
    if step == 7:
        state = load_checkpoint(run_dir(tiny_config(), "matching") / "checkpoint.pt")
        assert all(torch.isfinite(value).all() for part in ("model", "ema") for value in state[part].values())
