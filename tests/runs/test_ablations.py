"""The ablations: each changes what it names and nothing else, and all are trained and measured alike."""

import pytest
import torch
from stand_ins import Colours, make_split, stand_in

from pivq.config import load_config
from pivq.data import ImageDataset, to_uint8
from pivq.metrics import frechet_distance
from pivq.profiles import PROFILES
from pivq.runs import ablations, evaluation
from pivq.runs.ablations import ABLATIONS, run_ablations
from pivq.runs.evaluation import draw_samples
from pivq.runs.run import find_run
from pivq.runs.training import train


def values_of(config) -> dict:
    """Return all settings by the name that `load_config` takes them under."""
    values = config.as_dict()
    parts = ("model", "train", "evaluation")
    return {f"{part}__{name}": value for part in parts for name, value in values[part].items()}


def of_training(name: str) -> dict:
    """Return the settings of a variation by the name that `load_config` takes them under."""
    return {f"train__{setting}": value for setting, value in ABLATIONS[name][1].items()}


@pytest.mark.parametrize("name", ABLATIONS)
def test_a_variation_differs_from_the_profile_in_the_settings_it_names(name):
    usual, settings = values_of(load_config("quick")), of_training(name)
    varied = values_of(load_config("quick", **settings))
    assert {setting: value for setting, value in varied.items() if value != usual[setting]} == settings


@pytest.mark.parametrize("profile", PROFILES)
def test_no_variation_is_against_the_rules_of_a_profile(profile):
    for name in ABLATIONS:
        load_config(profile, data="faces" if profile == "folder" else "", **of_training(name))


@pytest.fixture
def noise(tiny_config, monkeypatch, tmp_path):
    """Put small settings, noise and this process in place of a profile, its data and processes side by side."""

    def load_split(config, name):
        split = make_split(config, name)
        return ImageDataset(split.images, split.ids, "noise", name, fingerprint=f"noise-{name}")

    stand_in(monkeypatch, tmp_path)
    for module in (ablations, evaluation):
        monkeypatch.setattr(module, "load_split", load_split)
    monkeypatch.setattr(
        ablations, "load_config", lambda profile, seed, data, **changes: tiny_config(seed=seed, data=data, **changes)
    )
    monkeypatch.setattr(ablations, "train_together", lambda jobs, device: [train(*job, device) for job in jobs])


def test_variations_are_trained_and_measured_on_samples_of_the_same_parents(noise, tiny_config, monkeypatch):
    network = Colours()
    table, pictures = run_ablations(tiny_config(seed=2), network, "cpu")
    assert table["variation"].tolist() == list(pictures) == list(ABLATIONS)
    assert table["change"].tolist() == [change for change, _ in ABLATIONS.values()]
    real = make_split(tiny_config(), "train").images.double().mean(dim=(2, 3)).numpy() / 255
    parents = []
    for name, row in zip(ABLATIONS, table.to_dict("records"), strict=True):
        run = find_run(tiny_config(seed=2, **of_training(name)), "matching")
        figures = [row[column] for column in ("held-out L1", "PSNR (dB)", "perceptual", "codes in use")]
        summary = ("heldout_l1", "heldout_psnr", "heldout_perceptual", "codes_in_use")
        assert figures == [run.summary[figure] for figure in summary], name
        samples = draw_samples(run, 10)  # as many as there are held-out images
        made = to_uint8(run.model().decode(samples.codes))
        assert torch.equal(pictures[name], made[:8]), name
        fake = made.double().mean(dim=(2, 3)).numpy() / 255
        assert row["FD (Colours)"] == pytest.approx(frechet_distance(real=real, fake=fake), rel=1e-3), name
        parents.append(samples.pairs)
    assert all(torch.equal(pairs, parents[0]) for pairs in parents)
    monkeypatch.setattr("pivq.runs.training.make_trainer", None)
    again, _ = run_ablations(tiny_config(seed=2), network, "cpu")
    assert again.equals(table), "those that are there are not trained again"
