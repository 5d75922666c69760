"""Train PI-VQ by another recipe (`pivq.rivals.recipe`), in pieces that survive a stop, with checkpoints and seconds."""

from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from pivq.config import Config
from pivq.model import PIVQ
from pivq.pretrained.perceptual import load_perceptual
from pivq.processes import pick_device
from pivq.rivals.recipe.settings import Recipe, as_recipe, described
from pivq.rivals.recipe.trainer import RecipeTrainer
from pivq.runs.beyond.pieces import finish, step_of
from pivq.runs.run import signature
from pivq.runs.splits import load_splits
from pivq.storage.locking import locked
from pivq.storage.paths import results_dir
from pivq.storage.source import code_digest, recipe_digest


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
    return config.train.steps - step_of(recipe_dir(config, recipe))


def train_recipe(
    config: Config, recipe: Recipe | str = "improved", device: str = "auto", bar: tqdm | None = None
) -> Trained:
    """Train PI-VQ with matching by a recipe, or load it; an interrupted training is resumed.

    On a CPU a resumed training (`pivq.runs.beyond.pieces.finish`) ends as one straight through, bit for bit.

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
        UserWarning: it was trained, or begun, by other code; or a checkpoint is damaged.
    """
    recipe, on = as_recipe(recipe), pick_device(device)
    folder, images = recipe_dir(config, recipe), load_splits(config)["train"]
    folder.mkdir(parents=True, exist_ok=True)
    made_from = {"images": signature(images), "code": code_digest(), "recipe_code": recipe_digest()}
    with locked(folder, "trained"):
        perceptual = load_perceptual(config.train.perceptual_network).to(on)
        trainer = RecipeTrainer(config, recipe, images.images, perceptual, on)
        known = finish(trainer, folder, made_from, bar)
    model = trainer.ema.eval()
    facts = {"steps": trainer.step, "seconds": known["seconds"], "recipe": described(recipe)}
    facts |= {"reseeded": trainer.reseeded, "parameters": sum(weight.numel() for weight in model.parameters())}
    return Trained(model, facts | {name: known["made_from"][name] for name in ("code", "recipe_code")})
