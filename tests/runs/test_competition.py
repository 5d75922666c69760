"""The study's runs: what they differ in, what is measured of them, and where the stored rows are."""

import itertools
import json
import math
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from stand_ins import Colours, make_split, stand_in

from pivq.config import load_config
from pivq.data import ImageDataset
from pivq.matching import match
from pivq.model import PIVQ
from pivq.profiles import DRAWN, PROFILES
from pivq.runs import competition, evaluation, recombination
from pivq.runs.competition import (
    COMMON,
    VARIATIONS,
    Variation,
    capacity,
    describe,
    effect_of_draw,
    measure,
    settings_of,
    stored_study,
    variance_shares,
)
from pivq.runs.models import models
from pivq.runs.recombination import READABLE
from pivq.runs.run import run_dir
from pivq.runs.training import train
from pivq.storage.writing import seal, write_json

# --- Settings ---------------------------------------------------------------------------------------------------------


def test_variations_cover_what_the_study_is_about():
    sizes = [(v.name, settings_of(v).model.num_codes, settings_of(v).model.codebook_size) for v in VARIATIONS]
    drawn = {(num_codes, size) for name, num_codes, size in sizes if name == "drawn"}
    assert drawn == {(32, 512), (64, 512), (64, 1024), (128, 512), (128, 2048), (256, 512), (512, 1024)}
    assert {num_codes for name, num_codes, _ in sizes if name == "learned"} == {32, 64, 128, 256, 512}
    seeds = [v.seed for v in VARIATIONS if v.name == "drawn" and settings_of(v).model.num_codes == 64]
    assert sorted(seeds) == [0, 0, 1, 2]
    assert all(v.quantizers == ("nearest", "matching") for v in VARIATIONS if "drawn" in v.name)


@pytest.mark.parametrize("profile", ["quick", "smoke"])
def test_no_two_runs_of_the_study_are_one_and_none_is_the_default_run_s(profile):
    folders = [run_dir(settings_of(v, profile), quantizer) for v in VARIATIONS for quantizer in v.quantizers]
    assert len(folders) == len({*folders})
    others = [run_dir(*job) for job in models(load_config(profile)).values()]
    assert not {*folders} & {*others}, "the study deletes its runs"


def test_runs_differ_from_the_profile_in_what_is_said_and_have_no_discriminator():
    for variation in VARIATIONS:
        config = settings_of(variation)
        usual = load_config("quick", variation.seed, **COMMON)
        changed = {name for name, value in config.settings.items() if value[0] != usual.settings[name][0]}
        assert changed <= {name.replace("__", ".") for name in variation.settings}, variation.name
        assert config.train.discriminator_from_step > config.train.steps
        tokens, spread = config.model.tokens, config.model.token_spread
        assert (spread == 1) != ("N(0" in variation.name) and (tokens == "drawn") == ("drawn" in variation.name)


def test_smoke_is_small_and_the_paper_s_own_profiles_have_no_study():
    assert max(settings_of(v, "smoke").train.steps for v in VARIATIONS) <= 120
    assert settings_of(VARIATIONS[0], "folder", data="faces").data == "faces"
    for profile in {*PROFILES} - {*DRAWN}:
        with pytest.raises(ValueError, match=f"the study is for the profiles quick, folder, smoke, got '{profile}'"):
            settings_of(VARIATIONS[0], profile)


# --- Measurements -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("used, most, num_codes", [(5, 2, 3), (4, 3, 3), (6, 1, 4), (3, 3, 5)])
def test_capacity_counts_what_can_be_listed(used, most, num_codes):
    listed = itertools.combinations_with_replacement(range(used), num_codes)
    multisets = sum(len({*codes}) <= most for codes in listed)
    sets = sum(1 for _ in itertools.combinations(range(used), num_codes))
    near, matched = (capacity(quantizer, used, most, num_codes) for quantizer in ("nearest", "matching"))
    assert near["bits_counted_once"] == pytest.approx(math.log2(multisets))
    assert near["bits_equation_2"] >= near["bits_counted_once"] - 1e-9
    if sets:
        assert near["bits_equation_4"] == matched["bits_counted_once"] == pytest.approx(math.log2(sets))
    else:
        assert near["bits_equation_4"] is None and matched["bits_counted_once"] is None


def test_variance_is_shared_out_among_tokens_and_images():
    generator = torch.Generator().manual_seed(0)
    token, image, both = (torch.randn(*shape, generator=generator) for shape in ((1, 40, 3), (60, 1, 3), (60, 40, 3)))
    shares = variance_shares(3 * token + 2 * image + both)
    assert shares["token"] == pytest.approx(9 / 14, abs=0.06) and shares["image"] == pytest.approx(4 / 14, abs=0.06)
    assert sum(shares.values()) == pytest.approx(1)
    assert variance_shares(token.expand(60, -1, -1))["token"] == pytest.approx(1)
    assert variance_shares(image.expand(-1, 40, -1))["image"] == pytest.approx(1)


