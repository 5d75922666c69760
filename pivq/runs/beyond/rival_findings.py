"""What the rows of the rivals say: one table of means, Table 1 as measured and as reported, and where PI-VQ loses."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pivq import paper
from pivq.runs.beyond.rivals import CONTENDERS
from pivq.sampling import SMOOTH_STEP

PIVQ_ROW = CONTENDERS[0].name
# Column of the frame: its path in a row, in words, and whether more is better.
MEASURES: dict[str, tuple[tuple[str, ...], str, bool]] = {
    "l1": (("l1",), "L1 of reconstructions", False),
    "psnr": (("psnr",), "PSNR of reconstructions", True),
    "fd_real": (("real", "distance"), "FD to real images", False),
    "precision": (("real", "precision"), "precision", True),
    "recall": (("real", "recall"), "recall", True),
    "density": (("real", "density"), "density", True),
    "coverage": (("real", "coverage"), "coverage", True),
    "fd_own": (("own", "distance"), "FD to own reconstructions", False),
    "precision_own": (("own", "precision"), "precision against own reconstructions", True),
    "recall_own": (("own", "recall"), "recall against own reconstructions", True),
    "density_own": (("own", "density"), "density against own reconstructions", True),
    "coverage_own": (("own", "coverage"), "coverage against own reconstructions", True),
    "fd_decoder": (("control_real", "distance"), "FD of reconstructions to real images", False),
    "largest_step": (("path", "largest_step"), "largest step of a path", False),
    "nearer": (("path", "nearer"), "middle of a path nearer to real images than a cross-fade", True),
    "probing": (("probing", "gain"), "gain of probes", True),
    "too_near": (("memorisation", "too_near"), "samples that are too near to a training image", False),
    "passes": (("passes",), "passes per sample", False),
    "seconds_per_sample": (("seconds_per_sample",), "seconds per sample", False),
}
FACTS = ("discrete", "bits", "prior_bits", "order", "steps", "seconds", "parameters", "prior_steps", "prior_seconds",
         "prior_parameters")  # fmt: skip
# Some of these in words, for tables that are shown.
PLAIN = {"parameters": "weights", "seconds": "seconds of training", "prior_steps": "steps, prior",
         "prior_seconds": "seconds of training, prior", "prior_parameters": "weights, prior"}  # fmt: skip


def rivals_frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return a frame with a line for each row: `name`, `seed`, the columns of `MEASURES`, and some facts as they are.

    What a row does not have is NaN.
    """
    lines = []
    for row in rows:
        line = {"name": row["name"], "seed": row["seed"]} | {name: row.get(name) for name in FACTS}
        lines.append(line | {name: _at(row, path) for name, (path, _, _) in MEASURES.items()})
    return pd.DataFrame(lines, columns=["name", "seed", *FACTS, *MEASURES])


def _at(row: Any, path: Sequence[str]) -> float:
    for part in path:
        row = row.get(part) if isinstance(row, dict) else None
    return math.nan if row is None else float(row)


def seeds_in_words(frame: pd.DataFrame) -> str:
    """Return how many seeds each line of a comparison has: "3 seeds", or "1 to 3 seeds" where they differ."""
    counts = frame.groupby("name")["seed"].nunique()
    fewest, most = (0, 0) if counts.empty else (counts.min(), counts.max())
    return f"{fewest} to {most} seeds" if fewest < most else f"{most} seed{'' if most == 1 else 's'}"


