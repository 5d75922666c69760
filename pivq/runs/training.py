"""Runs: train one, find it again, read what it left. A run is a folder named by its settings' digest."""

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from pivq.config import Config
from pivq.data import ImageDataset
from pivq.inference import encode_images
from pivq.pretrained.perceptual import load_perceptual
from pivq.processes import pick_device
from pivq.runs.callbacks import Checkpoints, JsonlLog, Progress, Validation, read_log, validate
from pivq.runs.provenance import stamp
from pivq.runs.ready import check_ready
from pivq.runs.run import Run, check_images, find_run, note_images, require_run, run_dir, write_config
from pivq.runs.splits import load_splits
from pivq.storage.checkpoint import load_checkpoint, save_checkpoint
from pivq.storage.writing import atomic_write, write_json
from pivq.trainer import Trainer, TrainingDiverged
from pivq.usage import code_usage

VALIDATION_IMAGES = 100  # of the held-out set, during training; the summary uses all of it


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
    folder = run_dir(config, quantizer)
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
    folder, splits = run_dir(config, "shared"), load_splits(config)
    trainer = make_trainer(config, "nearest", splits["train"].images, device)
    _branch(config, "shared", trainer, splits)
    _load(trainer, folder)
    _fit(trainer, splits, folder, config.train.steps, "both quantizers", while_distinct=True)
    if trainer.step < config.train.steps:
        print(f"From step {trainer.step:,} on the quantizers differ: two latents of an image have one nearest code.")
    return trainer.step


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
    folder, source = run_dir(config, run), run_dir(config, "shared")
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
    folder = run_dir(config, "trunk")
    checkpoint = folder / "checkpoint.pt"
    state = load_checkpoint(checkpoint) if checkpoint.exists() else trainer.state_dict()
    trainer.accelerator.wait_for_everyone()  # so that all have looked before one writes
    if state["step"] < config.train.quantize_from_step:
        trainer.load_state_dict(state | {"config": config.as_dict()})
        _fit(trainer, splits, folder, config.train.quantize_from_step, "before T_q")
    return folder


def _warn_of_other_batch_sizes(config: Config, quantizer: str) -> None:
    """Tell of unfinished runs that would be gone on with, had their batch size been asked for."""
    if run_dir(config, quantizer).exists():
        return
    settings = json.loads(json.dumps(config.as_dict()["train"]))  # tuples as the file has them
    for path in run_dir(config, quantizer).parent.glob(f"{quantizer}-seed{config.seed}-*/config.json"):
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
    shared = [run_dir(config, name) / "checkpoint.pt" for name in ("shared", "trunk")]
    seconds = sum(row.get("seconds", 0) for row in read_log(folder / "log.jsonl"))
    write_json(
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
