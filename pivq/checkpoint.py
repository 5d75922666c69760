"""Checkpoints: plain types and tensors, written whole or not at all, read without running code."""

import zipfile
from pathlib import Path
from typing import Any

import torch

from pivq.paths import atomic_write


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write `Trainer.state_dict()` to `path` atomically: an interruption leaves the previous checkpoint."""
    with atomic_write(path) as temporary, open(temporary, "wb") as file:
        torch.save(state, file)  # into an open file, for the system's own words when the disk is full


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        FileNotFoundError: when there is none.
        ValueError: when the file is not a whole checkpoint, with its path and what to do.
    """
    with open(path, "rb") as file:
        try:
            if broken := zipfile.ZipFile(file).testzip():  # torch would load it: it does not check checksums
                raise zipfile.BadZipFile(f"bad checksum of {broken}")
            file.seek(0)
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged file can make torch raise nearly anything
            raise ValueError(f"{path} is damaged or no checkpoint; delete it to train this run again") from error
