"""Runs: train one, find it again, read what it left. A run is a folder named by its settings' digest."""

import json
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from pivq.callbacks import Checkpoints, JsonlLog, Progress, Validation, read_log, validate
from pivq.checkpoint import load_checkpoint, save_checkpoint
from pivq.config import Config
from pivq.data import ImageDataset, load_dataset
from pivq.identity import check_images, note_images
from pivq.images import TooFewImages
from pivq.model import PIVQ
from pivq.paths import atomic_write
from pivq.perceptual import load_perceptual
from pivq.provenance import stamp
from pivq.ready import check_ready
from pivq.trainer import Trainer, TrainingDiverged
from pivq.usage import code_usage

VALIDATION_IMAGES = 100  # of the held-out set, during training; the summary uses all of it
ENCODED_PIXELS = 200 * 64**2  # at a time


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


def find_run(config: Config, quantizer: str) -> Run | None:
    """Return the finished run of these settings, or None."""
    folder = config.run_dir(quantizer)
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
            f"no finished {quantizer} run in {config.run_dir(quantizer)}: run notebook 03_train first "
            f"(./run_all.sh --profile {config.profile} --seed {config.seed} --only 03)"
        )
    check_images(run.folder, load_splits(config))
    return run


def load_split(config: Config, split: str) -> ImageDataset:
    """Return the configuration's images of a split, "train" or "heldout", as many as its profile uses.

    Raises:
        ValueError: the set has fewer images than the settings need; says how many are needed for what.
    """
    limit = config.train.train_images if split == "train" else config.train.heldout_images
    layout = config.dataset if config.dataset not in ("avatars", "folder") else None
    where = (config.data or config.dataset, split, config.model.image_size)
    needed = images_needed(config, split)
    what = ", ".join(f"{count} for {reason}" for reason, count in needed.items())
    enough = 10 * max(images_needed(config, "heldout").values())
    too_small = (
        f"too small for profile {config.profile!r}, whose {split} split needs {max(needed.values())} images ({what}). "
        f"A tenth of a folder is held out: about {enough} images in all are enough."
    )
    try:
        dataset = load_dataset(*where, limit, layout)
    except TooFewImages:
        try:
            dataset = load_dataset(*where, None, layout)  # as many as there are
        except TooFewImages as error:  # none
            raise ValueError(f"{error}. The set is {too_small}") from None
    if config.dataset != "avatars" and len(dataset) < max(needed.values()):
        raise ValueError(f"{dataset} is {too_small}")
    return dataset


def load_splits(config: Config) -> dict[str, ImageDataset]:
    """Return both splits by name; see `load_split`."""
    return {split: load_split(config, split) for split in ("train", "heldout")}


