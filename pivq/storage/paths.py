"""Where the files of the project are."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def root() -> Path:
    """Return the folder that holds `data/`, `results/` and `figures/`.

    This is `PIVQ_ROOT` when it is set; else the checkout that contains this package; else, for a package installed
    without its checkout, the working directory.
    """
    if os.environ.get("PIVQ_ROOT"):
        return _full(os.environ["PIVQ_ROOT"])
    return CHECKOUT if (CHECKOUT / "notebooks").is_dir() else Path.cwd()


def data_dir() -> Path:
    """Return the folder of data sets and decoded images: `PIVQ_DATA` when it is set, else `data/` of the root."""
    named = os.environ.get("PIVQ_DATA")
    return _full(named) if named else root() / "data"


def _full(named: str) -> Path:
    """Return a full path, links followed; of links in a circle, for which `Path.resolve` fails, as far as they lead."""
    return Path(os.path.realpath(Path(named).expanduser()))


def results_dir(profile: str) -> Path:
    """Return the folder of runs, caches and executed notebooks: `results/<profile>/`."""
    return root() / "results" / profile


def figures_dir(profile: str, seed: int = 0) -> Path:
    """Return the folder of figures and tables: `figures/<profile>/`, of another seed `figures/<profile>-seed<k>/`."""
    return root() / "figures" / (profile + _suffix(seed))


def notebooks_dir(profile: str, seed: int = 0) -> Path:
    """Return the folder of executed notebooks: `results/<profile>/notebooks/`, or `notebooks-seed<k>/` there."""
    return results_dir(profile) / ("notebooks" + _suffix(seed))


def results_page(profile: str, seed: int = 0) -> Path:
    """Return the page of all results: `results/<profile>/index.html`, or `index.html` in another seed's notebooks."""
    return (notebooks_dir(profile, seed) if seed else results_dir(profile)) / "index.html"


def _suffix(seed: int) -> str:
    return f"-seed{seed}" if seed else ""


def stored_file(name: str, profile: str, seed: int = 0) -> Path:
    """Return a profile's own file of numbers (`name.json`); if it has none, the file that comes with the project.

    So are stored the ablations and the study of competition: they take longer than the default run, and days with the
    settings of the paper.
    """
    own = figures_dir(profile, seed) / f"{name}.json"
    return own if own.exists() else CHECKOUT / "figures" / "quick" / f"{name}.json"
