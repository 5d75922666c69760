"""Runs: trained once, resumed, summarised. On stand-ins for data and perceptual network."""

import io
import json
import os
import shutil
import warnings

import numpy as np
import pytest
import torch
from stand_ins import Perceptual, make_split, same_results, stand_in

from pivq.config import Config
from pivq.runs import training
from pivq.runs.callbacks import validate
from pivq.runs.run import (
    MissingRun,
    arrays_digest,
    find_run,
    missing_files,
    open_run,
    read_arrays,
    require_run,
    run_dir,
)
from pivq.runs.training import train
from pivq.storage.checkpoint import CHECKPOINT, PREVIOUS, load_checkpoint, newest_checkpoint, save_checkpoint
from pivq.storage.locking import InUse, locked
from pivq.storage.source import code_digest
from pivq.storage.writing import read_json, write_json
from pivq.trainer import Trainer, TrainingDiverged

FILES = {"config.json", "images.json", CHECKPOINT, PREVIOUS, "log.jsonl", "codes.npz", "summary.json"}


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
    figures, *_ = validate(trainer, make_split(tiny_config(), "heldout").images)
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


# --- Interruptions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("quantizer, cut, done_again", [("matching", 1, 1), ("nearest", 3, 0), ("nearest", 6, 2)])
def test_an_interrupted_run_is_resumed_and_ends_alike(
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
    assert f"{quantizer}: resuming from step " in capsys.readouterr().out


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


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flip(content: bytes) -> bytes:
    place = len(content) // 2
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def spoil(content: bytes) -> bytes:
    """Make a moment of Adam infinite, in a checkpoint that is whole otherwise."""
    state, written = torch.load(io.BytesIO(content), weights_only=True), io.BytesIO()
    state["optimizer"]["state"][0]["exp_avg"].flatten()[0] = float("inf")
    torch.save(state, written)
    return written.getvalue()


DAMAGES = {"cut": cut, "empty": lambda _: b"", "zeroed": lambda content: bytes(len(content)), "flipped": flip}


@pytest.mark.parametrize("damage", [*DAMAGES, "spoiled"])
def test_the_previous_checkpoint_is_used_where_the_newest_is_damaged(
    finished, tiny_config, monkeypatch, tmp_path, damage
):
    stand_in(monkeypatch, tmp_path, interrupt_at=6)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(), "matching")
    path = run_dir(tiny_config(), "matching") / CHECKPOINT
    path.write_bytes((DAMAGES | {"spoiled": spoil})[damage](path.read_bytes()))
    network = stand_in(monkeypatch, tmp_path)
    fault = "holds numbers that are not finite, in optimizer.state.0.exp_avg" if damage == "spoiled" else "is damaged"
    said = f"{path.parent.name}/checkpoint.pt {fault}: resuming from checkpoint.previous.pt, of step 3"
    with pytest.warns(UserWarning, match=said):
        run = train(tiny_config(), "matching")
    assert network.calls == 5
    assert same_results(run, finished[0]["matching"])


def test_two_damaged_checkpoints_are_named_and_the_advice_helps(finished, tiny_config, monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path, interrupt_at=6)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(), "matching")
    folder = run_dir(tiny_config(), "matching")
    for name in (CHECKPOINT, PREVIOUS):
        (folder / name).write_bytes(b"")
    with pytest.raises(ValueError, match="checkpoint.pt and checkpoint.previous.pt are damaged .* delete both to"):
        train(tiny_config(), "matching")
    for name in (CHECKPOINT, PREVIOUS):
        (folder / name).unlink()
    stand_in(monkeypatch, tmp_path)
    assert same_results(train(tiny_config(), "matching"), finished[0]["matching"])


@pytest.fixture
def copy(finished, tiny_config, monkeypatch, tmp_path):
    """Return the folder of a finished run in a root of its own."""
    stand_in(monkeypatch, tmp_path)
    return shutil.copytree(finished[0]["matching"].folder, run_dir(tiny_config(), "matching"))


