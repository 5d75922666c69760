"""Damage every file that the product keeps, in every way: the outcome is as before, or one line that names the file.

    python tests/trust/damage.py --many 20    # bits flipped per file

Wrong is another number without a word, an error of many lines or in the words of a library, or one that names no file.
"""

import contextlib
import io
import pickle
import random
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from kept import USES, Use, make
from trials import Trial, command_line, is_plain, one_line

SIDE = {"log", "pictures"}  # of a run, which may be read without what is damaged, if that is said
INNER = ("Expecting value", "Ran out of input", "pickle", "inline_container", "not a zip file")


def trials(count: int, seed: int) -> Iterator[Trial]:
    """Yield the outcomes of damages of all files; `count` bits are flipped in each, and as many other kinds tried.

    With 0, one way to damage each file is tried, and of files whose names differ in a number only the first.
    """
    chance, number = random.Random(seed), 0
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        with quiet():
            make(whole)
        for name, use in USES.items():
            wanted, _ = _outcome(use, whole, Path(folder) / "as it is")
            if isinstance(wanted, Exception):
                raise wanted
            files = sorted(path for pattern in use.files for path in whole.glob(pattern) if path.is_file())
            if not files:
                raise FileNotFoundError(f"{name}: there is nothing to damage")
            if not count:
                files = list({(path.parent, re.sub(r"\d+", "", path.name)): path for path in files[::-1]}.values())
            for path in files:
                ways = list(damages(path.read_bytes(), count or 1, chance))
                for way, content in ways if count else chance.sample(ways, 1):
                    place = Path(folder) / f"{(number := number + 1)}"  # a new one each time
                    found, said = _outcome(use, whole, place, path.relative_to(whole), content)
                    outcome, fault = _judged(wanted, found, said, path)
                    yield Trial(name, outcome, f"{path.relative_to(whole)}, {way}: {fault}" if fault else "")


def damages(content: bytes, count: int, chance: random.Random) -> Iterator[tuple[str, bytes]]:
    """Yield ways to damage a file, with what it holds then."""
    if content:
        yield "cut", content[: chance.choice((len(content) // 2, chance.randrange(len(content))))]
        yield "empty", b""
        yield "zeroed", bytes(len(content))
    for _ in range(count if content else 0):
        flipped = bytearray(content)
        place, bit = chance.randrange(len(content)), chance.randrange(8)
        flipped[place] ^= 1 << bit
        yield f"bit {bit} of byte {place} flipped", bytes(flipped)
    arrays = io.BytesIO()
    np.savez(arrays, a=np.zeros(3))
    kinds = {
        "a web page": b"<!DOCTYPE html><html><title>Quota exceeded</title></html>", "{}": b"{}\n", "[]": b"[]\n",
        "null": b"null\n", "3": b"3\n", "arrays": arrays.getvalue(), "a pickle": pickle.dumps({"step": 1}),
    }  # fmt: skip
    for name in chance.sample(list(kinds), min(count, len(kinds))):
        yield f"replaced by {name}", kinds[name]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Show neither what is printed nor progress bars."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _outcome(use: Use, whole: Path, root: Path, path: Path | None = None, content: bytes = b"") -> tuple[Any, list]:
    """Copy everything to a root, damage a file there, use it; return what came of it, or the error, and warnings."""
    shutil.copytree(whole, root)
    if use.before:
        use.before(root)
    if path:
        (root / path).write_bytes(content)
    with quiet(), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found = use.run(root)
        except Exception as error:
            found = error
    shutil.rmtree(root)
    return found, [str(warning.message) for warning in said]


def _judged(wanted: dict[str, Any], found: Any, said: list[str], path: Path) -> tuple[str, str]:
    """Return how it ended in words, and what is wrong with that."""
    if isinstance(found, Exception):
        text = one_line(found)
        good = is_plain(text, type(found).__name__) and path.name in text and not any(word in text for word in INNER)
        return "refused by name", "" if good else f"{type(found).__name__}: {text}"
    others = {part for part in wanted.keys() | found.keys() if wanted.get(part) != found.get(part)}
    if not others:
        return "as before", ""
    named = any(path.name in text for text in said)
    return "named, the rest is used", "" if named and others <= SIDE else f"other {', '.join(sorted(others))}; {said}"


if __name__ == "__main__":
    sys.exit(command_line(trials, 20, __doc__))
