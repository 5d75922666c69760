"""The variants of the recipe, their settings, and rows that are made once, kept, and read back as they were."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stand_ins import Colours, Perceptual, stand_in

from pivq.config import load_config
from pivq.data import from_uint8
from pivq.inference import encode_images
from pivq.metrics import frechet_distance
from pivq.pretrained.features import extract
from pivq.rivals.recipe.settings import CHANGES, IMPROVED, Recipe, described, improved
from pivq.runs.ablations import half_as_long
from pivq.runs.beyond import recipe_training
from pivq.runs.beyond import recipes as module
from pivq.runs.beyond.recipes import (
    LONGER,
    TOGETHER,
    USUAL,
    VARIANTS,
    Variant,
    is_trained,
    keep_recipes,
    measured,
    merge_recipes,
    row_file,
    run_recipes,
    samples_of,
    settings_of,
    stored_recipes,
    variants,
)
from pivq.runs.splits import load_splits
from pivq.runs.untrained import untrained_model
from pivq.sampling import sample_pairs

SETTINGS = {"train__steps": 20, "train__quantize_from_step": 8, "train__discriminator_from_step": 10,
            "train__adversarial_from_step": 11, "evaluation__samples": 10}  # fmt: skip


@pytest.fixture
def config(tiny_config, monkeypatch, tmp_path):
    """Return small settings with noise for images; a row says what was measured, and `tmp_path` holds all files."""
    stand_in(monkeypatch, tmp_path)
    monkeypatch.setattr(recipe_training, "load_perceptual", lambda name: Perceptual())
    monkeypatch.setattr(module, "load_feature_network", lambda name, device: Colours())
    monkeypatch.setattr(module, "image_features", lambda split, network, profile: extract(network, split.images))
    return tiny_config(**SETTINGS)


def test_names_are_those_of_the_variants_and_all_by_default():
    assert variants() == VARIANTS and [one.name for one in variants([TOGETHER])] == [TOGETHER]
    with pytest.raises(ValueError, match="unknown variant 'recombine'; did you mean recombined"):
        variants(["recombined", "recombine"])


def test_each_change_is_tried_alone_and_those_of_the_list_together():
    by_name = {one.name: one for one in VARIANTS}
    assert len(by_name) == len(VARIANTS) and set(CHANGES) <= set(by_name)
    for name, recipe in CHANGES.items():
        assert by_name[name].recipe == recipe and by_name[name].length == 1
    assert by_name[TOGETHER].parts == IMPROVED and by_name[TOGETHER].recipe == improved()
    assert by_name[LONGER].recipe == Recipe() and by_name[LONGER].length > 1


def test_variants_are_trained_half_as_long_and_the_longer_one_in_proportion():
    config = load_config("quick", seed=3)
    usual, longer = (settings_of(config, one).train for one in variants([USUAL, LONGER]))
    assert (usual.steps, usual.quantize_from_step, usual.discriminator_from_step) == (1700, 600, 750)
    assert usual == replace(config.train, **half_as_long(config))
    assert (longer.steps, longer.quantize_from_step, longer.discriminator_from_step) == (2550, 900, 1125)
    assert settings_of(config, variants([LONGER])[0]).seed == 3


@pytest.mark.parametrize("profile", ["quick", "smoke"])
def test_every_variant_fits_its_profile(profile):
    for variant in VARIANTS:
        own = settings_of(load_config(profile), variant)
        made = variant.recipe.settings(own)
        assert (made.model.codebook_size, made.model.num_codes) == (own.model.codebook_size, own.model.num_codes)


def test_every_variant_has_a_row_of_its_own():
    config = load_config("quick")
    assert len({row_file(replace(config, seed=seed), one) for one in VARIANTS for seed in (0, 1)}) == 2 * len(VARIANTS)


def test_rows_are_made_once_and_say_what_they_are_of(config, monkeypatch):
    names = [USUAL, "recombined"]
    assert not is_trained(config, variants(names)[0])
    rows = run_recipes(config, names, seeds=[1])
    assert [(row["name"], row["seed"]) for row in rows] == [(USUAL, 1), ("recombined", 1)]
    assert rows[1]["parts"] == ["recombined"] and rows[1]["recipe"]["recombined_weight"] == 1.0
    assert rows[0]["steps"] == 10 and rows[0]["planned_steps"] == 20 and (rows[0]["K"], rows[0]["L"]) == (12, 4)
    assert {"seconds", "parameters", "code", "recipe_code", "psnr", "codes_in_use", "distance_name", "real", "own",
            "control_real", "effective_dimension", "reseeded", "device"} <= rows[0].keys()  # fmt: skip
    assert rows[0]["l1"] != rows[1]["l1"] and not is_trained(config, variants(names)[0])
    own = replace(config, seed=1)
    assert is_trained(own, variants(names)[0]) and samples_of(own, variants(names)[1], 3).shape == (3, 3, 16, 16)
    monkeypatch.setattr(module, "make_row", lambda *_: pytest.fail("measured again"))
    assert run_recipes(config, names, seeds=[1]) == rows


def test_rows_made_anew_are_not_those_that_were_stored(config, monkeypatch):
    monkeypatch.setattr(module, "make_row", untrained_row)
    (row,) = run_recipes(config, [USUAL], seeds=[0])
    monkeypatch.setattr(module, "make_row", lambda *given: untrained_row(*given) | {"found": 7})
    (again,) = run_recipes(config, [USUAL], seeds=[0], anew=True)
    assert again == row | {"found": 7} and run_recipes(config, [USUAL], seeds=[0]) == [row]
    monkeypatch.setattr(module, "make_row", lambda *_: pytest.fail("measured again"))
    assert run_recipes(config, [USUAL], seeds=[0], anew=True) == [again], "an interrupted comparison resumes"


def untrained_row(config, variant, device, bar) -> dict:
    """Return a row as `make_row` does, of no training."""
    row = {"name": variant.name, "recipe": described(variant.recipe), "length": variant.length, "seed": config.seed}
    return row | {"profile": config.profile, "planned_steps": config.train.steps, "found": config.seed + 0.5}


def test_what_is_measured_is_that_of_samples_of_algorithm_1_and_of_reconstructions(config):
    splits, network = load_splits(config), Colours()
    model = untrained_model(config, splits["train"].images)
    row = measured(model, config, network, splits)
    images = {name: from_uint8(split.images) for name, split in splits.items()}
    again = {name: model.decode(model.encode(of)) for name, of in images.items()}
    assert row["l1"] == pytest.approx(float((again["heldout"] - images["heldout"]).abs().mean()), rel=1e-5)
    codes = torch.from_numpy(encode_images(model, splits["train"].images))
    assert row["codes_in_use"] == len(codes.unique()) and row["samples"] == 10
    features = {name: extract(network, of) for name, of in again.items()}
    features["samples"] = extract(network, model.decode(sample_pairs(codes, 10, config.seed).codes))
    real = extract(network, splits["train"].images)[:10]
    for name, (reference, fake) in {"real": (real, "samples"), "own": (features["train"][:10], "samples"),
                                    "control_real": (real, "heldout")}.items():  # fmt: skip
        expected = frechet_distance(real=reference, fake=features[fake])
        assert row[name]["distance"] == pytest.approx(expected, rel=1e-3, abs=1e-9), name
    assert set(row["real"]) == {"distance", "precision", "recall", "density", "coverage"}
    assert np.isfinite([row[name][metric] for name in ("real", "own") for metric in row["real"]]).all()


def test_stored_rows_come_back_as_they_were(config, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "make_row", untrained_row)
    rows = run_recipes(config, [USUAL], seeds=[0, 1])
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "elsewhere"))
    others = [rows[0] | {"planned_steps": 9}, rows[0] | {"profile": "quick"}, rows[0] | {"name": "gone"},
              rows[1] | {"name": TOGETHER}, rows[1] | {"length": 2.0}]  # fmt: skip
    assert keep_recipes([*rows, *others], config) == 2
    monkeypatch.setattr(module, "make_row", lambda *_: pytest.fail("measured again"))
    assert run_recipes(config, [USUAL], seeds=[0, 1]) == rows
    assert keep_recipes(rows, config) == 0


def test_stored_rows_of_what_no_variant_is_any_more_are_dropped():
    def row(name, seed, found, **more):
        recipe = {"recipe": described(variants([name])[0].recipe), "length": 1.0}
        return {"name": name, "seed": seed, "found": found} | recipe | more

    earlier = row(TOGETHER, 1, "old", recipe=described(Recipe(rotation=True)))
    stored = [row("recombined", 1, "old"), row("recombined", 0, "old"), earlier, {"name": "gone", "seed": 0}]
    made = merge_recipes(stored, [row("recombined", 0, "new"), row(TOGETHER, 0, "new"), row(USUAL, 2, "new")])
    assert [(one["name"], one["seed"], one["found"]) for one in made] == [
        (USUAL, 2, "new"), ("recombined", 0, "new"), ("recombined", 1, "old"), (TOGETHER, 0, "new")]  # fmt: skip


def test_the_stored_rows_are_of_the_recipe_that_is_called_improved():
    """After new rows, `IMPROVED` and what was trained as "together" must be one."""
    for row in stored_recipes():
        if row["name"] == TOGETHER:
            assert row["recipe"] == described(improved()) and tuple(row["parts"]) == IMPROVED


def test_a_variant_of_several_parts_has_them_all():
    assert Variant("two", ("rotation trick", "recombined")).recipe == Recipe(rotation=True, recombined_weight=1.0)
