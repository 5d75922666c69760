"""Every public function refuses what it cannot take, in words that name the argument."""

import inspect
import math
import os
import re
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_tiny_config

from pivq import capacity, codebook_init, inference, losses, matching, probing, processes, quantizers, sampling, usage
from pivq.config import load_config
from pivq.data import dataset, labels, load
from pivq.figures import tables
from pivq.metrics import frechet, neighbours, traits
from pivq.model import PIVQ
from pivq.pretrained import features, perceptual
from pivq.rivals import any_order, set_prior
from pivq.rivals.recipe import quantizers as recipe_quantizers
from pivq.rivals.recipe import settings as recipe_settings
from pivq.runs import planned, provenance, run, splits
from pivq.runs.beyond.recipe_training import train_recipe
from pivq.runs.budget import steps_within
from pivq.runs.cost import measure_cost
from pivq.runs.parallel import train_together
from pivq.runs.study import run_study
from pivq.runs.training import train
from pivq.runs.untrained import untrained_model
from pivq.trainer import Trainer

MODULES = [capacity, codebook_init, inference, losses, matching, probing, processes, quantizers, sampling, usage,
           dataset, labels, load, tables, frechet, neighbours, traits, features, perceptual, any_order,
           set_prior, recipe_quantizers, recipe_settings]  # fmt: skip
NAMED = {
    "name": "network",
    "ks": "k|ks",
    "run": "quantizer or stage",
}  # what messages call an argument, where it is not its name
# Called by the package alone, with what it has made or checked.
INTERNAL = {
    "any_order.hidden_bits", "any_order.log_next", "any_order.tightened", "set_prior.hide", "sampling.sample_uniforms",
    "settings.described", "settings.improved", "settings.together",
    "codebook_init.initialisation_steps", "frechet.as_features", "frechet.as_rows", "frechet.check_dimensions",
    "frechet.finite", "frechet.row_chunks", "labels.join_by_id", "labels.numbers_of", "labels.read_ffhq_attributes",
    "losses.adaptive_weight", "losses.discriminator_hinge", "losses.generator_hinge", "losses.training_loss",
    "matching.to_host", "processes.is_first", "processes.share_of_batch", "tables.typeset",
}  # fmt: skip

NAN, INF = math.nan, math.inf
OTHER = {"text": "abc", "None": None, "a list of text": ["a"], "a set": {1}, "a function": len}
SIZE, LENGTH, IMAGES = 9, 4, 6  # K, L, N
CODES = torch.stack([torch.randperm(SIZE, generator=torch.Generator().manual_seed(i))[:LENGTH] for i in range(IMAGES)])
LEVELS = torch.randint(0, 256, (IMAGES, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
FLOATS = LEVELS / 255
GROUPS, PARTNERS = torch.arange(SIZE) // 2, (torch.arange(IMAGES)[:, None] + torch.tensor([1, 2])) % IMAGES


def numbers(rows: int = IMAGES, columns: int = 3) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, columns))


def no_preference(given: torch.Tensor) -> torch.Tensor:
    """Predict every next code alike."""
    return torch.zeros(len(given), SIZE)


