"""Clear the folders of runs, to train again or to free the disk; what people put into them stays."""

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pivq.config import Config
from pivq.runs.planned import STAGES, run_dir
from pivq.runs.run import FINISHED, IMAGES
from pivq.runs.tracking import FOLDER
from pivq.storage.checkpoint import PREVIOUS
from pivq.storage.locking import NAMES, locked

ASIDE = "replaced"  # folder next to the runs, where no listing of them looks
# What a training writes into its folder.
MADE = (*FINISHED, PREVIOUS, IMAGES, FOLDER, *NAMES, "log.jsonl", "output.txt", "reconstructions-*.png", ".*.partial*")


def set_aside(config: Config, quantizers: Iterable[str]) -> list[Path]:
    """Clear the folders of these runs and of the steps that they share, so that `train` starts again from step 0.

    A finished run is moved aside, which is printed, and deleted by `drop_replaced` when the new one is finished. Of
    anything else, what a training wrote is deleted. Return where the finished ones are.

    Raises:
        InUse: another process trains one of them.
    """
    moved = []
    for folder in _folders(config, quantizers):
        with locked(folder, "trained"):
            if (folder / "summary.json").exists():
                moved.append(_move(folder))
            else:
                _clear(folder)
    return moved


def discard(config: Config, quantizers: Iterable[str]) -> None:
    """Delete what trainings wrote for these runs and the steps that they share, finished or not.

    Raises:
        InUse: another process trains one of them.
    """
    for folder in _folders(config, quantizers):
        with locked(folder, "trained"):
            _clear(folder)


def _folders(config: Config, quantizers: Iterable[str]) -> list[Path]:
    return [folder for run in (*quantizers, *STAGES) if (folder := run_dir(config, run)).exists()]


def _move(folder: Path) -> Path:
    aside = folder.parent / ASIDE
    aside.mkdir(exist_ok=True)
    taken = len(list(aside.glob(f"{folder.name}*")))
    target = aside / (folder.name + (f"-{taken + 1}" if taken else ""))
    folder.rename(target)
    for name in NAMES:
        (target / name).unlink(missing_ok=True)
    print(f"{folder.name}: the finished run is kept until the new one is; to have it back, move it here from {target}")
    return target


def drop_replaced(folder: Path) -> None:
    """Delete what `set_aside` kept of a run that is finished again; what people put there goes to the new folder."""
    for old in sorted((folder.parent / ASIDE).glob(f"{folder.name}*")):
        _clear(old)
        for path in sorted(old.iterdir()) if old.exists() else ():
            if not (folder / path.name).exists():
                path.rename(folder / path.name)
        if old.exists() and not _removed(old):
            print(f"What is not of a training is left in {old}")
    _removed(folder.parent / ASIDE)


def _clear(folder: Path) -> None:
    """Delete what a training wrote into a folder, and the folder if nothing else is in it."""
    for path in folder.iterdir():
        if any(path.match(name) for name in MADE):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    _removed(folder)


def _removed(folder: Path) -> bool:
    """Remove a folder if it is empty; tell whether it is gone."""
    with suppress(OSError):
        folder.rmdir()
    return not folder.exists()
