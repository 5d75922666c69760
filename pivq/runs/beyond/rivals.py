"""The comparison with the rivals: who takes part, and rows that are trained, measured and kept one by one."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from pivq.config import Config
from pivq.pretrained.features import FeatureNet, load_feature_network
from pivq.processes import pick_device
from pivq.rivals.any_order import draw_sets
from pivq.rivals.ours import Ours
from pivq.rivals.rival import Rival
from pivq.rivals.set_prior import PriorSettings
from pivq.rivals.training import prior_settings
from pivq.runs.beyond.rival_training import count_weights, rival_dir, settings_for_minutes, steps_left, train_rival
from pivq.runs.beyond.rivalry import measure
from pivq.runs.beyond.samplers import ALGORITHM_1, NEAR, draw
from pivq.runs.beyond.set_priors import has_prior, trained_prior
from pivq.runs.rows import Job, Row, keep_stored, lines_named, merged, rows_folder, run_missing, stored_rows
from pivq.runs.run import Run, find_run, require_run, run_dir
from pivq.runs.splits import load_splits
from pivq.runs.training import train
from pivq.storage.paths import results_dir

OURS = "pi-vq"  # the kind of PI-VQ itself
SAMPLERS = {"Algorithm 1": ALGORITHM_1, "near parents": NEAR}
SET_PRIOR = "set prior"  # draws for PI-VQ too, but is trained
SET_PRIOR_DIM, SET_PRIOR_FEEDFORWARD = 96, 256  # source: assumption: equal size of all priors, in profile `quick`
SEEDS = (0, 1, 2)
MINUTES_PER_SEED = 80  # of one CPU core, profile `quick`; an estimate from some steps of each but the prior over sets


class Contender(NamedTuple):
    """A line of the comparison.

    Attributes:
        name: as in tables.
        kind: of `pivq.runs.beyond.rival_training.KINDS`, or `OURS`.
        prior: one of its priors, "" for none; of PI-VQ one of `SAMPLERS`, or `SET_PRIOR`.
        reported: the row of the paper's Table 1 that it stands for, or "".
    """

    name: str
    kind: str
    prior: str
    reported: str


CONTENDERS = [
    Contender("PI-VQ", OURS, "Algorithm 1", "PI-VQ"),
    Contender("PI-VQ, near parents", OURS, "near parents", ""),
    Contender("PI-VQ, prior over sets", OURS, SET_PRIOR, ""),
    Contender("VAE", "vae", "", "VAE"),
    Contender("β-VAE", "beta-vae", "", "β-VAE"),
    Contender("VQ-VAE, autoregressive", "vq-vae", "autoregressive", "VQ-GAN (TT)"),
    Contender("VQ-VAE, absorbing", "vq-vae", "absorbing", "VQ-GAN (UT)"),
    Contender("TokenSet, reduced", "tokenset", "fixed-sum", ""),
]


def contenders(names: Iterable[str] = ()) -> list[Contender]:
    """Return the contenders of these names, or all of them.

    Raises:
        ValueError: an unknown name.
    """
    return lines_named(names, CONTENDERS, "rival")


def row_file(config: Config, contender: Contender, anew: bool = False) -> Path:
    """Return the file of a row; `config` is a profile's, or of `settings_for_minutes`; for `anew` see `run_rivals`."""
    folder = run_dir(config, "matching") if contender.kind == OURS else rival_dir(config, contender.kind)
    name = "-".join(filter(None, [folder.name, contender.prior.replace(" ", "-")]))
    return results_dir(config.profile) / "rivals" / rows_folder(anew) / f"{name}.json"


def run_rivals(
    config: Config, names: Sequence[str] = (), seeds: Sequence[int] = SEEDS, minutes: float = 0, device: str = "auto",
    anew: bool = False,
) -> list[dict[str, Any]]:  # fmt: skip
    """Train and measure what is missing, and return the rows of all contenders and seeds that were asked for.

    A row is written as soon as it is measured. A stop loses no more than the steps since the last checkpoint, and those
    of the prior over sets, which has none.

    Args:
        config: a profile's; the seed is replaced.
        names: of contenders; none are all.
        seeds: of the trainings.
        minutes: of each autoencoder's training; 0 trains the steps of the profile.
        device: "auto", "cpu", "cuda", …
        anew: leave rows aside that come with the project or that `benchmarks/` made; those of an earlier call with
            `anew` are taken over, and so are trainings.

    Raises:
        ValueError: see `contenders` and `pivq.runs.beyond.rival_training.settings_for_minutes`.

    Warns:
        UserWarning: a kept row is damaged, and measured again; see also `pivq.runs.beyond.rival_training.train_rival`.
    """
    chosen, plan = contenders(names), {}
    for seed in seeds:
        for contender in chosen:
            own = replace(config, seed=seed)
            own = settings_for_minutes(own, contender.kind, minutes, device) if minutes else own
            plan[row_file(own, contender, anew)] = own, contender

    def left(jobs: Iterable[Job[Contender]]) -> int:
        steps: dict[Path, int] = {}  # rivals with one autoencoder share its steps
        for own, contender in jobs:
            steps |= steps_left(own, contender.kind, contender.prior) if contender.kind != OURS else {}
        return sum(steps.values())

    def make(own: Config, contender: Contender, bar: tqdm) -> Row:
        return make_row(own, contender, device, bar) | {"minutes": minutes or None}

    return run_missing(plan, "rivals", left, make)


