"""A run is a folder named by the digest of its settings: find it, read it, check that its images are the right ones."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from pivq.config import Config
from pivq.data import ImageDataset
from pivq.model import PIVQ
from pivq.runs.callbacks import read_log
from pivq.runs.splits import load_splits
from pivq.storage.paths import results_dir
from pivq.storage.writing import read_json, write_json

FINISHED = ("config.json", "codes.npz", "summary.json")  # files of a finished run; the last one is written last
# Steps that several runs share (`pivq.runs.branching`), the later ones first; and the titles of their progress bars.
STAGES = {"shared": "both quantizers", "trunk": "before T_q"}
SIGNED_IMAGES = 256  # per split: with all ids enough to tell data sets apart, without reading gigabytes


class MissingRun(FileNotFoundError):
    """A notebook needs a run that has not been trained."""


class OtherImages(ValueError):
    """A run was trained on other images than those it is now used with."""


@dataclass(frozen=True)
class Run:
    """A finished run: `folder` and what it contains."""

    folder: Path
    config: Config
    quantizer: str

    @property
    def summary(self) -> dict[str, Any]:
        """Return the final figures: held-out L1, PSNR, codes in use, seconds, …"""
        return read_json(self.folder / "summary.json")

    def log(self) -> pd.DataFrame:
        """Return the log as a frame, one row per entry, by `step`."""
        return pd.DataFrame(read_log(self.folder / "log.jsonl"))

    def pictures(self) -> dict[int, np.ndarray]:
        """Return what validation drew by step, `(16, 3, H, W)` uint8: 8 held-out images, then their reconstructions."""
        size, found = self.config.model.image_size, {}
        for path in sorted(self.folder.glob("reconstructions-*.png")):
            pixels = np.asarray(Image.open(path)).reshape(-1, size, 8, size, 3)
            found[int(path.stem.rpartition("-")[2])] = pixels.transpose(0, 2, 4, 1, 3).reshape(-1, 3, size, size)
        return found

    def codes(self, split: str) -> np.ndarray:
        """Return the codes of a split ("train" or "heldout"), `(N, L)` int64, rows in the data set's order."""
        with np.load(self.folder / "codes.npz") as file:
            return file[f"{split}_codes"].astype(np.int64)

    def model(self, device: str | torch.device = "cpu") -> PIVQ:
        """Return the EMA model in evaluation mode."""
        return PIVQ.from_pretrained(self.folder, device)


def run_dir(config: Config, run: str) -> Path:
    """Return the folder of a run, by quantizer, or of one of `STAGES`: `results/<profile>/<run>-seed<k>-<digest>/`."""
    return results_dir(config.profile) / f"{run}-seed{config.seed}-{config.digest(run)}"


def find_run(config: Config, quantizer: str) -> Run | None:
    """Return the finished run of these settings, or None."""
    folder = run_dir(config, quantizer)
    return None if missing_files(folder) else Run(folder, config, quantizer)


def require_run(config: Config, quantizer: str) -> Run:
    """Return the finished run of these settings.

    Raises:
        MissingRun: there is none; names the notebook that trains it.
        OtherImages: the run was trained on other images than the configuration's.
    """
    run = find_run(config, quantizer)
    if run is None:
        raise MissingRun(
            f"no finished {quantizer} run in {run_dir(config, quantizer)}: run notebook 03_train first "
            f"(./run_all.sh --profile {config.profile} --seed {config.seed} --only 03)"
        )
    check_images(run.folder, load_splits(config))
    return run


def open_run(folder: Path) -> Run:
    """Return the finished run in a folder.

    Raises:
        FileNotFoundError: there is none; says what is missing.
        ValueError: its settings are not of this version.
    """
    if missing := missing_files(folder):
        raise FileNotFoundError(
            f"no finished run in {folder}: {', '.join(missing)} is missing; `pivq train` trains runs and resumes "
            "interrupted ones"
        )
    return Run(folder, *read_config(folder / "config.json"))


def missing_files(folder: Path) -> list[str]:
    """Return which files a run's folder lacks to be finished."""
    return [name for name in FINISHED if not (folder / name).is_file()]


def discard(config: Config, quantizers: Iterable[str]) -> None:
    """Delete the runs of these settings and the steps that they share, so that `train` starts again from step 0."""
    for run in (*quantizers, *STAGES):
        if run_dir(config, run).exists():
            shutil.rmtree(run_dir(config, run))


def write_config(config: Config, quantizer: str) -> Path:
    """Write `config.json` of a run, with the source of each setting; return its path."""
    path = run_dir(config, quantizer) / "config.json"
    write_json(path, config.as_dict() | {"quantizer": quantizer, "sources": config.sources})
    return path


def read_config(path: Path) -> tuple[Config, str]:
    """Return the settings and the quantizer that `write_config` wrote; ValueError if they are not of this version."""
    values = read_json(path)
    quantizer = values.pop("quantizer")
    del values["sources"]
    return Config.from_dict(values), quantizer


def note_images(folder: Path, splits: Mapping[str, ImageDataset]) -> None:
    """Write to a run's folder which images it is trained on."""
    write_json(folder / "images.json", {name: signature(split) for name, split in splits.items()})


def check_images(folder: Path, splits: Mapping[str, ImageDataset]) -> None:
    """Check that a run is used with the images it was trained on; equal settings do not guarantee it.

    Raises:
        OtherImages: the images are others; says what to do.
    """
    path = folder / "images.json"
    for name, noted in read_json(path).items() if path.exists() else ():
        if noted != signature(splits[name]):
            raise OtherImages(
                f"{folder} was trained on other images than {splits[name]}: use the data it was trained on, or delete "
                "the folder to train again"
            )


def signature(dataset: ImageDataset) -> str:
    """Return 16 hex digits that change with the ids of a split and with the images spread over it."""
    digest = hashlib.sha256(json.dumps(list(dataset.ids)).encode())
    for index in range(0, len(dataset.ids), max(1, len(dataset.ids) // SIGNED_IMAGES)):
        digest.update(dataset.images[index].numpy().tobytes())
    return digest.hexdigest()[:16]
