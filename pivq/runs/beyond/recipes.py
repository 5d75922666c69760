"""Which changes of the training help? One at a time, then together: rows, trained, measured and kept one by one.

All are the learned-tokens matching model of a profile, trained half as long as the profile says, as the ablations of
notebook 03 are (`pivq.runs.ablations.half_as_long`). `benchmarks/complete_recipes.py` makes the rows, notebook 16 shows
them, and `pivq.runs.beyond.recipe_findings` says what they bear.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from pivq.config import Config, load_config
from pivq.data import ImageDataset
from pivq.inference import BATCH, decode_levels, encode_images, reconstruction_errors
from pivq.model import PIVQ
from pivq.pretrained.features import FeatureNet, extract, load_feature_network
from pivq.processes import pick_device
from pivq.rivals.recipe.quantizers import effective_dimension
from pivq.rivals.recipe.settings import CHANGES, IMPROVED, Recipe, described, together
from pivq.runs.ablations import half_as_long
from pivq.runs.beyond.recipe_training import recipe_dir, steps_left, train_recipe
from pivq.runs.beyond.rivalry import measure_samples
from pivq.runs.evaluation import image_features
from pivq.runs.rows import Job, Row, keep_stored, lines_named, merged, rows_folder, run_missing, stored_rows
from pivq.runs.splits import load_splits
from pivq.sampling import sample_pairs
from pivq.usage import code_usage

SEEDS = (0, 1, 2)
USUAL, LONGER, TOGETHER = "as trained", "as trained, longer", "together"
LENGTH = 1.5  # of `LONGER`, as a factor on the steps: more seconds than the slowest recipe needs; source: assumption
MINUTES_PER_SEED = 120  # of one CPU core, all variants, profile `quick`; an estimate from some steps of each


class Variant(NamedTuple):
    """A line of the comparison.

    Attributes:
        name: as in tables.
        parts: names of `pivq.rivals.recipe.settings.CHANGES` that it has together.
        length: factor on the steps, with the schedule in proportion.
    """

    name: str
    parts: tuple[str, ...]
    length: float = 1.0

    @property
    def recipe(self) -> Recipe:
        """Return the changes together."""
        return together(self.parts)


VARIANTS = [
    Variant(USUAL, ()),
    Variant(LONGER, (), LENGTH),  # the control for a recipe whose steps take longer
    *[Variant(name, (name,)) for name in CHANGES if name != USUAL],
    Variant(TOGETHER, IMPROVED),
]


def variants(names: Iterable[str] = ()) -> list[Variant]:
    """Return the variants of these names, or all of them.

    Raises:
        ValueError: an unknown name.
    """
    return lines_named(names, VARIANTS, "variant")


def settings_of(config: Config, variant: Variant) -> Config:
    """Return a profile's settings, of any seed, for a variant: half as long, times its length."""
    if variant.length != 1:
        config = load_config(
            config.profile, config.seed, config.data, config.evaluation.features, layout=config.layout,
            on_error=config.on_error, steps=round(variant.length * config.train.steps),
        )  # fmt: skip
    return replace(config, train=replace(config.train, **half_as_long(config)))


def row_file(config: Config, variant: Variant, anew: bool = False) -> Path:
    """Return the file of a row; `config` is a profile's, with the row's seed; for `anew` see `run_recipes`."""
    folder = recipe_dir(settings_of(config, variant), variant.recipe)
    return folder.parent / rows_folder(anew) / f"{folder.name}.json"


def run_recipes(
    config: Config, names: Sequence[str] = (), seeds: Sequence[int] = SEEDS, device: str = "auto", anew: bool = False
) -> list[dict[str, Any]]:
    """Train and measure what is missing, and return the rows of all variants and seeds that were asked for.

    A row is written as soon as it is measured. A stop loses no more than the steps since the last checkpoint.

    Args:
        config: a profile's; the seed is replaced.
        names: of variants; none are all.
        seeds: of the trainings.
        device: "auto", "cpu", "cuda", …
        anew: leave rows aside that come with the project or that `benchmarks/` made; those of an earlier call with
            `anew` are taken over, and so are trainings.

    Raises:
        ValueError: see `variants`.

    Warns:
        UserWarning: a kept row is damaged, and measured again; see also `train_recipe`.
    """
    plan = {}
    for seed in seeds:
        own = replace(config, seed=seed)
        plan |= {row_file(own, variant, anew): (own, variant) for variant in variants(names)}

    def left(jobs: Iterable[Job[Variant]]) -> int:
        return sum(steps_left(settings_of(own, variant), variant.recipe) for own, variant in jobs)

    def make(own: Config, variant: Variant, bar: tqdm) -> Row:
        return make_row(own, variant, device, bar)

    return run_missing(plan, "recipes", left, make)


