"""Steps that several runs share: trained once; the runs that branch from them are those trained straight through."""

import os
import shutil

import numpy as np
import pytest
import torch
from stand_ins import Perceptual, make_split, same_results, stand_in

from pivq.codebook_init import initialisation_steps
from pivq.model import PIVQ
from pivq.runs import branching
from pivq.runs.branching import train_ahead
from pivq.runs.run import run_dir
from pivq.runs.training import train
from pivq.storage import writing
from pivq.storage.checkpoint import load_checkpoint, save_checkpoint
from pivq.storage.writing import partial_path
from pivq.trainer import Trainer

# --- The trunk --------------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(branching, "load_perceptual", lambda name: network)
    config = tiny_config(train__codebook_initialisations=1, train__commitment_weight=0.5)
    run = train(config, "nearest")
    assert network.calls == 5
    assert not [warning for warning in recwarn.list if "checkpoint was made with" in str(warning.message)]
    assert load_checkpoint(run.folder / "checkpoint.pt")["config"] == config.as_dict()
    straight = Trainer(config, "nearest", make_split(config, "train").images, Perceptual())
    straight.fit()
    last = load_checkpoint(run.folder / "checkpoint.pt")["model"]
    assert all(torch.equal(last[name], value) for name, value in straight.model.state_dict().items())


def test_a_stage_of_other_threads_is_started_without_a_word(tiny_config, monkeypatch, tmp_path, recwarn):
    stand_in(monkeypatch, tmp_path)
    train_ahead("trunk", tiny_config())
    path = run_dir(tiny_config(), "trunk") / "checkpoint.pt"
    threads = torch.get_num_threads()
    save_checkpoint(path, load_checkpoint(path) | {"threads": threads + 1})  # runs side by side have fewer cores each
    run = train(tiny_config(), "nearest")
    assert not [warning for warning in recwarn.list if "threads" in str(warning.message)]
    assert load_checkpoint(run.folder / "checkpoint.pt")["threads"] == threads


def test_the_trunk_can_be_trained_by_itself(finished, tiny_config, monkeypatch, tmp_path):
    network = stand_in(monkeypatch, tmp_path)
    train_ahead("trunk", tiny_config())
    train_ahead("trunk", tiny_config())
    assert network.calls == 3, "once"
    assert same_results(train(tiny_config(), "nearest"), finished[0]["nearest"])
    assert network.calls == 8
    train_ahead("trunk", tiny_config(train__quantize_from_step=0, train__codebook_initialisations=0))
    assert network.calls == 8, "there is none"


def test_no_trunk_when_quantizing_from_the_first_step(tiny_config, monkeypatch, tmp_path):
    network = stand_in(monkeypatch, tmp_path)
    config = tiny_config(train__quantize_from_step=0, train__codebook_initialisations=0)
    run = train(config, "matching")
    assert network.calls == 8
    assert not run_dir(config, "trunk").exists()
    assert run.summary["steps"] == 8


# --- Steps that are the same for both quantizers ----------------------------------------------------------------------


COMPETING = {"seed": 35, "train__learning_rate": 0.1, "train__muon_learning_rate": 0.0}  # so violent that latents meet


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
    shared = train_ahead("shared", config)
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


def test_interrupted_shared_steps_are_resumed(tiny_config, monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path, interrupt_at=6)
    with pytest.raises(KeyboardInterrupt):
        train_ahead("shared", tiny_config())
    network = stand_in(monkeypatch, tmp_path)
    assert train_ahead("shared", tiny_config()) == 8
    assert network.calls == 4, "the last checkpoint was of step 4"
    assert train_ahead("shared", tiny_config()) == 8
    assert network.calls == 4, "there is nothing left to do"


def test_only_the_nearest_quantizer_can_say_how_long_steps_are_shared(tiny_config):
    trainer = Trainer(tiny_config(), "matching", make_split(tiny_config(), "train").images, Perceptual())
    with pytest.raises(ValueError, match="asks the nearest quantizer"):
        trainer.fit(while_distinct=True)


# --- Interruptions ----------------------------------------------------------------------------------------------------


def test_an_interrupted_trunk_is_resumed_by_any_run(finished, tiny_config, monkeypatch, tmp_path, recwarn):
    often = {"evaluation__checkpoint_every": 2}
    stand_in(monkeypatch, tmp_path, interrupt_at=2)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(**often, train__commitment_weight=0.5), "matching")
    network = stand_in(monkeypatch, tmp_path)
    run = train(tiny_config(**often), "nearest")
    assert network.calls == 6, "two of the trunk's steps were there"
    assert same_results(run, finished[0]["nearest"])
    assert not [warning for warning in recwarn.list if "checkpoint was made with" in str(warning.message)]


def test_what_a_kill_in_the_last_write_of_a_stage_left_is_removed(tiny_config, monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path)
    train_ahead("shared", tiny_config())
    left = [partial_path(run_dir(tiny_config(), stage) / "checkpoint.pt") for stage in ("trunk", "shared")]
    left = [path.with_name(path.name.replace(str(os.getpid()), str(2**22 + 7))) for path in left]
    for path in left:
        path.write_bytes(b"half")
    monkeypatch.setattr(writing, "_cleaned", set())  # as in another process
    train_ahead("trunk", tiny_config())
    train_ahead("shared", tiny_config())
    assert not any(path.exists() for path in left)


def test_an_unfinished_run_has_its_own_quantizer_whichever_run_trained_the_trunk(tiny_config, monkeypatch, tmp_path):
    network = stand_in(monkeypatch, tmp_path, interrupt_at=3)
    for quantizer in ("matching", "nearest"):
        with pytest.raises(KeyboardInterrupt):
            train(tiny_config(), quantizer)
        model = PIVQ.from_pretrained(run_dir(tiny_config(), quantizer))
        assert type(model.quantizer).__name__.lower().startswith(quantizer)
    assert network.calls == 3


@pytest.mark.parametrize("change", ["seed", "train__commitment_weight", "quantizer"])
@pytest.mark.parametrize("what", ["checkpoint", "folder"])
def test_an_unfinished_run_never_goes_on_from_the_checkpoint_of_another(finished, tiny_config, monkeypatch, tmp_path,
                                                                        change, what):  # fmt: skip
    stand_in(monkeypatch, tmp_path)
    other = finished[0]["nearest" if change == "quantizer" else "matching"].folder
    config = tiny_config() if change == "quantizer" else tiny_config(**{change: 2})
    folder = run_dir(config, "matching")
    folder.mkdir(parents=True)
    names = ["checkpoint.pt"] if what == "checkpoint" else [path.name for path in other.iterdir()]
    for name in names:
        if name != "summary.json":  # it is not finished
            shutil.copy(other / name, folder / name)
    with pytest.raises(ValueError, match="checkpoint.pt is of another run .*put its own back, or delete that folder"):
        train(config, "matching")
    assert not (folder / "summary.json").exists()


@pytest.mark.parametrize("stage", ["trunk", "shared"])
def test_no_run_starts_from_steps_of_another_seed(finished, tiny_config, monkeypatch, tmp_path, stage):
    stand_in(monkeypatch, tmp_path)
    train_ahead(stage, tiny_config())
    source = run_dir(tiny_config(), stage)
    if not source.exists():
        pytest.skip("the quantizers part at T_q")
    source.rename(run_dir(tiny_config(seed=1), stage))
    with pytest.raises(ValueError, match=rf"{stage}-seed1-.*checkpoint.pt is of another run \(.*seed 0"):
        train(tiny_config(seed=1), "matching")
