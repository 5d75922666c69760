"""Charts about codes: capacity (Fig. 4), use of the codebook and of its codes by tokens, traits of recombined images.

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

from pivq.figures.style import BLUE, GREY, INK, LEGEND_ABOVE, ORANGE, PALE, WHOLE, WIDTH, colour_of, words

OVER_COUNTED = "Eq. (2) counts sets more than once"  # the shaded region of Fig. 4


def plot_capacity(
    lengths: Sequence[int],
    curves: Mapping[str, Sequence[float]],
    measured: Sequence[tuple[str, int, float]] = (),
    title: str = "",
    axes: Axes | None = None,
    small: Sequence[tuple[str, Sequence[int], Sequence[float]]] = (),
) -> Figure:
    """Draw information capacity in bits against representation length L (Fig. 4).

    Args:
        lengths: values of L.
        curves: bits at each length, by label; written at the end of its line, in the colour of what it names. Those
            that are "counted once" are dashed, and what a curve of the same colour counts above them is shaded.
        measured: points (label, L, bits); those of "drawn" tokens are hollow.
        title: above the panel.
        axes: to draw in.
        small: sets of points (label, values of L, bits), drawn smaller; the same. Where a corner is enlarged, it has
            the `measured` points, and the panel has only the points beyond it, so that no mark hides another.
    """
    if axes is None:
        _, axes = plt.subplots(figsize=(WIDTH, 4.2))
    colours = [colour_of(label, position) for position, label in enumerate(curves)]
    panels = [axes]
    longest = max((length for _, length, _ in measured), default=0)
    if 0 < longest < 0.2 * max(lengths):
        panels.append(_zoom(axes, 2 * longest, lengths, curves))
    coloured = list(zip(curves.items(), colours, strict=True))
    once = {colour: bits for (label, bits), colour in coloured if "counted once" in label}
    for panel in panels:
        for (label, bits), colour in coloured:
            style = "--" if "counted once" in label else "-"
            panel.plot(lengths, bits, color=colour, linewidth=2.2 if panel is axes else 1.4, linestyle=style)
            if colour in once and bits is not once[colour]:
                about = {"label": OVER_COUNTED if panel is axes else None, "linewidth": 0}
                panel.fill_between(lengths, once[colour], bits, color=colour, alpha=0.35, **about)
    top = max([max(bits) for bits in curves.values()] + [bits for _, _, bits in measured])
    ends = [(bits[-1], label, colour) for (label, bits), colour in coloured]
    _end_labels(axes, ends, top)
    points = [(f"{label}: {bits:,.0f} bits", [length], [bits], 80) for label, length, bits in measured]
    edge = panels[1].get_xlim()[1] if panels[1:] else -1.0
    for position, (label, at, bits, size) in enumerate(points + [(*some, 26) for some in small]):
        colour, hollow, nearest = colour_of(label, position), "drawn" in label, "nearest" in label
        style = {"facecolor": "white" if hollow else colour, "edgecolor": colour if hollow else "white"}
        style |= {"marker": "Do"[nearest], "linewidth": 1.6 if hollow else 1.0, "zorder": 4 + nearest}
        style["s"] = size / 2 if nearest else size  # the smaller mark in front
        at, bits = np.asarray(at), np.asarray(bits)
        if position >= len(points) and not (at >= edge).any():
            continue
        axes.scatter(at[at >= edge], bits[at >= edge], label=label, clip_on=False, **style)
        if panels[1:] and position < len(points):
            panels[1].scatter(at[at < edge], bits[at < edge], **style)
    axes.set(xlabel="representation length L", ylabel="capacity (bits)", xlim=(0, max(lengths)), ylim=(0, 1.05 * top))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_title(title, loc="left")
    if points or small or once:
        axes.legend(**LEGEND_ABOVE, ncols=2, handletextpad=0.2)
    return axes.figure


def _end_labels(axes: Axes, ends: Sequence[tuple[float, str, str]], top: float) -> None:
    """Write the label of each line at its right end, moved up where lines end close together.

    Args:
        axes: gets the labels, to the right of its panel.
        ends: height of the line's end, label, colour.
        top: the greatest height in the panel.
    """
    lowest = 0.0  # free from here on
    for height, label, colour in sorted(ends, key=lambda end: end[0]):
        text = label if "\n" in label else textwrap.fill(label, 22)
        half = 0.055 * top * (1 + text.count("\n")) / 2
        middle = max(height, lowest + half)
        axes.annotate(text, (1.02, middle), xycoords=("axes fraction", "data"), va="center", color=colour,
                      fontsize=9.5, annotation_clip=False)  # fmt: skip
        lowest = middle + half + 0.02 * top


def _zoom(axes: Axes, longest: int, lengths: Sequence[int], curves: Mapping[str, Sequence[float]]) -> Axes:
    """Return an inset above the curves; it enlarges the lengths up to `longest`, and the curves of sets."""
    inset = axes.inset_axes((0.08, 0.5, 0.36, 0.41))
    sets = [curve for label, curve in curves.items() if "positional" not in label] or list(curves.values())
    highest = max(bits for curve in sets for n, bits in zip(lengths, curve, strict=True) if n <= longest)
    inset.set(xlim=(0, longest), ylim=(0, 1.05 * highest))
    inset.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    inset.yaxis.set_major_locator(MaxNLocator(4))
    inset.tick_params(labelsize=8)
    inset.set_title("small L, enlarged", fontsize=9, loc="left", color=GREY)
    return inset


def plot_codebook_use(codes: Mapping[str, np.ndarray], codebook_sizes: Mapping[str, int]) -> Figure:
    """Draw how each model uses its codebook: codes by frequency, and distinct codes per image.

    Models whose images all have equally many distinct codes are a vertical line in the second panel.

    Args:
        codes: `(N, L)` whole numbers in 0 … K − 1, by name of the model.
        codebook_sizes: K of each.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 4.2))
    seen = []
    for position, (name, rows) in enumerate(codes.items()):
        rows, colour, size = np.asarray(rows), colour_of(name, position), codebook_sizes[name]
        style = {"color": colour, "linestyle": "--" if colour in seen else "-"}
        seen.append(colour)
        uses = np.sort(np.bincount(rows.ravel(), minlength=size))[::-1] / len(rows)
        used = uses[uses > 0]
        distinct = 1 + (np.diff(np.sort(rows, axis=1), axis=1) != 0).sum(axis=1)
        values, times = np.unique(distinct, return_counts=True)
        if len(values) == 1:
            right.axvline(values[0], **style)
        else:
            right.bar(values, times / len(rows), 0.8, color=colour, alpha=0.8)
        per_image = f"always {values[0]}" if len(values) == 1 else f"on average {distinct.mean():.1f}"
        label = f"{name}: {len(used):,} of {size:,} codes in use; {per_image} per image"
        left.plot(np.arange(1, len(used) + 1), used, label=label, **style)
    left.set(xlabel="codes, most used first", ylabel="uses per image", xlim=(0, None), yscale="log")
    left.yaxis.set_major_formatter("{x:g}")
    if left.get_ylim()[1] > 1:
        left.axhline(1, color=INK, linestyle=":", linewidth=1.2, zorder=1)
        place = {"transform": left.get_yaxis_transform(), "ha": "right", "va": "bottom", "fontsize": 9}
        left.text(1, 1.08, "1: with matching, in every image", **place)
    right.set(xlabel="distinct codes per image", ylabel="share of images", ylim=(0, None))
    right.set_xlim(0, 1.06 * max(np.shape(rows)[1] for rows in codes.values()))
    right.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    right.yaxis.set_major_locator(MaxNLocator(8, steps=WHOLE))
    right.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left")
    return figure


