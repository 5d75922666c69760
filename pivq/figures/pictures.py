"""Figures made of images: contact sheets, reconstructions, interpolations, samples with their parents or neighbours.

Images are `(N, 3, H, W)`, uint8 or float in [0, 1], arrays or tensors.
"""

import textwrap
from collections.abc import Collection, Mapping, Sequence

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pivq.data import to_uint8
from pivq.figures.style import BLUE, GREY, INK, ORANGE, WIDTH

Images = np.ndarray | torch.Tensor
GAP = 0.05  # inches between images
LINE = 0.15  # inches, height of a line of text
LETTER = 0.066  # inches, average width of a letter
NARROW = 14  # letters in a line of a row's label
LARGEST_ERROR = 0.4  # of a pixel, mean of its colours; larger ones look alike
ERROR_COLOURS = matplotlib.colormaps["Greys"]
ERRORS = f"errors: mean of the three colours' differences, white 0, black {LARGEST_ERROR:.0%} of the range or more"


def as_pixels(images: Images) -> np.ndarray:
    """Return images `(N, 3, H, W)` as uint8 `(N, H, W, 3)`, as matplotlib expects them.

    Raises:
        ValueError: for another shape, or floats that are not images in [0, 1].
    """
    array = images.detach().cpu().numpy() if isinstance(images, torch.Tensor) else np.asarray(images)
    if array.ndim != 4 or array.shape[1] != 3:
        raise ValueError(f"images must be (N, 3, H, W), got {array.shape}")
    return np.moveaxis(array if array.dtype == np.uint8 else to_uint8(array), 1, 3)


class _Page:
    """A page of images and short texts, placed in inches from the top left corner; no axis, no stretching."""

    def __init__(self, width: float, height: float):
        self.figure = plt.figure(figsize=(width, height))
        self.figure.set_layout_engine("none")  # the style's engine would move the images
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(height, 0))
        self.axes.set_axis_off()

    def image(self, pixels: np.ndarray, x: float, y: float, size: float, frame: str | None = None) -> None:
        self.axes.imshow(pixels, extent=(x, x + size, y + size, y), aspect="auto", interpolation="nearest")
        if frame:
            box = Rectangle((x, y), size, size, fill=False, edgecolor=frame, linewidth=2.0, clip_on=False, zorder=3)
            self.axes.add_patch(box)

    def text(self, x: float, y: float, text: str, ha: str = "center", va: str = "bottom", **style) -> None:
        if va == "bottom" and "\n" not in text:  # on one baseline, so that words with and without a g are level
            y, va = y - 0.03, "baseline"
        plain = {"fontsize": 9, "color": INK, "linespacing": 1.1, "parse_math": False}
        self.axes.text(x, y, text, ha=ha, va=va, **(plain | style))


def _cell_size(available: float, columns: int, largest: float = 1.3) -> float:
    """Return the side in inches of each of `columns` images that share a width."""
    return min(largest, (available - GAP * (columns - 1)) / columns)


def _narrow(label: str) -> str:
    """Return the label of a row in lines of about `NARROW` letters, so that it leaves the width to the images."""
    lines = [textwrap.fill(line, NARROW, break_long_words=False) for line in label.split("\n")]
    return "\n".join(lines)


