"""Pictures that explain: a small example of quantization, what order costs, where tokens look, latents and codes."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pivq.figures.pictures import Images, as_pixels
from pivq.figures.style import BLUE, GREY, INK, ORANGE, PALE, PALETTE, VERMILLION, WIDTH

ACROSS = 3  # panels of an example in a row
PARTS = {  # of the bits of codes with positions: what they are, their colour, and that of the number on it
    "set": ("which codes: what a set keeps", BLUE, "white"),
    "order": ("their order, $\\log_2 L!$: given up", ORANGE, INK),
    "repeats": ("repeats: given up by matching", GREY, "white"),
}


def draw_example(latents: np.ndarray, codebook: np.ndarray, assignments: Mapping[str, Sequence[int]]) -> Figure:
    """Draw an example to follow by hand: which code each latent gets, with the distance on the line between them.

    On a line, latents stand above and codes below. In a plane both stand where they are.

    Args:
        latents: `(L,)`, `(L, 1)` or `(L, 2)`, arrays, tensors or lists.
        codebook: K points of the same dimension.
        assignments: code of each latent, L whole numbers, by the title of the panel.

    Raises:
        ValueError: for points of more than two numbers, or of unlike dimensions; codes that are not one per latent.
    """
    points, codes_at = (np.asarray(given, float) for given in (latents, codebook))
    points, codes_at = (given[:, None] if given.ndim == 1 else given for given in (points, codes_at))
    if points.ndim != 2 or points.shape[1] not in (1, 2) or codes_at.ndim != 2 or codes_at.shape[1] != points.shape[1]:
        raise ValueError(f"points of one or two numbers can be drawn, got {points.shape} and {codes_at.shape}")
    plane = points.shape[1] == 2
    if not plane:  # latents above, codes below
        points, codes_at = (np.column_stack([xs[:, 0], np.full(len(xs), y)]) for xs, y in ((points, 1), (codes_at, 0)))
    rows = -(-len(assignments) // ACROSS)
    size = (WIDTH, rows * (3.3 if plane else 2.5))
    shared = {"sharex": True, "sharey": True, "squeeze": False}
    figure, panels = plt.subplots(rows, min(ACROSS, len(assignments)), figsize=size, **shared)
    for axes in panels.flat[len(assignments) :]:
        axes.set_axis_off()
    for axes, (title, codes) in zip(panels.flat, assignments.items(), strict=False):
        codes = np.asarray(codes)
        if codes.shape != (len(points),):
            raise ValueError(f"{title}: expected {len(points)} codes, one per latent, got shape {codes.shape}")
        difference = points - codes_at[codes]
        distances = np.linalg.norm(difference if plane else difference[:, :1], axis=1)
        _draw_assignment(axes, points, codes_at, codes, distances, plane)
        used = len(np.unique(codes))
        counted = f"{len(codes)} latents, {used} code{'s' * (used > 1)}, total {distances.sum():.1f}"
        axes.set_title(f"{title}\n{counted}", fontsize=10, loc="left")
    return figure


def _draw_assignment(
    axes: Axes, latents: np.ndarray, codebook: np.ndarray, codes: np.ndarray, distances: np.ndarray, plane: bool
) -> None:
    """Draw one panel of an example; latents and codes are `(·, 2)`, on a line with their height as second number."""
    times = np.bincount(codes, minlength=len(codebook))
    for latent, code, distance in zip(latents, codes, distances, strict=True):
        colour = VERMILLION if times[code] > 1 else BLUE
        axes.plot(*zip(latent, codebook[code], strict=True), color=colour, linewidth=1.8, zorder=2)
        middle = 0.62 * latent + 0.38 * codebook[code]
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
        place = {"fontsize": 9, "ha": "center", "va": "center", "bbox": box}
        axes.text(*middle, f"{distance:.1f}" if distance >= 0.05 else f"{distance:.1g}", color=colour, **place)
    faces = [["white", BLUE, VERMILLION][min(n, 2)] for n in times]  # an open square is a code that is not used
    edges = [[GREY, BLUE, VERMILLION][min(n, 2)] for n in times]
    axes.scatter(*codebook.T, marker="s", s=90, facecolor=faces, edgecolor=edges, linewidth=1.4, zorder=3)
    axes.scatter(*latents.T, s=50, color=INK, zorder=3)
    for letter, at, colours, above in (("z", latents, [INK] * len(latents), True), ("e", codebook, edges, plane)):
        for i, (place, colour) in enumerate(zip(at, colours, strict=True)):
            name = f"${letter}_{{{i}}}$" + ("" if plane else f"\n{_signed(place[0])}")
            offset = (7, 4) if plane else (0, 7 if above else -7)
            style = {"textcoords": "offset points", "ha": "left" if plane else "center"}
            axes.annotate(name, place, offset, va="bottom" if above else "top", color=colour, zorder=5, **style)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[])
    axes.margins(x=0.25)
    if plane:
        axes.set_aspect("equal")
        axes.margins(y=0.2)
        axes.set_facecolor("#FAFAFA")
    else:
        axes.set(ylim=(-0.75, 1.75))
        for height in (0, 1):
            axes.axhline(height, color=GREY, linewidth=0.8, zorder=1)


def _signed(number: float) -> str:
    return f"{number:g}".replace("-", "−")


def plot_cost_of_order(budgets: Mapping[str, Mapping[str, float]]) -> Figure:
    """Draw what codes with positions can say, divided into what a set keeps and what it gives up.

    Args:
        budgets: for each row, by its label, bits by the names of `PARTS`.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.9 + 0.62 * len(budgets)))
    for row, bits in enumerate(budgets.values()):
        total, start = sum(bits[part] for part in PARTS), 0.0
        for part, (label, colour, on_it) in PARTS.items():
            share = bits[part] / total
            axes.barh(row, share, 0.62, left=start, color=colour, label=label if row == 0 else None)
            if share > 0.06:
                text = f"{bits[part]:,.0f} bits\n{share:.0%}"
                axes.text(start + share / 2, row, text, color=on_it, ha="center", va="center", fontsize=9)
            start += share
        axes.text(1.01, row, f"{total:,.0f} bits", va="center", fontsize=9)
    axes.set_yticks(range(len(budgets)), list(budgets))
    axes.set(xlim=(0, 1), ylim=(len(budgets) - 0.5, -0.5), xlabel="share of the bits of the same codes with positions")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.tick_params(axis="y", length=0)
    axes.grid(False)
    figure.legend(loc="outside upper left", ncols=len(PARTS))
    return figure


