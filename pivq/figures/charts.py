"""Charts about data, training and measurements: thin functions from arrays and frames to a matplotlib figure."""

import itertools
import textwrap
from collections.abc import Mapping, Sequence
from os.path import commonprefix

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter
from scipy.stats import ks_2samp

from pivq.figures.style import (
    BLUE,
    COLOURS,
    GREEN,
    GREY,
    INK,
    LEGEND_ABOVE,
    ORANGE,
    PALE,
    PALETTE,
    WHOLE,
    WIDTH,
    colour_of,
    words,
)
from pivq.figures.tables import format_column

# The panels of training curves: columns of logs, and what they are called; the arrow points to better values.
TITLES = {
    "heldout_l1": "held-out L1 ↓",
    "heldout_psnr": "held-out PSNR (dB) ↑",
    "heldout_perceptual": "held-out perceptual ↓",
    "codes_in_use": "codes in use, a few faces ↑",
    "mean_codes_per_image": "distinct codes per image ↑",
    "adversarial": "adversarial loss",
}
ACROSS = 3  # panels in a row
# Of the measures of ablations, by their last word: which values are better.
BETTER = {"L1": " ↓", "(dB)": " ↑", "perceptual": " ↓", "use": " ↑", "FD": " ↓", "FID": " ↓"}
# What is drawn in Fig. 5 in addition to the paper's model.
PROBED = {"untrained": ("untrained encoder (control)", GREY, "s"), "drawn": ("drawn tokens (our variant)", GREEN, "^")}
SAME = 0.01  # of the images: cumulative curves that are nowhere farther apart are drawn as one
MARK_STYLES = [(INK, "-"), (INK, ":"), (GREY, "--"), (GREY, "-.")]


def plot_attributes(frame: pd.DataFrame, heldout: pd.DataFrame | None = None) -> Figure:
    """Draw how frequent each attribute is among the images where it can be seen, most frequent first.

    Args:
        frame: {0, 1, missing}, one column per attribute (the training set).
        heldout: the same for the held-out set, drawn as dots.
    """
    order = frame.mean().sort_values(ascending=False).index
    figure, axes = plt.subplots(figsize=(WIDTH, 0.6 + 0.2 * len(order)))
    y = np.arange(len(order))
    shares = frame[order].mean().astype(float)
    axes.barh(y, shares, height=0.7, color=COLOURS["matching"], label=f"training ({len(frame):,} images)")
    for position, share in zip(y, shares, strict=True):
        place = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center_baseline", "fontsize": 8.5}
        axes.text(1.06, position, f"{share:.1%}", **place)
    if heldout is not None:
        style = {"color": "white", "edgecolor": INK, "linewidth": 1.2, "s": 28, "zorder": 3}
        axes.scatter(heldout[order].mean().astype(float), y, label=f"held out ({len(heldout):,})", **style)
    axes.set_yticks(y, [words(name) for name in order])
    axes.set(ylim=(len(order) - 0.4, -0.6), xlim=(0, None), xlabel="share of the images where it can be seen")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(axis="y", length=0)
    axes.grid(False, axis="y")
    axes.legend(loc="lower right")
    return figure


def plot_curves(
    logs: Mapping[str, pd.DataFrame],
    marks: Mapping[str, int | Sequence[int]] | None = None,
    columns: Sequence[str] | None = None,
    own: Mapping[str, int] | None = None,
) -> Figure:
    """Draw training curves as small multiples: one panel per column, one line per run.

    Beside the adversarial loss its adaptive weight is drawn, dotted, with a scale of its own.

    Args:
        logs: by name; each has `step` and columns of losses, missing where a row has none.
        marks: steps where something starts, by name (T_q, re-initialisations, …): vertical lines in every panel, named
            in the legend.
        columns: which columns, in this order; by default all that `TITLES` has.
        own: the T_q of logs that have another, by the log's name: vertical lines in their colours.

    Raises:
        ValueError: no log has such a column.
    """
    known = columns or [c for c in TITLES if any(c in log and log[c].notna().any() for log in logs.values())]
    if not known:
        raise ValueError(f"no log has any of the columns {list(TITLES)}")
    figure, panels = _panels(known)
    last_step = max(log["step"].max() for log in logs.values())
    runs, starts = {}, {}
    for column in known:
        axes = panels[column]
        axes.set_xlim(0, last_step)
        runs |= _draw_lines(axes, logs, column)
        starts = _draw_marks(axes, marks or {}) | _draw_own(axes, own or {}, list(logs))
        if column == "adversarial":
            _draw_weights(axes, logs)
        axes.set_title(TITLES.get(column, column.replace("_", " ")), fontsize=10, loc="left")
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        if column in known[-ACROSS:]:
            axes.set_xlabel("step")
        else:
            axes.tick_params(labelbottom=False)
    figure.legend([*runs.values(), *starts.values()], [*runs, *starts], loc="outside upper left", ncols=3)
    return figure


