"""The ablations: each changes what it names and nothing else, and all are trained and measured alike."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from stand_ins import Colours, make_split, stand_in

from pivq.config import load_config
from pivq.data import ImageDataset, to_uint8
from pivq.metrics import frechet_distance
from pivq.profiles import PROFILES
from pivq.runs import ablations, evaluation
from pivq.runs.ablations import half_as_long, over_seeds, run_ablations, said, variations
from pivq.runs.evaluation import draw_samples
from pivq.runs.run import find_run
from pivq.runs.training import train


def values_of(config) -> dict:
    """Return all settings by the name that `load_config` takes them under."""
    values = config.as_dict()
    parts = ("model", "train", "evaluation")
    return {f"{part}__{name}": value for part in parts for name, value in values[part].items()}


NAMES = list(variations(load_config("quick")))


def of_training(config, name: str) -> dict:
    """Return the settings of a variation by the name that `load_config` takes them under."""
    return {f"train__{setting}": value for setting, value in variations(config)[name].settings.items()}


@pytest.mark.parametrize("name", NAMES)
def test_a_variation_differs_from_the_profile_in_the_settings_it_names(name):
    usual, settings = values_of(load_config("quick")), of_training(load_config("quick"), name)
    varied = values_of(load_config("quick", **settings))
    assert {setting: value for setting, value in varied.items() if value != usual[setting]} == settings


@pytest.mark.parametrize("profile", PROFILES)
def test_no_variation_is_against_the_rules_of_a_profile(profile):
    place = {"data": "faces" if profile == "folder" else ""}
    usual = load_config(profile, **place)
    for name in variations(usual):
        load_config(profile, **place, **of_training(usual, name))


def test_delay_and_fitted_codebook_are_told_apart():
    """Of the two things that "quantized from the start" lacks, "fitted at step 100" has the codebook."""
    found = variations(load_config("quick"))
    early, start = found["fitted at step 100"], found["quantized from the start"]
    assert early.settings == {"quantize_from_step": 100} and early.seeds == start.seeds == 3
    assert load_config("quick", train__quantize_from_step=100).train.codebook_initialisations == 4


def test_mean_and_spread_over_the_seeds():
    rows = pd.DataFrame({
        "variation": ["b", "b", "b", "a"], "change": ["x", "x", "x", "y"], "seed": [0, 1, 2, 0],
        "held-out L1": [0.03, 0.04, 0.05, 0.1], "codes in use": [50, 51, 52, 32],
    })  # fmt: skip
    table = over_seeds(rows)
    assert table["variation"].tolist() == ["b", "a"] and table["seeds"].tolist() == [3, 1]
    assert table["held-out L1"].tolist() == ["0.0400 ± 0.0100", "0.1000"]
    assert table["codes in use"].tolist() == ["51 ± 1", "32"]


def rows_of(**psnr):
    """Return rows of two seeds each; an early fit and a random codebook as asked for."""
    names = {"usual": "as trained", "early": "fitted at step 100", "start": "quantized from the start",
             "once": "one initialisation", "l1": "L1 only"}  # fmt: skip
    return [{"variation": names[name], "change": "", "seed": seed, "held-out L1": 0.03, "PSNR (dB)": value + seed / 10,
             "perceptual": 0.2, "codes in use": 300 if name == "once" else 500, "FD (Colours)": 1000.0}
            for name, value in psnr.items() for seed in (0, 1)]  # fmt: skip


@pytest.mark.parametrize("early, start, found", [
    (23.5, 12.0, "what fails is the random codebook, not the missing delay"),
    (14.0, 12.0, "the delay matters"),
    (24.0, 23.9, "nothing fails in this run"),
])  # fmt: skip
def test_words_tell_the_delay_from_the_codebook(early, start, found):
    first, *others = said(rows_of(usual=24.0, early=early, start=start, once=23.0, l1=24.0))
    assert found in first and f"reaches {start + 0.05:.1f} dB instead of" in first
    assert "300 codes in use, fitted several times 500: more with every seed. FD (Colours)" in others[0]
    assert others[0].endswith("1,000 fitted once, 1,000 several times.")
    one_seed = [row for row in rows_of(usual=24.0, early=early, start=start, once=23.0) if not row["seed"]]
    assert "fitted several times 500: more, of one seed. FD" in said(one_seed)[1]
    better = [row | {"FD (Colours)": 900.0} if row["variation"] == "one initialisation" else row for row in one_seed]
    assert said(better)[1].endswith("900 fitted once, 1,000 several times, so more codes in use did not make "
                                    "better samples.")  # fmt: skip
    assert "held-out L1 0.0300 instead of 0.0300, FD (Colours) of the samples 1,000 instead of 1,000" in others[1]


@pytest.fixture
def noise(tiny_config, monkeypatch, tmp_path):
    """Put small settings, noise and this process in place of a profile, its data and processes side by side."""

    def load_split(config, name):
        split = make_split(config, name)
        return ImageDataset(split.images, split.ids, "noise", name, fingerprint=f"noise-{name}")

    stand_in(monkeypatch, tmp_path)
    for module in (ablations, evaluation):
        monkeypatch.setattr(module, "load_split", load_split)
    monkeypatch.setattr(ablations, "load_config", lambda profile, **changes: tiny_config(**changes))
    monkeypatch.setattr(ablations, "train_together", lambda jobs, device: [train(*job, device) for job in jobs])


def test_half_as_long_keeps_the_proportions_of_the_phases():
    config = load_config("quick", train__steps=3000, train__quantize_from_step=1200)
    assert half_as_long(config) == {
        "steps": 1500, "quantize_from_step": 600, "discriminator_from_step": 750, "adversarial_from_step": 751,
    }  # fmt: skip
    assert half_as_long(load_config("quick", train__quantize_from_step=150))["quantize_from_step"] == 100  # W


def test_variations_are_trained_and_measured_on_samples_of_the_same_parents(noise, tiny_config, monkeypatch):
    network = Colours()
    config = replace(tiny_config(seed=2), profile="quick")  # `smoke` has one seed
    table, pictures = run_ablations(config, network, "cpu")
    assert table["variation"].unique().tolist() == list(pictures) == list(variations(config))
    assert table["variation"].value_counts(sort=False).tolist() == [3, 1, 1, 3, 3, 3]
    assert table["seed"].tolist() == [2, 3, 4, 2, 2, *3 * [2, 3, 4]]
    real = make_split(config, "train").images.double().mean(dim=(2, 3)).numpy() / 255
    parents = []
    for row in table.to_dict("records"):
        name, seed = row["variation"], row["seed"]
        assert row["change"] == variations(config)[name].change
        half = {f"train__{setting}": value for setting, value in half_as_long(config).items()}
        run = find_run(tiny_config(seed=seed, **(half | of_training(config, name))), "matching")
        figures = [row[column] for column in ("held-out L1", "PSNR (dB)", "perceptual", "codes in use")]
        summary = ("heldout_l1", "heldout_psnr", "heldout_perceptual", "codes_in_use")
        assert figures == [run.summary[figure] for figure in summary], name
        samples = draw_samples(run, 10)  # as many as there are held-out images
        made = to_uint8(run.model().decode(samples.codes))
        fake = made.double().mean(dim=(2, 3)).numpy() / 255
        assert row["FD (Colours)"] == pytest.approx(frechet_distance(real=real, fake=fake), rel=1e-3), name
        if seed == 2:
            assert torch.equal(pictures[name], made[:8]), name
            parents.append(samples.pairs)
    assert len(parents) == 6 and all(torch.equal(pairs, parents[0]) for pairs in parents)
    monkeypatch.setattr("pivq.runs.training.make_trainer", None)
    again, _ = run_ablations(config, network, "cpu")
    assert again.equals(table), "those that are there are not trained again"
