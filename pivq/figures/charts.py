"""Figures made of numbers: thin functions from arrays and frames to a matplotlib figure.

A function that draws one panel takes the `axes` to draw in, or makes a figure.
"""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from pivq.figures.style import BLUE, COLOURS, GREY, INK, ORANGE, PALE, PALETTE, SKY, WIDTH, colour_of
from pivq.figures.tables import format_column

# What the columns of logs and tables are called in figures, and where better lies.
TITLES = {
    "l1": "training L1 ↓",
    "perceptual": "training perceptual distance ↓",
    "codebook": "codebook loss",
    "commitment": "commitment loss",
    "adversarial": "generator's adversarial loss",
    "adaptive_weight": "adaptive weight",
    "discriminator": "discriminator's loss",
    "heldout_l1": "held-out L1 ↓",
    "heldout_psnr": "held-out PSNR (dB) ↑",
    "heldout_perceptual": "held-out perceptual distance ↓",
    "codes_in_use": "codes in use ↑",
    "codes_per_image": "distinct codes an image ↑",
    "frechet_distance": "Fréchet distance ↓",
}


def plot_attributes(frame: pd.DataFrame, heldout: pd.DataFrame | None = None) -> Figure:
    """Draw how frequent each attribute is among the images where it can be seen, most frequent first.

    Args:
        frame: {0, 1, missing}, one column an attribute (the training set).
        heldout: the same of the held-out set, drawn as dots.
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
    axes.set_yticks(y, [name.replace("_", " ") for name in order])
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
) -> Figure:
    """Draw training curves as small multiples, one panel a column, one line a run.

    Args:
        logs: by name; each has `step` and columns of losses, missing where a row has none.
        marks: steps where something starts, by name (T_q, re-initialisations, …): vertical lines in every panel.
        columns: which columns, in this order; all that `TITLES` knows by default.

    Raises:
        ValueError: when no log has such a column.
    """
    known = columns or [c for c in TITLES if any(c in log and log[c].notna().any() for log in logs.values())]
    if not known:
        raise ValueError(f"no log has any of the columns {list(TITLES)}")
    across = min(3, len(known))
    down = -(-len(known) // across)
    # The legend has a panel of its own below the others, wherever the curves are.
    names = [known[row * across : (row + 1) * across] for row in range(down)]
    mosaic = [row + ["."] * (across - len(row)) for row in names] + [["legend"] * across]
    ratios = [1.0] * down + [0.1 + 0.12 * -(-(len(logs) + len(marks or {})) // 3)]
    figure, panels = plt.subplot_mosaic(mosaic, figsize=(WIDTH, 0.3 + 1.8 * sum(ratios)), height_ratios=ratios)
    entries = {}
    for column in known:
        axes = panels[column]
        for position, (name, log) in enumerate(logs.items()):
            if column in log:
                points = log[["step", column]].dropna()
                marker = "o" if len(points) <= 30 else None
                line = {"color": colour_of(name, position), "marker": marker, "markersize": 3.5, "linewidth": 1.5}
                line["linestyle"] = (0, (3, 3)) if position else "-"  # curves that are the same both show
                (entries[name],) = axes.plot(points["step"], points[column], alpha=0.85, **line)
        for position, (name, steps) in enumerate((marks or {}).items()):
            colour, style = [(INK, "-"), (INK, ":"), (GREY, "--"), (GREY, "-.")][position % 4]
            for step in np.atleast_1d(steps):
                entries[name] = axes.axvline(step, color=colour, linestyle=style, linewidth=1.0, zorder=1)
        axes.set_title(TITLES.get(column, column.replace("_", " ")), fontsize=10, loc="left")
        axes.set_xlim(0, max(log["step"].max() for log in logs.values()))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.xaxis.set_major_formatter("{x:,.0f}")
        if column in known[-across:]:
            axes.set_xlabel("step")
        else:
            axes.tick_params(labelbottom=False)
    panels["legend"].set_axis_off()
    panels["legend"].legend(entries.values(), entries.keys(), loc="center", ncols=min(3, len(entries)))
    return figure


def plot_capacity(
    lengths: Sequence[int],
    curves: Mapping[str, Sequence[float]],
    measured: Sequence[tuple[str, int, float]] = (),
    title: str = "",
    axes: Axes | None = None,
) -> Figure:
    """Draw information capacity in bits against representation length L (Fig. 4).

    Args:
        lengths: values of L.
        curves: bits at each length, by label; written at the end of its line, in the colour of what it names.
        measured: points (label, L, bits).
        title: above the panel.
        axes: to draw in.
    """
    if axes is None:
        _, axes = plt.subplots(figsize=(WIDTH, 4.2))
    panels = [axes]
    if measured and max(length for _, length, _ in measured) < 0.2 * max(lengths):
        panels.append(_zoom(axes, 2 * max(length for _, length, _ in measured), lengths, curves))
    for panel in panels:
        for position, (label, bits) in enumerate(curves.items()):
            panel.plot(lengths, bits, color=colour_of(label, position), linewidth=2.2)
    top = max([max(bits) for bits in curves.values()] + [bits for _, _, bits in measured])
    # Labels at the right end, moved apart where the lines end close together.
    ends = sorted(((bits[-1], i, label) for i, (label, bits) in enumerate(curves.items())), key=lambda end: end[0])
    lowest = 0.0
    for height, position, label in ends:
        text = label if "\n" in label else textwrap.fill(label, 22)
        need = 0.055 * top * (1 + text.count("\n"))
        lowest = max(height, lowest + need / 2)
        colour = colour_of(label, position)
        axes.annotate(text, (1.02, lowest), xycoords=("axes fraction", "data"), va="center", color=colour,
                      fontsize=9.5, annotation_clip=False)  # fmt: skip
        lowest += need / 2 + 0.02 * top
    for position, (label, length, bits) in enumerate(measured):
        style = {"color": colour_of(label, position), "edgecolor": "white", "linewidth": 1.2, "zorder": 4, "s": 80}
        for panel in panels:
            panel.scatter([length], [bits], marker="Do^s"[position % 4], label=f"{label}: {bits:,.0f} bits", **style)
    axes.set(xlabel="representation length L", ylabel="capacity (bits)", xlim=(0, max(lengths)), ylim=(0, 1.05 * top))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(title, loc="left")
    if measured:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, handletextpad=0.2)
    return axes.figure


def _zoom(axes: Axes, longest: int, lengths: Sequence[int], curves: Mapping[str, Sequence[float]]) -> Axes:
    """Return an inset, in the corner above the curves, for the representations up to the length `longest`."""
    inset = axes.inset_axes((0.08, 0.5, 0.36, 0.41))
    highest = max(bits for curve in curves.values() for n, bits in zip(lengths, curve, strict=True) if n <= longest)
    inset.set(xlim=(0, longest), ylim=(0, 1.05 * highest))
    inset.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    inset.yaxis.set_major_locator(MaxNLocator(4))
    inset.tick_params(labelsize=8)
    inset.set_title("small L, enlarged", fontsize=9, loc="left", color=GREY)
    return inset


def plot_codebook_use(codes: Mapping[str, np.ndarray], codebook_size: int) -> Figure:
    """Draw how each model uses its codebook: codes by frequency, and distinct codes an image.

    Args:
        codes: `(N, L)` whole numbers in 0 … K − 1, by name of the model.
        codebook_size: K.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.4))
    width = 0.8 / len(codes)
    for position, (name, rows) in enumerate(codes.items()):
        rows, colour = np.asarray(rows), colour_of(name, position)
        uses = np.sort(np.bincount(rows.ravel(), minlength=codebook_size))[::-1] / len(rows)
        in_use = f"{np.count_nonzero(uses):,} of {codebook_size:,}"
        style = {"color": colour, "linestyle": ["-", "--"][position % 2]}
        left.plot(np.arange(1, codebook_size + 1), uses, label=f"{name}: {in_use} codes in use", **style)
        distinct = 1 + (np.diff(np.sort(rows, axis=1), axis=1) != 0).sum(axis=1)
        values, times = np.unique(distinct, return_counts=True)
        offset = (position - (len(codes) - 1) / 2) * width
        label = f"{name}: {distinct.mean():.2f} on average"
        right.bar(values + offset, times / len(rows), width, color=colour, label=label)
    left.set(xlabel="codes, most used first", ylabel="uses an image", xlim=(0, codebook_size), ylim=(0, None))
    right.set(xlabel="distinct codes an image", ylabel="share of images", ylim=(0, None))
    low, high = right.get_xlim()
    if high - low < 4:  # all images alike: whole numbers on both sides
        right.set_xlim((low + high) / 2 - 2.5, (low + high) / 2 + 2.5)
    right.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    right.yaxis.set_major_formatter(PercentFormatter(1))
    for axes in (left, right):  # the legend above: it can meet neither lines nor bars
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0))
    return figure