def make_row(config: Config, variant: Variant, device: str = "auto", bar: tqdm | None = None) -> dict[str, Any]:
    """Train a variant, or load it, and return its row: what it is, how it was trained, what is measured of it."""
    own = settings_of(config, variant)
    model, facts = train_recipe(own, variant.recipe, device, bar)
    splits, network = load_splits(own), load_feature_network(own.evaluation.features, pick_device(device))
    row = {"name": variant.name, "parts": list(variant.parts), "length": variant.length}
    row |= {"seed": own.seed, "profile": own.profile}
    row |= {"planned_steps": config.train.steps, "K": own.model.codebook_size, "L": own.model.num_codes}
    row |= {"batch_size": own.train.batch_size} | facts | {"distance_name": network.distance_name}
    return row | measured(model, own, network, splits)


def measured(model: PIVQ, config: Config, network: FeatureNet, splits: dict[str, ImageDataset]) -> dict[str, Any]:
    """Measure a trained model with matching codes; plain types.

    * `l1`, `psnr`: of reconstructions of held-out images.
    * `codes_in_use`, by the training images; `effective_dimension` of the codebook (arXiv:2605.06870).
    * `real`, `own`: the five metrics of samples of Algorithm 1 against real training images and against the model's
      reconstructions of them, as many on both sides; `control_real`, `control_own`: of its reconstructions of held-out
      images, against the same.
    """
    device, seed, heldout = network.device, config.seed, splits["heldout"]
    model = model.to(device)
    l1, psnr = reconstruction_errors(lambda images: model.decode(model.encode(images)), heldout.images, BATCH, device)
    codes = {name: torch.from_numpy(encode_images(model, split.images)) for name, split in splits.items()}
    count = min(config.evaluation.samples, len(heldout.images))
    made = {"samples": sample_pairs(codes["train"], count, seed).codes, "train": codes["train"][:count],
            "heldout": codes["heldout"][:count]}  # fmt: skip
    shown = {name: extract(network, decode_levels(model, rows), progress=False) for name, rows in made.items()}
    real = image_features(splits["train"], network, config.profile)
    used = code_usage(codes["train"].numpy(), config.model.codebook_size).codes_in_use
    row = {"l1": l1, "psnr": psnr, "codes_in_use": int(used)}
    row["effective_dimension"] = effective_dimension(model.quantizer.codebook)
    row |= measure_samples(real[:count], shown, device)
    return row | {"samples": count, "device": str(device), "torch": torch.__version__.partition("+")[0]}


def is_trained(config: Config, variant: Variant) -> bool:
    """Say whether a variant is trained to its end, so that opening it takes seconds; `config` is a profile's."""
    return steps_left(settings_of(config, variant), variant.recipe) <= 0


def samples_of(config: Config, variant: Variant, count: int, device: str = "auto") -> torch.Tensor:
    """Return images `(count, 3, H, W)` uint8 of samples of Algorithm 1 from a trained variant."""
    model = train_recipe(settings_of(config, variant), variant.recipe, device).model
    codes = torch.from_numpy(encode_images(model, load_splits(config)["train"].images))
    return torch.cat(list(decode_levels(model, sample_pairs(codes, count, config.seed).codes)))


# --- Stored rows ------------------------------------------------------------------------------------------------------


def stored_recipes(profile: str = "quick") -> list[dict[str, Any]]:
    """Return the stored rows, see `pivq.runs.rows.stored_rows`."""
    return stored_rows("recipes", profile, "complete_recipes.py")


def keep_recipes(rows: Sequence[dict[str, Any]], config: Config) -> int:
    """Write stored rows of this profile's settings to where `run_recipes` looks for them; return how many were written.

    Files that are there stay. Rows of another recipe under the same name, such as of an earlier "together", are left
    out.
    """

    def file_of(row: Row) -> Path | None:
        of = [one for one in VARIANTS if _is_of(row, one)]
        same = row["profile"] == config.profile and row["planned_steps"] == config.train.steps
        return row_file(replace(config, seed=row["seed"]), of[0]) if of and same else None

    return keep_stored(rows, file_of)


def merge_recipes(stored: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Return stored and new rows, see `pivq.runs.rows.merged`.

    Stored rows of what no variant is any more, such as of an earlier "together", are dropped.
    """
    return merged([row for row in stored if any(_is_of(row, one) for one in VARIANTS)], new, VARIANTS)


def _is_of(row: dict[str, Any], variant: Variant) -> bool:
    """Say whether a row is of this variant as it is now."""
    now = variant.name, described(variant.recipe), variant.length
    return (row.get("name"), row.get("recipe"), row.get("length")) == now
