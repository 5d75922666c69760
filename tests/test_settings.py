"""The parts of an experiment's settings: ranges, contradictions, the size of a model."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from pivq.config import load_config
from pivq.data import to_uint8
from pivq.model import PIVQ
from pivq.profiles import PROFILES, RANGES
from pivq.quantizers import as_codes
from pivq.settings import EvaluationConfig, ModelConfig, TrainConfig, check_dense, check_path
from pivq.usage import code_usage

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("name", [name for name in RANGES if "." in name])
def test_each_setting_has_its_range_and_is_told_with_name_value_and_range(name):
    allowed, usual = RANGES[name], PROFILES["smoke"][name][0]
    beyond = [allowed.least - 1, allowed.most + 1, NAN, INF, -INF, 10**400, "1", None, True, [3], {}, 1j]
    beyond += {"least": [allowed.least], "most": [allowed.most], "": []}[allowed.open]
    if allowed.kind is int:
        beyond += [1.5, float(allowed.least)]
    if allowed.length:
        beyond = [(*usual[:-1], value) for value in beyond if value not in ([3], {})] + [(1,) * 11, 3, "3", None]
    if allowed.kind is str:
        beyond = ["vgg", "", 3, None, True, ("inception",)]
    if allowed.kind is bool:
        beyond = [0, 1, "yes", None]
    for value in beyond:
        with pytest.raises(ValueError, match=rf"^(unknown )?{name} .*") as error:
            load_config("smoke", **{name.replace(".", "__"): value})
        assert str(allowed) in str(error.value) or "known: " in str(error.value)
        assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 250


def test_ranges_are_those_of_all_settings_and_in_words():
    parts = {"model": ModelConfig, "train": TrainConfig, "evaluation": EvaluationConfig}
    names = {f"{part}.{field.name}" for part, kind in parts.items() for field in dataclasses.fields(kind)}
    assert names | {"dataset", "profile", "seed"} == set(RANGES)
    with pytest.raises(ValueError, match="^train.ema_decay must be a number from 0 to below 1, got 1.5$"):
        load_config("quick", train__ema_decay=1.5)
    with pytest.raises(ValueError, match="^train.adam_betas must be 2 numbers from 0 to below 1, got .0.9,.$"):
        load_config("quick", train__adam_betas=(0.9,))
    with pytest.raises(ValueError, match="^unknown evaluation.features 'inceptoin'; did you mean inception.$"):
        load_config("quick", features="inceptoin")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"train__discriminator_layers": 5}, "discriminator_layers must be at most 4 for image_size 64, .* got 5"),
        ({"train__batch_size": 65, "train__train_images": 64}, "batch_size 65 must be at most train_images 64"),
        ({"evaluation__prdc_k": (3, 200)}, "prdc_k 200 must be less than samples 200"),
        ({"evaluation__prdc_k": (480,), "evaluation__samples": 999}, "prdc_k 480 must be less than train_images 480"),
        ({"evaluation__prdc_k": (3, 3)}, r"prdc_k must be different numbers of neighbours, got \(3, 3\)"),
        ({"evaluation__prdc_k": (5, 3, 5)}, "prdc_k must be different"),
        ({"train__warmup_steps": 41}, "warmup_steps must be from 0 to steps, 40, got 41: the peak"),
        ({"train__warmup_steps": 10**9}, "warmup_steps must be from 0 to steps, 40, got 1000000000"),
        ({"model__attention_sizes": (5,)}, r"among the feature-map sizes \[16, 8\], got \(5,\)"),
        ({"model__width": 4096, "model__channel_multipliers": (64, 64)}, "about [0-9,]+ weights, more than 2,000,0"),
        ({"model__codebook_size": 1_000_000, "model__dim": 16_384, "model__heads": 1}, "about 18,[0-9,]+ weights"),
        ({"seed": True}, "seed must be a whole number from 0 to 4294967295, got True"),
        ({"seed": "1"}, "seed must be .* got '1'"),
        ({"data": 5}, "data must be the name of a folder, got 5"),
        ({"data": "a\0b"}, r"data must be the name of a folder, got 'a\\x00b'"),
        ({"dataset": "celebA"}, "unknown dataset 'celebA'; did you mean celeba"),
        ({"model__image_size": "9" * 5000}, r"image_size must be .* got '9+\.\.\.$"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        load_config("smoke", **settings)


def test_the_peak_may_be_reached_in_the_last_step():
    assert load_config("smoke", train__warmup_steps=40).train.warmup_steps == 40


@pytest.mark.parametrize("value", [None, 3, b"x", [], {"a"}])
def test_a_path_that_is_none_is_refused_by_name(value):
    with pytest.raises(TypeError, match="^folder must be text or a path, got "):
        check_path("folder", value)


@pytest.mark.parametrize("value", ["", "  ", "a\0b"])
def test_a_path_without_a_name_is_refused_by_name(value):
    with pytest.raises(ValueError, match="^folder must name a file or folder, got "):
        check_path("folder", value)


@pytest.mark.parametrize("kind", ["meta", "sparse_coo", "sparse_csr", "nested"])
def test_tensors_without_numbers_in_memory_are_refused_by_name(kind):
    values = torch.eye(3)
    made = {"meta": values.to("meta"), "sparse_coo": values.to_sparse(), "sparse_csr": values.to_sparse_csr(),
            "nested": torch.nested.nested_tensor([values, values])}  # fmt: skip
    with pytest.raises(ValueError, match=f"^codes must be a dense tensor that holds its numbers, got .*{kind}"):
        check_dense("codes", made[kind])
    check_dense("codes", values), check_dense("codes", values.numpy()), check_dense("codes", [1])


@pytest.mark.parametrize("use", [as_codes, lambda array: code_usage(array, 9), lambda array: to_uint8(array / 9.0)])
def test_arrays_with_masked_numbers_are_refused_by_name(use):
    """What lies behind the mask was counted."""
    numbers = np.ma.array([[1, 2], [3, 4]], mask=[[False, True], [False, False]])
    with pytest.raises(ValueError, match="(codes|images) must not have masked numbers, got 1: leave these out"):
        use(numbers)
    assert str(use(np.ma.array([[1, 2]]))) == str(use(np.array([[1, 2]]))), "none is masked"


def test_paths_of_any_kind_are_taken():
    assert check_path("folder", Path("a") / "b") == check_path("folder", "a/b") == "a/b"


def test_weights_are_about_those_of_the_model():
    for profile in ("quick", "smoke", "ffhq256"):
        sizes = load_config(profile).model
        with torch.device("meta"):
            weights = sum(parameter.numel() for parameter in PIVQ(sizes).parameters())
        assert 0.4 < sizes.weights / weights < 1.5
