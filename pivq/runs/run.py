"""A run is a folder named by the digest of its settings: find it, read it, check that its images are the right ones."""

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from pivq.config import Config
from pivq.data import ImageDataset
from pivq.model import PIVQ, model_digest
from pivq.runs.callbacks import read_log
from pivq.runs.planned import run_dir
from pivq.runs.splits import load_splits
from pivq.storage.bounds import Refused, check_arrays
from pivq.storage.checkpoint import CHECKPOINT, WEIGHTS, has_checkpoint, load_checkpoint, newest_checkpoint
from pivq.storage.source import code_digest
from pivq.storage.writing import check_file, read_json, read_sealed, seal, write_json

IMAGES = "images.json"  # in a run's folder: which images it is trained on; each checkpoint has a copy
# What a finished run has, with what is in it at least; the last is written last.
FINISHED = {
    CHECKPOINT: {"ema", "step"}, "config.json": {"model", "train", "quantizer"},
    "codes.npz": {"train_codes", "train_ids"},
    "summary.json": {"steps", "heldout_l1", "heldout_psnr", "codes_in_use"},
}  # fmt: skip
SIGNED_IMAGES = 256  # per split, in the signatures of earlier versions


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
        return read_sealed(self.folder / "summary.json")

    def log(self) -> pd.DataFrame:
        """Return the log as a frame, one row per entry, by `step`."""
        return pd.DataFrame(read_log(self.folder / "log.jsonl", self.config.train.steps))

    def pictures(self) -> dict[int, np.ndarray]:
        """Return what validation drew by step, `(16, 3, H, W)` uint8: 8 held-out images, then their reconstructions.

        From T_q on, 8 samples follow: `(24, 3, H, W)`. Runs of earlier versions have none.

        Warns:
            UserWarning: a picture is damaged, and left out; names it.
        """
        size, found = self.config.model.image_size, {}
        for path in sorted(self.folder.glob("reconstructions-*.png")):
            try:
                check_file(path)
                with Image.open(path) as picture:
                    pixels = np.asarray(picture).reshape(-1, size, 8, size, 3)
            except Exception as error:  # a damaged file can make Pillow raise nearly anything
                warnings.warn(f"{path} is damaged and left out ({error})", stacklevel=2)
                continue
            found[int(path.stem.rpartition("-")[2])] = pixels.transpose(0, 2, 4, 1, 3).reshape(-1, 3, size, size)
        return found

    def codes(self, split: str) -> np.ndarray:
        """Return the codes of a split ("train" or "heldout"), `(N, L)` int64, rows in the data set's order."""
        return self._arrays()[f"{split}_codes"].astype(np.int64)

    def ids(self, split: str) -> np.ndarray:
        """Return the ids of a split's images, `(N,)` texts, in the order of `codes`."""
        return self._arrays()[f"{split}_ids"]

    def _arrays(self) -> dict[str, np.ndarray]:
        path = self.folder / "codes.npz"
        try:
            return read_arrays(path, self.summary.get("codes"))
        except ValueError as error:
            raise ValueError(f"{error}; `pivq train` makes it again") from error

    def model(self, device: str | torch.device = "cpu") -> PIVQ:
        """Return the EMA model in evaluation mode.

        Raises:
            ValueError: the run's codes are not those of this model, or it is of the other quantizer.
        """
        model = PIVQ.from_pretrained(self.folder, device)
        if self.summary.get("model") not in (None, digest := model_digest(model)):
            raise ValueError(
                f"{self.folder / CHECKPOINT} (model {digest}) is not of the run in summary.json (model "
                f"{self.summary['model']}): put its own checkpoint back, or delete summary.json and train the run again"
            )
        if model.quantizer_name != self.quantizer:  # before they part, both have the same weights
            raise ValueError(
                f"{self.folder / CHECKPOINT} is of quantizer {model.quantizer_name}, and the run of {self.quantizer}: "
                "put its own checkpoint back, or delete summary.json and train the run again"
            )
        return model


def find_run(config: Config, quantizer: str) -> Run | None:
    """Return the finished run of these settings, or None.

    Raises:
        ValueError: the folder was copied or renamed, and holds the run of other settings or of another seed.
    """
    folder = run_dir(config, quantizer)
    if missing_files(folder):
        return None
    run, digest = Run(folder, config, quantizer), config.digest(quantizer)
    if (found := run.summary.get("digest")) not in (None, digest):
        other = f"quantizer {run.summary.get('quantizer')}, seed {run.summary.get('seed')}, digest {found}"
        raise ValueError(
            f"{folder} holds another run ({other}) than its name says ({quantizer}, seed {config.seed}, {digest}): "
            "rename it back, or move it away to train this one"
        )
    return run


