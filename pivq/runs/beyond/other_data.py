"""The method on other aligned pictures: rows that are trained, measured and kept one by one, with the profile `folder`.

A row is of a set, the encoder's tokens, a quantizer and a seed; `pivq.runs.beyond.other_measures` says what it holds.
`benchmarks/complete_other_data.py` makes the rows, notebook 15 shows them, and `pivq.runs.beyond.transfer` judges them.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pivq.config import Config, load_config
from pivq.pretrained.features import load_feature_network
from pivq.processes import pick_device
from pivq.profiles import ASSUMPTION, PROFILES
from pivq.runs.beyond.comparison import NEIGHBOURS
from pivq.runs.beyond.other_measures import measure
from pivq.runs.beyond.other_sets import MAKERS, SIZE, made_set
from pivq.runs.branching import train_ahead
from pivq.runs.competition import BOTH
from pivq.runs.planned import run_dir
from pivq.runs.rows import keep_row, kept_row, rows_folder, rows_stamp, stored_rows
from pivq.runs.run import Run, find_run
from pivq.runs.splits import load_split
from pivq.runs.training import train
from pivq.settings import suggestion
from pivq.storage.paths import results_dir

FOLDER = "folder"  # the set that a reader gives
TITLES = {"digits": "digits", "glyphs": "glyphs", FOLDER: "a folder of pictures"}
TOKENS = ("learned", "drawn")
STEPS = 1700  # of each training, half of those of `quick`, with its whole schedule in proportion; source: assumption
# What differs from the profile `folder` where pictures are `SIZE` pixels wide, with its source and reason.
SMALL: dict[str, tuple[Any, str, str]] = {
    "model.image_size": (SIZE, ASSUMPTION, "the pictures have no more detail"),
    "model.patch_size": (2, ASSUMPTION, "keeps the grid of 8 × 8 cells that 64 pixels have with patches of 4"),
}
MINUTES_PER_SET = 20  # of one CPU core, all four runs and their measures; an estimate from some steps of each


def trained_as(profile: str) -> tuple[str, int]:
    """Return the profile and the steps of the trainings whose rows stand among a profile's figures; 0 are all steps."""
    return ("smoke", 0) if profile == "smoke" else ("folder", STEPS)


class ImageSet(NamedTuple):
    """A set of pictures to train on.

    Attributes:
        name: one of `TITLES`.
        title: what it is called in tables; tells one reader's folder from another.
        place: the folder; "" is made by `pivq.runs.beyond.other_sets`.
        layout: how it is read (docs/datasets.md); "" recognises it.
        small: whether the settings of `SMALL` are used.
    """

    name: str
    title: str
    place: str = ""
    layout: str = "celeba"
    small: bool = True


def image_sets(names: Iterable[str] = (), folder: str = "", title: str = "", layout: str = "") -> list[ImageSet]:
    """Return the sets of these names, or all; a reader's folder is among them if it is given.

    Args:
        names: of `TITLES`.
        folder: of a reader's pictures, for the set "folder"; they are read at the profile's own size.
        title: what that is called in tables.
        layout: how that is read; "" recognises it.

    Raises:
        ValueError: an unknown name, or "folder" without one.
    """
    usual = [*MAKERS, *([FOLDER] if folder else [])]
    chosen = list(dict.fromkeys(names)) or usual
    for name in chosen:
        if name not in TITLES:
            raise ValueError(f"unknown set {name!r}{suggestion(str(name), list(TITLES))}")
        if name not in usual:
            raise ValueError(f"the set {name!r} needs a folder of pictures: --folder DIR")
    own = ImageSet(FOLDER, title or TITLES[FOLDER], str(folder), layout, small=False)
    return [own if name == FOLDER else ImageSet(name, TITLES[name]) for name in chosen]


def settings_for(chosen: ImageSet, tokens: str, seed: int = 0, profile: str = "folder", steps: int = STEPS) -> Config:
    """Return the settings of a training; the set is made first if it is not there.

    Args:
        chosen: the set.
        tokens: of `TOKENS`; drawn ones as `Config.drawn` has them.
        seed: of the training.
        profile: "folder", or "smoke" for a trial.
        steps: of the training, with the schedule in proportion; 0 is the profile's.

    Raises:
        ValueError: unknown tokens; and see `pivq.config.load_config`.
    """
    if tokens not in TOKENS:
        raise ValueError(f"unknown tokens {tokens!r}{suggestion(str(tokens), list(TOKENS))}")
    changes = {name.replace(".", "__"): value for name, (value, *_) in SMALL.items()} if chosen.small else {}
    place = chosen.place or str(made_set(chosen.name))
    config = load_config(profile, seed, place, layout=chosen.layout, steps=steps, **changes)
    return config.drawn() if tokens == "drawn" else config


