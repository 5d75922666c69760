"""Train and measure the runs of `pivq.runs.competition`, several at once, and keep what is finished."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from tqdm import tqdm

from pivq.config import Config
from pivq.pretrained.features import load_feature_network
from pivq.processes import pick_device
from pivq.runs.branching import train_ahead
from pivq.runs.competition import BOTH, VARIATIONS, Variation, measure, settings_of
from pivq.runs.cost import measure_cost
from pivq.runs.evaluation import real_features
from pivq.runs.parallel import end_with_parent, run_module, side_by_side
from pivq.runs.planned import run_dir
from pivq.runs.replacing import discard
from pivq.runs.rows import keep_row, kept_row, rows_stamp
from pivq.runs.run import Run
from pivq.runs.training import train
from pivq.storage.paths import results_dir
from pivq.storage.writing import read_sealed

MEASURING = 120  # seconds to measure a run on two cores: features of 24,000 images, 200 a second; an estimate


def run_study(
    config: Config, device: str = "auto", anew: bool = False, at_once: int = 0,
    variations: Sequence[Variation] = tuple(VARIATIONS),
) -> list[dict[str, Any]]:  # fmt: skip
    """Train and measure all variations, or load the rows that are finished; return the rows of `measure`.

    On a CPU, as many groups of variations are trained at once as there are cores, each in a process; they end with this
    one. Rows are kept in `results/<profile>/competition/`, so an interrupted study resumes; a run is deleted once all
    of its group are measured. Two cores take about three hours; what is missing is timed, and said, before it starts.

    Args:
        config: its profile, data and layout; the study has its own sizes and seeds.
        device: "auto", "cpu", "cuda", …
        anew: delete the rows that are there first.
        at_once: processes; 0 is one per core of a CPU, or one on a GPU.
        variations: which ones.

    Raises:
        ValueError: the profile has no study (`pivq.runs.competition.settings_of`), or there is no such device.
        RuntimeError: a process failed; the message has the end of its output.
    """
    usual, on = _usual(config), pick_device(device).type
    files = row_files(variations, usual)
    if anew:
        for path in files:
            path.unlink(missing_ok=True)
    for path, (variation, quantizer) in files.items():
        if path.exists() and kept_row(path, variation=variation.name, quantizer=quantizer) is None:
            path.unlink()  # damaged, or another's: `kept_row` says it
    missing = {path: run for path, run in files.items() if not path.exists()}
    if missing:
        hours = study_hours([*missing.values()], usual, device)
        print(f"{len(missing)} of {len(files)} runs are missing: about {hours:.1f} hours. Interrupted, it resumes.")
        _run_missing(missing, usual, on, at_once)
    return finished_rows(config, variations)


def finished_rows(config: Config, variations: Sequence[Variation] = tuple(VARIATIONS)) -> list[dict[str, Any]]:
    """Return the rows of `run_study` that are finished, in the order of the variations."""
    files = row_files(variations, _usual(config))
    return [read_sealed(path) for path in files if path.exists()]


def _usual(config: Config) -> dict[str, Any]:
    """Return what all runs of the study take from a configuration."""
    usual = {name: getattr(config, name) for name in ("profile", "data", "layout", "on_error")}
    return usual | {"features": config.evaluation.features}


def _run_missing(missing: dict[Path, tuple[Variation, str]], usual: dict[str, Any], on: str, at_once: int) -> None:
    """Train and measure the groups of these runs, each in a process; a bar counts the rows that are written."""
    folder = next(iter(missing)).parent
    folder.mkdir(parents=True, exist_ok=True)
    groups = list(dict.fromkeys(variation.group for variation, _ in missing.values()))
    with tqdm(total=len(missing), desc="study", unit="run", dynamic_ncols=True) as bar:

        def show() -> None:
            if more := sum(path.exists() for path in missing) - bar.n:
                bar.update(more)

        def run_one(group: str, threads: int, stop: Event) -> None:
            if not stop.is_set():
                arguments = ["pivq.runs.study", json.dumps(usual), on, group]
                output = folder / f"{group.replace(' ', '-')}.txt"
                run_module(arguments, output, threads, stop, f"the group {group!r} of the study", show)

        side_by_side(run_one, groups, at_once or (0 if on == "cpu" else 1))
        show()


def keep_rows(
    rows: Sequence[dict[str, Any]], config: Config, variations: Sequence[Variation] = tuple(VARIATIONS)
) -> int:
    """Write rows, such as stored ones, to where `run_study` looks for finished ones; return how many were written.

    A row is of a variation if it has its name, quantizer, tokens, sizes, steps and seed. Files that are there stay.
    """
    usual, kept = _usual(config), 0
    for path, (variation, quantizer) in row_files(variations, usual).items():
        of = settings_of(variation, **usual)
        wanted = {
            "variation": variation.name, "quantizer": quantizer, "tokens": of.model.tokens,
            "token_spread": of.model.token_spread, "L": of.model.num_codes, "K": of.model.codebook_size,
            "steps": of.train.steps, "seed": of.seed,
        }  # fmt: skip
        found = [row for row in rows if wanted.items() <= row.items()]
        if len(found) == 1 and not path.exists():
            keep_row(path, found[0])
            kept += 1
    return kept


def study_facts(rows: Sequence[dict[str, Any]], config: Config) -> dict[str, Any]:
    """Return the stamp of the rows' file. What each row was computed on stands in the row (`device`, `torch`)."""
    protocol = "FD and PRDC: up to 2,000 samples against as many reconstructions, k = 3; traits: 4,000 samples"
    return rows_stamp(rows, config, protocol)