def plot_slots(counts: np.ndarray, title: str = "", axes: Axes | None = None) -> Figure:
    """Draw which learned token (slot) uses which code: one column a code in use, sorted by the slot that uses it most.

    Args:
        counts: `(L, K)`, how often slot l takes code k.
        title: before the share of uses that fall to their code's main slot.
        axes: to draw in.
    """
    counts = np.asarray(counts)
    if axes is None:
        _, axes = plt.subplots(figsize=(WIDTH, 3.6))
    used = counts[:, counts.sum(axis=0) > 0]
    shares = used / used.sum(axis=0)
    shares = shares[:, np.lexsort((-shares.max(axis=0), shares.argmax(axis=0)))]
    picture = axes.imshow(shares, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    main = used.max(axis=0).sum() / used.sum()
    heading = f"{title}: " if title else ""
    axes.set_title(f"{heading}{main:.1%} of all uses fall to their code's main token", loc="left")
    axes.set(xlabel=f"the {used.shape[1]:,} codes in use", ylabel="learned token")
    axes.grid(False)
    axes.set_facecolor(PALE)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    bar = axes.figure.colorbar(picture, ax=axes, pad=0.01, aspect=18, format=PercentFormatter(1))
    bar.set_label("share of the code's uses")
    bar.outline.set_visible(False)
    return axes.figure


def plot_probing(frame: pd.DataFrame) -> Figure:
    """Draw the accuracy of each attribute's probe, with error bars, beside the majority baseline (Fig. 5).

    Args:
        frame: one row an attribute, drawn in this order: `attribute`, `accuracy`, `std` (over the folds), `baseline`.
            A filled dot is `significant`, or without such a column more than one standard deviation above the baseline.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + 0.28 * len(frame)))
    y = np.arange(len(frame))
    accuracy, std, baseline = (frame[name].to_numpy(float) for name in ("accuracy", "std", "baseline"))
    clear = frame["significant"].to_numpy(bool) if "significant" in frame else accuracy - std > baseline
    axes.hlines(y, np.minimum(baseline, accuracy), np.maximum(baseline, accuracy), color=PALE, linewidth=5, zorder=1)
    axes.scatter(baseline, y, marker="|", s=170, linewidth=2.5, color=INK, zorder=2, label="always the majority class")
    axes.errorbar(accuracy, y, xerr=std, fmt="none", ecolor=BLUE, elinewidth=1.6, capsize=3.5, zorder=3)
    kinds = (clear, BLUE, "probe, ± 1 s.d. over folds"), (~clear, "white", "probe, not clear of it")
    for chosen, face, label in kinds:
        if chosen.any():
            axes.scatter(accuracy[chosen], y[chosen], s=52, facecolor=face, edgecolor=BLUE, linewidth=1.6, zorder=4,
                         label=label)  # fmt: skip
    axes.set_yticks(y, [str(name).replace("_", " ") for name in frame["attribute"]])
    lowest = min(baseline.min(), (accuracy - std).min())
    axes.set(ylim=(len(frame) - 0.4, -0.6), xlim=(np.floor(lowest * 20) / 20 - 0.01, 1.012), xlabel="accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=3, handletextpad=0.3)
    return figure


def plot_ablations(frame: pd.DataFrame, highlight: str | None = None) -> Figure:
    """Draw short runs that differ in one setting: one row a run, one panel a measurement.

    Args:
        frame: its first column names the runs; the others are numbers, whose names are the titles.
        highlight: the run that the others differ from.
    """
    names, measures = frame.iloc[:, 0].astype(str).tolist(), list(frame.columns[1:])
    figure, grid = plt.subplots(1, len(measures), figsize=(WIDTH, 0.9 + 0.34 * len(frame)), sharey=True, squeeze=False)
    y = np.arange(len(frame))
    colours = [BLUE if name == highlight else GREY for name in names]
    for axes, measure in zip(grid[0], measures, strict=True):
        values = frame[measure].to_numpy(float)
        span = np.nanmax(values) - np.nanmin(values) or abs(np.nanmax(values)) or 1.0
        texts = format_column(frame[measure])
        axes.scatter(values, y, color=colours, s=48, zorder=3)
        for position, value in enumerate(values):
            if np.isfinite(value):
                beside = {"xytext": (7, 0), "textcoords": "offset points", "va": "center", "fontsize": 8.5}
                axes.annotate(texts[position], (value, position), **beside)
        axes.set_title(measure, fontsize=10, loc="left")
        axes.set(ylim=(len(frame) - 0.5, -0.5), xlim=(np.nanmin(values) - 0.15 * span, np.nanmax(values) + 0.5 * span))
        axes.set_yticks(y, names)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.tick_params(axis="y", length=0)
    return figure


def plot_totals(optimal: np.ndarray, others: Mapping[str, np.ndarray]) -> Figure:
    """Draw, image by image, how much more than the least total distance other ways of assigning codes pay.

    Args:
        optimal: `(N,)`, total distance of the optimal matching, Eq. (3).
        others: totals `(N,)` by the name of the method.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2))
    excess = {name: np.asarray(totals) / np.asarray(optimal) - 1 for name, totals in others.items()}
    bins = np.linspace(0, max(values.max() for values in excess.values()) or 1.0, 50)
    for position, (name, values) in enumerate(excess.items()):
        colour = [ORANGE, SKY, GREY][position % 3]
        label = f"{name}: {values.mean():.1%} more on average"
        axes.hist(values, bins, histtype="stepfilled", facecolor=(colour, 0.5), edgecolor=colour, label=label)
    axes.set(xlabel="total distance above the optimal matching's", ylabel="images", xlim=(0, bins[-1]))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.legend()
    return figure


