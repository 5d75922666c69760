"""Drawn figures: the architecture with its true sizes (Fig. 2), and which latent gets which code (Fig. 3)."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.patheffects import withStroke

from pivq.config import ModelConfig
from pivq.figures.style import BLUE, GREY, INK, VERMILLION, WIDTH

# Tints, fill and edge, of what is drawn.
GRID = "#CFE6F5", "#3E8FC1"  # feature maps and the tokens of the grid
CODE = "#FBDDA6", "#C98600"  # learned tokens, latents, codes
OUTPUT = "#C9E9DD", "#00805E"  # learned output embeddings
PLAIN = "#F1F1F1", "#8C8C8C"  # networks
UNUSED = "white", "#8C8C8C"  # outputs that are not used


class _Canvas:
    """Axes in inches, y upwards, with the few shapes that the diagrams are made of."""

    def __init__(self, width: float, height: float):
        self.figure = plt.figure(figsize=(width, height))
        self.figure.set_layout_engine("none")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, height))
        self.axes.set_axis_off()

    def text(self, x: float, y: float, text: str, size: float = 8, color: str = INK, **style) -> None:
        place = {"ha": "center", "va": "center", "linespacing": 1.25}
        self.axes.text(x, y, text, fontsize=size, color=color, **(place | style))

    def box(self, x: float, y: float, width: float, height: float, tint: tuple[str, str], text: str = "") -> None:
        """Draw a rounded box centred at (x, y), with a text."""
        corner = (x - width / 2, y - height / 2)
        style = "round,pad=0,rounding_size=0.1"
        self.axes.add_patch(FancyBboxPatch(corner, width, height, style, facecolor=tint[0], edgecolor=tint[1]))
        if text:
            self.text(x, y, text)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], bend: float = 0.0) -> None:
        style = {"arrowstyle": "-|>", "mutation_scale": 9, "linewidth": 1.2, "color": INK, "shrinkA": 0, "shrinkB": 0}
        self.axes.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={bend}", **style))

    def slab(self, x: float, y: float, thickness: float, side: float, tint: tuple[str, str]) -> float:
        """Draw a feature map, its channels as thickness, with its left edge at x; return its right edge."""
        dx, dy, bottom = 0.28 * side, 0.2 * side, y - 0.6 * side
        front = [(x, bottom), (x + thickness, bottom), (x + thickness, bottom + side), (x, bottom + side)]
        top = [front[3], front[2], (front[2][0] + dx, front[2][1] + dy), (x + dx, front[3][1] + dy)]
        flank = [front[1], (front[1][0] + dx, bottom + dy), top[2], front[2]]
        for corners, shade in ((front, 1.0), (top, 1.04), (flank, 0.9)):
            colour = tuple(min(1.0, shade * c) for c in to_rgb(tint[0]))
            self.axes.add_patch(Polygon(corners, facecolor=colour, edgecolor=tint[1], linewidth=0.8, joinstyle="round"))
        return x + thickness + dx

    def tokens(
        self, x: float, top: float, bottom: float, tint: tuple[str, str], count: int, numbered: bool = True
    ) -> None:
        """Draw a column of tokens between two heights, too many as dots; those with a position are numbered."""
        side = 0.19
        places = int((top - bottom) / (side + 0.025))
        step = (top - bottom) / places
        skip = places - 2 if count > places else None
        for i in range(min(places, count)):
            y = top - (i + 0.5) * step
            if i == skip:
                for shift in (-0.045, 0, 0.045):
                    self.axes.add_patch(Circle((x, y + shift), 0.012, color=tint[1]))
                continue
            square = Rectangle((x - side / 2, y - side / 2), side, side, facecolor=tint[0], edgecolor=tint[1])
            square.set(linewidth=0.8, linestyle=(0, (2, 1.5)) if tint is UNUSED else "-")
            self.axes.add_patch(square)
            if numbered:
                self.text(x, y, f"{count if skip and i > skip else i + 1}", 6.5, tint[1])


def draw_architecture(
    config: ModelConfig,
    image: np.ndarray | None = None,
    reconstruction: np.ndarray | None = None,
    codes: Sequence[int] | None = None,
    seed: int = 0,
) -> Figure:
    """Draw the autoencoder with its true sizes (Fig. 2): encoder above, decoder below, the set of codes at the right.

    Args:
        config: the sizes.
        image: `(H, W, 3)` uint8, shown as x; None draws an empty frame.
        reconstruction: the same for x̂.
        codes: of the image; None takes some numbers.
        seed: of these numbers, and of the places of the codes that are shown.
    """
    page = _Canvas(WIDTH, 5.35)
    high, low = 4.0, 1.33  # middle of the encoder's row, of the decoder's
    cells, length, grid = config.grid_size**2, config.num_codes, config.grid_size
    left, right, upper, lower = 4.07, 6.07, (0.95, -0.1), (-0.18, -0.95)  # where the token columns stand
    for y, picture, name, title in (
        (high, image, "image x", "Encoder"),
        (low, reconstruction, "reconstruction x̂", "Decoder"),
    ):
        page.text(0.1, y + 1.2, title, 11, fontweight="bold", ha="left")
        _draw_image(page, 0.1, y, picture, name, config.image_size)
        _draw_path(page, 1.2, y, config, down=y == high)
        layers = f"{config.transformer_layers} layer{'s' * (config.transformer_layers > 1)}"
        network = f"transformer\n\n{layers}\n{config.heads} heads\nd = {config.dim:,}\n"
        page.box((left + right) / 2, y, 1.2, 1.9, PLAIN, f"{network}feed-forward {config.feedforward:,}")
        for x in (left + 0.265, right - 0.265):  # the encoder reads to the right, the decoder to the left
            page.arrow(*[(x - 0.115, y), (x + 0.115, y)][:: 1 if y == high else -1])
    columns = (  # x, row, span of heights, tint, tokens, numbered, label above or below
        (left, high, upper, GRID, cells, True, f"{cells:,} grid tokens +\npositional embeddings"),
        (left, high, lower, CODE, length, True, f"{length:,} learned\ntokens"),
        (right, high, upper, UNUSED, cells, False, "not used"),
        (right, high, lower, CODE, length, True, f"the last {length:,}\noutputs"),
        (left, low, upper, GRID, cells, True, f"{cells:,} outputs,\nreshaped to {grid}×{grid}"),
        (left, low, lower, UNUSED, length, False, "not used"),
        (right, low, upper, OUTPUT, cells, True, f"{cells:,} learned\noutput embeddings"),
        (right, low, lower, CODE, length, False, f"{length:,} code vectors,\nno positions"),
    )
    for x, y, (top, bottom), tint, count, numbered, label in columns:
        page.tokens(x, y + top, y + bottom, tint, count, numbered)
        place = {"y": y + top + 0.06, "va": "bottom"} if top > 0 else {"y": y + bottom - 0.06, "va": "top"}
        page.text(x, text=label, size=7.5, color=tint[1], **place)
    _draw_bottleneck(page, config, high, low)
    _draw_set(page, 7.58, low, config, codes, seed)
    return page.figure


def _draw_image(page: _Canvas, x: float, y: float, picture: np.ndarray | None, name: str, size: int) -> None:
    side = 0.86
    if picture is not None:
        page.axes.imshow(picture, extent=(x, x + side, y - side / 2, y + side / 2), aspect="auto", zorder=2)
    else:
        page.text(x + side / 2, y, name.split()[-1], 16, GREY, style="italic")
    frame = Rectangle((x, y - side / 2), side, side, fill=False, edgecolor=INK, linewidth=1.0, zorder=3)
    page.axes.add_patch(frame)
    page.text(x + side / 2, y - side / 2 - 0.07, f"{name}\n{size}×{size}×3", 7.5, va="top")


def _draw_path(page: _Canvas, x: float, y: float, config: ModelConfig, down: bool) -> None:
    """Draw the feature maps of a convolutional path, largest at the left, each with its size and channels."""
    size = config.image_size // config.patch_size
    maps = [(size // 2**i, config.width * m) for i, m in enumerate(config.channel_multipliers)]
    maps.append((config.grid_size, config.dim))
    space, most = 2.45, max(channels for _, channels in maps)
    slabs = [(0.05 + 0.15 * (channels / most) ** 0.5, 0.95 * (pixels / size) ** 0.4) for pixels, channels in maps]
    gap = (space - 0.2 - sum(thickness + 0.28 * side for thickness, side in slabs)) / (len(slabs) - 1)
    start = x + 0.1
    for (pixels, channels), (thickness, side) in zip(maps, slabs, strict=True):
        end = page.slab(start, y, thickness, side, GRID)
        label = f"{pixels}×{pixels}" if len(maps) <= 4 else f"{pixels}²"
        page.text((start + end) / 2, y - 0.63, f"{label}\n×{channels:,}", 7.5, GRID[1], va="top")
        start = end + gap
    words = f"convolutional path {'down' if down else 'up'}"
    if config.patch_size > 1:
        patch = f"{config.patch_size}×{config.patch_size} pixels"
        words += f"\nat first {patch} become channels" if down else f"\nat last channels become {patch}"
    page.text(x + space / 2, y + 0.65, words, 7.5, va="bottom")
    for start in (x - 0.2, x + space + 0.02):
        page.arrow(*[(start, y), (start + 0.23, y)][:: 1 if down else -1])


def _draw_bottleneck(page: _Canvas, config: ModelConfig, high: float, low: float) -> None:
    """Draw how latents pass through the quantizer into an unordered set of codes."""
    x, middle, sent = 7.58, (high + low) / 2 + 0.03, high - 0.555
    page.text(x, sent + 0.07, f"latents $z_e$\n{config.num_codes:,} × {config.dim:,}", 8, CODE[1], va="bottom")
    page.axes.plot([6.25, x, x], [sent, sent, middle + 0.6], color=INK, linewidth=1.2, solid_joinstyle="round")
    page.arrow((x, middle + 0.65), (x, middle + 0.49))
    words = "nearest, Eq. (1), or\nmatching, Eq. (3)"
    page.box(x, middle, 1.6, 0.95, PLAIN, f"quantizer\n{words}\ncodebook {config.codebook_size:,} × {config.dim:,}")
    page.arrow((x, middle - 0.49), (x, low + 0.74))
    page.arrow((x - 0.84, low - 0.55), (6.25, low - 0.55))


def _draw_set(
    page: _Canvas, x: float, y: float, config: ModelConfig, codes: Sequence[int] | None, seed: int
) -> None:
    """Draw some codes as numbered discs in no order."""
    rng = np.random.default_rng(seed)
    page.box(x, y, 1.6, 1.45, ("#FFF8EA", CODE[1]))
    radius, places = 0.16, []
    while len(places) < min(11, config.num_codes):
        point = rng.uniform((x - 0.61, y - 0.53), (x + 0.61, y + 0.53))
        if all(np.hypot(*(point - other)) > 2.08 * radius for other in places):
            places.append(point)
    some = codes if codes is not None else rng.choice(config.codebook_size, len(places), replace=False)
    numbers = [f"{n}" for n in some[: len(places)]]
    if config.num_codes > len(places):
        numbers[-1] = "…"
    for (cx, cy), number in zip(places, numbers, strict=True):
        page.axes.add_patch(Circle((cx, cy), radius, facecolor=CODE[0], edgecolor=CODE[1], linewidth=0.8, zorder=2))
        page.text(cx, cy, number, 7 if len(number) < 4 else 6)
    page.text(x, y - 0.78, f"a set of {config.num_codes:,} codes,\nwithout an order", 8, CODE[1], va="top")


def draw_matching(
    latents: np.ndarray,
    codebook: np.ndarray,
    assignments: Mapping[str, Sequence[int]],
) -> Figure:
    """Draw in a plane which code each latent of one image gets, one panel per method (Fig. 3).

    In later panels, lines to the same code as in the first are grey.

    Args:
        latents: `(L, 2)`.
        codebook: `(K, 2)`.
        assignments: code of each latent, L whole numbers, by the title of the panel: nearest and matching.

    Raises:
        ValueError: for points that are not in a plane, or codes that are not one per latent.
    """
    latents, codebook = np.asarray(latents, float), np.asarray(codebook, float)
    if latents.ndim != 2 or codebook.ndim != 2 or latents.shape[1] != 2 or codebook.shape[1] != 2:
        raise ValueError(f"latents and codebook must be points in a plane, got {latents.shape} and {codebook.shape}")
    width, height = np.ptp(np.concatenate([latents, codebook]), axis=0)
    tall = np.clip(height / width, 0.5, 1.2) * WIDTH / len(assignments) if width else WIDTH / 2
    figure = plt.figure(figsize=(WIDTH, tall + 0.95))
    rows = figure.add_gridspec(2, len(assignments), height_ratios=(tall, 0.45))
    axes, first = None, np.asarray(next(iter(assignments.values())))
    for column, (title, codes) in enumerate(assignments.items()):
        axes, codes = figure.add_subplot(rows[0, column], sharex=axes, sharey=axes), np.asarray(codes)
        if codes.shape != (len(latents),):
            raise ValueError(f"{title}: expected {len(latents)} codes, one per latent, got shape {codes.shape}")
        _draw_plane(axes, latents, codebook, codes, codes == first if column else np.zeros(len(codes), bool))
        used = len(np.unique(codes))
        axes.set_title(f"{title}\n{len(latents)} latents, {used} code{'s' * (used > 1)}", fontsize=10, loc="left")
    square = {"marker": "s", "linestyle": "", "markersize": 8}
    handles = [
        Line2D([], [], marker="o", linestyle="", color=INK, markersize=5, label="latent"),
        Line2D([], [], **square, color="white", markeredgecolor=GREY, label="code, not used"),
        Line2D([], [], **square, color=BLUE, label="code of one latent"),
        Line2D([], [], **square, color=VERMILLION, label="code of several latents"),
        Line2D([], [], color=GREY, linewidth=1.4, label="right: the same code as left"),
        Line2D([], [], color=BLUE, linewidth=1.8, label="right: another code than left"),
    ]
    below = figure.add_subplot(rows[1, :])
    below.set_axis_off()
    below.legend(handles=handles, loc="center", ncols=3, handletextpad=0.4)
    return figure


def _draw_plane(
    axes: Axes, latents: np.ndarray, codebook: np.ndarray, codes: np.ndarray, unchanged: np.ndarray
) -> None:
    times = np.bincount(codes, minlength=len(codebook))
    for latent, code, same in zip(latents, codes, unchanged, strict=True):
        colour = GREY if same else VERMILLION if times[code] > 1 else BLUE
        style = {"color": colour, "linewidth": 1.2 if same else 1.8, "alpha": 0.9, "zorder": 2}
        axes.plot(*zip(latent, codebook[code], strict=True), **style)
    for chosen, face, edge, size in (
        (times == 0, "white", GREY, 45),
        (times == 1, BLUE, "white", 75),
        (times > 1, VERMILLION, "white", 75),
    ):
        axes.scatter(*codebook[chosen].T, marker="s", s=size, facecolor=face, edgecolor=edge, linewidth=1.0, zorder=3)
    points = np.concatenate([codebook, latents, (latents + codebook[codes]) / 2])
    for code in np.flatnonzero(times > 1):  # the number of latents, where nothing else is near
        halo = [withStroke(linewidth=2.5, foreground="#FAFAFA")]
        away = 13 * _free_side(codebook[code], points, 0.05 * np.ptp(points, axis=0).max())
        axes.annotate(f"×{times[code]}", codebook[code], away, textcoords="offset points", ha="center", va="center",
                      color=VERMILLION, fontsize=9, fontweight="bold", path_effects=halo, zorder=5)  # fmt: skip
    axes.scatter(*latents.T, s=20, color=INK, edgecolor="white", linewidth=0.6, zorder=4)
    axes.set(xticks=[], yticks=[], aspect="equal")
    axes.margins(0.08)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    axes.set_facecolor("#FAFAFA")


def _free_side(place: np.ndarray, points: np.ndarray, reach: float) -> np.ndarray:
    """Return the direction in which `points` are farthest from what stands `reach` away from `place`."""
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    sides = np.column_stack([np.cos(angles), np.sin(angles)])
    gaps = np.linalg.norm((place + reach * sides)[:, None] - points, axis=2).min(axis=1)
    return sides[gaps.argmax()]