def images_needed(config: Config, split: str) -> dict[str, int]:
    """Return how many images of a split each part of the experiment needs at least."""
    metrics = {f"metrics with k = {max(config.evaluation.prdc_k)}": max(config.evaluation.prdc_k) + 1}
    if split == "heldout":
        return {"pictures and paths between pairs": 50} | metrics
    latents = -(-config.model.codebook_size // config.model.num_codes)
    return {"one batch": config.train.batch_size, "as many latents as codes": latents} | metrics


def pick_device(device: str = "auto") -> torch.device:
    """Return the device to compute on; "auto" takes a GPU when there is one."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} asked for, but torch finds no GPU: use --device cpu")
    return torch.device(device)


def discard(config: Config, quantizers: Iterable[str]) -> None:
    """Delete the runs of these settings, the shared steps included, so that `train` starts anew."""
    for name in (*quantizers, "shared", "trunk"):
        if config.run_dir(name).exists():
            shutil.rmtree(config.run_dir(name))


def train(config: Config, quantizer: str, device: str = "auto") -> Run:
    """Train a model to the end, or go on with, or just load, the run that is already there.

    The steps before T_q do not quantize, so they are the same for both quantizers: they are trained once, kept as
    the run `trunk`, and both quantizers' runs with these settings branch from it, or from what `train_shared` left.

    Args:
        config: the settings.
        quantizer: "matching" or "nearest".
        device: "auto", "cpu", "cuda", …

    Raises:
        TrainingDiverged: when gradients stay non-finite; names the last good checkpoint.
        FileNotFoundError: the weights of the perceptual network are not in place.
        OtherImages: the run, or the steps that it would begin with, were trained on other images.

    Warns:
        UserWarning: for an unfinished run that differs in the batch size alone, whose work a new one does not use.
    """
    folder = config.run_dir(quantizer)
    if find_run(config, quantizer):
        run = require_run(config, quantizer)
        print(f"{quantizer}: finished run loaded from {folder.name}")
        return run

    check_ready(config, metrics=False)
    splits = load_splits(config)
    trainer = make_trainer(config, quantizer, splits["train"].images, device)
    main = trainer.accelerator.is_main_process  # of several, one alone writes and talks
    if main:
        _warn_of_other_batch_sizes(config, quantizer)
        write_config(config, quantizer)
    _branch(config, quantizer, trainer, splits)
    if _load(trainer, folder) and main:
        print(f"{quantizer}: going on from step {trainer.step:,} of {config.train.steps:,}")
    _fit(trainer, splits, folder, config.train.steps, quantizer)
    if main:
        _summarise(trainer, splits, folder)
    trainer.accelerator.wait_for_everyone()
    return Run(folder, config, quantizer)


def train_trunk(config: Config, device: str = "auto") -> None:
    """Train the steps before T_q, if there are any and no run has done them yet; `train` does so by itself."""
    if config.train.quantize_from_step:
        splits = load_splits(config)
        _train_trunk(make_trainer(config, "matching", splits["train"].images, device), splits)


def train_shared(config: Config, device: str = "auto") -> int:
    """Train the steps that are the same for both quantizers, and return how many there are.

    These are the steps before T_q, and those after it until, in a batch, two latents of an image have the same nearest
    code (see `pivq.trainer.Trainer.fit`). `train` goes on from there.
    """
    folder, splits = config.run_dir("shared"), load_splits(config)
    trainer = make_trainer(config, "nearest", splits["train"].images, device)
    _branch(config, "shared", trainer, splits)
    _load(trainer, folder)
    _fit(trainer, splits, folder, config.train.steps, "both quantizers", while_distinct=True)
    if trainer.step < config.train.steps:
        print(f"From step {trainer.step:,} on the quantizers differ: two latents of an image have one nearest code.")
    return trainer.step


def write_config(config: Config, quantizer: str) -> Path:
    """Write `config.json` of a run, with the source of each setting; return its path."""
    path = config.run_dir(quantizer) / "config.json"
    _write_json(path, config.as_dict() | {"quantizer": quantizer, "sources": config.sources})
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


def make_trainer(config: Config, quantizer: str, images: Tensor, device: str) -> Trainer:
    """Return a trainer with its perceptual network, both on the device; see `train`."""
    perceptual = load_perceptual(config.train.perceptual_network)
    trainer = Trainer(config, quantizer, images, perceptual, pick_device(device))
    perceptual.to(trainer.device)
    return trainer


def _load(trainer: Trainer, folder: Path) -> bool:
    """Load the checkpoint of a run's folder into the trainer; return whether there is one."""
    path = folder / "checkpoint.pt"
    if path.exists():
        trainer.load_state_dict(load_checkpoint(path))
    return path.exists()


def _branch(config: Config, run: str, trainer: Trainer, splits: Mapping[str, ImageDataset]) -> None:
    """Begin a run, if it is new, where the steps end that it shares with others; train those that nobody has yet."""
    folder, source = config.run_dir(run), config.run_dir("shared")
    begun = (folder / "checkpoint.pt").exists()
    trainer.accelerator.wait_for_everyone()  # so that all have looked before one writes
    if begun:
        return
    if not (source / "checkpoint.pt").exists():
        if not config.train.quantize_from_step:
            return
        source = _train_trunk(trainer, splits)
    check_images(source, splits)
    if trainer.accelerator.is_main_process:
        _copy_run(source, folder, {"config": config.as_dict(), "quantizer": trainer.quantizer})
    trainer.accelerator.wait_for_everyone()


def _copy_run(source: Path, folder: Path, changes: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in (source / "log.jsonl", source / "images.json", *source.glob("reconstructions-*.png")):
        shutil.copy(file, folder / file.name)
    save_checkpoint(folder / "checkpoint.pt", load_checkpoint(source / "checkpoint.pt") | changes)


def _train_trunk(trainer: Trainer, splits: Mapping[str, ImageDataset]) -> Path:
    """Train the steps before T_q, unless they are there; return their folder."""
    config = trainer.config
    folder = config.run_dir("trunk")
    checkpoint = folder / "checkpoint.pt"
    state = load_checkpoint(checkpoint) if checkpoint.exists() else trainer.state_dict()
    trainer.accelerator.wait_for_everyone()  # so that all have looked before one writes
    if state["step"] < config.train.quantize_from_step:
        trainer.load_state_dict(state | {"config": config.as_dict()})
        _fit(trainer, splits, folder, config.train.quantize_from_step, "before T_q")
    return folder


def _warn_of_other_batch_sizes(config: Config, quantizer: str) -> None:
    """Tell of unfinished runs that would be gone on with, had their batch size been asked for."""
    if config.run_dir(quantizer).exists():
        return
    settings = json.loads(json.dumps(config.as_dict()["train"]))  # tuples as the file has them
    for path in config.run_dir(quantizer).parent.glob(f"{quantizer}-seed{config.seed}-*/config.json"):
        other = json.loads(path.read_text())["train"]
        if other | {"batch_size": config.train.batch_size} == settings and not (path.parent / "summary.json").exists():
            warnings.warn(
                f"a new run begins with batch_size {config.train.batch_size}; {path.parent.name} is not finished and "
                f"has {other['batch_size']}: ask for that to go on with it",
                stacklevel=3,
            )


def _fit(
    trainer: Trainer, splits: Mapping[str, ImageDataset], folder: Path, until: int, title: str,
    while_distinct: bool = False,
) -> None:  # fmt: skip
    """Train up to step `until` with everything beside it, and leave a checkpoint of the last step in the folder.

    Raises:
        OtherImages: what is there already was trained on other images.
    """
    check_images(folder, splits)
    if not trainer.accelerator.is_main_process:
        trainer.fit(until, while_distinct)
        trainer.accelerator.wait_for_everyone()
        return
    note_images(folder, splits)
    checkpoint = folder / "checkpoint.pt"
    log, progress = JsonlLog(folder / "log.jsonl", trainer), Progress(trainer, until, title)
    validation = Validation(splits["heldout"].images[:VALIDATION_IMAGES], folder, log)
    trainer.callbacks = [progress, log, validation, Checkpoints(checkpoint)]
    try:
        trainer.fit(until, while_distinct)
    except TrainingDiverged as error:
        last = checkpoint if checkpoint.exists() else "none yet"
        raise TrainingDiverged(f"{error}. Last good checkpoint: {last}") from error
    finally:
        progress.bar.close()
    log.flush(trainer)
    save_checkpoint(checkpoint, trainer.state_dict())
    trainer.accelerator.wait_for_everyone()


def latents_in_batches(model: PIVQ, images: Tensor, batch_size: int | None = None) -> Iterator[Tensor]:
    """Yield the latents `(B, L, d)` of images `(N, 3, H, W)` uint8, batch by batch, on the model's device."""
    device = next(model.parameters()).device
    for batch in images.split(batch_size or max(1, ENCODED_PIXELS // model.config.image_size**2)):
        yield model.latents(batch.to(device).float() / 255)


def encode_images(model: PIVQ, images: Tensor, batch_size: int | None = None) -> np.ndarray:
    """Return the codes `(N, L)` int64 of images `(N, 3, H, W)` uint8, batch by batch on the model's device."""
    quantizer = model.quantizer
    batches = (quantizer.choose(quantizer.distances(z)) for z in latents_in_batches(model, images, batch_size))
    return torch.cat([codes.cpu() for codes in batches]).numpy()


def _summarise(trainer: Trainer, splits: Mapping[str, ImageDataset], folder: Path) -> None:
    """Encode both splits and write `codes.npz`, then, last, `summary.json`, which marks the run as finished."""
    config = trainer.config
    figures, _ = validate(trainer, splits["heldout"].images)
    codes = {name: encode_images(trainer.ema, split.images) for name, split in splits.items()}
    small = np.min_scalar_type(config.model.codebook_size - 1)
    with atomic_write(folder / "codes.npz") as temporary:
        np.savez_compressed(
            temporary,
            train_codes=codes["train"].astype(small),
            heldout_codes=codes["heldout"].astype(small),
            train_ids=np.array(splits["train"].ids),
            heldout_ids=np.array(splits["heldout"].ids),
        )
    usage = code_usage(codes["train"], config.model.codebook_size)
    shared = [config.run_dir(name) / "checkpoint.pt" for name in ("shared", "trunk")]
    seconds = sum(row.get("seconds", 0) for row in read_log(folder / "log.jsonl"))
    _write_json(
        folder / "summary.json",
        {name: figures[name] for name in ("heldout_l1", "heldout_psnr", "heldout_perceptual")}
        | {
            "codes_in_use": usage.codes_in_use,
            "max_codes_per_image": usage.max_codes_per_image,
            "mean_codes_per_image": usage.mean_codes_per_image,
            "skipped_steps": trainer.skipped,
            "shared_steps": next((load_checkpoint(path)["step"] for path in shared if path.exists()), 0),
            "training_seconds": seconds,  # shared steps included
            "parameters": sum(p.numel() for p in trainer.model.parameters()),
        }
        | stamp(config, steps=trainer.step, quantizer=trainer.quantizer),
    )


def _write_json(path: Path, value: dict[str, Any]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1) + "\n")
