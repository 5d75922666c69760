"""Trainings beyond the paper, in pieces that survive a stop: each in its own folder, with checkpoints and seconds."""

import signal
import time
import warnings
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from pivq.rivals.training import PriorTrainer
from pivq.runs.stopping import Stopped, stop_requests
from pivq.storage.checkpoint import CHECKPOINT, PREVIOUS, has_checkpoint, newest_checkpoint, save_checkpoint
from pivq.storage.writing import read_sealed, seal, write_json
from pivq.trainer import Trainer

PROGRESS = "progress.json"  # next to the checkpoints: steps and seconds, to be read without them
NEEDED = ("step", "seconds", "made_from", "model", "ema", "optimizer")  # of such a checkpoint


def finish(
    trainer: Trainer | PriorTrainer, folder: Path, made_from: dict[str, str], bar: tqdm | None = None,
    whole: Path | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Resume a training from its checkpoint, train it to its end, and save it.

    A checkpoint is saved every `evaluation.checkpoint_every` steps, and when Ctrl-C or SIGTERM asks to stop.

    Args:
        trainer: new.
        folder: of the checkpoints.
        made_from: what the training depends on: its `images`, the code, and of a prior the `autoencoder`.
        bar: is advanced by each step; None shows none.
        whole: the folder to delete to train again, if it is not `folder`: an autoencoder and its priors go together.

    Returns:
        `seconds` of all its steps, and what it was `made_from` at its first.

    Raises:
        ValueError: it is of other images, or does not fit the networks of this code.
        Stopped: it was asked to stop, and what is done is saved.

    Warns:
        UserWarning: a checkpoint is damaged or of something else; or it was made by other code.
    """
    whole = whole or folder
    known = {"seconds": 0.0, "made_from": made_from} | _resume(trainer, folder, made_from, whole)
    before, started = known["seconds"], time.perf_counter()

    def save() -> None:
        known["seconds"] = before + time.perf_counter() - started
        own = {"config": trainer.config.as_dict(), "of": _name(folder)}
        save_checkpoint(folder / CHECKPOINT, trainer.state_dict() | own | known)
        _note_progress(folder, trainer.step, known["seconds"])

    with stop_requests() as request:

        def after_step(_: Any, losses: dict[str, Tensor]) -> None:
            if bar is not None:
                bar.update()
            if request.is_set() or trainer.step % trainer.config.evaluation.checkpoint_every == 0:
                save()
            if request.is_set():
                where = f"step {trainer.step:,} of {', '.join(dict.fromkeys([whole.name, folder.name]))}"
                raise Stopped(f"Stopped at {where}, and saved.", request.number or signal.SIGINT)

        if trainer.step < trainer.config.train.steps:
            folder.mkdir(parents=True, exist_ok=True)
            if isinstance(trainer, PriorTrainer):
                trainer.fit(callbacks=[after_step])
            else:
                trainer.callbacks = [after_step]
                trainer.fit()
            save()
    return known


def step_of(folder: Path) -> int:
    """Return the step that a training has come to; 0 where the note is damaged, which the training makes again."""
    try:
        return int(read_sealed(folder / PROGRESS)["step"]) if has_checkpoint(folder) else 0
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return 0


def _resume(trainer: Trainer | PriorTrainer, folder: Path, made_from: dict[str, str], whole: Path) -> dict[str, Any]:
    """Load the newest checkpoint that can be used; return what it says of the training, nothing if there is none."""
    if not has_checkpoint(folder):
        return {}

    def wrong(state: Any) -> str:
        lacking = [name for name in NEEDED if name not in state] if isinstance(state, dict) else NEEDED
        if lacking or state.get("of") != _name(folder):
            return f" is not a checkpoint of {_name(folder)}"
        same = state["made_from"].get("autoencoder") == made_from.get("autoencoder")
        return "" if same else " is of a prior over the codes of another autoencoder"

    try:
        state = newest_checkpoint(folder, wrong, mend=True)
    except ValueError as error:
        warnings.warn(f"{str(error).rpartition(';')[0]}; {_name(folder)} is trained again from step 0", stacklevel=4)
        for name in (CHECKPOINT, PREVIOUS, PROGRESS):
            (folder / name).unlink(missing_ok=True)
        return {}
    noted, again = state["made_from"], f"delete {whole} to train it again"
    if noted["images"] != made_from["images"]:
        raise ValueError(f"{whole} was trained on other images: {again}")
    if noted != made_from:
        warnings.warn(f"{folder} was trained by other code: {again}", stacklevel=4)
    try:
        trainer.load_state_dict(state)
    except (RuntimeError, KeyError, ValueError) as error:  # torch lists all that differs, in many lines
        raise ValueError(f"{folder / CHECKPOINT} does not fit this code's {folder.name}: {again}") from error
    if step_of(folder) != trainer.step:
        _note_progress(folder, trainer.step, state["seconds"])
    return {"seconds": state["seconds"], "made_from": noted}


def _name(folder: Path) -> str:
    return f"{folder.parent.name}/{folder.name}"


def _note_progress(folder: Path, step: int, seconds: float) -> None:
    write_json(folder / PROGRESS, seal({"step": step, "seconds": seconds}))
