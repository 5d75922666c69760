"""The chart of notebook 13: reconstruction and samples of each rival, a point for each seed."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from pivq.figures.style import BLUE, INK, VERMILLION, WIDTH

WIDE = 10  # a logarithmic axis over less than a decade has hardly a number on it


def plot_rivals(frame: pd.DataFrame, panels: Mapping[str, str], first: str) -> Figure:
    """Draw a panel for each measure, with a line of points for each name.

    Args:
        frame: columns `name`, `seed` and the measures; a row for each name and seed.
        panels: titles by measure; where a title begins with FD and the greatest value is over `WIDE` times the least,
            the axis is logarithmic.
        first: the name that is drawn in another colour.
    """
    names = list(frame["name"].drop_duplicates())
    figure, grid = plt.subplots(
        1, len(panels), figsize=(WIDTH, 0.9 + 0.36 * len(names)), sharey=True, squeeze=False, layout="constrained"
    )
    figure.get_layout_engine().set(w_pad=0.1)  # the last number of a panel keeps off the first of the next
    for axes, (measure, title) in zip(grid[0], panels.items(), strict=True):
        for place, name in enumerate(names):
            values = frame.loc[frame["name"] == name, measure].dropna()
            colour = VERMILLION if name == first else BLUE
            axes.scatter(values, [place] * len(values), s=26, color=colour, alpha=0.7, zorder=3)
            if len(values):
                axes.plot([values.mean()] * 2, [place - 0.28, place + 0.28], color=INK, linewidth=1.4)
        axes.set_title(title, fontsize=9.5, loc="left")
        axes.grid(axis="x", alpha=0.3)
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        if title.startswith("FD"):
            axes.xaxis.set_major_formatter("{x:,g}")
        all_values = frame[measure].dropna()
        if title.startswith("FD") and len(all_values) and all_values.max() > WIDE * all_values.min():
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            axes.xaxis.set_minor_locator(NullLocator())
    grid[0, 0].set_yticks(range(len(names)), names)
    grid[0, 0].invert_yaxis()
    return figure