def _panels(names: Sequence[str]) -> tuple[Figure, dict[str, Axes]]:
    """Return a figure with a panel per name, `ACROSS` in a row."""
    across = min(ACROSS, len(names))
    rows = [list(names[i : i + across]) for i in range(0, len(names), across)]
    rows[-1] += ["."] * (across - len(rows[-1]))
    return plt.subplot_mosaic(rows, figsize=(WIDTH, 0.6 + 2.3 * len(rows)))


def _draw_lines(axes: Axes, logs: Mapping[str, pd.DataFrame], column: str) -> dict[str, Line2D]:
    """Draw a column of each log that has it; return the lines by the log's name."""
    lines = {}
    for position, (name, log) in enumerate(logs.items()):
        if column in log:
            points = log[["step", column]].dropna()
            style = {"color": colour_of(name, position), "markersize": 3.5, "linewidth": 1.8, "alpha": 0.85}
            style["marker"] = "o" if len(points) <= 30 else None
            style["linestyle"] = (0, (3, 3)) if position else "-"  # of two equal curves both can be seen
            (lines[name],) = axes.plot(points["step"], points[column], **style)
    return lines


def _draw_weights(axes: Axes, logs: Mapping[str, pd.DataFrame]) -> None:
    """Draw the adaptive weights in the panel of the loss that they belong to."""
    weights = {name: log for name, log in logs.items() if "adaptive_weight" in log}
    if weights:
        right = axes.twinx()
        for line in _draw_lines(right, weights, "adaptive_weight").values():
            line.set(linestyle=":", marker="")
        right.set(ylabel="its weight (dotted)", ylim=(0, None))
        right.yaxis.set_major_locator(MaxNLocator(4))
        right.grid(False)


def _draw_marks(axes: Axes, marks: Mapping[str, int | Sequence[int]]) -> dict[str, Line2D]:
    """Draw vertical lines at steps, below the curves; return one of each name."""
    lines = {}
    for (name, steps), (colour, style) in zip(marks.items(), itertools.cycle(MARK_STYLES)):
        for step in np.atleast_1d(steps):
            lines[name] = axes.axvline(step, color=colour, linestyle=style, linewidth=1.0, zorder=1)
    return lines


def _draw_own(axes: Axes, own: Mapping[str, int], order: Sequence[str]) -> dict[str, tuple[Line2D, ...]]:
    """Draw the T_q of single logs, in the colours of `order`; logs with the same T_q share a line, dash by dash."""
    lines = {}
    for step in dict.fromkeys(own.values()):
        names = [name for name in order if own.get(name) == step]
        dashes = [(3 * i, (3, 3 * (len(names) - 1))) if names[1:] else "-" for i in range(len(names))]
        label = commonprefix(names).rstrip(", ") if names[1:] else names[0]
        lines[f"$T_q$, {label}"] = tuple(
            axes.axvline(step, color=colour_of(name, order.index(name)), linestyle=dash, linewidth=1.2, zorder=1)
            for name, dash in zip(names, dashes, strict=True)
        )
    return lines