def settings_table() -> pd.DataFrame:
    """Return what differs from the profile `folder`: `setting`, `value`, `source` and `why`."""
    usual = PROFILES["folder"]["train.steps"][0]
    rows = [(name, str(value), source, f"{why}; not of a reader's folder") for name, (value, source, why) in
            SMALL.items()]  # fmt: skip
    rows.append(("train.steps", f"{STEPS:,}", ASSUMPTION,
                 f"{STEPS / usual:.0%} of the profile's, with the whole schedule in proportion"))  # fmt: skip
    return pd.DataFrame(rows, columns=["setting", "value", "source", "why"])


def row_file(config: Config, quantizer: str, anew: bool = False) -> Path:
    """Return the file of a row: it is named like the run; for `anew` see `run_set`."""
    place = results_dir(config.profile) / "other_data"
    return (place / rows_folder(anew) if anew else place) / f"{run_dir(config, quantizer).name}.json"


def run_set(
    chosen: ImageSet, seed: int = 0, profile: str = "folder", steps: int = STEPS, device: str = "auto",
    anew: bool = False,
) -> list[dict[str, Any]]:  # fmt: skip
    """Train and measure what is missing of a set, and return its rows, one for each kind of tokens and quantizer.

    A row is written as soon as it is measured, and a training resumes from its last checkpoint. Both quantizers are one
    training for as long as they choose the same codes (`pivq.runs.branching`).

    Args:
        chosen: of `image_sets`.
        seed, profile, steps: see `settings_for`.
        device: "auto", "cpu", "cuda", …
        anew: leave rows aside that come with the project or that `benchmarks/` made; those of an earlier call with
            `anew` are taken over, and so are trainings.
    """
    rows = []
    for tokens in TOKENS:
        config = settings_for(chosen, tokens, seed, profile, steps)
        for quantizer in BOTH:
            path = row_file(config, quantizer, anew)
            row = kept_row(path, set=chosen.name, tokens=tokens, quantizer=quantizer, seed=seed)
            if row is None:
                train_ahead("shared", config, device)
                run = train(config, quantizer, device)
                network = load_feature_network(config.evaluation.features, pick_device(device))
                row = keep_row(path, {"set": chosen.name, "title": chosen.title} | measure(run, network))
            rows.append(row)
    return rows


# --- Rows that are stored ---------------------------------------------------------------------------------------------


def stored_other_data(profile: str = "quick") -> list[dict[str, Any]]:
    """Return the stored rows, see `pivq.runs.rows.stored_rows`."""
    return stored_rows("other_data", profile, "complete_other_data.py")


def merged(stored: Sequence[dict[str, Any]], new: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return stored and new rows in the order of the sets; a new row replaces a stored one of its line.

    Rows are of the same line if they have the same title, tokens, quantizer and seed.
    """
    by_line = {(row["title"], row["tokens"], row["quantizer"], row["seed"]): row for row in [*stored, *new]}
    orders = [*TITLES], TOKENS, BOTH
    return sorted(by_line.values(), key=lambda row: (
        orders[0].index(row["set"]), row["title"], row["seed"], orders[1].index(row["tokens"]),
        orders[2].index(row["quantizer"]),
    ))  # fmt: skip


def keep_rows(rows: Sequence[dict[str, Any]], chosen: ImageSet, seed: int, profile: str, steps: int) -> int:
    """Write stored rows of these settings to where `run_set` looks for finished ones; return how many were written."""
    kept = 0
    for tokens in TOKENS:
        config = settings_for(chosen, tokens, seed, profile, steps)
        pixels = {name: load_split(config, name).fingerprint for name in ("train", "heldout")}
        for quantizer in BOTH:
            path = row_file(config, quantizer)
            wanted = {"title": chosen.title, "tokens": tokens, "quantizer": quantizer, "seed": seed, "profile": profile,
                      "L": config.model.num_codes, "steps": config.train.steps, "fingerprints": pixels}  # fmt: skip
            found = [row for row in rows if wanted.items() <= row.items()]
            if len(found) == 1 and not path.exists():
                keep_row(path, found[0])
                kept += 1
    return kept


def other_data_facts(rows: Sequence[dict[str, Any]], config: Config) -> dict[str, Any]:
    """Return the stamp of the rows' file. What each row was computed on stands in the row."""
    protocol = f"FD and PRDC: as many samples as held-out images, against as many images, k = {NEIGHBOURS}"
    return rows_stamp(rows, config, protocol)


def finished_runs(chosen: ImageSet, seed: int, profile: str = "folder", steps: int = STEPS) -> dict[str, Run]:
    """Return the finished runs of matching of a set, by its tokens."""
    runs = {tokens: find_run(settings_for(chosen, tokens, seed, profile, steps), "matching") for tokens in TOKENS}
    return {tokens: run for tokens, run in runs.items() if run}
