"""Train PI-VQ by another recipe (`pivq.rivals.recipe`), in pieces that survive a stop, with checkpoints and seconds."""

import hashlib
import signal
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor
from tqdm import tqdm

import pivq.rivals.recipe
from pivq.config import Config
from pivq.model import PIVQ
from pivq.pretrained.perceptual import load_perceptual
from pivq.processes import pick_device
from pivq.rivals.recipe.settings import Recipe, as_recipe, described
from pivq.rivals.recipe.trainer import RecipeTrainer
from pivq.runs.provenance import code_digest
from pivq.runs.run import signature
from pivq.runs.splits import load_splits
from pivq.runs.stopping import Stopped, stop_requests
from pivq.storage.checkpoint import CHECKPOINT, has_checkpoint, newest_checkpoint, save_checkpoint
from pivq.storage.locking import locked
from pivq.storage.paths import results_dir
from pivq.storage.writing import read_json, write_json

PROGRESS = "progress.json"  # beside a checkpoint: its step and seconds, to be read without it


class Trained(NamedTuple):
    """A trained model, averaged (EMA) and in evaluation mode, and what is known of its training."""

    model: PIVQ
    facts: dict[str, Any]


def recipe_dir(config: Config, recipe: Recipe | str) -> Path:
    """Return the folder of a training: `results/<profile>/recipes/seed<k>-<digest>-<recipe's digest>/`."""
    recipe = as_recipe(recipe)
    name = f"seed{config.seed}-{recipe.settings(config).digest('matching')}-{recipe.digest}"
    return results_dir(config.profile) / "recipes" / name


def steps_left(config: Config, recipe: Recipe | str) -> int:
    """Return how many steps are still to be trained."""
    path = recipe_dir(config, recipe) / PROGRESS
    return config.train.steps - (int(read_json(path)["step"]) if path.exists() else 0)


def train_recipe(
    config: Config, recipe: Recipe | str = "improved", device: str = "auto", bar: tqdm | None = None
) -> Trained:
    """Train PI-VQ with matching by a recipe, or load it; an interrupted training is resumed.

    A checkpoint is saved every `evaluation.checkpoint_every` steps, and when Ctrl-C or SIGTERM asks to stop. On a CPU a
    resumed training ends as one straight through, bit for bit.

    Args:
        config: the settings; the recipe changes some of them (`Recipe.settings`), never K or L.
        recipe: "improved", the name of one of `pivq.rivals.recipe.settings.CHANGES`, or a `Recipe`.
        device: "auto", "cpu", "cuda", …
        bar: is advanced by each step; None shows none.

    Raises:
        TypeError, ValueError: no such recipe, one that does not fit the settings, or a training on other images.
        InUse: another process trains it.
        Stopped: it was asked to stop, and what is done is saved.

    Warns:
        UserWarning: it was trained, or begun, by other code.
    """
    recipe, on = as_recipe(recipe), pick_device(device)
    folder, images = recipe_dir(config, recipe), load_splits(config)["train"]
    folder.mkdir(parents=True, exist_ok=True)
    noted = {"images": signature(images), "code": code_digest(), "recipe_code": recipe_digest()}
    with locked(folder, "trained"):
        perceptual = load_perceptual(config.train.perceptual_network).to(on)
        trainer, before = RecipeTrainer(config, recipe, images.images, perceptual, on), 0.0
        if has_checkpoint(folder):
            state = newest_checkpoint(folder)
            if state["images"] != noted["images"]:
                raise ValueError(f"{folder} was trained on other images: delete it to train this recipe again")
            if any(state[name] != noted[name] for name in noted):
                warnings.warn(f"{folder} was trained by other code: delete it to train it again", stacklevel=2)
            trainer.load_state_dict(state)
            noted, before = {name: state[name] for name in noted}, state["seconds"]
        seconds = _finish(trainer, folder, noted, before, bar)
    model = trainer.ema.eval()
    facts = {"steps": trainer.step, "seconds": seconds, "recipe": described(recipe), "reseeded": trainer.reseeded}
    facts["parameters"] = sum(weight.numel() for weight in model.parameters())
    return Trained(model, facts | {name: noted[name] for name in ("code", "recipe_code")})


def _finish(trainer: RecipeTrainer, folder: Path, noted: dict[str, str], before: float, bar: tqdm | None) -> float:
    """Train to the end and save; return the seconds of all steps, `before` of them spent earlier."""
    started, config = time.perf_counter(), trainer.config
    spent = before

    def save() -> None:
        nonlocal spent
        spent = before + time.perf_counter() - started
        save_checkpoint(folder / CHECKPOINT, trainer.state_dict() | noted | {"seconds": spent})
        write_json(folder / PROGRESS, {"step": trainer.step, "seconds": spent})

    with stop_requests() as request:

        def after_step(_: Any, losses: dict[str, Tensor]) -> None:
            if bar is not None:
                bar.update()
            last = trainer.step == config.train.steps
            if request.is_set() or last or trainer.step % config.evaluation.checkpoint_every == 0:
                save()
            if request.is_set():
                where = f"step {trainer.step:,} of {folder.name}"
                raise Stopped(f"Stopped at {where}, and saved.", request.number or signal.SIGINT)

        trainer.callbacks = [after_step]
        trainer.fit()
    return spent


def recipe_digest() -> str:
    """Return 16 hex digits that change with the source of `pivq.rivals.recipe`."""
    digest = hashlib.sha256()
    for path in sorted(Path(pivq.rivals.recipe.__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes().replace(b"\r\n", b"\n"))
    return digest.hexdigest()[:16]
