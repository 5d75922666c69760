"""No file is ever half there, and an error of writing says what could not be kept."""

import json
import subprocess
import sys

import pytest

from pivq.storage.writing import atomic_write, plain_write_errors, write_json


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


def test_atomic_write_survives_a_kill_in_the_middle(checkout, tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("old")
    code = (
        "import os, sys; from pivq.storage.writing import atomic_write\n"
        "with atomic_write(sys.argv[1]) as temporary:\n    temporary.write_text('ne'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], cwd=checkout).returncode == 9
    assert path.read_text() == "old"


def test_write_json_makes_folders_and_ends_the_last_line(tmp_path):
    path, value = tmp_path / "run" / "summary.json", {"steps": 3, "l1": 0.1, "data": {"name": "avatars", "count": None}}
    write_json(path, value)
    assert json.loads(path.read_text()) == value
    assert path.read_text().endswith("}\n") and list(path.parent.iterdir()) == [path]


def test_write_json_leaves_the_old_file_where_a_value_is_none_of_json(tmp_path):
    path = tmp_path / "summary.json"
    write_json(path, {"steps": 3})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"steps": 4, "codes": {1, 2}})
    assert json.loads(path.read_text()) == {"steps": 3}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), PermissionError(13, "Permission denied")])
def test_an_error_of_writing_says_what_could_not_be_kept_where(tmp_path, error):
    said = f"cannot keep the labels in {tmp_path}: {error.strerror}. Make room or give write access there, or set PIVQ_"
    with pytest.raises(type(error)) as caught, plain_write_errors("the labels", tmp_path):
        raise error
    assert said in str(caught.value) and caught.value.errno == error.errno
    assert caught.value.__cause__ is error


def test_an_error_of_writing_without_a_number_is_said_in_its_own_words(tmp_path):
    with pytest.raises(OSError, match="cannot keep the labels in .*: the disk is gone. Make room"):
        with plain_write_errors("the labels", tmp_path):
            raise OSError("the disk is gone")


def test_other_errors_and_none_stay_as_they_are(tmp_path):
    with plain_write_errors("the labels", tmp_path):
        pass
    with pytest.raises(ValueError, match="^a bad picture$"), plain_write_errors("the labels", tmp_path):
        raise ValueError("a bad picture")
