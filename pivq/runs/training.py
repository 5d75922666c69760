"""Train a run: resume or branch, train its own steps, encode the images, summarise."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pivq.config import Config
from pivq.data import ImageDataset
from pivq.inference import encode_images
from pivq.model import model_digest
from pivq.processes import pick_device
from pivq.runs.branching import alone, last_stage, make_trainer, train_stage
from pivq.runs.callbacks import read_log, validate
from pivq.runs.planned import run_dir
from pivq.runs.provenance import UNKNOWN, commit, stamp
from pivq.runs.ready import check_ready
from pivq.runs.replacing import drop_replaced
from pivq.runs.run import Run, arrays_digest, find_run, left_out, missing_files, require_run, write_config
from pivq.runs.splits import load_splits
from pivq.storage.checkpoint import newest_checkpoint
from pivq.storage.source import code_digest
from pivq.storage.writing import atomic_write, read_json, seal, write_json
from pivq.trainer import Trainer
from pivq.usage import code_usage


def train(config: Config, quantizer: str, device: str = "auto", tracker: str = "") -> Run:
    """Train a model with the quantizer "matching" or "nearest" to the end on a device: "auto", "cpu", "cuda", …

    An interrupted run is resumed, a finished one is loaded. A new run starts where the steps end that it shares with
    other runs; see `pivq.runs.branching`. With "tensorboard" as `tracker`, the steps trained now are shown there.

    Raises:
        FileNotFoundError: data, or the weights of the perceptual network, are not in place.
        InUse: another process trains this run, or a stage of it.
        TrainingDiverged, OtherImages: see `pivq.runs.branching.train_stage`.
        TypeError, ValueError: no such device.

    Warns:
        UserWarning: for an unfinished run that differs in the batch size alone, which a new run does not resume.
    """
    pick_device(device)  # refused before anything is read
    if find_run(config, quantizer):
        run = require_run(config, quantizer)
        drop_replaced(run.folder)
        print(f"{quantizer}: finished run loaded from {run.folder.name}")
        return run
    check_ready(config, metrics=False)
    code_digest()  # now: of the code that trains, which may be edited meanwhile
    splits = load_splits(config)
    trainer = make_trainer(config, quantizer, splits["train"].images, device)
    main = trainer.accelerator.is_main_process  # of several processes, only this one writes and prints
    if main:
        _warn_of_other_batch_sizes(config, quantizer)
    run = Run(run_dir(config, quantizer), config, quantizer)
    with alone(quantizer, trainer):
        if main:
            write_config(config, quantizer)
        train_stage(quantizer, trainer, splits, tracker)
        if main:
            write_config(config, quantizer)  # again: it may have been changed during the training
            _summarise(trainer, splits, run.folder)
            drop_replaced(run.folder)
        trainer.accelerator.wait_for_everyone()
    return run


def _warn_of_other_batch_sizes(config: Config, quantizer: str) -> None:
    """Warn of unfinished runs that differ in the batch size alone, if there is no run of these settings yet."""
    folder, size = run_dir(config, quantizer), config.train.batch_size
    wanted = json.loads(json.dumps(config.as_dict()["train"]))  # tuples as lists, as the file has them
    for path in [] if folder.exists() else folder.parent.glob(f"{quantizer}-seed{config.seed}-*/config.json"):
        try:
            found = dict(read_json(path)["train"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a damaged file of another run
        if found | {"batch_size": size} == wanted and "batch_size" in found and missing_files(path.parent):
            warnings.warn(
                f"starting a new run with batch_size {size}; to resume the unfinished {path.parent.name}, use "
                f"batch_size {found['batch_size']}",
                stacklevel=3,
            )


def _summarise(trainer: Trainer, splits: Mapping[str, ImageDataset], folder: Path) -> None:
    """Encode both splits and write `codes.npz`, then, last, `summary.json`, which marks the run as finished."""
    config = trainer.config
    figures, *_ = validate(trainer, splits["heldout"].images)
    codes = {name: encode_images(trainer.ema, split.images) for name, split in splits.items()}
    small = np.min_scalar_type(config.model.codebook_size - 1)
    arrays = {f"{name}_codes": codes[name].astype(small) for name in splits}
    arrays |= {f"{name}_ids": np.array(split.ids) for name, split in splits.items()}
    checksum = arrays_digest(arrays)
    with atomic_write(folder / "codes.npz") as temporary:
        np.savez_compressed(temporary, **arrays, sha256=checksum)
    usage, source = code_usage(codes["train"], config.model.codebook_size), last_stage(config)
    checkpoint = newest_checkpoint(folder)
    shared = checkpoint.get("shared_steps")
    if shared is None:  # of an earlier version
        shared = newest_checkpoint(source)["step"] if source else 0
    summary = {name: figures[name] for name in ("heldout_l1", "heldout_psnr", "heldout_perceptual")}
    summary |= {name: getattr(usage, name) for name in ("codes_in_use", "max_codes_per_image", "mean_codes_per_image")}
    summary |= {
        "skipped_steps": trainer.skipped,
        "shared_steps": shared,
        "training_seconds": sum(row.get("seconds", 0) for row in read_log(folder / "log.jsonl")),  # of all steps
        "codes": checksum,
        "model": model_digest(trainer.ema),
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
    }
    if missing := left_out(splits):
        summary["left_out"] = {name: len(found) for name, found in missing.items()}
    summary |= stamp(config, steps=trainer.step, quantizer=trainer.quantizer)
    summary["code"] = checkpoint.get("code", UNKNOWN)  # that trained; the code that summarises may be newer
    if summary["code"] == code_digest() and (found := commit()):
        summary["commit"] = found
    write_json(folder / "summary.json", seal(summary))
