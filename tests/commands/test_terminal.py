"""What is printed: control characters escaped, errors without numbers, streams that end."""

import errno
import io
import os
import subprocess
import sys

import pytest

from pivq.commands.terminal import (
    Lasting,
    check_current_folder,
    check_progress_bars,
    drop,
    flush,
    message,
    shown,
)


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
    said = "No space left on device: 'a\\x07': free space there, or choose another place"
    assert message(OSError(28, "No space left on device", "a\x07")) == said
    assert message(ValueError("[Errno is no number] x")) == "[Errno is no number] x"


@pytest.mark.parametrize(
    "number, advice",
    [(errno.EROFS, "nothing can be written there, choose another place"), (errno.EACCES, "allow it there"),
     (errno.EDQUOT, "free space there"), (errno.EISDIR, "move it away"), (errno.ELOOP, "remove one of them")],
)  # fmt: skip
def test_an_error_of_the_system_that_names_a_file_says_what_to_do(number, advice):
    bare = f"{os.strerror(number)}: 'ro/s'"
    assert message(OSError(number, os.strerror(number), "ro/s")).startswith(f"{bare}: ") and advice in message(
        OSError(number, os.strerror(number), "ro/s")
    )
    assert message(OSError(number, os.strerror(number))) == os.strerror(number), "of no file: the output itself"
    assert message(OSError(number, "it says what to do", "ro/s")) == "it says what to do: 'ro/s'"


@pytest.mark.parametrize(
    "name, value", [("TQDM_MININTERVAL", "abc"), ("TQDM_BAR_FORMAT", "{x}"), ("TQDM_FILE", "log.txt")]
)
def test_variables_with_which_no_progress_bar_can_be_shown_are_named(checkout, tmp_path, name, value):
    """tqdm reads them when it is imported, so another process is needed."""
    environment = os.environ | {"PYTHONPATH": str(checkout), name: value}
    command = [sys.executable, "-P", "-m", "pivq", "data", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"pivq data: error: no progress bar can be shown with {name}={value} (")
    assert "unset" in ended.stderr


def test_variables_of_progress_bars_that_are_right_are_taken(monkeypatch):
    check_progress_bars()
    monkeypatch.setenv("TQDM_MININTERVAL", "0.5")
    check_progress_bars()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_stream_that_fails_goes_nowhere_from_then_on():
    stream = Lasting(open("/dev/full", "w"))  # noqa: SIM115
    for _ in range(2):
        print("lost", file=stream, flush=True)
    assert stream.write("x" * 100_000) == 100_000 and stream.encoding and not stream.isatty()
    stream.close()


@pytest.mark.skipif(os.name == "nt", reason="streams are closed so by shells of POSIX")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_before_the_start_go_nowhere(checkout, tmp_path, closed):
    program = (
        "import sys; from pivq.commands.terminal import open_closed; open_closed()\n"
        "file = open('made.txt', 'w')\n"
        "for stream in (sys.stdout, sys.stderr): print('said', file=stream, flush=True)\n"
        "import subprocess; subprocess.run('echo said; echo said >&2', shell=True)\n"
        "file.write('made' if file.fileno() > 2 else 'in the place of a stream')"
    )
    command = f'{sys.executable} -c "$PROGRAM" {closed}'
    environment = os.environ | {"PYTHONPATH": str(checkout), "PROGRAM": program}
    assert subprocess.run(["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True).returncode == 0
    assert (tmp_path / "made.txt").read_text() == "made"


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