def plot_attention(images: Images, weights: np.ndarray | torch.Tensor, tokens: Sequence[int]) -> Figure:
    """Draw where tokens gather from: images in pale grey, coloured where a token attends, and the mean over all tokens.

    Args:
        images: `(N, 3, H, W)`, one in a row.
        weights: `(N, L, h, w)`, attention of each token to each cell of the grid; each picture is scaled by its
            largest weight.
        tokens: which of the L tokens are shown, in this order.
    """
    pixels, weights = as_pixels(images), np.asarray(weights)
    if len(pixels) != len(weights) or weights.ndim != 4:
        raise ValueError(f"expected weights ({len(pixels)}, L, h, w), got {weights.shape}")
    titles = ["image", *(f"token {token}" for token in tokens), f"mean of {weights.shape[1]}"]
    side = WIDTH / len(titles)
    figure, grid = plt.subplots(len(pixels), len(titles), figsize=(WIDTH, side * len(pixels) + 0.3), squeeze=False)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    for row, picture, of_image in zip(grid, pixels, weights, strict=True):
        maps = [*of_image[list(tokens)], of_image.mean(axis=0)]
        grey = np.repeat(100 + 0.6 * picture.mean(axis=2, keepdims=True), 3, axis=2).astype(np.uint8)  # pale
        high, wide = picture.shape[:2]
        row[0].imshow(picture)
        for axes, cells in zip(row[1:], maps, strict=True):
            axes.imshow(grey)
            place = {"extent": (-0.5, wide - 0.5, high - 0.5, -0.5), "alpha": 0.85 * cells / (cells.max() or 1)}
            axes.imshow(cells, cmap="plasma", vmin=0, vmax=cells.max() or 1, **place)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=9)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure


def plot_latents_and_codes(
    latents: np.ndarray | torch.Tensor, codebooks: Mapping[str, np.ndarray | torch.Tensor], coloured: int = 6
) -> Figure:
    """Draw latents of some images and codebooks in the plane in which the latents vary most, a panel per codebook.

    A code is filled if it is the nearest one, in all d dimensions, of some latent.

    Args:
        latents: `(N, L, d)`, of N images.
        codebooks: `(K, d)` by the title of the panel.
        coloured: number of tokens whose latents have a colour of their own; the others are grey.
    """
    points = np.asarray(latents, np.float32)
    count, tokens, dim = points.shape
    flat = points.reshape(-1, dim)
    centre = flat.mean(axis=0)
    axes_of_plane = np.linalg.svd(flat - centre, full_matrices=False)[2][:2].T  # (d, 2): principal components
    figure, panels = plt.subplots(1, len(codebooks), figsize=(WIDTH, 4.0), sharex=True, sharey=True, squeeze=False)
    place = ((flat - centre) @ axes_of_plane).reshape(count, tokens, 2)
    for axes, (title, codebook) in zip(panels[0], codebooks.items(), strict=True):
        codes = np.asarray(codebook, np.float32)
        squared = (flat**2).sum(1)[:, None] - 2 * flat @ codes.T + (codes**2).sum(1)
        used = np.isin(np.arange(len(codes)), squared.argmin(axis=1))
        at = (codes - centre) @ axes_of_plane
        for chosen, face, name in ((~used, "white", "code, of no latent"), (used, INK, "code of some latent")):
            style = {"marker": "s", "s": 16, "facecolor": face, "edgecolor": INK, "linewidth": 0.6, "zorder": 3}
            axes.scatter(*at[chosen].T, label=name, **style)
        for token in range(tokens):
            own = token < coloured
            name = {0: "latents; a colour is a token", coloured: "latents of other tokens"}.get(token)
            colour = PALETTE[token % len(PALETTE)] if own else PALE
            axes.scatter(*place[:, token].T, s=12, color=colour, linewidth=0, zorder=2 if own else 1, label=name)
        axes.set_title(f"{title}\n{used.sum():,} of {len(codes):,} codes are nearest to a latent", fontsize=10)
        axes.set(xticks=[], yticks=[], xlabel="first principal component", ylabel="second")
        axes.grid(False)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4, handletextpad=0.2)
    return figure