def codes_frame() -> pd.DataFrame:
    return pd.DataFrame({"hat": [1, 0] * (IMAGES // 2), "hair": [0, 0, 0, 1, 1, 1]})


def with_one(values: torch.Tensor, value: float) -> torch.Tensor:
    """Return a copy with another first number."""
    values = values.clone()
    values.view(-1)[0] = value
    return values


def held_nowhere(values: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return tensors of the right type and shape whose numbers are not in memory one by one."""
    return {"on the device meta": values.to("meta"), "sparse": values.to_sparse()}


TENSORS = OTHER | {"a number": 3, "no dimension": torch.tensor(1), "nested lists of text": [["a"]]}
WRONG = {
    "codes": TENSORS | held_nowhere(CODES) | {
        "floats": CODES.float(), "truth values": CODES > 3, "three dimensions": CODES[None], "no codes": CODES[:, :0],
        "negative": with_one(CODES, -1), "too large": with_one(CODES, 2**62), "NaN": [[NAN] * LENGTH],
        "rows of other lengths": [[1, 2], [3]],
    },
    "levels": TENSORS | held_nowhere(LEVELS) | {
        "floats": FLOATS, "whole numbers": LEVELS.int(), "truth values": LEVELS > 3, "one image": LEVELS[0],
        "channels last": LEVELS.permute(0, 2, 3, 1), "five dimensions": LEVELS[None],
        "an array": LEVELS.float().numpy(),
    },
    "floats": TENSORS | held_nowhere(FLOATS) | {
        "levels": LEVELS, "whole numbers": LEVELS.int(), "truth values": LEVELS > 3, "two dimensions": FLOATS[:, 0, 0],
        "NaN": with_one(FLOATS, NAN), "infinite": with_one(FLOATS, INF), "complex": FLOATS + 1j, "lists": [[0.5]],
        "five dimensions": FLOATS[None],
    },
    "numbers": TENSORS | held_nowhere(torch.ones(IMAGES, 3)) | {
        "one dimension": np.ones(3), "three dimensions": np.ones((2, 2, 2)), "no rows": np.ones((0, 3)),
        "no columns": np.ones((3, 0)), "NaN": np.full((IMAGES, 3), NAN), "infinite": np.full((IMAGES, 3), INF),
        "complex": np.ones((IMAGES, 3)) * 1j, "truth values": np.ones((IMAGES, 3)) > 0, "objects": np.array([[None]]),
    },
    "truths": TENSORS | {
        "floats": np.ones((IMAGES, 2)), "whole numbers": np.ones((IMAGES, 2), int), "one dimension": np.ones(2) > 0,
        "other columns": np.ones((IMAGES, 7)) > 0,
    },
    "frame": TENSORS | {"an array": np.ones((IMAGES, 2)), "lists": [[1, 0]], "a series": pd.Series([1.0])},
    "capacity": {name: value for name, value in OTHER.items() if name != "text"} | {
        "text": "3", "half": 2.5, "zero": 0, "too large to be counted": 10**12, "a truth value": True},
    "whole": {name: value for name, value in OTHER.items() if name != "text"} | {
        "text": "3", "half": 2.5, "NaN": NAN, "infinite": INF, "a truth value": True, "negative": -1, "a list": [3],
        "a tensor of several": torch.tensor([1, 2]),
    },
    "number": OTHER | {"NaN": NAN, "infinite": INF, "a list": [1.0]},
    "function": {"text": "abc", "None": None, "a number": 3},
    "name": {"unknown": "abc", "None": None, "a number": 3, "a list": ["a"], "empty": "", "a set": {1}},
    "generator": {"text": "abc", "a number": 3, "one of numpy": np.random.default_rng(0)},
    "model": {"text": "abc", "None": None, "a number": 3, "a function": len},
    "config": {"text": "quick", "None": None, "a number": 3, "settings by name": {"profile": "quick"}},
    "indices": TENSORS | {
        "floats": np.ones((IMAGES, 1)), "negative": np.full((IMAGES, 1), -1), "too large": np.full((IMAGES, 1), 99),
        "fewer rows": np.zeros((1, 1), int), "truth values": np.ones((IMAGES, 1)) > 0,
    },
}  # fmt: skip


def less(kind: str, *names: str) -> dict:
    """Return wrong values of a kind, without some that are right elsewhere."""
    return {name: value for name, value in WRONG[kind].items() if name not in names}


MAY_BE_TRUTHS = ("truth values",)  # 0 and 1 exactly
WRONG["numbers"] = less("numbers", *MAY_BE_TRUTHS)
WRONG |= {
    "latents": less("floats", "two dimensions") | held_nowhere(torch.ones(20, 3)) | {
        "three dimensions": torch.ones(1, 2, 3)},
    "distances": less("floats", "levels", "whole numbers", "truth values", "two dimensions") | {
        "one dimension": torch.ones(9), "fewer codes than latents": torch.rand(1, 9, 4),
        **held_nowhere(torch.rand(2, LENGTH, SIZE))},
    "functions": {"a number": 3, "a function": len, "text in a list": ["a"], "None": None},
    "labels": OTHER | {"a number": 3, "an array": np.ones(IMAGES), "a frame": codes_frame()},
    "ids": {"None": None, "a number": 3, "fewer": ["a"], "none": []},
    "a set": less("codes", "rows of other lengths") | held_nowhere(CODES[0]) | {"two dimensions": CODES},
    "a picture": less("floats", "NaN", "infinite", "complex") | held_nowhere(FLOATS[0]) | {"one row": torch.ones(3)},
    "any floats": less("floats", "two dimensions", "five dimensions", "complex"),
    "any levels": less("levels", "one image", "channels last", "five dimensions"),
    "pictures": TENSORS | held_nowhere(LEVELS) | {"floats of levels": LEVELS.float(), "whole numbers": LEVELS.int(),
                           "truth values": LEVELS > 3, "NaN": with_one(FLOATS, NAN), "none": LEVELS[:0]},
    "packed": TENSORS | {"floats": np.ones((2, 2)), "one dimension": np.zeros(2, np.uint8),
                         "int64": np.zeros((2, 2), int), "too few bytes": np.zeros((2, 1), np.uint8)},
    "a text": {"None": None, "a number": 3, "a list": ["a"], "a truth value": True},
    "device": {"unknown": "gpu", "capitals": "CPU", "empty": "", "a number": 3, "None": None, "a truth value": True,
               "no such card": "cuda:99", "computes nothing": "meta", "a list": ["cpu"], "text after it": "cuda:x"},
    "words": {"None": None, "a number": 3, "a list": ["a"]},
    "mapping": {"None": None, "a number": 3, "text": "abc", "a list": [1]},
    "several": {"None": None, "text": "abc", "a number": 3, "NaN": (NAN,), "none": (), "text in a list": ["a"],
                "negative": (-1,), "truth values": (True,)},
    "a mean": {"text": "abc", "None": None, "two dimensions": np.eye(2), "NaN": np.array([0, NAN]),
               "text in a list": ["a"], "complex": np.array([1j, 0]), "other length": np.zeros(3), "none": np.zeros(0)},
    "a covariance": {"text": "abc", "None": None, "one dimension": np.ones(2), "NaN": np.eye(2) * NAN,
                     "complex": np.eye(2) * 1j, "not symmetric": np.array([[1, 1], [0, 1]]), "negative": -np.eye(2),
                     "other length": np.eye(3)},
}  # fmt: skip


CONFIG = make_tiny_config(model__codebook_size=SIZE, model__num_codes=LENGTH)
MODEL = PIVQ(CONFIG.model).eval().requires_grad_(False)


class Network:
    """A stand-in of a feature network: the means of channels."""

    name, weights_digest, preprocessing, device = "stand-in", "0", "none", "cpu"

    def __call__(self, levels: torch.Tensor) -> torch.Tensor:
        return levels.float().mean(dim=(2, 3))


def good() -> dict:
    """Return arguments that each function takes; shared by name, changed by a call."""
    return {
        "codes": CODES, "codes_a": CODES, "codes_b": CODES.flip(0), "reference": CODES, "codebook_size": SIZE,
        "num_codes": LENGTH, "codes_in_use": SIZE, "codes_per_image": LENGTH, "images": LEVELS, "model": MODEL,
        "attributes": codes_frame(), "frame": codes_frame(), "decode": MODEL.decode, "network": Network(),
        "real": numbers(), "fake": numbers(), "fakes": {"fake": numbers()}, "k": 1, "ks": (1,), "seed": 0,
        "latents": torch.randn(20, 3), "folds": 2, "num_samples": 3, "config": CONFIG,
        "quantizer": "matching", "count": 3,
        "cache_dir": os.environ["PIVQ_ROOT"],
    }  # fmt: skip


# What each function is called with, beside `good`; and the kind of each argument, with the names of those of WRONG that
# it takes, for a reason.
SCORED = pd.DataFrame({"attribute": ["a", "b"], "accuracy": [0.9, 0.8], "baseline": [0.5, 0.5]})
CALLS = {
    capacity.matching_bits: ({}, {"codes_in_use": "capacity", "num_codes": "capacity"}),
    capacity.nearest_bits: ({}, {"codes_in_use": "capacity", "codes_per_image": "capacity", "num_codes": "capacity"}),
    capacity.exactly_distinct_bits: (
        {},
        {"codes_in_use": "capacity", "codes_per_image": "capacity", "num_codes": "capacity"},
    ),
    capacity.multiset_bits: ({}, {"codebook_size": "capacity", "num_codes": "capacity"}),
    capacity.positional_bits: ({}, {"codebook_size": "capacity", "num_codes": "capacity"}),
    codebook_init.fit_codebook: ({}, {"latents": "latents", "codebook_size": "whole", "seed": "whole"}),
    inference.latents_in_batches: (
        {},
        {"model": "model", "images": "levels", "batch_size": "whole, or None", "generator": "generator"},
    ),
    inference.encode_images: ({}, {"model": "model", "images": "levels", "batch_size": "whole, or None"}),
    inference.reconstruction_errors: (
        {"reconstruct": lambda x: x, "device": "cpu", "batch_size": 2},
        {"reconstruct": "function", "images": "levels", "batch_size": "whole", "more": "functions", "device": "device"},
    ),
    inference.decode_levels: ({}, {"model": "model", "codes": "codes"}),
    inference.decode_in_batches: ({}, {"decode": "function", "codes": "codes", "batch_size": "whole"}),
    inference.order_difference: (
        {},
        {"decode": "function", "codes": "codes", "batch_size": "whole", "generator": "generator"},
    ),
    inference.token_attention: ({"images": FLOATS}, {"model": "model", "images": "floats"}),
    losses.psnr: ({"images": FLOATS, "targets": FLOATS}, {"images": "floats", "targets": "floats"}),
    matching.match: ({"distances": torch.rand(2, LENGTH, SIZE)}, {"distances": "distances"}),
    matching.greedy: ({"distances": torch.rand(2, LENGTH, SIZE)}, {"distances": "distances"}),
    probing.probe: (
        {},
        {"codes": "codes", "attributes": "frame", "codebook_size": "whole", "folds": "whole", "seed": "whole"},
    ),
    probing.top_attributes: ({"frame": SCORED}, {"frame": "frame", "count": "whole"}),
    probing.correlate_codes: (
        {"labels": codes_frame()["hat"]},
        {"codes": "codes", "labels": "labels", "codebook_size": "whole"},
    ),
    probing.pixel_statistics: ({"ids": list("abcdef")}, {"images": "levels", "ids": "ids"}),
    processes.pick_device: ({"device": "cpu"}, {"device": "device"}),
    frechet.as_device: ({"device": "cpu"}, {"device": "device"}),
    quantizers.as_codes: ({"dimensions": 2}, {"codes": "codes", "codebook_size": "whole"}),
    quantizers.NearestQuantizer: (
        {"dim": 3},
        {"codebook_size": "whole", "dim": "whole", "num_codes": "whole, or None"},
    ),
    quantizers.MatchingQuantizer: (
        {"dim": 3},
        {"codebook_size": "whole", "dim": "whole", "num_codes": "whole, or None"},
    ),
    sampling.interpolate: (
        {"groups": GROUPS},
        {"codes_a": "codes", "codes_b": "codes", "generator": "generator", "groups": "a set, or None"},
    ),
    sampling.sample_pairs: (
        {"groups": GROUPS, "partners": PARTNERS},
        {"codes": "codes", "num_samples": "whole", "seed": "whole", "groups": "a set, or None",
         "partners": "codes, or None"},
    ),
    sampling.sample_batches: (
        {"start": 0},
        {"codes": "codes", "num_samples": "whole", "seed": "whole", "start": "whole", "batch_size": "whole, or None"},
    ),
    sampling.smooth_path: (
        {"codes_a": CODES[0], "codes_b": CODES[1]},
        {"codes_a": "a set", "codes_b": "a set", "generator": "generator"},
    ),
    sampling.exchange_slots: ({}, {"codes_a": "codes", "codes_b": "codes", "generator": "generator"}),
    sampling.path_smoothness: ({"images": FLOATS}, {"images": "floats"}),
    sampling.cross_fade: (
        {"first": FLOATS[0], "last": FLOATS[1]},
        {"first": "a picture", "last": "a picture", "count": "whole"},
    ),
    recipe_quantizers.rotate: (
        {"latents": FLOATS, "codes": FLOATS},
        {"latents": "any floats", "codes": "any floats"},
    ),
    recipe_quantizers.gaussian_distance: (
        {"codebook": torch.randn(9, 3)},
        {"latents": "latents", "codebook": "latents"},
    ),
    recipe_quantizers.effective_dimension: ({"rows": torch.randn(20, 3)}, {"rows": "latents", "share": "number"}),
    recipe_settings.as_recipe: ({"recipe": "improved"}, {"recipe": "name"}),
    any_order.as_sets: ({}, {"codes": "codes", "codebook_size": "whole"}),
    any_order.set_bits: (
        {"predict": no_preference},
        {"predict": "function", "codes": "codes", "codebook_size": "whole", "orders": "whole", "seed": "whole",
         "batch_size": "whole"},
    ),
    any_order.leave_one_out_bits: (
        {"predict": no_preference},
        {"predict": "function", "codes": "codes", "codebook_size": "whole", "batch_size": "whole"},
    ),
    any_order.at_temperature: (
        {"predict": no_preference, "temperature": 0.9},
        {"predict": "function", "temperature": "number"},
    ),
    any_order.draw_sets: (
        {"predict": no_preference},
        {"predict": "function", "count": "whole", "num_codes": "whole", "codebook_size": "whole", "seed": "whole",
         "passes": "whole, or None", "given": "codes, or None", "batch_size": "whole"},
    ),
    set_prior.frequencies: ({}, {"codes": "codes", "codebook_size": "whole"}),
    set_prior.train_set_prior: (
        {"settings": set_prior.PriorSettings(dim=4, heads=1, steps=1), "progress": False},
        {"codes": "codes", "codebook_size": "whole", "seed": "whole"},
    ),
    usage.code_usage: ({}, {"codes": "codes", "codebook_size": "whole"}),
    usage.slot_usage: ({}, {"codes": "codes", "codebook_size": "whole"}),
    usage.presence: ({}, {"codes": "codes", "codebook_size": "whole"}),
    usage.best_overlap: (
        {},
        {"codes": "codes", "reference": "codes", "codebook_size": "whole", "excluded": "indices, or None"},
    ),
    usage.near_images: ({}, {"codes": "codes", "codebook_size": "whole", "count": "whole"}),
    usage.exchange_groups: (
        {},
        {"codes": "codes", "codebook_size": "whole", "num_groups": "whole, or None", "starts": "whole"},
    ),
    usage.pack_codes: ({}, {"codes": "codes", "codebook_size": "whole"}),
    usage.unpack_codes: (
        {"packed": usage.pack_codes(CODES, SIZE)},
        {"packed": "packed", "num_codes": "whole", "codebook_size": "whole"},
    ),
    dataset.to_uint8: ({"images": FLOATS}, {"images": "any floats"}),
    dataset.from_uint8: ({}, {"images": "any levels"}),
    dataset.ImageDataset: (
        {"ids": list("abcdef"), "attributes": None, "name": "a", "split": "b", "fingerprint": "c"},
        {"images": "levels", "ids": "ids"},
    ),
    labels.label_counts: ({}, {"attributes": "frame"}),
    load.load_dataset: (
        {"name_or_dir": "avatars", "split": "train", "image_size": 8, "limit": 1},
        {
            "split": "name",
            "image_size": "whole",
            "limit": "whole, or None",
            "layout": "name, or None",
            "on_error": "name",
        },
    ),
    tables.to_markdown: ({}, {"frame": "frame"}),
    tables.escape: ({"text": "a"}, {"text": "words"}),
    tables.styled: ({}, {"frame": "frame"}),
    tables.facts_table: ({"facts": {"seed": 0}}, {"facts": "mapping"}),
    tables.format_column: ({"column": codes_frame()["hat"]}, {"column": "labels"}),
    frechet.Moments: ({}, {}),
    frechet.frechet_distance: ({}, {"real": "numbers", "fake": "numbers"}),
    frechet.frechet_from_moments: (
        {"mu_a": np.zeros(2), "cov_a": np.eye(2), "mu_b": np.ones(2), "cov_b": np.eye(2)},
        {"mu_a": "a mean", "mu_b": "a mean", "cov_a": "a covariance", "cov_b": "a covariance"},
    ),
    neighbours.prdc: (
        {},
        {"real": "numbers", "fake": "numbers", "k": "whole", "block_size": "whole", "device": "device"},
    ),
    neighbours.prdc_for_all: (
        {},
        {"real": "numbers", "fakes": "mapping", "ks": "several", "block_size": "whole", "device": "device"},
    ),
    neighbours.nearest_real: ({}, {"real": "numbers", "fake": "numbers", "k": "whole", "excluded": "indices, or None"}),
    traits.TraitClassifier: (
        {"features": numbers(40), "attributes": pd.DataFrame({"hat": [0, 1] * 20})},
        {"features": "numbers", "attributes": "frame"},
    ),
    traits.count_traits: (
        {
            "samples": np.ones((2, 2)) > 0,
            "parents": np.array([[0, 1], [2, 3]]),
            "shown": np.ones((IMAGES, 2)) > 0,
            "labels": np.ones((IMAGES, 2)) > 0,
        },
        {"samples": "truths", "parents": "indices", "shown": "truths", "labels": "truths"},
    ),
    features.load_feature_network: ({"name": "efficientnet_lite0"}, {"name": "name", "device": "device"}),
    features.images_digest: ({}, {"images": "pictures"}),
    features.cached_features: ({"progress": False}, {"images": "pictures", "batch_size": "whole"}),
    features.extract: ({"progress": False}, {"network": "function", "images": "pictures", "batch_size": "whole"}),
    load_config: (
        {"profile": "smoke"},
        {
            "profile": "name",
            "seed": "whole",
            "data": "a text",
            "features": "name, or empty",
            "layout": "name, or empty",
            "on_error": "name",
            "steps": "whole",
        },
    ),
    provenance.seed_everything: ({}, {"seed": "whole"}),
    planned.run_dir: ({"run": "trunk"}, {"config": "config", "run": "name"}),
    run.find_run: ({}, {"config": "config", "quantizer": "name"}),
    splits.load_split: ({"split": "train"}, {"config": "config", "split": "name"}),
    perceptual.load_perceptual: ({"name": "efficientnet_lite0"}, {"name": "name"}),
}
CALLS |= {
    MODEL.encode: ({"images": FLOATS}, {"images": "floats"}),
    MODEL.decode: ({}, {"codes": "codes"}),
}


def name_of(function) -> str:
    return f"{function.__module__.rpartition('.')[2]}.{function.__qualname__.rpartition('.')[2]}"


def call(function, given: dict):
    """Call a function with what it takes of `given`, to the end of what it yields."""
    found = function(**{name: given[name] for name in inspect.signature(function).parameters if name in given})
    return list(found) if isinstance(found, Iterator) else found


def trials() -> Iterator:
    """Yield a function, its arguments, the name of one of these, and wrong values for that by what they are."""
    for function, (own, kinds) in CALLS.items():
        for argument, kind in kinds.items():
            kind, _, also = kind.partition(", or ")
            wrong = less(kind, also)
            yield pytest.param(function, own, argument, wrong, id=f"{name_of(function)}-{argument}")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))


def test_every_public_function_is_called_here():
    public = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in MODULES
        for name, found in vars(module).items()
        if inspect.isfunction(found) and found.__module__ == module.__name__ and name[0] != "_"
    }
    called = {name_of(function) for function in CALLS}
    assert public - called - INTERNAL == set()
    assert INTERNAL <= public


@pytest.mark.parametrize("function", CALLS, ids=name_of)
def test_the_right_arguments_are_taken(function):
    call(function, good() | CALLS[function][0])


@pytest.mark.parametrize(("function", "own", "argument", "wrong"), list(trials()))
def test_wrong_arguments_are_refused_by_name(function, own, argument, wrong):
    said = {}
    for label, value in wrong.items():
        try:
            said[label] = f"taken: {call(function, good() | own | {argument: value})!r:.80}"
        except (TypeError, ValueError) as error:
            if not re.search(rf"\b{NAMED.get(argument, argument)}\b", str(error)):
                said[label] = f"not named: {error}"
        except Exception as error:
            said[label] = f"{type(error).__name__}: {error}"
    assert said == {}


# Whatever else takes a device; the device is refused before anything is read.
DEVICES = {
    "PIVQ.from_pretrained": lambda device: PIVQ.from_pretrained("nowhere", device),
    "Processes": lambda device: processes.Processes(device, 4),
    "Trainer": lambda device: Trainer(CONFIG, "matching", LEVELS, None, device),
    "untrained_model": lambda device: untrained_model(CONFIG, LEVELS, device=device),
    "train": lambda device: train(CONFIG, "matching", device),
    "train_recipe": lambda device: train_recipe(CONFIG, "improved", device),
    "train_together": lambda device: train_together([(CONFIG, "matching")], device),
    "measure_cost": lambda device: measure_cost(CONFIG, device=device),
    "steps_within": lambda device: steps_within(CONFIG, "1h", device),
    "run_study": lambda device: run_study(load_config("smoke"), device),
}


@pytest.mark.parametrize("entrance", DEVICES)
def test_a_device_that_is_none_is_refused_everywhere(entrance):
    said = {}
    for label, device in WRONG["device"].items():
        with pytest.raises((TypeError, ValueError)) as refused:
            DEVICES[entrance](device)
        if "device" not in str(refused.value) or not re.search("auto, cpu or cuda|finds", str(refused.value)):
            said[label] = str(refused.value)
    assert said == {}