def row_files(variations: Sequence[Variation], usual: dict[str, Any]) -> dict[Path, tuple[Variation, str]]:
    """Return the variation and the quantizer of each file that holds, or is to hold, a row; named like the run."""
    files = {}
    for variation in variations:
        config = settings_of(variation, **usual)
        for quantizer in variation.quantizers:
            name = f"{run_dir(config, quantizer).name}.json"
            files[results_dir(config.profile) / "competition" / name] = variation, quantizer
    return files


def study_hours(runs: Sequence[tuple[Variation, str]], usual: dict[str, Any], device: str) -> float:
    """Return about how many hours training and measuring take, from a few steps timed for each L."""
    seconds: dict[int, float] = {}
    total = 0.0
    for number, (variation, _) in enumerate(runs):
        config = settings_of(variation, **usual)
        length = config.model.num_codes
        if length not in seconds:
            seconds[length] = measure_cost(config, device=device, steps=5).seconds_per_step
        shared = number and runs[number - 1][0] is variation  # the steps before T_q are trained once
        steps = config.train.steps - (config.train.quantize_from_step if shared else 0)
        total += seconds[length] * steps + MEASURING * config.evaluation.samples / 2000
    return math.ceil(10 * total / 3600) / 10


def run_group(variations: Sequence[Variation], usual: dict[str, Any], device: str) -> None:
    """Train and measure what is missing of variations that share steps, in turn; then delete the runs."""
    files = row_files(variations, usual)
    for path, (variation, quantizer) in files.items():
        if path.exists():
            continue
        config = settings_of(variation, **usual)
        if variation.quantizers == BOTH:
            train_ahead("shared", config, device)
        run = train(config, quantizer, device)
        network = load_feature_network(config.evaluation.features, pick_device(device))
        real_features(run, network)  # kept
        with _new_features_removed(run):
            keep_row(path, measure(variation, run, network))
    for variation in variations:
        discard(settings_of(variation, **usual), variation.quantizers)


@contextmanager
def _new_features_removed(run: Run) -> Iterator[None]:
    """Remove the features of generated images, 0.1 GB for each run; another process makes those it misses again."""
    folder = results_dir(run.config.profile) / "features"
    before = {*folder.glob("*.npz")}
    yield
    for path in {*folder.glob("*.npz")} - before:
        path.unlink(missing_ok=True)


if __name__ == "__main__":
    end_with_parent()
    asked, where, name = sys.argv[1:]
    run_group([variation for variation in VARIATIONS if variation.group == name], json.loads(asked), where)
