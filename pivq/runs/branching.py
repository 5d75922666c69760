"""The stages of a run: steps that several runs share are trained once, and the runs branch from there.

| stage | its steps | the runs that share it |
|---|---|---|
| `trunk` | those before T_q | all whose settings differ only in what acts from T_q on |
| `shared` | those before the first one in which two latents of an image have the same nearest code | both quantizers |
| the run | the rest | – |

Before T_q nothing is quantized (Section 3.7), so neither the quantizer nor the settings of the codebook matter. After
T_q the quantizers choose the same codes for as long as the nearest codes of each image are distinct: these are then a
one-to-one matching, and no matching has a smaller total distance, Eq. (3). So losses, gradients and networks are the
same, until two latents of an image have the same nearest code.

Each stage has a folder like a run's, named by the digest of the settings that act in it. A stage starts from a copy of
the files of the stage before it. So each folder has the whole log, and an interrupted stage resumes from its own
checkpoint. The networks are those of training straight through, bit for bit on a CPU.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

from torch import Tensor

from pivq.config import Config
from pivq.data import ImageDataset
from pivq.precision import channels_last, compile_if_asked
from pivq.pretrained.perceptual import load_perceptual
from pivq.processes import pick_device
from pivq.runs.callbacks import Checkpoints, JsonlLog, Progress, Validation
from pivq.runs.planned import STAGES, run_dir
from pivq.runs.provenance import code_so_far
from pivq.runs.run import check_images, fault, note_images, write_config
from pivq.runs.splits import load_splits
from pivq.runs.stopping import Stopped, StopWhenAsked, stop_requests
from pivq.runs.tracking import FOLDER as SHOWN
from pivq.runs.watching import current_watch
from pivq.storage.checkpoint import has_checkpoint, newest_checkpoint, save_checkpoint
from pivq.storage.locking import locked
from pivq.storage.writing import remove_leftovers
from pivq.trainer import Trainer, TrainingDiverged

VALIDATION_IMAGES = 100  # of the held-out set, during training; the summary uses all of it


def train_ahead(stage: str, config: Config, device: str = "auto", tracker: str = "") -> int:
    """Train the missing steps up to the end of the stage "trunk" or "shared"; return the number of the last one."""
    splits = load_splits(config)
    trainer = make_trainer(config, "nearest", splits["train"].images, device)
    train_stage(stage, trainer, splits, tracker)
    if stage == "shared" and trainer.step < config.train.steps:
        print(f"From step {trainer.step:,} on, the quantizers differ: two latents of an image share a nearest code.")
    return trainer.step


def make_trainer(config: Config, quantizer: str, images: Tensor, device: str) -> Trainer:
    """Return a trainer with its perceptual network, both on the device; see `pivq.runs.training.train`."""
    perceptual = load_perceptual(config.train.perceptual_network)
    trainer = Trainer(config, quantizer, images, perceptual, pick_device(device))
    channels_last(perceptual.to(trainer.device), trainer.device)
    compile_if_asked(trainer.model, trainer.batch(0), trainer.precision)
    return trainer


def train_stage(stage: str, trainer: Trainer, splits: Mapping[str, ImageDataset], tracker: str = "") -> None:
    """Train the missing steps of a stage, and first those of the stages before it; save log, pictures, checkpoints.

    Args:
        stage: one of `pivq.runs.planned.STAGES`, or the quantizer of a run.
        trainer: new; with the quantizer of the run, "nearest" for "shared", or any for "trunk".
        splits: the images by split.
        tracker: "tensorboard", or "" for none (`pivq.runs.tracking`).

    Raises:
        TrainingDiverged: gradients stay non-finite; names the last good checkpoint.
        OtherImages: the stage, or the one before it, was trained on other images.
        InUse: another process trains the stage. (Of a run, `pivq.runs.training.train` holds the lock.)
        Stopped: Ctrl-C or SIGTERM; a checkpoint of the last whole step is saved. A second one ends without.
    """
    if stage == "trunk":  # several runs may read a whole one at once
        _start(stage, trainer, splits, tracker)
        if trainer.step == trainer.config.train.quantize_from_step and not trainer.pending:
            return check_images(run_dir(trainer.config, stage), splits)
    with alone(stage if stage in STAGES else "", trainer):
        _train_stage(stage, trainer, splits, tracker)


def alone(stage: str, trainer: Trainer) -> AbstractContextManager:
    """Return the lock of a stage's or a run's folder; of several processes that share each batch, the first holds it.

    Of "" there is none.
    """
    if not stage or not trainer.accelerator.is_main_process:
        return nullcontext()
    return locked(run_dir(trainer.config, stage), "trained")


def _train_stage(stage: str, trainer: Trainer, splits: Mapping[str, ImageDataset], tracker: str) -> None:
    config, folder, main = trainer.config, run_dir(trainer.config, stage), trainer.accelerator.is_main_process
    noted = _start(stage, trainer, splits, tracker)
    check_images(folder, splits)
    until = config.train.quantize_from_step if stage == "trunk" else config.train.steps
    if trainer.step == until and not trainer.pending:
        return
    progress, callbacks = None, []
    if main:  # of several processes, only this one writes
        if stage in STAGES:
            write_config(config, stage)  # says how far it will go
        noted |= {"images": note_images(folder, splits), "code": code_so_far(noted.get("code"), trainer.step)}
        log = JsonlLog(folder / "log.jsonl", trainer)
        log.track(tracker, folder, trainer.step)
        progress = current_watch() or Progress(trainer, until, STAGES.get(stage, stage))
        validation = Validation(splits["heldout"].images[:VALIDATION_IMAGES], folder, log)
        callbacks = [log, validation, progress, Checkpoints(folder / "checkpoint.pt", noted)]

    def save() -> None:
        if main:
            save_checkpoint(folder / "checkpoint.pt", trainer.state_dict() | noted)

    try:
        with stop_requests() as request:
            stopping = StopWhenAsked(request, save)
            trainer.callbacks = [*callbacks, stopping]
            trainer.fit(until, while_distinct=stage == "shared")
    except Stopped:
        if main:
            log.close()
        raise
    except TrainingDiverged as error:
        last = folder / "checkpoint.pt"
        raise TrainingDiverged(f"{error}. Last good checkpoint: {last if last.exists() else 'none yet'}") from error
    finally:
        if main:
            progress.close()
    if main:
        log.flush(trainer)
        log.close()
    save()
    trainer.accelerator.wait_for_everyone()
    if request.is_set():  # after the last step
        stopping.stop(trainer)


def _start(stage: str, trainer: Trainer, splits: Mapping[str, ImageDataset], tracker: str) -> dict[str, Any]:
    """Load the checkpoint of a stage into the trainer; if the stage is new, copy the stage before it.

    Return what each checkpoint of the stage notes: the steps before it and, if any are trained, the code that trained
    them; None where the checkpoint, of an earlier version, does not say it.
    """
    config, folder, main = trainer.config, run_dir(trainer.config, stage), trainer.accelerator.is_main_process
    checkpoint = folder / "checkpoint.pt"
    remove_leftovers(folder)  # of a process killed in its last write; a whole stage is not written to any more
    new = not has_checkpoint(folder)
    trainer.accelerator.wait_for_everyone()  # all processes look before the first one writes
    if new and stage != "trunk":
        if last_stage(config) != run_dir(config, "shared"):
            train_stage("trunk", trainer, splits, tracker)
        if source := last_stage(config):
            check_images(source, splits)
            if main:
                of_source = ignore_patterns("checkpoint.*", "config.json", "output.txt", ".*", SHOWN)
                copytree(source, folder, ignore=of_source, dirs_exist_ok=True)
                with suppress(OSError):  # what TensorBoard shows, if it is there and can be read
                    copytree(source / SHOWN, folder / SHOWN, dirs_exist_ok=True)
                state = newest_checkpoint(source)
                _check_owner(state, source / "checkpoint.pt", config, source.name.partition("-")[0])
                own = {"config": config.as_dict(), "quantizer": trainer.quantizer, "shared_steps": state["step"]}
                save_checkpoint(checkpoint, state | own | {"threads": None})  # a run is started here, not resumed
            trainer.accelerator.wait_for_everyone()
    if has_checkpoint(folder):
        own = {"config": config.as_dict()} if stage == "trunk" else {}  # no warning of settings that act later
        state = newest_checkpoint(folder)
        _check_owner(state, checkpoint, config, stage)
        if state["step"] >= (config.train.quantize_from_step if stage == "trunk" else config.train.steps):
            own["threads"] = None  # it is whole, and no step follows that could differ
        trainer.load_state_dict(state | own)
        if main and fault(checkpoint):  # the state is of the previous one, whose place the damaged one must not take
            checkpoint.unlink(missing_ok=True)
            save_checkpoint(checkpoint, state)
        if main and stage not in STAGES and trainer.step < config.train.steps:
            print(f"{stage}: resuming from step {trainer.step:,} of {config.train.steps:,}")
        return {name: state.get(name) for name in ("shared_steps", "code")}
    return {"shared_steps": 0}


def _check_owner(state: dict[str, Any], path: Path, config: Config, stage: str) -> None:
    """Check that a checkpoint is of the stage in whose folder it is: neither copied from another one nor renamed.

    Other settings alone are allowed while there are steps left: the trainer warns of each.

    Raises:
        ValueError: it is of another quantizer, seed or data set, or of a run of other settings that is at its end.
    """
    try:
        own = Config.from_dict(state["config"])
    except (ValueError, TypeError, KeyError, AttributeError):  # of an earlier version
        return
    quantizer = stage if stage in STAGES else state.get("quantizer", stage)
    found = (quantizer, own.seed, own.dataset, own.data)
    ended = state["step"] >= config.train.steps and own.digest(stage) != config.digest(stage)
    if found != (stage, config.seed, config.dataset, config.data) or ended:
        raise ValueError(
            f"{path} is of another run (quantizer {quantizer}, seed {own.seed}, {own.dataset}, digest "
            f"{own.digest(stage)}) than this one ({stage}, seed {config.seed}, {config.dataset}, "
            f"{config.digest(stage)}): put its own back, or delete that folder to train it again"
        )


def last_stage(config: Config) -> Path | None:
    """Return the folder of the last stage with a checkpoint that a run of these settings shares, or None."""
    folders = (run_dir(config, stage) for stage in STAGES)
    return next((folder for folder in folders if has_checkpoint(folder)), None)