@pytest.fixture
def images():
    return torch.randint(0, 256, (12, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


@pytest.mark.parametrize("tokens", ["learned", "drawn", "noisy"])
def test_only_tokens_that_are_drawn_change_codes_and_pictures(tiny_config, images, tokens):
    torch.manual_seed(0)
    model = PIVQ(tiny_config(model__tokens=tokens).model, "nearest").eval()
    found = effect_of_draw(model, images)
    assert (found["draw_codes"] == 1) == (found["draw_pixels"] == 0) == (tokens == "learned")
    assert 0 < found["draw_codes"] <= 1 and found["draw_pixels"] < 1
    distances = model.quantizer.distances(model.encode_latents(images / 255))
    agreement = float((match(distances) == distances.argmin(dim=2)).float().mean())
    assert found["agreement"] == pytest.approx(agreement)
    shares = variance_shares(model.encode_latents(images / 255))
    found = describe(model, images)
    assert {name: found[name] for name in shares} == pytest.approx(shares, abs=1e-6)


@pytest.fixture
def study(tiny_config, monkeypatch, tmp_path):
    """Put small settings and noise with attributes in place of a profile and its data; return a variation."""

    def load_split(config, name):
        split = make_split(config, name)
        rng = np.random.default_rng(len(split.ids))
        labels = pd.DataFrame(rng.integers(0, 2, (len(split.ids), 2)), columns=["odd", "even"])
        labels["rare"] = [1] + [0] * (len(labels) - 1)
        return ImageDataset(split.images, split.ids, "noise", name, attributes=labels, fingerprint=f"noise-{name}")

    def small_config(profile, seed=0, **settings):
        return tiny_config(seed=seed, **{name: value for name, value in settings.items() if "__" in name})

    stand_in(monkeypatch, tmp_path)
    for module in (competition, evaluation, recombination):
        if hasattr(module, "load_split"):
            monkeypatch.setattr(module, "load_split", load_split)
    monkeypatch.setattr(competition, "load_config", small_config)
    monkeypatch.setattr(competition, "measure_recombination", partial(recombination.measure_recombination, count=60))
    small = {"train__steps": 8, "train__quantize_from_step": 3, "train__train_images": 60, "train__heldout_images": 50,
             "model__num_codes": 4, "model__codebook_size": 12, "model__tokens": "drawn"}  # fmt: skip
    return Variation("drawn, small", small)


@pytest.mark.filterwarnings("ignore:.*balls are empty")
@pytest.mark.parametrize("quantizer", ["nearest", "matching"])
def test_a_row_has_what_was_measured_in_plain_values(study, quantizer):
    config = settings_of(study)
    run = train(config, quantizer)
    row = measure(study, run, Colours())
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert [row[name] for name in ("variation", "quantizer", "tokens", "L", "K", "steps", "seed")] == [
        "drawn, small", quantizer, "drawn", 4, 12, 8, 0,
    ]  # fmt: skip
    summary = run.summary
    assert [row[name] for name in ("psnr", "l1", "codes_in_use", "codes_per_image", "mean_codes_per_image")] == [
        summary["heldout_psnr"], summary["heldout_l1"], summary["codes_in_use"], summary["max_codes_per_image"],
        summary["mean_codes_per_image"],
    ]  # fmt: skip
    assert min(map(int, row["history"])) == config.train.quantize_from_step + 1
    assert all(0 < value <= 4 for value in row["history"].values())
    assert (quantizer == "nearest") or row["codes_per_image"] == 4
    assert {"samples", "reconstructions"} == row["against_reconstructions"].keys() == row["against_real"].keys()
    assert row["probe_scored"] == 2, "'rare' has too few"
    assert all((trait["false_alarms"] + trait["misses"]) / 2 <= READABLE for trait in row["traits"])
    assert (row["device"], row["torch"]) == ("CPU", torch.__version__.partition("+")[0])


@pytest.mark.filterwarnings("ignore:.*balls are empty")
def test_without_attributes_there_are_neither_traits_nor_probes(study, monkeypatch):
    monkeypatch.setattr(competition, "countable_attributes", lambda *splits: [])
    row = measure(study, train(settings_of(study), "nearest"), Colours())
    assert "traits" not in row and "probe_gain" not in row and "psnr" in row


# --- The stored rows --------------------------------------------------------------------------------------------------


def test_stored_rows_are_the_project_s_until_there_are_own_ones(monkeypatch, tmp_path):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    shipped = stored_study("smoke")
    assert shipped == stored_study() and {row["quantizer"] for row in shipped} == {"nearest", "matching"}
    names = {variation.name for variation in VARIATIONS}
    assert all(row["variation"] in names and row["device"] and row["torch"] for row in shipped)
    path = tmp_path / "figures" / "smoke" / "competition.json"
    write_json(path, seal({"rows": [{"variation": "own"}]}))
    assert stored_study("smoke") == [{"variation": "own"}] and stored_study("smoke", seed=1) == shipped
    write_json(path, seal({"rows": []}))
    with pytest.raises(ValueError, match="competition.json is damaged: it has no rows. Run notebook 09_when_codes"):
        stored_study("smoke")


def test_stored_rows_have_the_settings_of_the_variation_they_name():
    by_name = {}
    for variation in VARIATIONS:
        config = settings_of(variation)
        sizes = (config.model.num_codes, config.model.codebook_size, config.train.steps, config.seed)
        by_name[variation.name, *sizes] = (config.model.tokens, config.model.token_spread)
    for row in stored_study():
        key = tuple(row[name] for name in ("variation", "L", "K", "steps", "seed"))
        assert by_name[key] == (row["tokens"], row["token_spread"])
        bits = capacity(row["quantizer"], row["codes_in_use"], row["codes_per_image"], row["L"])
        assert {name: row[name] for name in bits} == pytest.approx(bits)