def require_run(config: Config, quantizer: str) -> Run:
    """Return the finished run of these settings.

    Raises:
        MissingRun: there is none; names the notebook that trains it.
        OtherImages: the run was trained on other images than the configuration's.
        ValueError: see `find_run`.
    """
    run = find_run(config, quantizer)
    if run is None:
        broken = [name for name in missing_files(run_dir(config, quantizer)) if name.endswith(")")]
        raise MissingRun(
            f"no finished {quantizer} run in {run_dir(config, quantizer)}{', '.join(['', *broken])}: run notebook "
            f"03_train first "
            f"(./run_all.sh {config.options} --only 03)"
        )
    check_images(run.folder, load_splits(config))
    _tell_other_code(run, f"./run_all.sh {config.options} --force trains it again")
    return run


def _tell_other_code(run: Run, advice: str) -> None:
    """Warn if other code than this trained a run."""
    code = run.summary.get("code")
    if code not in (None, code_digest()):
        found = f"{run.folder.name} was trained by other code ({code}, now {code_digest()})"
        warnings.warn(f"{found}: {advice}", stacklevel=3)


def open_run(folder: Path) -> Run:
    """Return the finished run in a folder.

    Raises:
        FileNotFoundError: there is none; says what is missing or damaged.
        ValueError: its settings are not of this version.

    Warns:
        UserWarning: other code than this trained it.
    """
    if missing := missing_files(folder):
        kinds = {WEIGHTS: "an exported model", "progress.json": "a training beyond the paper"}
        if kind := next((kind for name, kind in kinds.items() if (folder / name).exists()), ""):
            raise FileNotFoundError(f"{folder} is {kind}: this needs a run, which has its codes, too")
        damaged = [name.removesuffix(" (damaged)") for name in missing if name.endswith(")")]
        parts = {"missing": [name for name in missing if not name.endswith(")")], "damaged": damaged}
        said = "; ".join(f"{', '.join(names)} is {state}" for state, names in parts.items() if names)
        raise FileNotFoundError(
            f"no finished run in {folder}: {said}; `pivq train` trains runs and resumes interrupted ones"
        )
    run = Run(folder, *read_config(folder / "config.json"))
    if run.summary.get("digest") not in (None, run.config.digest(run.quantizer)):
        raise ValueError(f"{folder}: config.json is damaged, or not of the run that summary.json is of")
    _tell_other_code(run, "what it makes may differ from what it made then")
    return run


def missing_files(folder: Path) -> list[str]:
    """Return which files a run's folder lacks to be finished; one that is damaged is lacking, too, and said to be."""
    faults = {name: fault(folder / name) for name in FINISHED}
    if not any(faults.values()):
        checksum = read_sealed(folder / "summary.json").get("codes", "")
        faults["codes.npz"] = fault(folder / "codes.npz", checksum)
    return [name + ("" if found == "missing" else f" ({found})") for name, found in faults.items() if found]


def fault(path: Path, checksum: str = "") -> str:
    """Return what is wrong with one of `FINISHED`, for arrays also if they have another checksum.

    The answer is "", "missing" or "damaged", which a file of JSON without its checksum is, too.
    """
    try:
        state = path.stat()
    except OSError:
        return "missing"
    return _fault(path, checksum, state.st_ino, state.st_mtime_ns, state.st_size)


@lru_cache
def _fault(path: Path, checksum: str, *version: int) -> str:  # a version of a file is read once
    try:
        if path.suffix == ".json":
            found = (read_sealed if path.name == "summary.json" else read_json)(path)
        elif path.suffix == ".npz":
            found = read_arrays(path, checksum)
        else:
            found = load_checkpoint(path)
    except (OSError, ValueError):
        return "damaged"
    return "" if isinstance(found, dict) and found.keys() >= FINISHED[path.name] else "damaged"


