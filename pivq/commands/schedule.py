"""How long the notebooks take: as measured here before, or as is typical. Standard library only."""

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from pivq.commands.run_all_arguments import Notebook
from pivq.config import Config
from pivq.runs.planned import unfinished
from pivq.storage import paths
from pivq.storage.writing import read_json, write_json

TIMINGS = "timings.json"  # in the folder of executed notebooks: the seconds that each took there
TYPICAL = paths.CHECKOUT / "docs" / TIMINGS  # minutes and memory by profile and notebook, the first time
TRAINS = "03_train"
# By the option that trains anew what is stored: the notebooks that do it.
RETRAINED = {"rerun_ablations": [TRAINS], "rerun_study": ["09_when_codes_compete"],
             "retrain": ["13_rivals", "15_other_data", "16_better_recipe"]}  # fmt: skip
LOADED = 30.0  # seconds of this notebook when its models are there


def expected_seconds(notebooks: list[Notebook], config: Config, parameters: dict[str, Any]) -> dict[str, float | None]:
    """Return how long each notebook should take, by name; None where nothing is known.

    This computer's own times, of the last run of this profile and seed, come before the typical ones.
    """
    own = own_seconds(paths.notebooks_dir(config.profile, config.seed) / TIMINGS)
    usual = {name: 60 * row["minutes"] for name, row in typical(config.profile).items()}
    seconds: dict[str, float | None] = {}
    for name in (notebook.name for notebook in notebooks):
        seconds[name] = own.get(name, usual.get(name))
        if name == TRAINS:
            seconds[name] = _of_training(own.get(name), usual.get(name), trains(config, parameters))
    for option, names in RETRAINED.items():
        if parameters.get(option):
            seconds |= {name: None for name in names if name in seconds}  # hours, which no run has measured
    return seconds


def trains(config: Config, parameters: dict[str, Any]) -> bool:
    """Tell whether notebook 03 has models to train."""
    return bool(parameters.get("force") or unfinished(config))


def _of_training(own: float | None, usual: float | None, new: bool) -> float | None:
    """Return the seconds of notebook 03: its last ones may be those of loading its models, or of training them."""
    known = [seconds for seconds in (own, usual) if seconds is not None]
    if new:
        return max(known) if usual is not None else None
    return min([*known, LOADED])


def own_seconds(path: Path) -> dict[str, float]:
    """Return the times that `record_seconds` noted; none of a file that is missing or damaged."""
    try:
        found = read_json(path)
    except (OSError, ValueError):
        return {}
    return {name: float(value) for name, value in found.items() if _is_amount(value)}


def record_seconds(path: Path, name: str, seconds: float) -> None:
    """Note how long a notebook took; a damaged file is begun again, and one that cannot be written is left."""
    with suppress(OSError):
        write_json(path, own_seconds(path) | {name: round(seconds, 1)}, sort_keys=True)


def typical(profile: str) -> dict[str, dict[str, float]]:
    """Return `minutes` and `gigabytes` of memory by notebook, as `docs/timings.json` has them; none for other profiles.

    Nor for a damaged file: only a forecast is lost by that. README.md shows those of the profile quick.
    """
    try:
        rows = read_json(TYPICAL).get(profile, {}).items()
    except (OSError, ValueError, AttributeError):
        return {}
    return {name: row for name, row in rows if _is_row(row)}


def _is_row(row: Any) -> bool:
    return isinstance(row, dict) and all(_is_amount(row.get(what)) for what in ("minutes", "gigabytes"))


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value < math.inf


def span(seconds: float) -> str:
    """Return a time in words: "under a minute", "6 min", "2.5 hours", "3 days".

    Example:
        >>> span(20), span(350), span(9000), span(3 * 86400)
        ('under a minute', '6 min', '2.5 hours', '3 days')
    """
    if seconds < 45:
        return "under a minute"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} hours" if seconds < 48 * 3600 else f"{seconds / 86400:.0f} days"
