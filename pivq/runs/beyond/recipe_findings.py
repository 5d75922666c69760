"""What the rows of the recipes say: a table of means, which change helps, and whether the target is met."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from pivq.rivals.recipe.settings import CHANGES, IMPROVED, together
from pivq.runs.beyond.comparison import SAMPLE_MEASURES, better, frame_of, seeds_each
from pivq.runs.beyond.recipes import LONGER, TOGETHER, USUAL

TARGET = 0.5  # of the usual recipe's FD to real images; source: our aim
MEASURES = SAMPLE_MEASURES | {
    "codes_in_use": (("codes_in_use",), "codes in use", True),
    "effective_dimension": (("effective_dimension",), "effective dimension of the codebook", None),
    "seconds": (("seconds",), "seconds of training", None),
}


def recipes_frame(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return a frame with a line for each row: `name`, `seed`, `steps` and the columns of `MEASURES`."""
    return frame_of(rows, ["steps"], MEASURES)


def helps(frame: pd.DataFrame, name: str) -> bool:
    """Say whether a variant helps: samples nearer to real images than the usual recipe's, at a recall no lower.

    Nearer: the worst seed of the variant is nearer than the best of the usual recipe. Lower: the best seed has a lower
    recall than the worst of the usual recipe; what is between is no clear difference.
    """
    usual, own = frame[frame["name"] == USUAL], frame[frame["name"] == name]
    nearer = better(own["fd_real"], usual["fd_real"], more=False)
    return nearer and not better(usual["recall"], own["recall"], more=True)


def helping(frame: pd.DataFrame) -> tuple[str, ...]:
    """Return the changes that help (`helps`), in the order of `CHANGES`, as they can be had together.

    Of changes that give one field different values, the one with the lower mean FD to real images is taken.
    """
    found = [name for name in CHANGES if name != USUAL and helps(frame, name)]
    chosen: list[str] = []
    for name in sorted(found, key=lambda name: frame.loc[frame["name"] == name, "fd_real"].mean()):
        try:
            together([*chosen, name])
        except ValueError:
            continue
        chosen.append(name)
    return tuple(name for name in CHANGES if name in chosen)


def said(frame: pd.DataFrame) -> list[str]:
    """Return in words what the rows bear: of the floor, of each change, of more steps, of all together, of the target.

    Without rows of the usual recipe there is nothing to compare with, and nothing is said.
    """
    usual = frame[frame["name"] == USUAL]
    if not len(usual):
        return []
    names = [name for name in frame["name"].drop_duplicates() if name != USUAL]
    sentences = [floor(frame), *(_of_one(frame, name) for name in names)]
    singles = [name for name in CHANGES if name != USUAL]
    if set(singles) <= set(names):
        found = helping(frame)
        sentence = f"**By the rule** these help, one at a time: {_listed(found)}."
        if set(found) != set(IMPROVED):
            sentence += f" The recipe “improved” has others: {_listed(IMPROVED)}."
        sentences.append(sentence)
    if TOGETHER in names:
        sentences.append(target(frame))
    return sentences


def floor(frame: pd.DataFrame) -> str:
    """Return in words how near to real images samples of the usual recipe could come if they were mixed faultlessly."""
    usual = frame[frame["name"] == USUAL].mean(numeric_only=True)
    share = usual["fd_decoder"] / usual["fd_real"]
    return (
        f"**The floor**: reconstructions of held-out images by the usual recipe have FD {usual['fd_decoder']:,.0f} to "
        f"real images, {share:.0%} of its samples'. Samples are decoded, too, so no way of mixing codes is expected to "
        "come below it; only a better decoder is."
    )


def _of_one(frame: pd.DataFrame, name: str) -> str:
    """Return what a variant changes: means over the seeds that the usual recipe has too, and the FD of each seed."""
    own = frame[frame["name"] == name].set_index("seed", drop=False)
    usual = frame[frame["name"] == USUAL].set_index("seed", drop=False)
    shared = own.index.intersection(usual.index)
    own, usual = (own.loc[shared], usual.loc[shared]) if len(shared) else (own, usual)
    parts = []
    for column, text in (("fd_real", "FD to real images"), ("recall", "recall"), ("fd_own", "FD to own "
                         "reconstructions"), ("psnr", "PSNR")):  # fmt: skip
        more = bool(MEASURES[column][2])
        verdict = "no clear difference"
        if better(own[column], usual[column], more):
            verdict = "better with all seeds"
        elif better(usual[column], own[column], more):
            verdict = "worse with all seeds"
        decimals = 2 if column in ("recall", "psnr") else 0
        parts.append(
            f"{text} {own[column].mean():,.{decimals}f} instead of {usual[column].mean():,.{decimals}f} ({verdict})"
        )
    if len(shared) > 1:
        by_seed = ", ".join(f"{change:+,.0f}" for change in own["fd_real"] - usual["fd_real"])
        parts[0] = f"{parts[0][:-1]}; by seed {by_seed})"
    time = own["seconds"].mean() / usual["seconds"].mean()
    verb = "is a control" if name == LONGER else "helps" if helps(frame, name) else "does not help"
    lasts = "" if math.isnan(time) else f"; takes {time:.2f} times as long"  # unknown where other work shared the cores
    return f"**{name}** {verb}: {'; '.join(parts)} ({seeds_each(usual, own)}{lasts})."


def target(frame: pd.DataFrame) -> str:
    """Return in words whether all together meet the target: `TARGET` of the FD to real images at a recall no lower."""
    means = frame.groupby("name").mean(numeric_only=True)
    own, usual = means.loc[TOGETHER], means.loc[USUAL]
    share, recall = own["fd_real"] / usual["fd_real"], own["recall"] >= usual["recall"]
    met = share <= TARGET and recall
    sentence = (
        f"**The target**, half the FD to real images at a recall no lower, is {'met' if met else 'not met'}: the FD is "
        f"{share:.0%} of the usual recipe's, the recall {own['recall']:.2f} instead of {usual['recall']:.2f} (means)."
    )
    if LONGER in means.index:
        longer = means.loc[LONGER] / usual
        lasts = "" if math.isnan(longer["seconds"]) else f", and {longer['seconds']:.2f} times the seconds"
        more = f"{longer['steps']:.1f} times the steps of the usual recipe{lasts}"
        sentence += f" With {more}, the FD is {longer['fd_real']:.0%}."
    return sentence


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if names else "none"
