"""The profiles' values: complete, each with its source, and what a source is named for is what it says."""

import dataclasses

import pytest
from stand_ins import load_profile

from pivq.data import load
from pivq.pretrained import perceptual
from pivq.profiles import DATASETS, PERCEPTUAL_NETWORKS, PROFILES, Range

PROFILE_NAMES = list(PROFILES)


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_every_setting_has_a_value_and_a_source(profile):
    config = load_profile(profile)
    settings = {"dataset"}
    for part in ("model", "train", "evaluation"):
        settings |= {f"{part}.{field.name}" for field in dataclasses.fields(getattr(config, part))}
    assert set(config.sources) == settings
    assert set(config.sources.values()) <= {"paper", "base code", "assumption"}


# What the paper gives, and what its base code gives, for 64×64 and for 256×256 images.
PAPER_64 = {
    "dataset": "celeba", "model.image_size": 64, "model.dim": 128, "model.feedforward": 512, "model.num_codes": 32,
    "model.codebook_size": 512, "model.transformer_layers": 4, "train.batch_size": 16, "train.ema_decay": 0.995,
    "evaluation.samples": 50_000, "evaluation.features": "inception", "evaluation.probe_folds": 5,
    "model.tokens": "learned", "train.discriminator_augmentation": True,
}  # fmt: skip
PAPER_256 = PAPER_64 | {
    "dataset": "ffhq", "model.image_size": 256, "model.dim": 256, "model.feedforward": 1024, "model.num_codes": 512,
    "model.codebook_size": 4096, "train.batch_size": 4,
}  # fmt: skip
BASE_64 = {
    "model.patch_size": 1, "model.residual_blocks": 2, "train.muon_learning_rate": 0.0,
    "train.learning_rate": 7.2e-5, "train.adam_betas": (0.9, 0.999), "train.weight_decay": 0.0,
    "train.gradient_clip": 0.0, "train.warmup_steps": 0, "train.decay_from": 1.0, "train.ema_every": 10,
    "train.reconstruction_weight": 1.0, "train.perceptual_network": "lpips_vgg", "train.perceptual_weight": 1.0,
    "train.codebook_weight": 0.25, "train.commitment_weight": 1.0, "train.adversarial_limit": 1.0,
    "train.discriminator_width": 64, "train.discriminator_layers": 3, "train.discriminator_from_step": 30_000,
    "train.discriminator_learning_rate": 7.2e-5, "train.discriminator_betas": (0.9, 0.999),
    "evaluation.reference": "all",
}  # fmt: skip
BASE_256 = BASE_64 | {
    "model.channel_multipliers": (1, 1, 2, 2, 4), "model.width": 128, "model.attention_sizes": (16,),
    "train.learning_rate": 1.8e-5,
    "train.discriminator_learning_rate": 1.8e-5, "train.steps": 1_400_000,
}  # fmt: skip
CELEBAHQ = {"dataset": "celebahq", "evaluation.samples": 30_000}
GIVEN = {
    "quick": (PAPER_64, BASE_64), "smoke": (PAPER_64, BASE_64), "folder": (PAPER_64, BASE_64),
    "celeba64_short": (PAPER_64, BASE_64), "celeba64": (PAPER_64, BASE_64),
    "ffhq256": (PAPER_256, BASE_256), "celebahq256": (PAPER_256 | CELEBAHQ, BASE_256),
}  # fmt: skip


def value_of(config, name):
    for part in name.split("."):
        config = getattr(config, part)
    return config


@pytest.mark.parametrize("profile", PROFILE_NAMES)
def test_a_source_is_named_only_for_the_value_it_gives(profile):
    config = load_profile(profile)
    paper, base = GIVEN[profile]
    for name, source in config.sources.items():
        if source != "assumption":
            assert value_of(config, name) == pytest.approx({"paper": paper, "base code": base}[source][name]), name
    assert {"paper", "base code", "assumption"} == set(config.sources.values())


@pytest.mark.parametrize("profile", ["celeba64", "celebahq256", "ffhq256"])
def test_the_papers_profiles_have_all_that_is_given(profile):
    config = load_profile(profile)
    paper, base = GIVEN[profile]
    for name, value in (base | paper).items():
        if not (profile == "celebahq256" and name == "train.steps"):  # the base code says it of FFHQ
            assert value_of(config, name) == pytest.approx(value), name


def test_the_short_profile_keeps_the_papers_method():
    """What it changes is the width, the length, and the optimisation that so few steps need."""
    short, whole = load_profile("celeba64_short"), load_profile("celeba64")
    changed = {name for name, value in short.settings.items() if value[0] != whole.settings[name][0]}
    assert changed == {
        "model.width", "model.query_key_gain", "train.steps", "train.learning_rate", "train.adam_betas",
        "train.gradient_clip", "train.warmup_steps", "train.decay_from", "train.quantize_from_step",
        "train.history_steps", "train.discriminator_from_step", "train.adversarial_from_step",
        "train.discriminator_learning_rate", "evaluation.validate_every", "evaluation.checkpoint_every",
    }  # fmt: skip


def test_names_are_those_that_can_be_loaded():
    assert {*DATASETS} == {*load.DATASETS, "folder"}
    assert PERCEPTUAL_NETWORKS == list(perceptual.PERCEPTUAL_NETWORKS)


def test_a_range_holds_its_bounds_unless_they_are_open():
    whole, open_range = Range(int, 0, 3), Range(float, 0, 1, open="least")
    assert [value for value in (-1, 0, 3, 4) if whole.holds(value)] == [0, 3]
    assert [value for value in (0, 1e-9, 1, 1.0, 1.1) if open_range.holds(value)] == [1e-9, 1, 1.0]
    assert str(whole) == "a whole number from 0 to 3" and str(open_range) == "a number above 0 to 1"
    assert Range(int, 1, 9, length=(0, 2)).holds(()) and not Range(int, 1, 9, length=(0, 2)).holds((1, 2, 3))
