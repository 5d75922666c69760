"""Rows that take hours: each is kept in a file as soon as it is measured, and all are stored with the project."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pivq.config import Config
from pivq.runs.provenance import stamp
from pivq.storage.paths import stored_file
from pivq.storage.writing import read_sealed, seal, write_json

Row = dict[str, Any]


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
