"""The chart of notebook 11: how far a sampler's samples lie from reconstructions, against how new they are."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from pivq.figures.style import BLUE, INK, VERMILLION, WIDTH

STYLES = ((VERMILLION, "o", (-6, 4), "right"), (BLUE, "s", (6, -4), "left"))  # of a kind of exchange: its labels too


def plot_samplers(frames: dict[str, pd.DataFrame], distance: str) -> Figure:
    """Draw the Fréchet distance of samples over their new codes, one panel per model.

    Args:
        frames: of `pivq.runs.beyond.samplers.measure_samplers`, by the name of the model; two kinds of
            `exchange`, and one row without any, the control.
        distance: what the distance is called.
    """
    figure, panels = plt.subplots(1, len(frames), figsize=(WIDTH, 3.9), sharey=True, squeeze=False)
    for axes, (name, frame) in zip(panels[0], frames.items(), strict=True):
        control, rows = frame[frame["exchange"].isna()].iloc[0], frame.dropna(subset="exchange")
        for (exchange, some), (colour, marker, offset, side) in zip(
            rows.groupby("exchange", sort=False), STYLES, strict=True
        ):
            means = some.groupby("partners")[["new", "distance"]].mean().sort_values("new")
            axes.plot(means["new"], means["distance"], color=colour, linewidth=1.4, label=exchange)
            axes.scatter(some["new"], some["distance"], color=colour, marker=marker, s=24, zorder=3)
            for near, row in means.iterrows():
                axes.annotate(f"{near:,.0f} near" if near else "any", (row["new"], row["distance"]), xytext=offset,
                              textcoords="offset points", color=colour, fontsize=8.5, ha=side)  # fmt: skip
        axes.scatter(control["new"], control["distance"], marker="*", s=150, color=INK, zorder=4,
                     label="reconstructions of held-out faces")  # fmt: skip
        axes.set(xlabel="codes that the nearest training face lacks", title=name, yscale="log")
        axes.margins(x=0.18, y=0.12)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))
        axes.set_yticks([50, 100, 200, 500, 1000])
    panels[0, 0].set_ylabel(f"{distance} to reconstructions")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3)
    return figure
