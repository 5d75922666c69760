"""What is printed: control characters escaped, errors without numbers, streams that end."""

import io
import os
import sys

import pytest

from pivq.commands.terminal import check_current_folder, drop, flush, message, shown


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a\x1b]0;owned\x07.jpg", "a\\x1b]0;owned\\x07.jpg"),
        ("up\x1b[2K\rdown\x7f", "up\\x1b[2K\\rdown\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("gpj.\u202eexe", "gpj.\\u202eexe"),
        ("née\n\t脸 \N{GRINNING FACE}", "née\n\t脸 \N{GRINNING FACE}"),
    ],
)
def test_shown(text, expected):
    assert shown(text) == expected


def test_message():
    assert message(OSError(28, "No space left on device", "a\x07")) == "No space left on device: 'a\\x07'"
    assert message(ValueError("[Errno is no number] x")) == "[Errno is no number] x"


def test_a_folder_that_is_gone(tmp_path, monkeypatch):
    check_current_folder()
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError, match="the current folder is gone"):
        check_current_folder()


def test_a_dropped_stream_takes_everything():
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    stream.write("lost")
    with pytest.raises(BrokenPipeError):
        stream.flush()
    drop(stream)
    stream.flush()
    stream.close()
    drop(io.StringIO())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_full_disk_is_met_at_the_flush(monkeypatch):
    stream = open("/dev/full", "w")  # noqa: SIM115
    monkeypatch.setattr(sys, "stdout", stream)
    print("lost")
    with pytest.raises(OSError, match="No space left"):
        flush()
    stream.close()
