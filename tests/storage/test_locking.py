"""One process works in a folder; its lock ends with it, also where the file system has no `flock`."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from pivq.storage import locking
from pivq.storage.locking import InUse, locked, scratch_folder

HOLD = """
import sys
from pathlib import Path
from pivq.storage import locking
{}
with locking.locked(Path(sys.argv[1]), "trained"):
    print("held", flush=True)
    sys.stdin.read()
"""
REFUSE = "def refuse(*_): raise OSError({0}, 'refused')\nlocking.fcntl.flock = refuse"


@pytest.fixture(params=[None, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, "Windows"])
def setup(request, monkeypatch):
    """Return code that takes `flock` away, as it is from this process; "" where it stays."""
    if request.param is None:
        return ""
    if request.param == "Windows":
        monkeypatch.setattr(locking, "fcntl", None)
        return "locking.fcntl = None"

    def refuse(*_):
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(locking.fcntl, "flock", refuse)
    return REFUSE.format(request.param)


def hold(folder, setup):
    command = [sys.executable, "-c", HOLD.format(setup), str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_until_the_first_has_ended_in_any_way(setup, tmp_path):
    folder = tmp_path / "a run"
    for end in (signal.SIGKILL, signal.SIGTERM, None):
        with hold(folder, setup) as process:
            with pytest.raises(InUse, match=f"a run is being trained by process {process.pid}: wait for it, or stop"):
                with locked(folder, "trained"):
                    pass
            process.send_signal(end) if end else process.stdin.close()
            process.wait()
        with locked(folder, "trained"):
            assert len(list(folder.iterdir())) == 1
        assert list(folder.iterdir()) == []


def test_the_lock_is_released_after_an_error_and_holds_in_one_process_too(setup, tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path, "trained"):
        with pytest.raises(InUse, match=f"process {os.getpid()}"), locked(tmp_path, "trained"):
            pass
        raise ZeroDivisionError
    with locked(tmp_path, "trained"), locked(tmp_path / "another", "trained"):
        pass


def test_a_lock_of_another_computer_is_kept_and_the_file_named(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "fcntl", None)
    (tmp_path / ".lock.pid").write_text("12 elsewhere")
    said = r"by process 12 on elsewhere \(if that has ended, delete .*/.lock.pid\): wait for it"
    with pytest.raises(InUse, match=said), locked(tmp_path, "trained"):
        pass


@pytest.mark.parametrize("content", ["", "no number", f"{2**22 + 7} {locking.socket.gethostname()}"])
def test_a_lock_that_a_power_cut_left_is_taken_over(tmp_path, monkeypatch, content):
    monkeypatch.setattr(locking, "fcntl", None)
    (tmp_path / ".lock.pid").write_text(content)
    with locked(tmp_path, "trained"):
        pass


HOLD_SCRATCH = HOLD.replace("locked(Path(sys.argv[1]), \"trained\")", "scratch_folder()")


def test_temporary_folders_of_killed_processes_are_removed_and_no_others(setup, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(locking.tempfile, "tempdir", None)
    command = [sys.executable, "-c", HOLD_SCRATCH.format(setup)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        [lives] = tmp_path.glob("pivq-*")
        (lives / "kernels").mkdir()
        (tmp_path / "pivq-link").symlink_to(lives)
        (tmp_path / "pivq-notes").mkdir()  # somebody's own
        with scratch_folder() as own, scratch_folder() as another:
            assert lives.is_dir() and own.is_dir() and another.is_dir() and own != another
        assert not own.exists() and not another.exists()
        process.kill()
        process.wait()
        assert lives.is_dir()
        with scratch_folder() as own:
            assert {path.name for path in tmp_path.iterdir()} == {own.name, "pivq-link", "pivq-notes"}