def means(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return a line for each name with its number of seeds and, for each column, "mean ± deviation" in words.

    The deviation is the sample's (n − 1); of one seed there is none.

    Example:
        >>> frame = pd.DataFrame({"name": ["a", "a"], "seed": [0, 1], "l1": [0.1, 0.3]})
        >>> means(frame, ["l1"]).to_dict("records")
        [{'name': 'a', 'seeds': 2, 'l1': '0.200 ± 0.141'}]
    """
    lines = []
    for name, of in frame.groupby("name", sort=False):
        line: dict[str, Any] = {"name": name, "seeds": of["seed"].nunique()}
        lines.append(line | {column: _spread(of[column]) for column in columns})
    return pd.DataFrame(lines)


def _spread(values: pd.Series) -> str:
    values = values.dropna().astype(float)
    if not len(values):
        return "–"
    average = values.mean()
    decimals = 0 if average and average == round(average) and len(values) == 1 else max(0, 2 - _digits(average))
    return f"{average:,.{decimals}f}" + (f" ± {values.std():,.{decimals}f}" if len(values) > 1 else "")


def _digits(value: float) -> int:
    return int(math.floor(math.log10(abs(value)))) if value else 0


def capabilities(frame: pd.DataFrame) -> pd.DataFrame:
    """Return Table 1 as measured and as reported: a line for each name, means over its seeds.

    *Discrete* and *passes* are counted. *Interpolation* is measured as two things: `smooth`, whether the largest step
    of a path is below `SMOOTH_STEP` of the distance between its ends, on average over the paths; and `realistic`,
    whether the middle is nearer to a real image than a cross-fade is, more often than not. "by seed": the seeds differ.
    """
    reported = {row.method: row for row in paper.TABLE1}
    lines = []
    for contender in CONTENDERS:
        of = frame[frame["name"] == contender.name]
        if not len(of):
            continue
        said = reported.get(contender.reported)
        smooth, realistic = of["largest_step"] < SMOOTH_STEP, of["nearer"] > 0.5
        lines.append({
            "method": contender.name, "stands for": contender.reported or "–",
            "discrete, reported": _yes(said and said.discrete), "discrete": _all(of["discrete"].astype(bool)),
            "one pass, reported": _yes(said and said.one_pass_sampling), "one pass": _all(of["passes"] == 1),
            "passes": f"{of['passes'].mean():.0f}",
            "interpolation, reported": _yes(said and said.interpolation), "smooth": _all(smooth),
            "realistic": _all(realistic),
        })  # fmt: skip
    return pd.DataFrame(lines)


def _yes(value: bool | None) -> str:
    return "–" if value is None else "yes" if value else "no"


def _all(values: pd.Series) -> str:
    return "yes" if values.all() else "no" if not values.any() else "by seed"


def where_pivq_loses(frame: pd.DataFrame) -> list[str]:
    """Return a sentence for each rival: in what it is better than PI-VQ with Algorithm 1, and in what PI-VQ is better.

    A difference counts where the seeds of the two do not overlap: the worst seed of one is better than the best of the
    other. With one seed each this is any difference, and the sentence says that there is one.
    """
    ours, sentences = frame[frame["name"] == PIVQ_ROW], []
    for name in frame["name"].drop_duplicates() if len(ours) else []:
        theirs = frame[frame["name"] == name]
        if name == PIVQ_ROW:
            continue
        loses, wins = [], []
        for column, (_, words, more) in MEASURES.items():
            if better(theirs[column], ours[column], more):
                loses.append(words)
            elif better(ours[column], theirs[column], more):
                wins.append(words)
        seeds = min(len(ours), len(theirs))
        with_seeds = f"{seeds} seeds each" if seeds > 1 else "one seed, so small differences mean nothing"
        sentences.append(
            f"**{PIVQ_ROW} loses to {name}** in {_listed(loses)}; it wins in {_listed(wins)} ({with_seeds})."
        )
    return sentences


def better(some: pd.Series, others: pd.Series, more: bool) -> bool:
    """Say whether every one of some values is better than all others; missing values are better than nothing."""
    some, others = some.dropna(), others.dropna()
    if not len(some) or not len(others):
        return False
    return bool(some.min() > others.max() if more else some.max() < others.min())


def _listed(words: Sequence[str]) -> str:
    return f"{len(words)} of {len(MEASURES)} measures: {', '.join(words)}" if words else "no measure"
