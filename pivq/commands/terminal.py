"""What commands print: names from strangers shown and never interpreted, errors in few words, streams that end.

Standard library only.
"""

import errno
import os
import re
import sys
from typing import Any, TextIO

CLOSED = 141  # exit status of a program whose reader has gone, as the shell has it for SIGPIPE
# All that steers a terminal, but line breaks and tabs; and what turns the direction of text.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

# What to do about errors of the system that name a file and say no more.
ADVICE = {
    errno.ENOSPC: "free space there, or choose another place",
    getattr(errno, "EDQUOT", errno.ENOSPC): "free space there, or choose another place",
    errno.EFBIG: "allow larger files there, or choose another place",
    errno.EISDIR: "a folder is where a file belongs, move it away",
    errno.ENOTDIR: "a file is where a folder belongs, move it away",
    errno.EROFS: "nothing can be written there, choose another place",
    errno.EACCES: "allow it there, or choose another place",
    errno.EPERM: "allow it there, or choose another place",
    errno.EIO: "the disk may be failing, choose another one",
    errno.ENAMETOOLONG: "choose shorter names",
    errno.ELOOP: "links lead in a circle there, remove one of them",
    errno.EMFILE: "too many files are open, allow more (ulimit -n 4096)",
}


def shown(text: object) -> str:
    r"""Return text with its control characters escaped: the name of a file may come from a stranger.

    Example:
        >>> print(shown("a\x1b]0;owned\x07.jpg"))
        a\x1b]0;owned\x07.jpg
    """
    return CONTROLS.sub(lambda found: repr(found[0])[1:-1], str(text))


def message(error: BaseException) -> str:
    """Return an error's text as `shown`, without the number that the system gives it; with advice if it has none."""
    text = shown(re.sub(r"\[(Errno|WinError) -?\d+\] ", "", str(error)))
    bare = isinstance(error, OSError) and error.filename is not None and error.strerror == os.strerror(error.errno or 0)
    return f"{text}: {ADVICE[error.errno]}" if bare and error.errno in ADVICE else text


def check_current_folder() -> None:
    """Check that the current folder is there: libraries fail without one, in words that do not say so.

    Raises:
        FileNotFoundError: it was deleted; says what to do.
    """
    try:
        os.getcwd()
    except OSError as error:
        raise FileNotFoundError(
            "the current folder is gone, it was deleted or moved: go to another one (cd ~) and run this again"
        ) from error


def check_progress_bars() -> None:
    """Check the variables `TQDM_…`, from which tqdm takes the look of its progress bars as soon as it is imported.

    Raises:
        ValueError: a bar cannot be made with them; names them.
    """
    given = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("TQDM_")]
    if not given:
        return
    try:
        from tqdm import tqdm

        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            list(tqdm(range(2), **{} if "TQDM_FILE" in os.environ else {"file": nowhere}))
    except Exception as error:  # of whatever tqdm does with them
        said = f"no progress bar can be shown with {', '.join(given):.200} ({error})"
        raise ValueError(f"{said}: correct or unset what is wrong (unset TQDM_…)") from error


def open_closed() -> None:
    """Give streams that were closed before the start (`2>&-`) to nowhere: files opened later would take their numbers.

    What is meant for a stream would then be written into such a file.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            try:
                os.fstat(number)
            except OSError:
                os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # it gets the lowest number that is free
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115


class Lasting:
    """A stream that goes nowhere from its first error on: a full disk or a lost terminal must not end the work.

    Args:
        stream: of messages on the progress of the work.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        """Return what the stream itself has of other names."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, if it can still be written."""
        try:
            return self._stream.write(text)
        except OSError:
            drop(self._stream)
            return len(text)

    def flush(self) -> None:
        """Write what waits, if it can still be written."""
        try:
            self._stream.flush()
        except OSError:
            drop(self._stream)


def drop(stream: TextIO) -> None:
    """Send the rest of a stream nowhere, after it failed: Python's own flush at the end must not fail again."""
    try:
        target = stream.fileno()
    except (OSError, ValueError):  # no file of the system's, as in a test
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, target)
    os.close(nowhere)


def flush() -> None:
    """Write what was printed, so that an error of it is met here; OSError if it cannot be."""
    try:
        sys.stdout.flush()
    except OSError:
        drop(sys.stdout)
        raise
