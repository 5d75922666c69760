"""Runs as folders: where one lies, finding it, what can be read from it, and that its images are the right ones."""

import hashlib
import os
import shutil

import numpy as np
import pytest
from stand_ins import make_split, stand_in

from pivq.config import load_config
from pivq.runs import run as run_module
from pivq.runs import splits
from pivq.runs.run import (
    MissingRun,
    OtherImages,
    find_run,
    open_run,
    read_config,
    require_run,
    run_dir,
    write_config,
)
from pivq.runs.training import train
from pivq.storage.checkpoint import load_checkpoint, save_checkpoint
from pivq.storage.writing import seal, write_json


def test_run_dir(monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    config = load_config("quick", seed=2)
    assert run_dir(config, "nearest") == tmp_path / "results/quick" / f"nearest-seed2-{config.digest('nearest')}"


def test_a_finished_run_is_loaded_and_says_so(finished, tiny_config, capsys):
    run = train(tiny_config(), "matching")
    assert run == finished[0]["matching"]
    assert run == find_run(tiny_config(), "matching") == require_run(tiny_config(), "matching")
    assert capsys.readouterr().out == f"matching: finished run loaded from {run.folder.name}\n"


def test_a_missing_run_names_the_notebook_that_makes_it(finished, tiny_config):
    config = tiny_config(seed=5)
    assert find_run(config, "matching") is None
    told = r"run notebook 03_train first \(./run_all.sh --profile smoke --seed 5 --steps 8 --only 03\)"
    with pytest.raises(MissingRun, match=told):
        require_run(config, "matching")


@pytest.mark.parametrize("change", ["ids", "pixels"])
def test_a_run_is_not_used_with_other_images(finished, tiny_config, monkeypatch, tmp_path, change):
    def other(config, name):
        found = make_split(config, name)
        if name == "train" and change == "ids":
            found.ids[7] = "another"
        elif name == "train":
            found.images[7] = 255 - found.images[7]
        return found

    monkeypatch.setattr(splits, "load_split", other)
    folder = finished[0]["matching"].folder
    for use in (train, require_run):
        with pytest.raises(OtherImages, match=f"{folder.name} was trained on other images"):
            use(tiny_config(), "matching")
    config = tiny_config(train__commitment_weight=0.25)  # a new run, which would begin with the trunk
    with pytest.raises(OtherImages, match="trunk-seed0-.* was trained on other images"):
        train(config, "matching")
    assert not (run_dir(config, "matching") / "checkpoint.pt").exists()


def fingerprinted(config, name, changed=""):
    """Return a split with a fingerprint, as data sets have it."""
    found = make_split(config, name)
    found.fingerprint = hashlib.sha256(found.images.numpy().tobytes() + changed.encode()).hexdigest()[:16]
    return found


def test_every_image_decides_whether_a_run_is_used_with_others(finished, tiny_config, monkeypatch, tmp_path):
    network = stand_in(monkeypatch, tmp_path)
    monkeypatch.setattr(run_module, "SIGNED_IMAGES", 1)  # as of a large set, of which earlier versions saw a part
    monkeypatch.setattr(splits, "load_split", fingerprinted)
    train(tiny_config(), "matching")

    def other(config, name):
        found = make_split(config, name)
        found.images[[7, 9]] = found.images[[9, 7]]
        found.fingerprint = fingerprinted(config, name, "" if name == "train" else "swapped").fingerprint
        return found

    monkeypatch.setattr(splits, "load_split", other)
    for use in (train, require_run):
        with pytest.raises(OtherImages, match="was trained on other images"):
            use(tiny_config(), "matching")
    assert network.calls == 8


def test_runs_of_earlier_versions_are_used_with_their_images(finished, tiny_config, monkeypatch, recwarn):
    folder = finished[0]["matching"].folder
    before = {name: (folder / name).read_bytes() for name in ("images.json", "summary.json", "codes.npz")}
    signatures = {name: run_module._sampled_signature(make_split(tiny_config(), name)) for name in ("train", "heldout")}
    write_json(folder / "images.json", seal(signatures))
    lacking = ("codes", "model", "code", "threads", "device", "commit")
    summary = {name: value for name, value in finished[0]["matching"].summary.items() if name not in lacking}
    write_json(folder / "summary.json", seal(summary))
    with np.load(folder / "codes.npz") as file:
        arrays = {name: file[name] for name in file if name != "sha256"}
    np.savez_compressed(folder / "codes.npz", **arrays)
    monkeypatch.setattr(splits, "load_split", fingerprinted)
    try:
        run = require_run(tiny_config(), "matching")
        assert run.codes("train").shape == (24, 4) and run.model() and run.summary == summary
        assert not recwarn.list
    finally:
        for name, content in before.items():
            (folder / name).write_bytes(content)


def test_a_run_of_other_code_is_told(finished, tiny_config, monkeypatch):
    monkeypatch.setattr(run_module, "code_digest", lambda: "0123456789abcdef")
    said = r"matching-seed0-.* was trained by other code \(.*, now 0123456789abcdef\): ./run_all.sh .* --force"
    with pytest.warns(UserWarning, match=said):
        require_run(tiny_config(), "matching")
    with pytest.warns(UserWarning, match=said):
        train(tiny_config(), "matching")


@pytest.fixture
def copy(finished, tiny_config, monkeypatch, tmp_path):
    """Return a finished run in a root of its own."""
    stand_in(monkeypatch, tmp_path)
    shutil.copytree(finished[0]["matching"].folder, run_dir(tiny_config(), "matching"))
    return find_run(tiny_config(), "matching")


DAMAGE = ["", "{", "[]", "{}", "\0\0\0", lambda text: text.replace("heldout", "heldott"), lambda text: text[:40], None]


def damage(path, change):
    """Damage a file, or remove it."""
    if change is None:
        path.unlink()
    else:
        path.write_text(change(path.read_text()) if callable(change) else change)


@pytest.mark.parametrize("change", DAMAGE)
def test_damaged_notes_of_the_images_are_made_again_if_the_images_are_the_same(copy, tiny_config, change):
    path = copy.folder / "images.json"
    before = path.read_bytes()
    for use in (train, require_run):
        damage(path, change)
        with pytest.warns(UserWarning, match="images.json (is (damaged|gone)|has no).* made again from the checkpoint"):
            use(tiny_config(), "matching")
        assert path.read_bytes() == before
    assert require_run(tiny_config(), "matching") == copy


@pytest.mark.parametrize("change", DAMAGE)
def test_without_its_notes_a_run_is_not_used_with_other_images_either(copy, tiny_config, monkeypatch, change):
    def other(config, name):
        found = make_split(config, name)
        found.images[3, 1, 2, 5] += 1
        return found

    monkeypatch.setattr(splits, "load_split", other)
    damage(copy.folder / "images.json", change)
    for use in (train, require_run):
        with pytest.raises(OtherImages, match="was trained on other images"):
            use(tiny_config(), "matching")


def test_damaged_notes_of_an_earlier_version_are_named_with_advice_that_keeps_the_check(copy, tiny_config):
    state = load_checkpoint(copy.folder / "checkpoint.pt")
    del state["images"]
    save_checkpoint(copy.folder / "checkpoint.pt", state)
    path = copy.folder / "images.json"
    own = path.read_bytes()
    path.write_text("{")
    with pytest.raises(ValueError, match="images.json is damaged.*put a copy of it back, or delete the folder"):
        require_run(tiny_config(), "matching")
    path.write_bytes(own)
    assert require_run(tiny_config(), "matching") == copy


def test_codes_and_weights_of_another_run_are_refused(copy):
    path = copy.folder / "codes.npz"
    own, arrays = path.read_bytes(), run_module.read_arrays(path)
    arrays["train_codes"][3, 1] += 1
    np.savez(path, **arrays, sha256=run_module.arrays_digest(arrays))
    with pytest.raises(ValueError, match="codes.npz holds the codes of another run than summary.json"):
        copy.codes("train")
    path.write_bytes(own)
    state = load_checkpoint(copy.folder / "checkpoint.pt")
    state["ema"]["quantizer.codebook"] += 1
    save_checkpoint(copy.folder / "checkpoint.pt", state)
    with pytest.raises(ValueError, match="checkpoint.pt .* is not of the run in summary.json"):
        copy.model()


def test_the_checkpoint_of_the_other_quantizer_is_refused_even_with_the_same_weights(copy):
    state = load_checkpoint(copy.folder / "checkpoint.pt") | {"quantizer": "nearest"}
    save_checkpoint(copy.folder / "checkpoint.pt", state)
    with pytest.raises(ValueError, match="checkpoint.pt is of quantizer nearest, and the run of matching: put its own"):
        copy.model()


@pytest.mark.parametrize("other", ["another seed", "other settings", "the other quantizer"])
def test_a_copy_of_another_run_under_this_name_is_refused(copy, tiny_config, other):
    """Copied whole or renamed: all its files belong together, but the numbers are not those asked for."""
    config, quantizer = tiny_config(), copy.quantizer
    if other == "the other quantizer":
        quantizer = "nearest"
    else:
        config = tiny_config(seed=1) if other == "another seed" else tiny_config(train__commitment_weight=0.25)
    folder = run_dir(config, quantizer)
    shutil.copytree(copy.folder, folder)
    for use in (find_run, require_run, train):
        with pytest.raises(ValueError, match=f"{folder.name} holds another run .*rename it back, or move it away"):
            use(config, quantizer)


def test_settings_of_another_run_are_refused(copy):
    path = copy.folder / "config.json"
    path.write_text(path.read_text().replace('"learning_rate": 0.001', '"learning_rate": 0.002'))
    with pytest.raises(ValueError, match="config.json is damaged, or not of the run that summary.json is of"):
        open_run(copy.folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"quantizer": "matching", "profile": 3}', "\0"])
def test_damaged_settings_are_named(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match="config.json is damaged"):
        read_config(tmp_path / "config.json")


def test_pictures_are_originals_and_reconstructions(finished, tiny_config):
    run = finished[0]["matching"]
    pictures = run.pictures()
    assert list(pictures) == [3, 4, 5, 6]
    assert pictures[6].shape == (24, 3, 16, 16) and pictures[6].dtype == np.uint8
    assert pictures[3].shape == (16, 3, 16, 16), "there are samples from T_q on"
    assert np.array_equal(pictures[6][:8], make_split(tiny_config(), "heldout").images[:8].numpy())
    assert not np.array_equal(pictures[6][8:16], pictures[4][8:16])


@pytest.mark.parametrize("damage", [b"", b"<html>", lambda c: c[:-200], lambda c: c[:999] + bytes(1) + c[1000:]])
def test_a_damaged_picture_is_named_and_left_out(copy, damage):
    whole = copy.pictures()
    path = copy.folder / "reconstructions-000004.png"
    path.write_bytes(damage(path.read_bytes()) if callable(damage) else damage)
    with pytest.warns(UserWarning, match="reconstructions-000004.png is damaged and left out"):
        found = copy.pictures()
    assert found.keys() == whole.keys() - {4}


def test_a_log_that_lost_its_end_is_told(copy):
    path = copy.folder / "log.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    with pytest.warns(UserWarning, match="log.jsonl: the rows after step [23] up to step 8 are missing"):
        copy.log()


def test_settings_are_read_as_they_were_written(tiny_config, monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    path = write_config(tiny_config(seed=3), "nearest")
    assert path == run_dir(tiny_config(seed=3), "nearest") / "config.json"
    assert read_config(path) == (tiny_config(seed=3), "nearest")


@pytest.mark.parametrize(
    "change, said",
    [
        ({"codes.npz": b"x"}, "codes.npz is damaged; `pivq train`"),
        ({"codes.npz": b"x", "config.json": b""}, "config.json, codes.npz is damaged; `pivq train`"),
        ({"codes.npz": None, "config.json": b"{"}, "codes.npz is missing; config.json is damaged; `pivq train`"),
    ],
)
def test_open_run_tells_damaged_from_missing(copy, change, said):
    for name, content in change.items():
        (copy.folder / name).unlink() if content is None else (copy.folder / name).write_bytes(content)
    with pytest.raises(FileNotFoundError) as caught:
        open_run(copy.folder)
    assert f"no finished run in {copy.folder}: {said}" in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX has them")
@pytest.mark.parametrize("name", ["config.json", "summary.json", "codes.npz", "checkpoint.pt"])
def test_a_pipe_in_the_place_of_a_file_of_a_run_is_never_waited_for(copy, name):
    (copy.folder / name).unlink()
    os.mkfifo(copy.folder / name)
    with pytest.raises(FileNotFoundError, match=f"no finished run in {copy.folder}: {name} is damaged"):
        open_run(copy.folder)


def test_open_run_takes_files_that_an_editor_of_windows_saved(copy):
    for name in ("config.json", "summary.json"):
        path = copy.folder / name
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert open_run(copy.folder) == copy and copy.summary["steps"] == 8


def test_both_ways_to_a_run_tell_other_code(copy, tiny_config):
    path = copy.folder / "summary.json"
    write_json(path, seal(copy.summary | {"code": "0123456789abcdef"}))
    told = r"was trained by other code \(0123456789abcdef, now [0-9a-f]{16}\): "
    with pytest.warns(UserWarning, match=told + "what it makes may differ"):
        open_run(copy.folder)
    with pytest.warns(UserWarning, match=told + "./run_all.sh .* --force trains it again"):
        require_run(tiny_config(), "matching")


def test_an_exported_model_is_no_run(copy, tmp_path):
    copy.model().save_pretrained(tmp_path / "model")
    with pytest.raises(FileNotFoundError, match="model is an exported model: this needs a run"):
        open_run(tmp_path / "model")


def test_open_run_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="config.json, codes.npz, summary.json is missing"):
        open_run(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "codes.npz", "summary.json"])
def test_a_run_without_one_of_its_files_is_not_finished(finished, tiny_config, monkeypatch, tmp_path, name):
    folder = finished[0]["matching"].folder
    assert open_run(folder) == find_run(tiny_config(), "matching")
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    copy = run_dir(tiny_config(), "matching")
    shutil.copytree(folder, copy)
    assert find_run(tiny_config(), "matching") == open_run(copy)
    (copy / name).unlink()
    assert find_run(tiny_config(), "matching") is None
    with pytest.raises(FileNotFoundError, match=f"no finished run in .*: {name} is missing; `pivq train` trains runs"):
        open_run(copy)