def plot_smoothness(walks: np.ndarray, crossfade: np.ndarray, contrast: tuple[np.ndarray, np.ndarray]) -> Figure:
    """Draw how an image moves along smooth paths, beside cross-fades between the same ends.

    Args:
        walks: `(P, T)`, how far each path's image is from its beginning, in distances between the ends, at T shares
            of its codes exchanged from 0 to 1.
        crossfade: the same of cross-fades.
        contrast: detail of the images of paths, and of cross-fades, at these shares, in the mean of both ends'.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 3.2), sharex=True)
    t = np.linspace(0, 1, walks.shape[1])
    pairs = ((left, (walks, crossfade), "distance from image b"), (right, contrast, "detail, as a share of the ends'"))
    for axes, rows, label in pairs:
        for values, colour, name in zip(rows, (BLUE, ORANGE), ("codes exchanged", "pixels cross-faded"), strict=True):
            axes.fill_between(t, *np.quantile(values, (0.1, 0.9), axis=0), color=colour, alpha=0.2, linewidth=0)
            axes.plot(t, np.median(values, axis=0), color=colour, label=name, linewidth=2.2)
        axes.set(xlabel="share of the way from b to a", ylabel=label, xlim=(0, 1))
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    left.set_ylim(0, None)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    return figure


def plot_distances(groups: Mapping[str, np.ndarray], xlabel: str) -> Figure:
    """Draw the distribution of distances in several groups: the share of each group up to a distance.

    Args:
        groups: distances `(N,)` by name, in the order of the legend.
        xlabel: what the distances are.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.4))
    for position, (name, values) in enumerate(groups.items()):
        values = np.sort(np.asarray(values))
        style = {"color": PALETTE[position % len(PALETTE)], "linestyle": ["-", "--", "-.", ":"][position % 4]}
        shares = np.arange(1, len(values) + 1) / len(values)
        axes.plot(values, shares, label=f"{name}: median {np.median(values):.2f}", linewidth=2.2, **style)
    axes.set(xlabel=xlabel, ylabel="share of the images", ylim=(0, 1.02), xlim=(0, None))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2)
    return figure