def make_row(config: Config, contender: Contender, device: str = "auto", bar: tqdm | None = None) -> dict[str, Any]:
    """Train a contender, or load it, and return its row: what it is, how it was trained, what is measured of it."""
    rival, facts = open_contender(config, contender, device, bar)
    splits = load_splits(config)
    network = load_feature_network(config.evaluation.features, pick_device(device))
    row = {"name": contender.name, "kind": contender.kind, "prior": contender.prior, "seed": config.seed}
    row |= {"profile": config.profile, "batch_size": config.train.batch_size} | facts
    return row | {"distance_name": network.distance_name} | measured(rival, config, network, splits)


def measured(rival: Rival, config: Config, network: FeatureNet, splits: dict[str, Any]) -> dict[str, Any]:
    """Return `pivq.runs.beyond.rivalry.measure` of a rival."""
    return measure(rival, config, network, splits["train"], splits["heldout"])


def open_contender(
    config: Config, contender: Contender, device: str = "auto", bar: tqdm | None = None
) -> tuple[Rival, dict[str, Any]]:
    """Return a trained contender, which is trained first if it is not, and the facts of its training."""
    if contender.kind != OURS:
        return train_rival(config, contender.kind, contender.prior, device, bar)
    trained = find_run(config, "matching") is not None
    run = require_run(config, "matching") if trained else train(config, "matching", device)
    summary = run.summary
    facts = {"steps": summary["steps"], "seconds": summary["training_seconds"], "parameters": summary["parameters"]}
    facts["code"] = summary.get("code")
    if contender.prior == SET_PRIOR:
        rival, of_prior = ours_with_prior(run, device)
        return rival, facts | of_prior
    return ours(run, contender.prior, device), facts


def ours(run: Run, sampler: str, device: str = "auto") -> Ours:
    """Return the model of a run of matching, with one of `SAMPLERS` on the codes of its training images."""
    codes = torch.from_numpy(run.codes("train"))
    way = SAMPLERS[sampler].among(len(codes))

    def drawn(count: int, seed: int) -> Tensor:
        return draw(codes, run.config.model.codebook_size, way, count, seed).codes

    return Ours(run.model(pick_device(device)), drawn)


def ours_with_prior(run: Run, device: str = "auto") -> tuple[Ours, dict[str, Any]]:
    """Return the model of a run of matching with a prior over its sets, trained if it is not, and facts of the prior.

    Each set is drawn a code at a time, L passes of the prior. The prior, on the CPU, has its run's seed.
    """
    settings, sizes = set_prior_settings(run.config), run.config.model
    trained = trained_prior(run, run.config.seed, settings)

    def drawn(count: int, seed: int) -> Tensor:
        return draw_sets(trained.prior, count, sizes.num_codes, sizes.codebook_size, seed)

    facts = {"prior_seconds": trained.seconds, "prior_steps": settings.steps}
    facts["prior_parameters"] = count_weights(trained.prior)
    return Ours(run.model(pick_device(device)), drawn, trained.prior), facts


def set_prior_settings(config: Config) -> PriorSettings:
    """Return the size and steps of PI-VQ's prior: in `quick` as many weights as the rivals' priors, and the steps."""
    steps = prior_settings(config).train.steps
    return PriorSettings(dim=SET_PRIOR_DIM, feedforward=SET_PRIOR_FEEDFORWARD, steps=steps)


def is_trained(config: Config, contender: Contender) -> bool:
    """Say whether a rival is trained to its end, so that opening it takes seconds."""
    if contender.prior == SET_PRIOR:
        run = find_run(config, "matching")
        return run is not None and has_prior(run, config.seed, set_prior_settings(config))
    if contender.kind == OURS:
        return (run_dir(config, "matching") / "summary.json").exists()
    return not any(steps_left(config, contender.kind, contender.prior).values())


def stored_rivals(profile: str = "quick") -> list[dict[str, Any]]:
    """Return the stored rows, see `pivq.runs.rows.stored_rows`."""
    return stored_rows("rivals", profile, "complete_rivals.py")


def keep_rivals(rows: Sequence[dict[str, Any]], config: Config) -> int:
    """Write stored rows of this profile's settings to where `run_rivals` looks for them; return how many were written.

    Files that are there stay. Rows whose training was given in minutes are left out: their steps differ by machine.
    """

    def file_of(row: Row) -> Path | None:
        of = [contender for contender in CONTENDERS if contender.name == row["name"]]
        same = row["profile"] == config.profile and row["steps"] == config.train.steps and row.get("minutes") is None
        return row_file(replace(config, seed=row["seed"]), of[0]) if of and same else None

    return keep_stored(rows, file_of)


def merge_rivals(stored: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """Return stored and new rows, see `pivq.runs.rows.merged`."""
    return merged(stored, new, CONTENDERS)
