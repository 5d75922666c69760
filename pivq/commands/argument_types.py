"""Types of command-line arguments. Each takes the text and returns the value, or says in words what is wrong.

Standard library only; they are functions for the `type` of `argparse`, or make such functions.
"""

import argparse
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from pivq.commands.run_all_arguments import EMPTY
from pivq.config import suggestion
from pivq.runs.budget import parse_budget

MODELS = ("checkpoint.pt", "checkpoint.previous.pt", "model.safetensors")  # in the folder of a run, of an export
MOST_BYTES = 1_000_000  # of a report of `pivq evaluate`, which has some hundred


def known(what: str, names: list[str]) -> Callable[[str], str]:
    """Make the type of one of some names; another one is refused with a suggestion."""

    def check(name: str) -> str:
        if name not in names:
            hint = suggestion(name, names) if len(name) > 3 else f"; known: {', '.join(names)}"  # gpu is not cpu
            raise argparse.ArgumentTypeError(f"unknown {what} {name!r}{hint}")
        return name

    return check


def named(text: str) -> str:
    """Return a name that is not empty: as a path, an empty one would be the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError(EMPTY)
    return text


def place(text: str) -> Path:
    """Return a path, whether or not there is something."""
    return Path(os.path.expanduser(named(text)))


def folder(text: str) -> Path:
    """Return the path of a folder that is there."""
    path = place(text)
    if not os.path.isdir(path):  # unlike the method, False for a name that no file can have
        raise argparse.ArgumentTypeError(f"no such folder: {text!r:.200}")
    return path


def images(text: str) -> Path:
    """Return the full path of a folder or zip that is there; a run or model is none, though it holds pictures."""
    path = images_or_model(text)
    if found := model_in(path):
        raise argparse.ArgumentTypeError(f"a run or model, not images: {text!r:.200} holds {found}")
    return path


def images_or_model(text: str) -> Path:
    """Return the full path of a folder or zip that is there; its content is not looked at."""
    # Full, since it is kept in a run's settings, which are used from other folders too. The method `resolve` raises
    # RuntimeError for links in a circle.
    path = Path(os.path.realpath(place(text)))
    if not os.path.exists(path):
        raise argparse.ArgumentTypeError(f"no such folder or zip: {text!r:.200}")
    return path


def model_in(path: Path) -> str:
    """Return the name of the file that makes a folder that of a run or an exported model, or ""."""
    return next((name for name in MODELS if os.path.isfile(path / name)), "")


def file(what: str, *endings: str) -> Callable[[str], Path]:
    """Make the type of a file that is there; `what` it is in words, and how its name may end, if that matters."""

    def check(text: str) -> Path:
        path = ending(*endings)(text) if endings else place(text)
        if not os.path.isfile(path):
            reason = f"a folder, not a {what}" if os.path.isdir(path) else f"no such {what}"
            raise argparse.ArgumentTypeError(f"{reason}: {text!r:.200}")
        return path

    return check


def ending(*endings: str) -> Callable[[str], Path]:
    """Make the type of a path whose name ends in one of some endings."""

    def check(text: str) -> Path:
        path = Path(os.path.expanduser(text))
        if path.suffix not in endings:  # a name that is an ending alone has none
            raise argparse.ArgumentTypeError(f"the file's name must end in {' or '.join(endings)}, got {text!r:.200}")
        return path

    return check


def new_file(*endings: str) -> Callable[[str], Path]:
    """Make the type of a file to write, refused before the work if it is a folder or cannot be in one."""

    def check(text: str) -> Path:
        path = ending(*endings)(text) if endings else place(text)
        if os.path.isdir(path):
            raise argparse.ArgumentTypeError(f"a folder, not a file: {text!r:.200}")
        _in_folders(path.parent, text)
        return path

    return check


def report_file(text: str) -> Path:
    """Return a file to write a report of `pivq evaluate` to; of files that are there, only such a report."""
    path = new_file()(text)
    ending(".json")(text)
    if os.path.lexists(path):
        try:
            with open(path, encoding="utf-8") as file:
                found = json.loads(file.read(MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            found = None
        if not isinstance(found, dict) or not {"metrics", "features"} <= found.keys():
            raise argparse.ArgumentTypeError(f"there, and no report of `pivq evaluate`: {text!r:.200}: take another")
    return path


def same(path: Path, other: Path) -> bool:
    """Tell whether two paths are one file or folder, or would be."""
    return os.path.realpath(path) == os.path.realpath(other) or (
        os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)
    )


def inside(path: Path, folder: Path) -> bool:
    """Tell whether a path is a folder or lies in it, links followed."""
    full = Path(os.path.realpath(path))
    return any(same(part, folder) for part in (full, *full.parents))


def new_folder(text: str) -> Path:
    """Return the path of a folder to write to, whether or not it is there."""
    path = place(text)
    _in_folders(path, text)
    return path


def _in_folders(path: Path, text: str) -> None:
    """Refuse a folder that cannot be made, since it, or one that it lies in, is a file."""
    there = next((part for part in (path, *path.parents) if os.path.lexists(part)), None)
    if there and not os.path.isdir(there):
        which = f"{str(there)!r:.200} is" if there != path else "it is"
        raise argparse.ArgumentTypeError(f"not a folder: {text!r:.200} ({which} a file)")


def grid_path(folder: Path) -> Path:
    """Return the overview of a folder of pictures: next to the folder, not in it, since it is none of them."""
    named = folder if folder.name not in ("", "..") else folder.resolve()  # the current folder has no name
    return named.with_name(f"{named.name}-grid.png")


def seconds(text: str) -> float:
    """Return a time of more than 0 and at most 3600 seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"expected seconds, more than 0 and at most 3600, got {text!r:.80}")
    return value


def budget(text: str) -> str:
    """Return a time to train for, such as 2h."""
    try:
        parse_budget(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def at_least(least: int, most: int | None = None) -> Callable[[str], int]:
    """Make the type of a whole number with a least value and, if given, a greatest one."""

    def check(text: str) -> int:
        value = int(text) if re.fullmatch(r"[+-]?\d{1,20}", text, re.ASCII) else None
        if value is None or value < least or most is not None and value > most:
            allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"expected a whole number {allowed}, got {text!r:.80}")
        return value

    return check
