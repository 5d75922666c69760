"""Rows that take hours: each is kept in a file as soon as it is measured, and all are stored with the project."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from pivq.config import Config
from pivq.runs.provenance import stamp
from pivq.settings import suggestion
from pivq.storage.paths import stored_file
from pivq.storage.writing import read_sealed, seal, write_json

Row = dict[str, Any]
Line = TypeVar("Line")  # of a comparison, such as `pivq.runs.beyond.rivals.Contender`: it has a name, each row a seed
Job = tuple[Config, Line]  # a row to make: the settings, with its seed, and its line


def lines_named(names: Iterable[str], lines: Sequence[Line], what: str) -> list[Line]:
    """Return the lines of these names, or all of them.

    Raises:
        ValueError: an unknown name; `what` says of what.
    """
    known, names = {line.name: line for line in lines}, list(names)
    for name in names:
        if name not in known:
            raise ValueError(f"unknown {what} {name!r}{suggestion(str(name), list(known))}")
    return [known[name] for name in names] or list(lines)


def run_missing(
    plan: Mapping[Path, Job[Line]],
    what: str,
    steps_left: Callable[[Iterable[Job[Line]]], int],
    make: Callable[[Config, Line, tqdm], Row],
) -> list[Row]:
    """Make the rows of a plan that are not kept, each written as soon as it is made, and return all of them.

    Args:
        plan: the jobs by the files of their rows, in the order of the result.
        what: is made, for the bar of progress.
        steps_left: the training steps that some jobs need.
        make: trains and measures, and counts its steps on the bar.

    Warns:
        UserWarning: see `kept_row`.
    """
    kept = {path: kept_row(path, name=line.name, seed=own.seed) for path, (own, line) in plan.items()}
    missing = {path: job for path, job in plan.items() if kept[path] is None}
    left = steps_left(missing.values())
    with tqdm(total=left, desc=what, unit="step", dynamic_ncols=True, mininterval=1) as bar:
        for path, (own, line) in missing.items():
            bar.set_postfix_str(f"{line.name}, seed {own.seed}")
            kept[path] = keep_row(path, make(own, line, bar))
    return list(kept.values())


def keep_stored(rows: Iterable[Row], file_of: Callable[[Row], Path | None]) -> int:
    """Write stored rows to where `run_missing` looks for them; return how many were written. Files that exist stay.

    Args:
        rows: of a stored file.
        file_of: a row's file; None for a row of other settings, which is left out.
    """
    written = 0
    for row in rows:
        path = file_of(row)
        if path and not path.exists():
            keep_row(path, row)
            written += 1
    return written


def merged(stored: Iterable[Row], new: Iterable[Row], lines: Sequence[Any]) -> list[Row]:
    """Return stored and new rows in the order of the lines and of the seeds; a new row replaces a stored one.

    Rows are the same if they have the same name, seed and minutes, where these were given.
    """
    by_line = {(row["name"], row["seed"], row.get("minutes")): row for row in [*stored, *new]}
    order = [line.name for line in lines]
    return sorted(by_line.values(), key=lambda row: (order.index(row["name"]), row["seed"]))


def rows_folder(anew: bool = False) -> str:
    """Return the name of the folder of kept rows; rows that are made anew although stored ones exist have their own."""
    return "retrained" if anew else "rows"


def keep_row(path: Path, row: Row) -> Row:
    """Write a row, with its checksum, and return it as it is read again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, seal(row))
    return read_sealed(path)


def kept_row(path: Path, **wanted: Any) -> Row | None:
    """Return the row in a file; None if there is none, or if it is damaged or another one, which is said.

    Args:
        path: its file.
        wanted: what the row must have.

    Warns:
        UserWarning: the file is damaged, or has another row.
    """
    try:
        row = read_sealed(path)
        if not wanted.items() <= row.items():
            raise ValueError(f"{path} has another row than its name says")
        return row
    except FileNotFoundError:
        return None
    except ValueError as error:
        words = ", ".join(str(value) if name != "seed" else f"seed {value}" for name, value in wanted.items())
        warnings.warn(f"{error}; {words}, is measured again", stacklevel=3)
        return None


def stored_rows(name: str, profile: str, script: str) -> list[Row]:
    """Return the stored rows of a file: the profile's own, or those that come with the project; none without a file.

    Args:
        name: of the file, without its ending.
        profile: of a run.
        script: in `benchmarks/`, makes the file.

    Raises:
        ValueError: the file is damaged; names it, and the script.
    """
    path = stored_file(name, profile)
    if not path.exists():
        return []
    again = f"delete it, and benchmarks/{script} makes it again"
    try:
        rows = read_sealed(path).get("rows")
    except ValueError as error:
        raise ValueError(f"{error}; {again}") from error
    if not isinstance(rows, list):
        raise ValueError(f"{path} is damaged: it has no rows; {again}")
    return rows


def rows_stamp(rows: Sequence[Row], config: Config, protocol: str) -> dict[str, Any]:
    """Return the stamp of the rows' file. What each row was computed on stands in the row."""
    return stamp(config, protocol=protocol, devices=sorted({row["device"] for row in rows}))
