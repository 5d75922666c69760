"""The figure that notebook 03 shows while it trains."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pivq.figures.style import WIDTH, colour_of

PANELS = {"heldout_psnr": "held-out PSNR (dB)", "codes_in_use": "codes in use (of a few held-out images)"}
COLUMNS, ROW, TITLE = 8, 0.54, 0.25  # of a strip of pictures; inches: a row of it, its title


def plot_training(logs: Mapping[str, pd.DataFrame], pictures: Mapping[str, np.ndarray]) -> Figure:
    """Draw what validation has measured so far, and what it has drawn last.

    The figure does not belong to pyplot, so no notebook shows it a second time at the end of its cell.

    Args:
        logs: by title; each has `step` and `heldout_psnr`, and `codes_in_use` once the training quantizes.
        pictures: by title; `(16, 3, H, W)` uint8, eight originals and their reconstructions, or `(24, 3, H, W)` with
            eight samples below.
    """
    lines = -(-len(pictures) // 2)  # two strips beside each other
    strip = TITLE + ROW * max((len(images) // COLUMNS for images in pictures.values()), default=0)
    figure = Figure(figsize=(WIDTH, 2.9 + strip * lines), layout="constrained")
    figure.set_label("Held-out PSNR, codes in use, reconstructions and samples while the models are trained")
    grid = figure.add_gridspec(1 + lines, 2, height_ratios=[2.9, *[strip] * lines])
    for column, (name, title) in enumerate(PANELS.items()):
        axes = figure.add_subplot(grid[0, column])
        for position, (label, log) in enumerate(logs.items()):
            if name in log:
                seen = log.dropna(subset=name)
                axes.plot(seen["step"], seen[name], marker=".", color=_colour(label, position), label=_typeset(label),
                          linestyle=("-", "--", ":", "-.")[position % 4])  # fmt: skip
        axes.set_title(title, fontsize=10, loc="left", pad=6)
        axes.set_xlabel("step")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_xlim(0, 1.02 * max(1, max(log["step"].max() for log in logs.values())))
        if not axes.lines:
            axes.set_yticks([])
            axes.text(0.5, 0.5, "from $T_q$ on", transform=axes.transAxes, ha="center", va="center")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=2)
    for place, (title, images) in enumerate(pictures.items()):
        axes = figure.add_subplot(grid[1 + place // 2, place % 2])
        size, sampled = images.shape[-1], len(images) > 2 * COLUMNS
        rows = images.reshape(-1, COLUMNS, 3, size, size).transpose(0, 3, 1, 4, 2).reshape(-1, COLUMNS * size, 3)
        axes.imshow(rows)
        axes.set_axis_off()
        axes.set_title(_typeset(title) + " + samples" * sampled, fontsize=9, loc="left", pad=3)
    return figure


def _colour(title: str, position: int) -> str:
    return colour_of(title.replace("both quantizers", "one model"), position)


def _typeset(title: str) -> str:
    return title.replace("T_q", "$T_q$")
