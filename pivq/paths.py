"""Where things are, and how files are written so that nothing is ever half there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent

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


@contextmanager
def atomic_write(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` if the block succeeds.

    A reader sees the old file or the new one, never a part of one, even after a power cut. If the block
    raises (a full disk, Ctrl-C), the temporary file is removed and `path` stays as it was.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_write(folder / "note.txt") as temporary:
        ...     _ = temporary.write_text("whole")
        >>> (folder / "note.txt").read_text(), len(list(folder.iterdir()))
        ('whole', 1)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last because writers such as numpy and matplotlib choose the format by it.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
