"""What the rows of the rivals say: one table of means, Table 1 as measured and as reported, and where PI-VQ loses."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pivq import paper
from pivq.runs.beyond.comparison import SAMPLE_MEASURES, better, frame_of, seeds_each
from pivq.runs.beyond.rivals import CONTENDERS
from pivq.sampling import SMOOTH_STEP

PIVQ_ROW = CONTENDERS[0].name
MEASURES = SAMPLE_MEASURES | {
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
    """Return a frame with a line for each row: its name, its seed, some facts as they are, and `MEASURES`."""
    return frame_of(rows, FACTS, MEASURES)


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
        seeds = seeds_each(ours, theirs)
        sentences.append(f"**{PIVQ_ROW} loses to {name}** in {_listed(loses)}; it wins in {_listed(wins)} ({seeds}).")
    return sentences


def _listed(words: Sequence[str]) -> str:
    return f"{len(words)} of {len(MEASURES)} measures: {', '.join(words)}" if words else "no measure"