def read_arrays(path: Path, checksum: str | None = None) -> dict[str, np.ndarray]:
    """Return the arrays of a `.npz` file by name, compared with their checksum if the file, or the caller, has one.

    Raises:
        ValueError: the file is damaged, too large, of another kind or of another run; names it.
    """
    check_file(path)
    try:
        with open(path, "rb") as file, np.load(check_arrays(file)) as found:
            arrays = dict(found)
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged file can make numpy raise nearly anything
        fault = str(error) if isinstance(error, Refused) else " is damaged or no file of codes"
        raise ValueError(f"{path}{fault}") from error
    noted = arrays.pop("sha256", None)
    if noted is not None and str(noted) != arrays_digest(arrays):
        raise ValueError(f"{path} is damaged: its checksum does not match")
    if checksum and checksum != arrays_digest(arrays):
        raise ValueError(f"{path} holds the codes of another run than summary.json next to it")
    return arrays


def arrays_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of arrays with their names, types and shapes, as 64 hex digits."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


def write_config(config: Config, quantizer: str) -> Path:
    """Write `config.json` of a run, with the source of each setting; return its path."""
    path = run_dir(config, quantizer) / "config.json"
    write_json(path, config.as_dict() | {"quantizer": quantizer, "sources": config.sources})
    return path


def read_config(path: Path) -> tuple[Config, str]:
    """Return the settings and the quantizer that `write_config` wrote.

    Raises:
        ValueError: they are damaged or not of this version; names the file.
    """
    values = read_json(path)
    try:
        quantizer = values.pop("quantizer")
        values.pop("sources", None)
        return Config.from_dict(values), quantizer
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{path} is damaged or not the settings of a run of this version: {error}") from error


def note_images(folder: Path, splits: Mapping[str, ImageDataset]) -> dict[str, Any]:
    """Write to a run's folder which images it is trained on, and which ones were left out; return it."""
    noted: dict[str, Any] = {name: signature(split) for name, split in splits.items()}
    noted |= {"left_out": found} if (found := left_out(splits)) else {}
    write_json(folder / IMAGES, seal(noted))
    return noted


def left_out(splits: Mapping[str, ImageDataset]) -> dict[str, dict[str, str]]:
    """Return the files of each split that could not be read, with the reasons; only splits that lack some."""
    return {name: found for name, split in splits.items() if (found := getattr(split, "left_out", {}))}


def check_images(folder: Path, splits: Mapping[str, ImageDataset]) -> None:
    """Check that a run is used with the images it was trained on; equal settings do not guarantee it.

    Raises:
        OtherImages: the images are others; says what to do.
        ValueError: `images.json`, which notes them, is damaged, and so is, or lacks, the copy in the checkpoint.

    Warns:
        UserWarning: `images.json` is damaged or gone; it is made again from the checkpoint.
    """
    path = folder / IMAGES
    try:
        noted, damage = read_sealed(path), ""
        if not splits.keys() <= noted.keys():
            raise ValueError(f"{path} is damaged: it must name {', '.join(splits)}, got {', '.join(noted)}")
    except (FileNotFoundError, ValueError) as error:
        gone = isinstance(error, FileNotFoundError)
        damage = f"{path} is gone" if gone else str(error)
        if not has_checkpoint(folder):
            return  # nothing is trained yet
        noted = newest_checkpoint(folder).get("images")
        if noted is None and gone:
            return  # of an earlier version
        if noted is None:
            raise ValueError(f"{damage}; put a copy of it back, or delete the folder to train the run again") from error
    for name, split in splits.items():
        if noted[name] != signature(split) and noted[name] != _sampled_signature(split):
            raise OtherImages(
                f"{folder} was trained on other images than {split}: use the data it was trained on, or delete "
                "the folder to train again"
            )
    if damage:
        write_json(path, seal(noted))
        warnings.warn(f"{damage}; it is made again from the checkpoint, and the images are the same", stacklevel=3)


def signature(dataset: ImageDataset) -> str:
    """Return what changes with the ids and images of a split: the set's fingerprint, or a digest if it has none."""
    found = getattr(dataset, "fingerprint", None)
    return f"all {found}" if found else _sampled_signature(dataset)


def _sampled_signature(dataset: ImageDataset) -> str:
    """Return the signature of earlier versions: 16 hex digits of all ids and of images spread over the split."""
    digest = hashlib.sha256(json.dumps(list(dataset.ids)).encode())
    for index in range(0, len(dataset.ids), max(1, len(dataset.ids) // SIGNED_IMAGES)):
        digest.update(dataset.images[index].numpy().tobytes())
    return digest.hexdigest()[:16]