def test_a_finished_run_whose_numbers_are_not_finite_is_trained_on_from_the_previous_checkpoint(
    finished, copy, tiny_config
):
    (copy / CHECKPOINT).write_bytes(spoil((copy / CHECKPOINT).read_bytes()))
    assert find_run(tiny_config(), "matching") is None
    with pytest.warns(UserWarning, match="not finite, in optimizer.state.0.exp_avg: resuming from .*previous.pt"):
        assert same_results(train(tiny_config(), "matching"), finished[0]["matching"])
    assert all(load_checkpoint(copy / name) for name in (CHECKPOINT, PREVIOUS)), "the damaged one is kept nowhere"


@pytest.mark.parametrize("damage", [*DAMAGES, "gone"])
@pytest.mark.parametrize("name", [CHECKPOINT, "codes.npz", "summary.json", "config.json"])
def test_what_a_finished_run_lacks_is_made_again(finished, copy, tiny_config, name, damage):
    path = copy / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    told = f"{name} is {'missing' if damage == 'gone' else 'damaged'}"
    if (name, damage) != ("config.json", "flipped"):  # which may hit a blank
        assert find_run(tiny_config(), "matching") is None
        with pytest.raises(FileNotFoundError, match=f"no finished run in .*: {told}; `pivq train`"):
            open_run(copy)
    with warnings.catch_warnings(action="ignore"):
        run = train(tiny_config(), "matching")
    assert missing_files(copy) == []
    assert same_results(run, finished[0]["matching"])
    assert run == open_run(copy)


@pytest.mark.parametrize(
    "name, other",
    [
        (CHECKPOINT, "codes.npz"),
        ("codes.npz", CHECKPOINT),
        ("summary.json", "config.json"),
        ("summary.json", b"{}"),
        ("config.json", "summary.json"),
        ("config.json", b"{}"),
    ],
)
def test_a_file_of_another_kind_is_made_again(finished, copy, tiny_config, name, other):
    (copy / name).write_bytes(other if isinstance(other, bytes) else (copy / other).read_bytes())
    assert find_run(tiny_config(), "matching") is None
    with warnings.catch_warnings(action="ignore"):
        run = train(tiny_config(), "matching")
    assert same_results(run, finished[0]["matching"]) and missing_files(copy) == []


@pytest.mark.parametrize("change", [{}, {"codes_in_use": 1}, {"heldout_l1": 0.0, "sha256": None}])
def test_a_summary_without_its_checksum_is_made_again_from_the_checkpoint(finished, copy, tiny_config, change):
    values = read_json(copy / "summary.json")
    values.pop("sha256")
    write_json(copy / "summary.json", values | change)
    with pytest.raises(MissingRun, match=r"no finished matching run in .*, summary.json \(damaged\): run notebook 03_"):
        require_run(tiny_config(), "matching")
    weights = (copy / CHECKPOINT).read_bytes()
    assert same_results(train(tiny_config(), "matching"), finished[0]["matching"])
    assert (copy / CHECKPOINT).read_bytes() == weights, "nothing is trained again"


def test_codes_of_another_run_are_made_again(finished, copy, tiny_config):
    arrays = read_arrays(copy / "codes.npz")
    arrays["train_codes"][3, 1] += 1
    np.savez(copy / "codes.npz", **arrays, sha256=arrays_digest(arrays))
    with pytest.raises(FileNotFoundError, match=r"codes.npz is damaged; `pivq train` trains runs"):
        open_run(copy)
    assert same_results(train(tiny_config(), "matching"), finished[0]["matching"])


