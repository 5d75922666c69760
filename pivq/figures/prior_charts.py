"""The charts of notebook 12: how the prior over sets is trained, and how many bits each set takes."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pivq.figures.style import BLUE, GREY, INK, LEGEND_ABOVE, PALETTE, SKY, WIDTH


def plot_training(logs: Mapping[str, Sequence[dict[str, float]]]) -> Figure:
    """Draw the bits per set over the steps of training; dashed, those of the sets that are trained on.

    Args:
        logs: of `pivq.rivals.set_prior.TrainedPrior`, by the name of the prior.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.6))
    for (name, log), colour in zip(logs.items(), PALETTE, strict=False):
        frame = pd.DataFrame(log)
        axes.plot(frame["step"], frame["validation"], color=colour, label=f"{name}: sets kept apart")
        axes.plot(frame["step"], frame["train"], color=colour, linestyle="--", linewidth=1.2,
                  label=f"{name}: trained on")  # fmt: skip
    axes.set(xlabel="step", ylabel="bits per set (bound)", yscale="log")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    for which in ("major", "minor"):
        getattr(axes.yaxis, f"set_{which}_formatter")("{x:,.0f}")
    axes.legend(**LEGEND_ABOVE, ncols=2)
    return figure


def plot_bits(frame: pd.DataFrame) -> Figure:
    """Draw bars of the bits per set: Eq. (4), then each predictor on held-out and on training images.

    Args:
        frame: of `pivq.runs.beyond.set_priors.measure_bits`; bars are of `tightened`, whiskers two standard errors.
    """
    capacity = frame[frame["split"] == "any"].iloc[0]
    names = list(dict.fromkeys(frame.loc[frame["split"] != "any", "predictor"]))
    figure, axes = plt.subplots(figsize=(WIDTH, 0.7 + 0.62 * (1 + len(names))))
    axes.barh(0, capacity["bits"], height=0.7, color=GREY)
    axes.text(capacity["bits"], 0, f" {capacity['bits']:.1f}", va="center", color=INK)
    for split, colour, shift, label in (
        ("heldout", BLUE, -0.19, "held-out images"), ("train", SKY, 0.19, "training images"),
    ):  # fmt: skip
        rows = frame[frame["split"] == split].set_index("predictor").loc[names]
        places = 1 + np.arange(len(names)) + shift
        axes.barh(places, rows["tightened"], height=0.36, color=colour, label=label, xerr=2 * rows["error"],
                  error_kw={"elinewidth": 1.2, "ecolor": INK})  # fmt: skip
        for place, row in zip(places, rows.itertuples(), strict=True):
            axes.text(row.tightened + 2 * row.error, place, f" {row.tightened:.1f}", va="center", color=INK, fontsize=9)
    labels = [f"{capacity['predictor']}: any set", *names]
    axes.set_yticks(range(1 + len(names)), [textwrap.fill(label, 18) for label in labels])
    axes.set(xlabel="bits per image (bound)", xlim=(0, 1.12 * capacity["bits"]))
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    axes.legend(**LEGEND_ABOVE, ncols=2)
    return figure
