"""A run is a folder named by its settings' digest: find it, read what it left, check what it was trained on."""

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
from pivq.storage.writing import atomic_write, write_json


class MissingRun(FileNotFoundError):
    """A notebook needs a run that has not been trained."""


@dataclass(frozen=True)
class Run:
    """A finished run: `folder` and what lies in it."""

    folder: Path
    config: Config
    quantizer: str

    @property
    def summary(self) -> dict[str, Any]:
        """Return the final figures: held-out L1, PSNR, codes in use, seconds, …"""
        return json.loads((self.folder / "summary.json").read_text())

    def log(self) -> pd.DataFrame:
        """Return the log as a frame, one row an entry, by `step`."""
        return pd.DataFrame(read_log(self.folder / "log.jsonl"))

    def pictures(self) -> dict[int, np.ndarray]:
        """Return by step what validation drew: `(16, 3, H, W)` uint8, eight held-out faces, then reconstructions."""
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
    """Return the folder of a run of these settings: `results/<profile>/<run>-seed<k>-<digest>/`."""
    return results_dir(config.profile) / f"{run}-seed{config.seed}-{config.digest(run)}"


def find_run(config: Config, quantizer: str) -> Run | None:
    """Return the finished run of these settings, or None."""
    folder = run_dir(config, quantizer)
    return Run(folder, config, quantizer) if (folder / "summary.json").exists() else None


def require_run(config: Config, quantizer: str) -> Run:
    """Return the finished run of these settings.

    Raises:
        MissingRun: when there is none, naming the notebook that makes it.
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


def discard(config: Config, quantizers: Iterable[str]) -> None:
    """Delete the runs of these settings, the shared steps included, so that `train` starts anew."""
    for name in (*quantizers, "shared", "trunk"):
        if run_dir(config, name).exists():
            shutil.rmtree(run_dir(config, name))


def write_config(config: Config, quantizer: str) -> Path:
    """Write `config.json` of a run, with the source of each setting; return its path."""
    path = run_dir(config, quantizer) / "config.json"
    write_json(path, config.as_dict() | {"quantizer": quantizer, "sources": config.sources})
    return path


def read_config(path: Path) -> tuple[Config, str]:
    """Return the settings and the quantizer that `write_config` wrote.

    Raises:
        ValueError: the settings are not of this version.
    """
    values = json.loads(path.read_text())
    quantizer = values.pop("quantizer")
    del values["sources"]
    return Config.from_dict(values), quantizer


def open_run(folder: Path) -> Run:
    """Return the finished run in a folder.

    Raises:
        FileNotFoundError: there is none; says what is missing.
        ValueError: its settings are not of this version.
    """
    missing = [name for name in ("config.json", "codes.npz", "summary.json") if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(
            f"no finished run in {folder}: {', '.join(missing)} is missing; "
            "`pivq train` makes runs, and goes on with one that was interrupted"
        )
    return Run(folder, *read_config(folder / "config.json"))

SIGNED_IMAGES = 256  # of a split: with all ids enough to tell data sets apart, without reading gigabytes


class OtherImages(ValueError):
    """A run was trained on other images than those that it is now used with."""


def signature(dataset: ImageDataset) -> str:
    """Return 16 hex digits that change with the ids of a split and with the images spread over it."""
    digest = hashlib.sha256(json.dumps(list(dataset.ids)).encode())
    for index in range(0, len(dataset.ids), max(1, len(dataset.ids) // SIGNED_IMAGES)):
        digest.update(dataset.images[index].numpy().tobytes())
    return digest.hexdigest()[:16]


def note_images(folder: Path, splits: Mapping[str, ImageDataset]) -> None:
    """Write to a run's folder which images it is trained on."""
    with atomic_write(folder / "images.json") as temporary:
        temporary.write_text(json.dumps({name: signature(split) for name, split in splits.items()}, indent=1) + "\n")


def check_images(folder: Path, splits: Mapping[str, ImageDataset]) -> None:
    """See that what lies in a run's folder, if anything, was made from these images.

    Raises:
        OtherImages: it was not; says what to do.
    """
    path = folder / "images.json"
    for name, noted in json.loads(path.read_text()).items() if path.exists() else ():
        if noted != signature(splits[name]):
            raise OtherImages(
                f"{folder} was trained on other images than {splits[name]}: give the data that it was trained on, or "
                "delete that folder to train anew"
            )