def test_a_run_that_lost_both_checkpoints_is_trained_again(finished, copy, tiny_config):
    for name in (CHECKPOINT, PREVIOUS):
        (copy / name).unlink()
    assert same_results(train(tiny_config(), "matching"), finished[0]["matching"])


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"train": 3}', b'{"train": {}}', b"\xff"])
def test_odd_settings_of_another_run_stop_no_training(finished, tiny_config, monkeypatch, tmp_path, content):
    stand_in(monkeypatch, tmp_path)
    other = run_dir(tiny_config(), "matching").with_name("matching-seed0-00000000")
    other.mkdir(parents=True)
    (other / "config.json").write_bytes(content)
    assert same_results(train(tiny_config(), "matching"), finished[0]["matching"])


@pytest.mark.parametrize("stage", ["matching", "trunk"])
def test_a_second_trainer_is_refused_with_the_first_one_s_number(tiny_config, monkeypatch, tmp_path, stage):
    network = stand_in(monkeypatch, tmp_path)
    with locked(run_dir(tiny_config(), stage), "trained"):
        said = f"{stage}-seed0-.* is being trained by process {os.getpid()}: wait for it, or stop it"
        with pytest.raises(InUse, match=said):
            train(tiny_config(), "matching")
    assert network.calls == 0
    train(tiny_config(), "matching")
    assert not list(tmp_path.glob("results/smoke/*/.*")), "no lock stays"


@pytest.mark.parametrize("bad_from, step, last", [(0, 2, "none yet"), (5, 7, "matching-seed0-[^/]+/checkpoint.pt")])
def test_a_diverged_run_names_its_last_good_checkpoint(tiny_config, monkeypatch, tmp_path, bad_from, step, last):
    stand_in(monkeypatch, tmp_path, bad_from=bad_from)
    message = f"3 steps in a row up to step {step} .* Last good checkpoint: .*{last}$"
    with pytest.raises(TrainingDiverged, match=message):
        train(tiny_config(), "matching")
    if step == 7:
        state = load_checkpoint(run_dir(tiny_config(), "matching") / "checkpoint.pt")
        assert all(torch.isfinite(value).all() for part in ("model", "ema") for value in state[part].values())


# --- The code that trained --------------------------------------------------------------------------------------------


@pytest.fixture
def edit(monkeypatch):
    """Return a function that gives the code another digest from now on."""

    def edited(digest="0123456789abcdef"):
        for module in ("provenance", "training", "run"):
            monkeypatch.setattr(f"pivq.runs.{module}.code_digest", lambda: digest)
        return digest

    return edited


def test_a_summary_that_is_made_again_names_the_code_that_trained(tiny_config, tmp_path, monkeypatch, edit):
    stand_in(monkeypatch, tmp_path)
    run = train(tiny_config(), "matching")
    before, now = run.summary["code"], code_digest()
    assert before == now
    (run.folder / "summary.json").unlink()
    edit()
    again = train(tiny_config(), "matching")
    assert again.summary["code"] == before and "commit" not in again.summary, "that is of today's code"
    with pytest.warns(UserWarning, match=rf"was trained by other code \({before}, now 0123456789abcdef\)"):
        train(tiny_config(), "matching")

    state = load_checkpoint(run.folder / "checkpoint.pt")
    save_checkpoint(run.folder / "checkpoint.pt", {name: state[name] for name in state if name != "code"})
    (run.folder / "summary.json").unlink()
    assert train(tiny_config(), "matching").summary["code"] == "unknown", "of an earlier version"


@pytest.mark.parametrize("step, stage", [(7, "matching"), (2, "trunk")])
def test_a_run_that_is_resumed_by_other_code_names_both(tiny_config, tmp_path, monkeypatch, edit, step, stage):
    network, first = stand_in(monkeypatch, tmp_path, interrupt_at=step), code_digest()
    settings = {"evaluation__checkpoint_every": 1}
    with pytest.raises(KeyboardInterrupt):
        train(tiny_config(**settings), "matching")
    assert newest_checkpoint(run_dir(tiny_config(**settings), stage))["code"] == first
    network.interrupt_at, other = None, edit()
    assert train(tiny_config(**settings), "matching").summary["code"] == f"{first}+{other}"
