"""The numbers that the notebooks leave in `figures/<profile>/*.json`; none is typed in.

Those of another seed, profile, data set or run are refused; only ablations may be of another profile.
"""

from collections.abc import Iterable
from typing import Any

from pivq.config import Config
from pivq.storage.origin import other_origin
from pivq.storage.paths import figures_dir, stored_file
from pivq.storage.source import code_digest, measures_digest
from pivq.storage.writing import read_sealed

Facts = dict[str, Any]

# Files of numbers, each with the notebook that makes it.
SOURCES = {
    "ablations": "03_train",
    "capacity": "04_capacity",
    "interpolation": "05_interpolation",
    "sample_quality": "06_sample_quality",
    "probing": "07_probing",
}


class Undecided(Exception):
    """A claim cannot be judged by this run; the message says why."""


def load_facts(config: Config, names: Iterable[str] = tuple(SOURCES)) -> Facts:
    """Return the numbers that the notebooks left, by file name, and `config`.

    Args:
        config: the numbers must be of this configuration.
        names: which of `SOURCES`; all by default.

    Raises:
        FileNotFoundError: a file is missing; names the notebook that makes it.
        ValueError: a file is damaged, has another's name, was made from something else, or does not say from what;
            the same.
    """
    facts: Facts = {"config": config}
    place = (config.profile, config.seed)
    for name in names:
        own, notebook = figures_dir(*place) / f"{name}.json", SOURCES[name]
        path = stored_file(name, *place) if name == "ablations" else own
        command = f"./run_all.sh {config.options} --only {notebook[:2]}"
        if not path.exists():
            raise FileNotFoundError(f"{path} is missing: run notebook {notebook} first ({command})")
        try:
            facts[name] = read_sealed(path)
        except ValueError as error:
            raise ValueError(f"{error}; run notebook {notebook} first ({command})") from error
        if name == "ablations" and "rows" not in facts[name]:
            raise ValueError(f"{path} is damaged: it has no rows. Run notebook {notebook} with --rerun-ablations")
        if (made := facts[name].get("artefact", name)) != name:
            raise ValueError(f"{path} has the numbers of {made}.json: run notebook {notebook} first ({command})")
        if name != "ablations" and (other := other_origin(facts[name], config)):
            raise ValueError(f"{path} was made from {other}: run notebook {notebook} first ({command})")
    return facts


def made_by_other_code(facts: Facts) -> list[str]:
    """Return the files of numbers that were made by other code than today's, for example before an edit.

    Ablations are left out: they are stored with the project, and say in their own table what made them.
    """
    now = {"code": code_digest(), "measures": measures_digest()}
    made = {name: facts[name] for name in SOURCES if name in facts and name != "ablations"}
    return [name for name, by in made.items() if any(by.get(part) not in (None, one) for part, one in now.items())]


def need(facts: Facts, *path: str) -> Any:
    """Return the fact at a path of names.

    Raises:
        Undecided: this run did not measure it.

    Example:
        >>> need({"capacity": {"L": 32}}, "capacity", "L")
        32
    """
    value: Any = facts
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    if value is None:
        raise Undecided(f"Not measured by this run (no {'.'.join(path)}).")
    return value


def find(facts: Facts, *path: str) -> Any:
    """Return the fact at a path of names, or None if this run did not measure it."""
    try:
        return need(facts, *path)
    except Undecided:
        return None
