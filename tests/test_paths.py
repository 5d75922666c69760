"""Where files go, and that none is ever half there."""

import subprocess
import sys
from pathlib import Path

import pytest

from pivq import paths
from pivq.paths import atomic_write


def test_root_is_the_checkout_unless_told_otherwise(checkout, monkeypatch, tmp_path):
    monkeypatch.delenv("PIVQ_ROOT", raising=False)
    assert paths.root() == checkout
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    assert paths.data_dir() == tmp_path / "data"
    assert paths.results_dir("quick") == tmp_path / "results" / "quick"
    assert paths.figures_dir("quick") == tmp_path / "figures" / "quick"
    assert list(tmp_path.iterdir()) == [], "asking for a path makes nothing"


def test_root_is_the_working_directory_for_a_package_without_checkout(monkeypatch, tmp_path):
    monkeypatch.delenv("PIVQ_ROOT", raising=False)
    monkeypatch.setattr(paths, "CHECKOUT", tmp_path / "site-packages")
    monkeypatch.chdir(tmp_path)
    assert paths.root() == tmp_path


def test_ablations_are_those_of_the_project_until_there_are_others(checkout, monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    come_with_it = checkout / "figures" / "quick" / "ablations.json"
    assert paths.ablations_file("quick") == paths.ablations_file("celeba64") == come_with_it
    assert come_with_it.exists()
    own = tmp_path / "figures" / "celeba64" / "ablations.json"
    own.parent.mkdir(parents=True)
    own.touch()
    assert paths.ablations_file("celeba64") == own


def test_atomic_write_makes_folders_and_leaves_one_file(tmp_path):
    with atomic_write(tmp_path / "a" / "b" / "note.txt") as temporary:
        temporary.write_text("whole")
        assert not (tmp_path / "a" / "b" / "note.txt").exists()
        assert temporary.suffix == ".txt", "writers choose the format by the suffix"
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["note.txt"]
    assert (tmp_path / "a" / "b" / "note.txt").read_text() == "whole"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_atomic_write_leaves_the_old_file_and_no_other_on_failure(tmp_path, error):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic_write(path) as temporary:
        temporary.write_text("ne")
        raise error
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_write_without_a_file_written_is_an_error(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), atomic_write(path):
        pass
    assert path.read_text() == "old"


def test_atomic_write_survives_a_kill_in_the_middle(tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    code = (
        "import os, sys; from pivq.paths import atomic_write\n"
        "with atomic_write(sys.argv[1]) as temporary:\n    temporary.write_text('ne'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], cwd=Path(__file__).parent.parent).returncode == 9
    assert path.read_text() == "old"
