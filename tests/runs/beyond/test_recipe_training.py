"""Recipes are trained in pieces: a stop loses nothing, the end is that of training straight through."""

import pytest
import torch
from stand_ins import Perceptual, stand_in, stop_at

from pivq.rivals.recipe.settings import CHANGES, Recipe, improved
from pivq.runs.beyond import recipe_training as module
from pivq.runs.beyond.recipe_training import recipe_dir, steps_left, train_recipe
from pivq.runs.splits import load_splits
from pivq.runs.stopping import Stopped
from pivq.runs.training import train
from pivq.storage.checkpoint import CHECKPOINT, load_checkpoint
from pivq.storage.source import recipe_digest, rivals_digest


@pytest.fixture
def config(tiny_config, monkeypatch, tmp_path):
    """Return small settings with noise for images; results go to `tmp_path`."""
    stand_in(monkeypatch, tmp_path)
    monkeypatch.setattr(module, "load_perceptual", lambda name: Perceptual())
    return tiny_config()


def weights(trained) -> list[torch.Tensor]:
    return [value for _, value in sorted(trained.model.state_dict().items())]


def test_a_stopped_training_ends_like_a_straight_one(config, monkeypatch, tmp_path, step=5):
    straight = train_recipe(config, "improved")
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "other"))
    assert steps_left(config, "improved") == 8
    with pytest.raises(Stopped, match=f"Stopped at step {step} of seed0-"):
        train_recipe(config, "improved", bar=stop_at(monkeypatch, step))
    assert steps_left(config, "improved") == 8 - step
    resumed = train_recipe(config, "improved")
    assert steps_left(config, improved()) == 0
    assert all(torch.equal(a, b) for a, b in zip(weights(straight), weights(resumed), strict=True))
    of = [{name: value for name, value in made.facts.items() if name != "seconds"} for made in (straight, resumed)]
    assert of[0] == of[1] and of[0]["steps"] == 8 and of[0]["recipe_code"] == recipe_digest()
    assert resumed.facts["seconds"] > 0 and not resumed.model.training


def test_without_changes_the_model_is_that_of_the_usual_run(config):
    run = train(config, "matching")
    trained = train_recipe(config, "as trained")
    usual = run.model().state_dict()
    assert all(torch.equal(value, usual[name]) for name, value in trained.model.state_dict().items())


def test_a_trained_recipe_is_loaded(config, monkeypatch):
    first = train_recipe(config, "recombined")
    path = recipe_dir(config, "recombined") / CHECKPOINT
    before = path.stat().st_mtime_ns
    second = train_recipe(config, "recombined")
    assert path.stat().st_mtime_ns == before and second.facts == first.facts
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))
    assert load_checkpoint(path)["recipe"]["recombined_weight"] == 1.0


def test_every_recipe_and_seed_has_a_folder_of_its_own(tiny_config):
    recipes = [*CHANGES.values(), improved(), Recipe(recombined_weight=2.0)]
    settings = {"train__quantize_from_step": 4, "train__steps": 10}
    folders = {recipe_dir(tiny_config(seed=seed, **settings), recipe) for recipe in recipes for seed in (0, 1)}
    assert len(folders) == 2 * len(recipes)


def test_other_images_and_other_code_are_noticed(config, monkeypatch):
    train_recipe(config, "rotation trick")
    monkeypatch.setattr(module, "recipe_digest", lambda: "other")
    with pytest.warns(UserWarning, match="other code"):
        train_recipe(config, "rotation trick")
    monkeypatch.setattr(module, "signature", lambda split: "others")
    with pytest.raises(ValueError, match="other images"):
        train_recipe(config, "rotation trick")


def test_unknown_recipes_and_devices_are_refused_before_anything_is_read(config, monkeypatch):
    monkeypatch.setattr(module, "load_splits", lambda config: pytest.fail("read"))
    with pytest.raises(ValueError, match="unknown recipe 'recombine'; did you mean recombined"):
        train_recipe(config, "recombine")
    with pytest.raises(ValueError, match="device"):
        train_recipe(config, "improved", "gpu")


def test_the_digests_of_rivals_and_recipes_are_apart():
    """A change of a recipe leaves the rows of the rivals valid."""
    assert recipe_digest() != rivals_digest() and len(recipe_digest()) == 16


def test_the_size_and_the_codes_are_the_paper_s(config):
    trained = train_recipe(config, "drawn tokens")
    codes = trained.model.encode(load_splits(config)["heldout"].images / 255)
    assert codes.shape == (10, config.model.num_codes) and int(codes.max()) < config.model.codebook_size
