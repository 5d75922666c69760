"""What is trained again, or deleted: a finished run lies aside until the new one is, and nothing of people is lost."""

import os
import shutil

import pytest
from stand_ins import same_results, stand_in

from pivq.runs.planned import run_dir, under_way
from pivq.runs.replacing import ASIDE, discard, drop_replaced, set_aside
from pivq.runs.run import find_run, open_run
from pivq.runs.training import train
from pivq.storage.locking import InUse, locked


@pytest.fixture
def copy(finished, tiny_config, monkeypatch, tmp_path):
    """Return the folder of a finished run in a root of its own, with a note that somebody put there."""
    stand_in(monkeypatch, tmp_path)
    folder = shutil.copytree(finished[0]["matching"].folder, run_dir(tiny_config(), "matching"))
    (folder / "note.txt").write_text("mine")
    return folder


def test_a_finished_run_is_there_until_the_new_one_is(finished, copy, tiny_config, monkeypatch, tmp_path, capsys):
    config = tiny_config()
    (aside,) = set_aside(config, ["matching", "nearest"])
    assert capsys.readouterr().out == (
        f"{copy.name}: the finished run is kept until the new one is; to have it back, move it here from {aside}\n"
    )
    assert find_run(config, "matching") is None and not copy.exists() and open_run(aside).summary
    assert under_way(config.profile, 0) == [], "no listing has it"
    stand_in(monkeypatch, tmp_path, interrupt_at=6)
    with pytest.raises(KeyboardInterrupt):
        train(config, "matching")
    assert same_results(open_run(aside), finished[0]["matching"])
    assert set_aside(config, ["matching"]) == [], "of the run that was interrupted, nothing is kept"
    stand_in(monkeypatch, tmp_path)
    assert same_results(train(config, "matching"), finished[0]["matching"])
    assert not aside.parent.exists() and (copy / "note.txt").read_text() == "mine"


def test_a_run_can_be_put_back(copy, tiny_config):
    (aside,) = set_aside(tiny_config(), ["matching"])
    aside.rename(copy)
    assert find_run(tiny_config(), "matching") == open_run(copy)


def test_what_has_the_name_of_something_new_is_left_and_told(copy, tiny_config, capsys):
    (aside,) = set_aside(tiny_config(), ["matching"])
    copy.mkdir()
    (copy / "note.txt").write_text("newer")
    drop_replaced(copy)
    assert os.listdir(aside) == ["note.txt"] and (aside / "note.txt").read_text() == "mine"
    assert (copy / "note.txt").read_text() == "newer" and f"is left in {aside}" in capsys.readouterr().out


def test_a_run_is_set_aside_twice(copy, tiny_config):
    (first,) = set_aside(tiny_config(), ["matching"])
    shutil.copytree(first, copy)
    (second,) = set_aside(tiny_config(), ["matching"])
    assert first != second and first.parent == second.parent == copy.parent / ASIDE
    other = copy.parent / ASIDE / f"nearest{copy.name}"
    other.mkdir()
    copy.mkdir()
    drop_replaced(copy)
    assert os.listdir(copy.parent / ASIDE) == [second.name, other.name] or os.listdir(copy.parent / ASIDE) == [
        other.name, second.name,
    ]  # fmt: skip


def test_of_an_unfinished_run_only_what_a_training_wrote_is_deleted(copy, tiny_config):
    (copy / "summary.json").unlink()
    assert set_aside(tiny_config(), ["matching"]) == []
    assert os.listdir(copy) == ["note.txt"]
    (copy / "note.txt").unlink(), set_aside(tiny_config(), ["matching"])
    assert not copy.exists()


def test_discarded_runs_are_trained_again(finished, tiny_config, monkeypatch, tmp_path):
    network = stand_in(monkeypatch, tmp_path)
    train(tiny_config(), "matching")
    other = run_dir(tiny_config(seed=1), "matching")
    other.mkdir()
    discard(tiny_config(), ["matching", "nearest"])
    assert list(other.parent.iterdir()) == [other]
    assert same_results(train(tiny_config(), "matching"), finished[0]["matching"])
    assert network.calls == 16


def test_what_is_not_of_a_training_outlives_a_discarded_run(copy, tiny_config):
    discard(tiny_config(), ["matching"])
    assert os.listdir(copy) == ["note.txt"] and not (copy.parent / ASIDE).exists()


@pytest.mark.parametrize("clear", [set_aside, discard])
def test_runs_in_training_stay(copy, tiny_config, clear):
    with locked(copy, "trained"):
        with pytest.raises(InUse, match=f"is being trained by process {os.getpid()}"):
            clear(tiny_config(), ["matching"])
    assert find_run(tiny_config(), "matching") == open_run(copy)
