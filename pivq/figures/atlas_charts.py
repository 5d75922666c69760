"""The figures of notebook 14: what codes say and do, and edited faces."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from pivq.data import to_uint8
from pivq.figures.pictures import GAP, LETTER, LINE, Images, _cell_size, _Page, as_pixels
from pivq.figures.style import BLUE, GREY, INK, ORANGE, PALE, VERMILLION, WIDTH, words

CHANGES = matplotlib.colormaps["RdBu_r"]  # darker is blue, brighter is red
APART = 0.14  # inches between parts of a row


def plot_code_bits(bits: Mapping[str, Sequence[float]], attributes: Sequence[str], entropy: Sequence[float]) -> Figure:
    """Draw for each attribute how much of its entropy the best units say, a mark for each kind of unit.

    Args:
        bits: of the best unit about each attribute, by what it is; the last one is chance, drawn as a line.
        attributes: their names.
        entropy: in bits; attributes without any are left out.
    """
    there = np.asarray(entropy) > 0
    (*kinds, chance), heights = bits, np.arange(there.sum())
    share = {name: np.asarray(values)[there] / np.asarray(entropy)[there] for name, values in bits.items()}
    order = np.argsort(share[kinds[0]])
    figure, axes = plt.subplots(figsize=(WIDTH, 1.0 + 0.24 * len(order)))
    axes.hlines(heights, 0, 1, color=PALE, linewidth=0.8, zorder=0)
    styles = zip(kinds, ((BLUE, "o"), (VERMILLION, "D"), (ORANGE, "s"), (GREY, "^")), strict=False)
    for name, (colour, marker) in styles:
        axes.scatter(share[name][order], heights, color=colour, marker=marker, s=34, label=name, zorder=3)
    axes.plot(share[chance][order], heights, color=INK, linestyle=":", linewidth=1.4, label=chance)
    axes.set_yticks(heights, [words(str(attributes[i])) for i in np.flatnonzero(there)[order]])
    axes.set(xlabel="bits it says, as a share of the attribute's entropy", xlim=(-0.02, 1.02), ylim=(-0.7, len(order)))
    axes.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
    axes.grid(axis="y", visible=False)
    axes.legend(loc="lower right")
    return figure


def plot_atlas(rows: Sequence[Any], labels: Sequence[str]) -> Figure:
    """Draw a row for each code: images with it; images without it and their reconstructions; these with the code put in
    below; the mean change.

    Args:
        rows: as of `pivq.runs.beyond.atlas.picture_code`: `having`, `before` and `after`, images `(n, 3, H, W)`,
            and `change`, of brightness, `(H, W)`.
        labels: a text of up to four lines for each row.

    Raises:
        ValueError: not one label for each row.
    """
    if len(rows) != len(labels):
        raise ValueError(f"labels: expected {len(rows)}, got {len(labels)}")
    parts = {"faces with the code": "having", "without it, reconstructed": "before", "the code put in": "after"}
    counts = [max(1, *(len(getattr(row, part)) for row in rows)) for part in parts.values()]
    left = 0.1 + LETTER * max((len(line) for text in labels for line in text.split("\n")), default=0)
    size = _cell_size(WIDTH - left - len(parts) * APART, sum(counts) + 1)
    head, step = LINE + 0.08, size + 2 * GAP
    starts = left + np.cumsum([0, *(count * (size + GAP) + APART for count in counts)])
    page = _Page(starts[-1] + size, head + len(rows) * step + 0.45)
    for start, count, title in zip(starts, [*counts, 1], [*parts, "change"], strict=True):
        page.text(start + (count * (size + GAP) - GAP) / 2, head - 0.06, title, fontsize=8.5, color=GREY)
    strongest = [float(np.abs(np.asarray(row.change)).max()) for row in rows]
    limit = float(np.median(strongest)) or 1.0  # else one strong code would leave the others white
    for place, (row, label) in enumerate(zip(rows, labels, strict=True)):
        y = head + place * step
        page.text(left - 0.1, y + size / 2, label, ha="right", va="center", fontsize=8.5)
        for start, part in zip(starts, parts.values(), strict=False):
            images = getattr(row, part)
            for position, pixels in enumerate(as_pixels(images) if len(images) else ()):
                page.image(pixels, start + position * (size + GAP), y, size, BLUE if part == "after" else None)
        page.image(signed_colours(row.change, limit), starts[-1], y, size)
    _colour_bar(page, starts[-1] + size, head + len(rows) * step + 0.08, limit)
    return page.figure


def signed_colours(change: Any, limit: float) -> np.ndarray:
    """Return the colours `(H, W, 3)` uint8 of changes from -limit, blue, over 0, white, to limit, red.

    Example:
        >>> signed_colours([[0.0]], 1.0).min() > 240
        np.True_
    """
    return to_uint8(CHANGES(0.5 + np.asarray(change) / (2 * limit))[..., :3])


def _colour_bar(page: _Page, right: float, y: float, limit: float, width: float = 2.2) -> None:
    ramp = signed_colours(np.linspace(-limit, limit, 100)[None], limit)
    page.axes.imshow(ramp, extent=(right - width, right, y + 0.1, y), aspect="auto")
    for x, text, side in ((right - width, f"−{limit:.0%} or less", "left"), (right, f"+{limit:.0%} or more", "right")):
        page.text(x, y + 0.13, text, ha=side, va="top", fontsize=8, color=GREY)
    page.text(right - width - 0.1, y + 0.05, "mean change of a pixel's brightness", ha="right", va="center", fontsize=8,
              color=GREY)  # fmt: skip


def plot_edits(rows: Sequence[Sequence[Images]], success: Sequence[Sequence[Any]], labels: Sequence[str]) -> Figure:
    """Draw edited faces: for each attribute trios of the face before, the edit and the control.

    Args:
        rows: for each row, images `(n, 3, H, W)` before, after and after random exchanges.
        success: for each row, whether the judge sees what was wanted, `(n,)` each, after both.
        labels: a text for each row.

    Raises:
        ValueError: rows, verdicts and labels of different numbers.
    """
    if not len(rows) == len(success) == len(labels):
        raise ValueError(f"{len(rows)} rows, {len(success)} verdicts and {len(labels)} labels")
    trios = max(len(row[0]) for row in rows)
    left = 0.1 + LETTER * max(len(line) for text in labels for line in text.split("\n"))
    size = _cell_size((WIDTH - left - (trios - 1) * APART), 3 * trios)
    head, step, wide = LINE + 0.08, size + 2 * GAP, 3 * (size + GAP) - GAP + APART
    page = _Page(left + trios * wide - APART, head + len(rows) * step)
    for trio in range(trios):
        for place, title in enumerate(("before", "edited", "random")):
            x = left + trio * wide + place * (size + GAP) + size / 2
            page.text(x, head - 0.06, title, fontsize=8.5, color=GREY if place != 1 else INK)
    for index, (row, seen, label) in enumerate(zip(rows, success, labels, strict=True)):
        y = head + index * step
        page.text(left - 0.1, y + size / 2, label, ha="right", va="center", fontsize=8.5)
        for place, images in enumerate(row):
            for trio, pixels in enumerate(as_pixels(images)):
                frame = None if not place else BLUE if seen[place - 1][trio] else VERMILLION
                page.image(pixels, left + trio * wide + place * (size + GAP), y, size, frame)
    return page.figure


def plot_success(frame: pd.DataFrame) -> Figure:
    """Draw the share of edits that succeed per attribute, with control and ceiling; one panel per direction.

    Args:
        frame: columns `attribute`, `edit`, `success`, `control`, `ceiling`, `readable`; attributes that are not
            readable are pale.
    """
    names = list(frame.groupby("attribute")["success"].mean().sort_values().index)
    kinds = list(frame["edit"].drop_duplicates())
    figure, panels = plt.subplots(
        1, len(kinds), figsize=(WIDTH, 1.1 + 0.24 * len(names)), sharey=True, sharex=True, squeeze=False
    )
    marks = (("success", BLUE, "o", "edited"), ("control", VERMILLION, "x", "random exchanges"),
             ("ceiling", INK, "|", "the judge on reconstructions"))  # fmt: skip
    for axes, kind in zip(panels[0], kinds, strict=True):
        rows = frame[frame["edit"] == kind]
        heights, pale = rows["attribute"].map(names.index), np.where(rows["readable"], 1.0, 0.25)
        axes.hlines(heights, rows["control"], rows["success"], color=PALE, linewidth=1.5, zorder=1)
        for column, colour, marker, _ in marks:
            axes.scatter(rows[column], heights, color=colour, marker=marker, s=36, alpha=pale, zorder=3)
        axes.set_title(kind, loc="left")
        axes.set(xlabel="pictures read as wanted", xlim=(-0.04, 1.04))
        axes.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, decimals=0))
    panels[0, 0].set_yticks(range(len(names)), [words(str(name)) for name in names])
    kept = [(colour, marker, label, 1.0) for _, colour, marker, label in marks]
    kept += [] if frame["readable"].all() else [(BLUE, "o", "pale: the judge reads it too badly", 0.25)]
    handles = [  # not those of the first row, which may be pale
        Line2D([], [], color=colour, marker=marker, label=label, alpha=alpha, linestyle="")
        for colour, marker, label, alpha in kept
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=4, handletextpad=0.2)
    return figure
