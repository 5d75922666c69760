"""Where things are, and how files are written so that nothing is ever half there."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def root() -> Path:
    """Return the folder that holds `data/`, `results/` and `figures/`.

    `PIVQ_ROOT` when set; else the checkout this package lies in; else the working directory
    (a package installed without its checkout).
    """
    if os.environ.get("PIVQ_ROOT"):
        return Path(os.environ["PIVQ_ROOT"]).expanduser().resolve()
    return CHECKOUT if (CHECKOUT / "notebooks").is_dir() else Path.cwd()


def data_dir() -> Path:
    """Return the folder of data sets: `data/`."""
    return root() / "data"


def results_dir(profile: str) -> Path:
    """Return the folder of runs, caches and executed notebooks: `results/<profile>/`."""
    return root() / "results" / profile


def figures_dir(profile: str) -> Path:
    """Return the folder of figures and tables: `figures/<profile>/`."""
    return root() / "figures" / profile


def ablations_file(profile: str) -> Path:
    """Return where the ablations of a profile are, or, if it has none, those that the project comes with.

    They take longer than the default run, and with the settings of the paper days.
    """
    own = figures_dir(profile) / "ablations.json"
    return own if own.exists() else CHECKOUT / "figures" / "quick" / "ablations.json"
