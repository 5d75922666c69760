"""What commands print: names from strangers shown and never interpreted, errors in few words, streams that end.

Standard library only.
"""

import os
import re
import sys
from typing import TextIO

CLOSED = 141  # exit status of a program whose reader has gone, as the shell has it for SIGPIPE
# All that steers a terminal, but line breaks and tabs; and what turns the direction of text.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def shown(text: object) -> str:
    r"""Return text with its control characters escaped: the name of a file may come from a stranger.

    Example:
        >>> print(shown("a\x1b]0;owned\x07.jpg"))
        a\x1b]0;owned\x07.jpg
    """
    return CONTROLS.sub(lambda found: repr(found[0])[1:-1], str(text))


def message(error: BaseException) -> str:
    """Return an error's text as `shown`, without the number that the system gives it."""
    return shown(re.sub(r"\[(Errno|WinError) -?\d+\] ", "", str(error)))


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
