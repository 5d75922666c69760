"""Trainings in pieces, with recipes: what rivals and their priors ask beyond it is in `test_rival_training`."""

import shutil

import pytest
import torch
from stand_ins import Perceptual, stand_in, stop_at

from pivq.runs.beyond import recipe_training
from pivq.runs.beyond.pieces import step_of
from pivq.runs.beyond.recipe_training import recipe_dir, train_recipe
from pivq.runs.stopping import Stopped
from pivq.storage.checkpoint import CHECKPOINT, PREVIOUS, load_checkpoint

NAME = "rotation trick"


@pytest.fixture
def config(tiny_config, monkeypatch, tmp_path):
    stand_in(monkeypatch, tmp_path)
    monkeypatch.setattr(recipe_training, "load_perceptual", lambda name: Perceptual())
    return tiny_config()


@pytest.fixture
def stopped(config, monkeypatch):
    """Return a folder with checkpoints of steps 5 and 4, and the weights of training straight through."""
    straight = weights(train_recipe(config, NAME))
    folder = recipe_dir(config, NAME)
    shutil.rmtree(folder)
    with pytest.raises(Stopped):
        train_recipe(config, NAME, bar=stop_at(monkeypatch, 5))
    assert [load_checkpoint(folder / name)["step"] for name in (CHECKPOINT, PREVIOUS)] == [5, 4]
    return folder, straight


def weights(trained) -> list[torch.Tensor]:
    return [value for _, value in sorted(trained.model.state_dict().items())]


def test_a_damaged_checkpoint_gives_way_to_the_one_before(config, stopped):
    folder, straight = stopped
    content = bytearray((folder / CHECKPOINT).read_bytes())
    content[len(content) // 2] ^= 4
    (folder / CHECKPOINT).write_bytes(content)
    with pytest.warns(UserWarning, match=f"{folder / CHECKPOINT} is damaged: resuming from {PREVIOUS}, of step 4"):
        resumed = train_recipe(config, NAME)
    assert all(torch.equal(a, b) for a, b in zip(straight, weights(resumed), strict=True))
    assert step_of(folder) == load_checkpoint(folder / CHECKPOINT)["step"] == 8


def test_the_checkpoint_of_another_recipe_begins_nothing(config, stopped):
    folder, straight = stopped
    train_recipe(config, "as trained")
    for name in (CHECKPOINT, PREVIOUS):
        shutil.copy(recipe_dir(config, "as trained") / name, folder / name)
    with pytest.warns(UserWarning, match=f"recipes/{folder.name} is trained again from step 0"):
        again = train_recipe(config, NAME)
    assert all(torch.equal(a, b) for a, b in zip(straight, weights(again), strict=True))
    (folder / CHECKPOINT).unlink()
    (folder / PREVIOUS).unlink()
    assert step_of(folder) == 0, "a note without a checkpoint says nothing"