def plot_images(
    images: Images,
    columns: int,
    titles: Sequence[str] | None = None,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
) -> Figure:
    """Draw a contact sheet, row by row.

    Args:
        images: `(N, 3, H, W)`.
        columns: images in a row.
        titles: N short texts, one above each image; wrapped to its width.
        row_labels: a text to the left of each row; wrapped.
        column_labels: a text above each column.

    Raises:
        ValueError: for images of another shape, or a wrong number of labels.
    """
    pixels = as_pixels(images)
    rows = -(-len(pixels) // columns)
    for name, given, needed in (
        ("titles", titles, len(pixels)),
        ("row_labels", row_labels, rows),
        ("column_labels", column_labels, columns),
    ):
        if given is not None and len(given) != needed:
            raise ValueError(f"{name}: expected {needed}, got {len(given)}")
    beside = [_narrow(text) for text in row_labels or [""] * rows]
    left = 0.1 + LETTER * max(len(line) for text in beside for line in text.split("\n"))
    size = _cell_size(WIDTH - left, columns)
    wrapped = [textwrap.fill(title, max(4, int(size / LETTER))) for title in titles or [""] * len(pixels)]
    top = LINE + 0.07 if column_labels else 0.0
    heights = [(1 + text.count("\n")) * LINE + 0.06 if text else 0.0 for text in wrapped]
    heads = [max(heights[row * columns : (row + 1) * columns]) for row in range(rows)]
    page = _Page(left + columns * (size + GAP) - GAP, top + sum(heads) + rows * (size + GAP) - GAP)
    for column, label in enumerate(column_labels or []):
        page.text(left + column * (size + GAP) + size / 2, top - 0.05, label)
    y = top
    for row in range(rows):
        y += heads[row]
        if row_labels:
            page.text(left - 0.1, y + size / 2, beside[row], ha="right", va="center")
        for column, index in enumerate(range(row * columns, min((row + 1) * columns, len(pixels)))):
            x = left + column * (size + GAP)
            page.image(pixels[index], x, y, size)
            page.text(x + size / 2, y - 0.04, wrapped[index])
        y += size + GAP
    return page.figure


def plot_reconstructions(
    originals: Images, reconstructions: Mapping[str, Images], errors_of: Collection[str] = ()
) -> Figure:
    """Draw originals in the first row and each model's reconstructions of them in a row below.

    Args:
        originals: `(N, 3, H, W)`.
        reconstructions: the same, by the name of the model.
        errors_of: names of models under whose row their errors are drawn, see `ERRORS`.

    Raises:
        ValueError: a row has not one image per original.
    """
    real, made = as_pixels(originals), {name: as_pixels(images) for name, images in reconstructions.items()}
    sizes = [len(real), *map(len, made.values())]
    if len(set(sizes)) > 1:
        raise ValueError(f"each row needs one image per original, got rows of {sizes}")
    rows, labels = [real], ["original"]
    for name, pixels in made.items():
        rows, labels = [*rows, pixels], [*labels, name]
        if name in errors_of:
            error = np.abs(pixels.astype(float) - real).mean(axis=3) / 255
            rows.append(to_uint8(ERROR_COLOURS(error / LARGEST_ERROR)[..., :3]))
            labels.append("its error")
    return plot_images(np.moveaxis(np.concatenate(rows), 3, 1), columns=len(real), row_labels=labels)


def plot_paths(paths: Sequence[Images], sources: Images, titles: Sequence[str] = (), frames: int = 9) -> Figure:
    """Draw smooth interpolations (Fig. 1): two different paths for each pair, its source images left and right.

    Args:
        paths: two for each pair, one after the other, each `(|R| + 1, 3, H, W)` from image a to image b. Their ends,
            the reconstructions, are framed in blue.
        sources: `(2 * pairs, 3, H, W)`: image a, image b of the first pair, of the second, …; framed in orange.
        titles: a line above each pair, such as the number of its possible paths.
        frames: images shown of each path, evenly spaced in t, both ends included.

    Raises:
        ValueError: when there are not two paths and two sources for each pair.
    """
    ends = as_pixels(sources)
    if len(paths) != len(ends) or len(paths) % 2 or (titles and len(titles) != len(paths) // 2):
        counts = f"{len(paths)} paths, {len(ends)} source images, {len(titles)} titles"
        raise ValueError(f"{counts}: expected 2, 2, 1 per pair")
    pairs, big, apart = len(paths) // 2, 1.1, 0.16
    size = _cell_size(WIDTH - 2 * (big + apart), frames)
    block = max(2 * size + GAP, big)
    head = LINE + 0.12
    top = 2 * (LINE + 0.03)
    page = _Page(2 * (big + apart) + frames * (size + GAP) - GAP, top + pairs * (block + head) + (pairs - 1) * 0.1)
    right = big + apart + frames * (size + GAP) - GAP + apart
    for x, name in ((0, "a"), (right, "b")):
        page.text(x + big / 2, LINE + 0.03, f"image {name}", fontweight="bold")
        page.text(x + big / 2, top, "original", color=ORANGE)
    page.text((right + big) / 2, LINE + 0.03, "share of the |R| codes exchanged; blue: the reconstructions", color=GREY)
    for column, share in enumerate(np.linspace(0, 1, frames)):
        colour = BLUE if share in (0, 1) else GREY
        page.text(big + apart + column * (size + GAP) + size / 2, top, f"{100 * share:.3g}%", color=colour)
    for pair in range(pairs):
        y = top + pair * (block + head + 0.1) + head
        if titles:
            page.text(big + apart, y - 0.05, titles[pair], ha="left", color=GREY, parse_math=True)
        for x, source in ((0, ends[2 * pair]), (right, ends[2 * pair + 1])):
            page.image(source, x, y + (block - big) / 2, big, frame=ORANGE)
        for row, path in enumerate(paths[2 * pair : 2 * pair + 2]):
            pixels = as_pixels(path)
            for column, t in enumerate(np.linspace(0, len(pixels) - 1, frames).round().astype(int)):
                x = big + apart + column * (size + GAP)
                frame = BLUE if t in (0, len(pixels) - 1) else None
                page.image(pixels[t], x, y + (block - 2 * size - GAP) / 2 + row * (size + GAP), size, frame)
    return page.figure


def plot_samples_with_parents(
    parents_a: Images, samples: Images, parents_b: Images, titles: Sequence[str] = ()
) -> Figure:
    """Draw samples of Algorithm 1 between their parents, the two images whose codes they recombine.

    Args:
        parents_a: `(N, 3, H, W)`.
        samples: `(N, 3, H, W)`, or `(N, S, 3, H, W)` for several of each pair.
        parents_b: `(N, 3, H, W)`.
        titles: of equal parts of each pair's samples, such as the models that made them.

    Raises:
        ValueError: there is not one row of samples per pair, or its samples have no such parts.
    """
    parents = as_pixels(parents_a), as_pixels(parents_b)
    if samples.ndim == 4:
        samples = samples[:, None]
    made = [as_pixels(row) for row in samples]
    if not len(made) == len(parents[0]) == len(parents[1]):
        raise ValueError(f"{len(made)} samples for {len(parents[0])} and {len(parents[1])} parents")
    each, parts, apart = samples.shape[1], titles or ["samples" if samples.shape[1] > 1 else "sample"], 0.14
    if each % len(parts):
        raise ValueError(f"{each} samples of each pair for {len(parts)} titles")
    groups = max(1, 12 // (each + 2))  # pairs side by side
    between = 0.35
    size = _cell_size((WIDTH - between * (groups - 1)) / groups - (len(parts) + 1) * apart, each + 2, 1.1)
    part = each // len(parts) * (size + GAP) - GAP  # width of the samples under one title
    width = 2 * size + len(parts) * (part + apart) + apart
    rows, head = -(-len(made) // groups), LINE + 0.1
    page = _Page(groups * width + (groups - 1) * between, head + rows * (size + 0.12) - 0.12)
    for index, row in enumerate(made):
        x, y = index % groups * (width + between), head + index // groups * (size + 0.12)
        starts = [x + size + apart + position * (part + apart) for position in range(len(parts))]
        page.image(parents[0][index], x, y, size)
        page.image(parents[1][index], x + width - size, y, size)
        for j, sample in enumerate(row):
            position, place = divmod(j, each // len(parts))
            page.image(sample, starts[position] + place * (size + GAP), y, size, frame=BLUE)
        if index < groups:
            page.text(x + size / 2, head - 0.07, "parent a", fontsize=8, color=GREY)
            for start, title in zip(starts, parts, strict=True):
                page.text(start + part / 2, head - 0.07, title, color=BLUE, fontweight="bold")
            page.text(x + width - size / 2, head - 0.07, "parent b", fontsize=8, color=GREY)
    return page.figure


def plot_nearest_neighbours(samples: Images, parents: Images, neighbours: Images, distances: np.ndarray) -> Figure:
    """Draw each sample between its parents, and next to them its nearest training images.

    A memorised sample would look like one of them.

    Args:
        samples: `(N, 3, H, W)`.
        parents: `(N, 2, 3, H, W)`.
        neighbours: `(N, k, 3, H, W)`, nearest first.
        distances: `(N, k)`, written under each neighbour: rounded to whole numbers, unless they are small.
    """
    near, distances = [as_pixels(row) for row in neighbours], np.asarray(distances)
    rows = [as_pixels(samples), [as_pixels(row) for row in parents], near]
    if len(set(map(len, rows))) > 1 or distances.shape != neighbours.shape[:2] or parents.shape[1] != 2:
        shapes = f"parents {tuple(parents.shape[:2])}, neighbours {tuple(neighbours.shape[:2])}"
        raise ValueError(f"{len(samples)} samples, {shapes}, distances {distances.shape}")
    each, apart, size = neighbours.shape[1], 0.3, _cell_size(WIDTH - 0.3, 3 + neighbours.shape[1], 1.25)
    head, step = LINE + 0.1, size + LINE + 0.12
    width = (3 + each) * (size + GAP) - GAP + apart
    digits = 0 if distances.size and distances.min() >= 3 else 2
    page = _Page(width, head + len(near) * step)
    columns = [column * (size + GAP) + apart * (column > 2) for column in range(3 + each)]
    grey, blue = {"color": GREY}, {"color": BLUE, "fontweight": "bold"}
    kinds = ("parent a", grey), ("sample", blue), ("parent b", grey)
    for x, (text, style) in zip(columns, kinds, strict=False):
        page.text(x + size / 2, head - 0.07, text, **style)
    heading = "nearest in training, with distances" if each > 1 else "nearest"
    page.text((columns[3] + width) / 2, head - 0.07, heading, color=GREY)
    for index, sample in enumerate(rows[0]):
        y = head + index * step
        first, second = rows[1][index]
        for column, pixels in enumerate((first, sample, second, *near[index])):
            page.image(pixels, columns[column], y, size, BLUE if column == 1 else None)
        for x, distance in zip(columns[3:], distances[index], strict=True):
            page.text(x + size / 2, y + size + 0.02, f"{distance:.{digits}f}", va="top", fontsize=9, color=GREY)
    return page.figure
