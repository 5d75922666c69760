"""Arguments of the public functions: what cannot be taken is refused by name, before anything is read."""

import math
import operator
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from pivq.config import suggestion

SMALLEST, LARGEST = 8, 16_384  # pixels per side of decoded images


def whole_number(value: Any) -> int | None:
    """Return a whole number of any type, such as `np.int64(8)` or 8.0; None for anything else, truth values too.

    Example:
        >>> whole_number(8.0), whole_number("8"), whole_number(True), whole_number(float("nan"))
        (8, None, None, None)
    """
    if isinstance(value, bool | np.bool_):
        return None
    try:
        return operator.index(value)
    except TypeError:
        whole = isinstance(value, float | np.floating) and math.isfinite(value) and value == int(value)
        return int(value) if whole else None


def check_choice(what: str, value: Any, known: Iterable[str]) -> None:
    """Raise ValueError if a value is none of the known ones; the message suggests one."""
    if not isinstance(value, str) or value not in list(known):
        raise ValueError(f"unknown {what} {value!r:.80}{suggestion(str(value)[:80], list(known))}")


def check_size(image_size: Any) -> int:
    """Return the size of images in pixels as an int; ValueError if it is no whole number, or out of range."""
    size = whole_number(image_size)
    if size is None or not SMALLEST <= size <= LARGEST:
        raise ValueError(
            f"image_size must be a whole number of at least {SMALLEST} pixels, and at most {LARGEST}, got "
            f"{image_size!r:.80}"
        )
    return size


def check_place(place: Any) -> str:
    """Return the name of a data set, folder or zip as text.

    Raises:
        TypeError: it is neither text nor a path.
        ValueError: it is empty.
    """
    if not isinstance(place, str | os.PathLike):
        raise TypeError(f"a data set is named by text or a path, got {place!r:.80}")
    name = str(place)
    if not name.strip():
        raise ValueError('the name of the data set is "", perhaps from a variable that is not set')
    if "\0" in name:
        raise ValueError(f"the name of the data set holds a null character, which no file has: {name!r:.80}")
    return name
