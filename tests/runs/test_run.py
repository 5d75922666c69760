"""Runs as folders: where one lies, finding it, what can be read from it, and that its images are the right ones."""

import shutil

import numpy as np
import pytest
from stand_ins import make_split, same_results, stand_in

from pivq.config import load_config
from pivq.runs import splits
from pivq.runs.run import (
    MissingRun,
    OtherImages,
    discard,
    find_run,
    open_run,
    read_config,
    require_run,
    run_dir,
    write_config,
)
from pivq.runs.training import train


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
    with pytest.raises(MissingRun, match=r"03_train first \(./run_all.sh --profile smoke --seed 5 --only 03\)"):
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


def test_pictures_are_originals_and_reconstructions(finished, tiny_config):
    run = finished[0]["matching"]
    pictures = run.pictures()
    assert list(pictures) == [3, 4, 5, 6]
    assert pictures[6].shape == (16, 3, 16, 16) and pictures[6].dtype == np.uint8
    assert np.array_equal(pictures[6][:8], make_split(tiny_config(), "heldout").images[:8].numpy())
    assert not np.array_equal(pictures[6][8:], pictures[4][8:])


def test_settings_are_read_as_they_were_written(tiny_config, monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    path = write_config(tiny_config(seed=3), "nearest")
    assert path == run_dir(tiny_config(seed=3), "nearest") / "config.json"
    assert read_config(path) == (tiny_config(seed=3), "nearest")


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


def test_discarded_runs_are_trained_again(finished, tiny_config, monkeypatch, tmp_path):
    network = stand_in(monkeypatch, tmp_path)
    train(tiny_config(), "matching")
    other = run_dir(tiny_config(seed=1), "matching")
    other.mkdir()
    discard(tiny_config(), ["matching", "nearest"])
    assert list(other.parent.iterdir()) == [other]
    assert same_results(train(tiny_config(), "matching"), finished[0]["matching"])
    assert network.calls == 16
