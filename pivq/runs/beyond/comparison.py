"""Rows of trainings side by side, as notebooks 13 and 16 compare them: frames, means over seeds, and what differs."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from pivq.config import Config
from pivq.runs.rows import rows_stamp

NEIGHBOURS = 3  # k of precision, recall, density and coverage; source: base code

# A column of a frame: its path in a row, in words, and whether more is better; None: neither.
Measure = tuple[tuple[str, ...], str, bool | None]
# Of reconstructions and samples; `pivq.runs.beyond.rivalry.measure` says what each is.
SAMPLE_MEASURES: dict[str, Measure] = {
    "l1": (("l1",), "L1 of reconstructions", False),
    "psnr": (("psnr",), "PSNR of reconstructions", True),
    "fd_decoder": (("control_real", "distance"), "FD of reconstructions to real images", False),
    "fd_real": (("real", "distance"), "FD to real images", False),
    "precision": (("real", "precision"), "precision", True),
    "recall": (("real", "recall"), "recall", True),
    "density": (("real", "density"), "density", True),
    "coverage": (("real", "coverage"), "coverage", True),
    "fd_own": (("own", "distance"), "FD to own reconstructions", False),
    "precision_own": (("own", "precision"), "precision against own reconstructions", True),
    "recall_own": (("own", "recall"), "recall against own reconstructions", True),
    "density_own": (("own", "density"), "density against own reconstructions", True),
    "coverage_own": (("own", "coverage"), "coverage against own reconstructions", True),
}


def comparison_facts(rows: Sequence[dict[str, Any]], config: Config) -> dict[str, Any]:
    """Return the stamp of a comparison's file of rows. What each row was computed on stands in the row."""
    count = max((row["samples"] for row in rows), default=0)
    return rows_stamp(rows, config, f"FD and PRDC: {count:,} samples against as many images, k = {NEIGHBOURS}")


def frame_of(rows: Sequence[dict[str, Any]], facts: Sequence[str], measures: Mapping[str, Measure]) -> pd.DataFrame:
    """Return a frame with a line for each row: `name`, `seed`, the facts as they stand in the row, and the measures.

    A measure that a row does not have is NaN.
    """
    lines = []
    for row in rows:
        line = {name: row.get(name) for name in ("name", "seed", *facts)}
        lines.append(line | {name: _at(row, path) for name, (path, _, _) in measures.items()})
    return pd.DataFrame(lines, columns=["name", "seed", *facts, *measures])


def _at(row: Any, path: Sequence[str]) -> float:
    for part in path:
        row = row.get(part) if isinstance(row, dict) else None
    return math.nan if row is None else float(row)


def seeds_in_words(frame: pd.DataFrame) -> str:
    """Return how many seeds each line of a comparison has: "3 seeds", or "1 to 3 seeds" where they differ."""
    counts = frame.groupby("name")["seed"].nunique()
    fewest, most = (0, 0) if counts.empty else (counts.min(), counts.max())
    return f"{fewest} to {most} seeds" if fewest < most else f"{most} seed{'' if most == 1 else 's'}"


def means(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return a line for each name with its number of seeds and, for each column, "mean ± deviation" in words.

    The deviation is the sample's (n − 1); of one seed there is none.

    Example:
        >>> frame = pd.DataFrame({"name": ["a", "a"], "seed": [0, 1], "l1": [0.1, 0.3]})
        >>> means(frame, ["l1"]).to_dict("records")
        [{'name': 'a', 'seeds': 2, 'l1': '0.200 ± 0.141'}]
    """
    lines = []
    for name, of in frame.groupby("name", sort=False):
        line: dict[str, Any] = {"name": name, "seeds": of["seed"].nunique()}
        lines.append(line | {column: _spread(of[column]) for column in columns})
    return pd.DataFrame(lines)


def _spread(values: pd.Series) -> str:
    values = values.dropna().astype(float)
    if not len(values):
        return "–"
    average = values.mean()
    decimals = 0 if average and average == round(average) and len(values) == 1 else max(0, 2 - _digits(average))
    return f"{average:,.{decimals}f}" + (f" ± {values.std():,.{decimals}f}" if len(values) > 1 else "")


def _digits(value: float) -> int:
    return int(math.floor(math.log10(abs(value)))) if value else 0


def better(some: pd.Series, others: pd.Series, more: bool) -> bool:
    """Say whether every one of some values is better than all others; missing values are better than nothing."""
    some, others = some.dropna(), others.dropna()
    if not len(some) or not len(others):
        return False
    return bool(some.min() > others.max() if more else some.max() < others.min())


def seeds_each(some: pd.DataFrame, others: pd.DataFrame) -> str:
    """Return in words how many seeds two lines that are compared have at least."""
    seeds = min(len(some), len(others))
    return f"{seeds} seeds each" if seeds > 1 else "one seed, so small differences mean nothing"
