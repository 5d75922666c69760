"""Count what a process writes below a folder, and kill it, or fill the disk, at one of these moments."""

import builtins
import errno
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any

GRAIN = 4096  # bytes written that are one moment
FULL = OSError(errno.ENOSPC, "No space left on device")


class Moments:
    """Moments at which a process can be interrupted: before each change of a file or folder, and within each write.

    A file that is opened to be written, renamed, linked, deleted or synced, and a folder that is made, are one moment
    each, as are every `GRAIN` bytes that are written; a shorter write is interrupted in its half. Writes are those that
    reach the system: what Python still buffers is lost with a kill, as in life.

    Args:
        root: of the files that count.
        at: the moment, from 1 on, at which something happens; 0 for never.
        act: "kill", by SIGKILL; or "fill", the disk: this change fails, and every write from then on.

    Attributes:
        count: the moments so far.
    """

    def __init__(self, root: Path, at: int, act: str) -> None:
        self.root, self.at, self.act, self.count, self.full, self.active = str(root), at, act, 0, False, True
        self.open, self.fsync = io.open, os.fsync
        sys.addaudithook(self._hear)
        builtins.open = io.open = self._open
        os.fsync = self._fsync

    def stop(self) -> None:
        """Count no further, and let everything pass."""
        self.active = self.full = False

    def is_ours(self, path: Any) -> bool:
        """Tell whether a path is one that counts."""
        return self.active and isinstance(path, str | os.PathLike) and str(path).startswith(self.root)

    def pass_one(self) -> None:
        """Let one moment pass, or let happen what was planned for it."""
        self.count += 1
        if self.count == self.at:
            self.happen()

    def happen(self) -> None:
        """Kill this process, or let the disk be full."""
        if self.act == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        self.full = True
        raise OSError(*FULL.args)

    def _hear(self, event: str, arguments: tuple) -> None:
        changes = ("os.rename", "os.link", "os.mkdir", *(["os.remove"] if self.act == "kill" else []))
        writing = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (event in changes or writing) and self.is_ours(arguments[0]):
            self.pass_one()

    def _fsync(self, descriptor: int) -> None:
        if self.active:
            self.pass_one()
        self.fsync(descriptor)

    def _open(self, file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        if not set(mode) & set("wax+") or opener or not self.is_ours(file):
            return self.open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = _Raw(file, mode.replace("b", "").replace("t", ""))
        raw.moments = self
        buffered = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline)


class _Raw(io.FileIO):
    """A file whose writes pass the moments."""

    moments: Moments

    def write(self, data) -> int:
        moments, data = self.moments, memoryview(data).cast("B")
        if moments.full:
            raise OSError(*FULL.args)
        if not moments.active:
            return super().write(data)
        here = 1 + len(data) // GRAIN
        if moments.count < moments.at <= moments.count + here:
            part = (moments.at - moments.count - 1) * GRAIN or len(data) // 2
            super().write(data[:part])
            moments.count = moments.at
            moments.happen()
        moments.count += here
        return super().write(data)