def plot_slots(counts: np.ndarray, title: str = "", axes: Axes | None = None) -> Figure:
    """Draw which token (slot) uses which code: a column per code in use, sorted by the slot that uses it most.

    Args:
        counts: `(L, K)`, how often slot l takes code k.
        title: written before the share of uses that fall to their code's main slot.
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
    axes.set(xlabel=f"the {used.shape[1]:,} codes in use", ylabel="token")
    axes.grid(False)
    axes.set_facecolor(PALE)
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    bar = axes.figure.colorbar(picture, ax=axes, pad=0.01, aspect=18, format=PercentFormatter(1))
    bar.set_label("share of the code's uses")
    bar.outline.set_visible(False)
    return axes.figure


# How samples are made, and what they are compared with, in the order of the legend.
TRAIT_MARKS = {
    "reconstructions": {"marker": "|", "s": 90, "linewidth": 2.2, "color": INK},
    "cross-fade": {"marker": "x", "s": 34, "linewidth": 1.4, "color": GREY},
    "slot by slot": {"marker": "s", "s": 34, "linewidth": 1.5, "facecolor": "white", "edgecolor": ORANGE},
    "Algorithm 1": {"marker": "o", "s": 48, "color": BLUE},
}
FEWEST = 10  # samples behind a mark


def plot_traits(frames: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw which traits recombination adds and loses: a row of panels per model, a line per attribute.

    Args:
        frames: `pivq.runs.recombination.Recombination.traits` by the name of the model. Marks that rest on fewer than
            `FEWEST` samples are left out; the lines at Algorithm 1's are their intervals.
    """
    totals = pd.concat(frames.values()).groupby("attribute")["gained"].max()
    names = list(totals.sort_values(ascending=False).index)
    size = (WIDTH, len(frames) * (0.75 + 0.22 * len(names)) + 0.5)
    figure, grid = plt.subplots(len(frames), 2, figsize=size, sharex="col", sharey=True, squeeze=False)
    for row, (model, frame) in zip(grid, frames.items(), strict=True):
        control = frame[frame["sampler"] == frame["sampler"].iloc[0]]
        control = control.assign(sampler="reconstructions", gained=control["false_alarms"], lost=control["misses"])
        for axes, (share, of) in zip(row, (("gained", "neither"), ("lost", "both")), strict=True):
            _draw_traits(axes, pd.concat([control, frame]), share, of, names)
        row[0].set_title(model, loc="left", fontsize=10, fontweight="bold")
    grid[-1, 0].set_xlabel("has it, though neither parent has")
    grid[-1, 1].set_xlabel("lacks it, though both parents have it")
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=4, handletextpad=0.2)
    return figure


def _draw_traits(axes: Axes, frame: pd.DataFrame, share: str, of: str, names: Sequence[str]) -> None:
    """Draw a mark for each attribute and sampler, and the interval of Algorithm 1's."""
    for sampler, style in TRAIT_MARKS.items():
        rows = frame[(frame["sampler"] == sampler) & (frame[of] >= FEWEST)]
        y = [names.index(name) for name in rows["attribute"]]
        label = {"reconstructions": "their reconstructions", "cross-fade": "cross-fades of them"}.get(sampler, sampler)
        axes.scatter(rows[share], y, label=label, zorder=4, **style)
        if sampler == "Algorithm 1":
            axes.hlines(y, rows[f"{share}_low"], rows[f"{share}_high"], color=BLUE, linewidth=1.6)
    for name in set(names) - set(frame["attribute"]):
        axes.text(0.0, names.index(name), "not counted: read too badly", fontsize=8, color=GREY, va="center")
    axes.set_yticks(range(len(names)), [words(name) for name in names])
    axes.set(ylim=(len(names) - 0.4, -0.6), xlim=(-0.02, 1.0 if share == "lost" else None))
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=WHOLE))
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