def plot_probing(frame: pd.DataFrame) -> Figure:
    """Draw the accuracy of each attribute's probe, with error bars, and the majority baseline (Fig. 5).

    Args:
        frame: one row per attribute, drawn in this order: `attribute`, `accuracy`, `std` (over the folds), `baseline`.
            A filled dot is `significant`; without such a column, more than one standard deviation above the baseline.
            Where it has them, `untrained` (the control) and `drawn` (tokens) with their `_std` are drawn as well.
    """
    others = {name: style for name, style in PROBED.items() if name in frame}
    row = 0.28 + 0.07 * len(others)
    figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + row * len(frame)))
    y = np.arange(len(frame))
    accuracy, std, baseline = (frame[name].to_numpy(float) for name in ("accuracy", "std", "baseline"))
    clear = frame["significant"].to_numpy(bool) if "significant" in frame else accuracy - std > baseline
    axes.hlines(y, np.minimum(baseline, accuracy), np.maximum(baseline, accuracy), color=PALE, linewidth=5, zorder=1)
    axes.scatter(baseline, y, marker="|", s=170, linewidth=2.5, color=INK, zorder=2, label="always the majority class")
    axes.errorbar(accuracy, y, xerr=std, fmt="none", ecolor=BLUE, elinewidth=1.6, capsize=3.5, zorder=3)
    trained = "learned tokens" if others else "probe"
    kinds = (clear, BLUE, f"{trained}, ± 1 s.d. over folds"), (~clear, "white", f"{trained}, not clear of it")
    for chosen, face, label in kinds:
        if chosen.any():
            axes.scatter(accuracy[chosen], y[chosen], s=52, facecolor=face, edgecolor=BLUE, linewidth=1.6, zorder=4,
                         label=label)  # fmt: skip
    lowest = [baseline.min(), np.nanmin(accuracy - std)]
    for position, (name, (label, colour, marker)) in enumerate(others.items()):
        values, spread = frame[name].to_numpy(float), frame[f"{name}_std"].to_numpy(float)
        place = {"markersize": 5, "elinewidth": 1.2, "capsize": 2, "zorder": 3, "label": label}
        axes.errorbar(values, y + 0.26 + 0.2 * position, xerr=spread, fmt=marker, color=colour, **place)
        lowest.append(np.nanmin(values - spread))
    axes.set_yticks(y, [words(str(name)) for name in frame["attribute"]])
    axes.set(ylim=(len(frame) - 0.4, -0.6), xlim=(np.floor(min(lowest) * 20) / 20 - 0.01, 1.012), xlabel="accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(axis="y", length=0)
    axes.legend(**LEGEND_ABOVE, ncols=3, handletextpad=0.3)
    return figure


def plot_ablations(frame: pd.DataFrame, highlight: str | None = None) -> Figure:
    """Draw short runs that differ in one setting: one row per kind of run, one panel per measurement.

    Args:
        frame: its first column names the runs; the others are numbers, whose names are the titles. Rows of one name
            are runs with several seeds: each is a dot, a stroke marks their mean, and it is written at the right.
        highlight: the run that the others differ from.
    """
    names = frame.iloc[:, 0].astype(str)
    kinds, measures = names.unique().tolist(), list(frame.columns[1:])
    figure, grid = plt.subplots(1, len(measures), figsize=(WIDTH, 1.0 + 0.36 * len(kinds)), sharey=True, squeeze=False)
    y = names.map(kinds.index).to_numpy()
    colours = [BLUE if name == highlight else GREY for name in names]
    for axes, measure in zip(grid[0], measures, strict=True):
        values = frame[measure].to_numpy(float)
        means = frame[measure].groupby(y).mean()
        axes.scatter(values, y, color=colours, s=34, zorder=3, alpha=0.7, linewidths=0)
        axes.scatter(means, means.index, marker="|", s=190, color=INK, linewidth=1.6, zorder=2)
        if pd.api.types.is_integer_dtype(frame[measure]):
            means = means.round().astype(int)
        low, high = np.nanmin(values), np.nanmax(values)
        span = high - low or abs(high) or 1.0
        for position, text in enumerate(format_column(means)):
            if np.isfinite(means[position]):
                place = {"ha": "right", "va": "center_baseline", "fontsize": 8.5}
                axes.text(0.99, position, text, transform=axes.get_yaxis_transform(), **place)
        axes.set_title(textwrap.fill(measure + BETTER.get(measure.split()[-1], ""), 14), fontsize=10, loc="left")
        axes.set(ylim=(len(kinds) - 0.5, -0.5), xlim=(low - 0.15 * span, high + 0.95 * span))
        axes.set_yticks(range(len(kinds)), kinds)
        axes.set_xticks([tick for tick in MaxNLocator(2).tick_values(low, high) if low - 0.15 * span <= tick <= high])
        axes.xaxis.set_major_formatter("{x:,g}")
        axes.tick_params(axis="y", length=0)
    return figure


def plot_totals(optimal: np.ndarray, others: Mapping[str, np.ndarray]) -> Figure:
    """Draw how much each image's total distance exceeds the optimum under other ways of assigning codes.

    Args:
        optimal: `(N,)`, total distance of the optimal matching, Eq. (3).
        others: totals `(N,)` by the name of the method.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2))
    excess = {name: np.asarray(totals) / np.asarray(optimal) - 1 for name, totals in others.items()}
    bins = np.linspace(0, max(values.max() for values in excess.values()) or 1.0, 50)
    for position, (name, values) in enumerate(excess.items()):
        colour = [GREY, INK][position % 2]  # no colour that has a meaning elsewhere
        label = f"{name}: {values.mean():.1%} more on average"
        axes.hist(values, bins, histtype="step", edgecolor=colour, linewidth=2, label=label)
    axes.set(xlabel="total distance above the optimal matching's", ylabel="images", xlim=(0, bins[-1]))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.legend()
    return figure


def plot_smoothness(
    walks: np.ndarray,
    crossfade: np.ndarray,
    contrast: tuple[np.ndarray, np.ndarray],
    panels: Sequence[Axes] | None = None,
    title: str = "",
) -> Figure:
    """Draw how an image moves along smooth paths, and along cross-fades between the same ends.

    Args:
        walks: `(P, T)`, distance of each path's image from its start, as a share of the distance between the ends,
            at T shares of exchanged codes from 0 to 1.
        crossfade: the same for cross-fades.
        contrast: detail of the images of paths and of cross-fades, as a share of the mean detail of both ends. What is
            drawn is the difference of each pair, which does not depend on how much its ends differ.
        panels: the two panels to draw in.
        title: above the left one, such as the model.
    """
    left, right = plt.subplots(1, 2, figsize=(WIDTH, 3.2), sharex=True)[1] if panels is None else panels
    t = np.linspace(0, 1, walks.shape[1])
    drawn = [(left, walks, BLUE, "codes exchanged"), (left, crossfade, ORANGE, "pixels cross-faded")]
    drawn.append((right, np.subtract(*contrast), BLUE, "codes − cross-fade of the same pair"))
    for axes, values, colour, name in drawn:
        if len(values):
            axes.fill_between(t, *np.quantile(values, (0.1, 0.9), axis=0), color=colour, alpha=0.2, linewidth=0)
            axes.plot(t, np.median(values, axis=0), color=colour, label=name, linewidth=2.2)
    right.axhline(0, color=ORANGE, linewidth=1.6, zorder=1)
    for axes, label in ((left, "distance from image a"), (right, "detail: codes − cross-fade,\nshare of the ends'")):
        axes.set(xlabel="share of the way from a to b", ylabel=label, xlim=(0, 1))
        axes.yaxis.set_major_locator(MaxNLocator(8, steps=WHOLE))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    left.set_ylim(0, None)
    left.set_title(title, loc="left", fontsize=10)
    left.figure.legends.clear()  # one for all rows of panels
    left.figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return left.figure


def plot_memorisation(
    distances: Mapping[str, np.ndarray], xlabel: str, overlaps: Mapping[str, np.ndarray], num_codes: int
) -> Figure:
    """Draw how near images come to training images: by distance, and by the codes that they share with the nearest.

    Args:
        distances: `(N,)` by group, in the order of the legend; drawn cumulatively, two equal curves once.
        xlabel: what the distances are.
        overlaps: `(M,)` by group, the most codes that an image shares with any training image.
        num_codes: L.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.0))
    drawn: dict[str, Line2D] = {}
    for position, (name, values) in enumerate(distances.items()):
        values = np.sort(np.asarray(values))
        twins = [of for of in drawn if ks_2samp(values, drawn[of].get_xdata(), method="asymp").statistic <= SAME]
        if twins:
            line, other = drawn[twins[0]], name.removeprefix(f"{twins[0]}, ")
            line.set_label(f"{line.get_label()}\n({other}: the same within {SAME:.0%})")
            continue
        style = {"color": PALETTE[position % len(PALETTE)], "linestyle": ["-", "--", "-.", ":"][position % 4]}
        shares = np.arange(1, len(values) + 1) / len(values)
        label = f"{name}: median {np.median(values):.1f}"
        (drawn[name],) = left.plot(values, shares, label=label, linewidth=2.2, **style)
    left.set(xlabel=xlabel, ylabel="share of the images, cumulative", ylim=(0, 1.02), xlim=(0, None))
    width = 0.8 / len(overlaps)
    for position, (name, values) in enumerate(overlaps.items()):
        shared, times = np.unique(np.asarray(values), return_counts=True)
        offset = (position - (len(overlaps) - 1) / 2) * width
        style = {"color": PALETTE[2 * position % len(PALETTE)], "label": f"{name}: mean {np.mean(values):.1f}"}
        right.bar(shared + offset, times / len(values), width, **style)
    lowest = min(np.min(values) for values in overlaps.values())
    right.set(ylabel="share of the images", xlim=(min(lowest, num_codes - 4) - 0.8, num_codes + 0.8))
    right.set_xlabel(f"codes, of {num_codes}, shared with the most\nsimilar training face")
    right.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for axes in (left, right):
        axes.yaxis.set_major_locator(MaxNLocator(8, steps=WHOLE))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.legend(**LEGEND_ABOVE)
    return figure
