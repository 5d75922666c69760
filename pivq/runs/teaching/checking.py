"""How the check of an exercise runs an answer, compares it, and says what is wrong."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

RIGHT, WRONG = "✔ **Right.**", "✘ **Not yet.**"
EMPTY = "There is no answer yet: write it in place of the dots `...` and run both cells again."


class Wrong(Exception):
    """An answer is wrong; the argument says why, as Markdown."""


def tells(check: Callable[..., str]) -> Callable[..., str]:
    """Make a check return its verdict as a sentence: what it returns, or why it raised `Wrong`.

    An answer that is still missing (None, or the dots of a stub) is told before the check is called.

    Example:
        >>> @tells
        ... def check_two(answer):
        ...     same(answer, 2, "one plus one", "Count on.")
        ...     return "Well counted."
        >>> check_two(2), check_two(...)[:14]
        ('✔ **Right.** Well counted.', '✘ **Not yet.**')
    """

    @functools.wraps(check)
    def told(*answers: Any) -> str:
        try:
            if any(answer is None or answer is ... for answer in answers):
                raise Wrong(EMPTY)
            return f"{RIGHT} {check(*answers)}"
        except Wrong as wrong:
            return f"{WRONG} {wrong}"

    return told


def run(answer: Any, *inputs: Any, called: str) -> Any:
    """Return what an answer's function makes of inputs; `called` is how the call is written in the verdict."""
    if not callable(answer):
        raise Wrong(f"A function is asked for, got {type(answer).__name__}.")
    try:
        made = answer(*inputs)
    except Exception as error:
        raise Wrong(f"`{called}` raises {type(error).__name__}: {error}") from error
    if made is None or made is ...:
        raise Wrong(EMPTY)
    return made


def same(made: Any, expected: Any, called: str, hint: str, tolerance: float = 1e-5) -> None:
    """Raise `Wrong` unless numbers are equal up to a tolerance, relative where they are above 1."""
    try:
        found, wanted = (torch.as_tensor(value, dtype=torch.float64).detach() for value in (made, expected))
    except (TypeError, ValueError, RuntimeError) as error:
        raise Wrong(f"`{called}` gives {made!r:.80}, not numbers.") from error
    if found.shape != wanted.shape:
        raise Wrong(f"`{called}` has shape {tuple(found.shape)}, expected {tuple(wanted.shape)}. {hint}")
    if not torch.allclose(found, wanted, rtol=tolerance, atol=tolerance):
        raise Wrong(f"`{called}` gives {_short(found)}, expected {_short(wanted)}. {hint}")


def _short(values: torch.Tensor) -> str:
    if values.numel() > 12:
        return f"{values.flatten()[:4].tolist()} …"
    rounded = np.round(values.numpy(), 4)
    return str(rounded.astype(int).tolist() if (rounded == np.floor(rounded)).all() else rounded.tolist())
