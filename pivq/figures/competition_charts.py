"""Charts of the study of competition: how many codes of an image differ, over the steps and by length."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from pivq.figures.style import BLUE, GREY, INK, LEGEND_ABOVE, PALETTE, VERMILLION, WIDTH

SHADES = ("#F5B895", "#EE8F55", VERMILLION, "#A34700", "#6B2E00")  # of nearest, from short to long sets
ROWS = 5  # of a legend in one column; two columns of long names would be wider than their panel


def plot_codes_over_steps(frame: pd.DataFrame) -> Figure:
    """Draw the mean number of different codes of an image in training with nearest quantization, as a share of L.

    Args:
        frame: one row per run (`pivq.runs.findings.study_frame`): `variation`, `L`, `K`, `steps`, `seed`, `quantizer`
            and `history`, the number by step from T_q + 1 on.
    """
    rows = frame[frame["quantizer"] == "nearest"].reset_index(drop=True)
    quantize_from_step = min(min(history) for history in rows["history"]) - 1
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.2), sharey=True)
    most_used = rows.loc[rows["variation"] == "drawn", "L"].mode()
    length = int(most_used.iloc[0]) if len(most_used) else int(rows["L"].iloc[0])
    at_length = rows[(rows["L"] == length) & (rows["K"] == rows.loc[rows["L"] == length, "K"].mode().iloc[0])]
    colours = _colours(at_length["variation"])
    for name, some in at_length.groupby("variation", sort=False):
        for position, row in enumerate(some.to_dict("records")):
            label = name + (f", {len(some)} seeds" if len(some) > 1 else "")
            _draw_history(left, row, colours[name], label if not position else "")
    drawn = rows[(rows["variation"] == "drawn") & (rows["seed"] == rows["seed"].min())].sort_values(["L", "K"])
    lengths = sorted(set(drawn["L"]))
    for row in drawn.to_dict("records"):
        shade = SHADES[min(lengths.index(row["L"]), len(SHADES) - 1)]
        label = f"L = {row['L']}, K = {row['K']:,}"
        _draw_history(right, row, shade, label, "-" if row["K"] == drawn["K"].mode().iloc[0] else "--")
    for axes, title in ((left, f"tokens; L = {length}"), (right, "length; drawn tokens")):
        axes.axvline(quantize_from_step, color=INK, linewidth=1.0, linestyle=":", zorder=1)
        axes.set(xlabel="step", ylim=(0, 1.04), xlim=(0.8 * quantize_from_step, None))
        place = {"xytext": (3, 0), "textcoords": "offset points", "fontsize": 8.5}
        axes.annotate("$T_q$", (quantize_from_step, 0.02), **place)
        entries = len(axes.get_legend_handles_labels()[0])
        style = {"ncols": 1 + (entries > ROWS), "title": title, "title_fontsize": 10, "alignment": "left"}
        axes.legend(**LEGEND_ABOVE, **style, fontsize=8.5, columnspacing=1.2)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    left.set_ylabel("different codes, share of L")
    if at_length["steps"].max() >= 2 * at_length["steps"].min():  # else the short runs would be squeezed
        left.set_xscale("log")
        left.xaxis.set_major_locator(LogLocator(subs=(1, 2, 4, 6, 8)))
        left.xaxis.set_minor_locator(NullLocator())
        left.xaxis.set_major_formatter("{x:,.0f}")
    return figure


def _colours(names: Sequence[str]) -> dict[str, str]:
    """Return a colour for each kind of tokens; drawn ones have nearest's, learned ones a dark grey."""
    others = iter([colour for colour in PALETTE if colour not in (BLUE, VERMILLION, GREY)])
    known = {"drawn": VERMILLION, "drawn, three times as long": SHADES[1], "learned": INK}
    known["learned, three times as long"] = GREY
    return {name: known.get(name) or next(others, GREY) for name in dict.fromkeys(names)}


def _draw_history(axes: Axes, row: dict, colour: str, label: str, style: str = "-") -> None:
    steps = sorted(row["history"])
    shares = [row["history"][step] / row["L"] for step in steps]
    axes.plot(steps, shares, color=colour, linestyle=style, linewidth=1.6, marker="o", markersize=2.8, label=label)


def plot_codes_by_length(frame: pd.DataFrame, reported: tuple[int, int]) -> Figure:
    """Draw how many codes of an image differ against L: on average, and the most of any image.

    Args:
        frame: one row per run: `variation`, `L`, `K`, `steps`, `seed`, `quantizer`, `mean`, `most`.
        reported: L and the most different codes of an image that the paper reports for nearest quantization.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 4.0))
    near, size = frame[frame["quantizer"] == "nearest"], frame["K"].mode().iloc[0]
    ends = np.array([min(frame["L"].min(), reported[0]) / 1.25, 1.25 * max(frame["L"].max(), reported[0])])
    axes.plot(ends, ends, color=BLUE, linewidth=1.8, label="matching: always L", zorder=1)
    same, other = near["K"] == size, near["K"] != size
    drawn, learned = near["variation"] == "drawn", near["variation"] == "learned"
    kinds = [
        (near[learned], f"nearest, learned tokens (K = {size})", {"marker": "s", "color": INK, "s": 42}),
        (near[drawn & same], f"nearest, drawn tokens, K = {size}", {"marker": "o", "color": VERMILLION, "s": 46}),
        (near[drawn & other], "nearest, drawn tokens, larger K",
         {"marker": "o", "facecolor": "white", "edgecolor": VERMILLION, "linewidth": 1.6, "s": 46}),
    ]  # fmt: skip
    for rows, label, style in kinds:
        if len(rows):
            axes.vlines(rows["L"], rows["mean"], rows["most"], color=VERMILLION, linewidth=1.2, zorder=2)
            axes.scatter(rows["L"], rows["mean"], zorder=4, label=label, **style)
    beside = {"xytext": (-7, 0), "textcoords": "offset points", "va": "center", "ha": "right", "fontsize": 8.5}
    beside["color"] = VERMILLION
    for row in near[drawn & other].to_dict("records"):
        axes.annotate(f"K = {row['K']:,}", (row["L"], row["mean"]), **beside)
    axes.plot([], [], color=VERMILLION, linewidth=1.2, label="from the mean to the most of any image")
    axes.scatter(*reported, marker="*", s=150, color=GREY, zorder=4,
                 label=f"the paper's nearest: the most, {reported[1]} of {reported[0]}")  # fmt: skip
    ticks = sorted({*frame["L"], reported[0]})
    for axis, scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        scale("log", base=2)
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks)
    axes.set(xlabel="L, codes of an image", ylabel="different codes of an image", xlim=ends)
    axes.legend(**LEGEND_ABOVE, ncols=2)
    return figure
