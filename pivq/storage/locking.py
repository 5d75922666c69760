"""One process at a time in a folder: a lock that ends with its process, however that ends."""

import os
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pivq.storage.writing import process_ended

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

NAMES = ".lock", ".lock.pid"  # with `flock`, without; they hold the process number and the host


class InUse(RuntimeError):
    """Another process works in a folder."""


@contextmanager
def locked(folder: Path, what: str) -> Iterator[None]:
    """Hold the lock of a folder, which is made if there is none; `what` is done there, e.g. "trained".

    Where the file system has no `flock` (Windows, some network file systems), the file itself is the lock. It is taken
    over when its process is dead.

    Raises:
        InUse: another process holds the lock; names the folder and the process.
    """
    path, plain = (folder / name for name in NAMES)
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = _flock(path, what)
    if descriptor is None:
        path, descriptor = plain, _create(plain, what)
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} {socket.gethostname()}".encode())
        yield
    finally:
        if os.name == "nt":  # where no open file can be deleted
            os.close(descriptor)
            path.unlink(missing_ok=True)
        else:
            path.unlink(missing_ok=True)
            os.close(descriptor)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new folder `pivq-…` in the system's temporary folder, removed at the end.

    Those that killed processes left are removed first. Each is locked by its process, so none of a live one is.
    """
    for path in Path(tempfile.gettempdir()).glob("pivq-*"):
        with suppress(OSError, InUse):
            state = path.lstat()  # a folder or link of another user is not touched
            own = stat.S_ISDIR(state.st_mode) and state.st_uid == (os.getuid() if hasattr(os, "getuid") else 0)
            if own and any((path / name).exists() for name in NAMES):
                with locked(path, "used"):
                    pass
                shutil.rmtree(path)
    with tempfile.TemporaryDirectory(prefix="pivq-") as folder, locked(Path(folder), "used"):
        yield Path(folder)


def _flock(path: Path, what: str) -> int | None:
    """Return the descriptor of the locked file, or None where there is no `flock`."""
    while fcntl:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
            os.close(descriptor)  # its holder has just deleted it
        except BlockingIOError:
            os.close(descriptor)
            raise _in_use(path, what) from None
        except OSError:  # ENOSYS, ENOLCK, EOPNOTSUPP, …
            os.close(descriptor)
            path.unlink(missing_ok=True)
            return None
    return None


def _create(path: Path, what: str) -> int:
    """Return the descriptor of the file, created now; one of a dead process is deleted first."""
    for _ in range(20):
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        except FileExistsError:
            if not _is_stale(path):
                break
            path.unlink(missing_ok=True)
    raise _in_use(path, what)


def _holder(path: Path) -> tuple[int, str]:
    """Return process and host of the holder, waiting a moment for it to write them; 0 and "" if it does not."""
    for _ in range(10):
        try:
            pid, host = path.read_text(encoding="utf-8").split(maxsplit=1)
            return int(pid), host
        except (OSError, ValueError):
            time.sleep(0.05)
    return 0, ""


def _is_stale(path: Path) -> bool:
    if os.name == "nt":
        try:
            path.unlink(missing_ok=True)
            return True
        except PermissionError:  # its process has it open
            return False
    pid, host = _holder(path)
    if not pid:  # a power cut left it empty
        return True
    return host == socket.gethostname() and pid != os.getpid() and process_ended(pid)


def _in_use(path: Path, what: str) -> InUse:
    pid, host = _holder(path)
    who = f"process {pid}" if pid else "another process"
    where = "" if host in ("", socket.gethostname()) else f" on {host} (if that has ended, delete {path})"
    return InUse(f"{path.parent} is being {what} by {who}{where}: wait for it, or stop it")
