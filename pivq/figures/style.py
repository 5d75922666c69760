"""One style for all figures: sizes, fonts, and the colour that a thing has in every figure."""

import seaborn as sns

from pivq.figures.descriptions import show_described

WIDTH = 8.5  # inches; at 100 pixels per inch a figure is 850 pixels wide, and 10 points are about 14 pixels

# The palette of Okabe and Ito: distinct for readers with any common colour blindness.
ORANGE, SKY, GREEN = "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE, INK = "#8C8C8C", "#DDDDDD", "#222222"
PALETTE = [BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, YELLOW, GREY]

WHOLE = [1, 2, 5, 10]  # steps of axes in whole per cent: 2.5% would be written as 2%
LEGEND_ABOVE = {"loc": "lower left", "bbox_to_anchor": (0, 1.0)}  # above the panel, where it covers no data

# The colour that a thing has in every figure.
COLOURS = {"matching": BLUE, "nearest": VERMILLION, "positional": GREEN, "multiset": PURPLE, "baseline": GREY}
COLOURS["one model"] = ORANGE  # of both quantizers, where they never part


def colour_of(name: str, position: int = 0) -> str:
    """Return the colour of what `name` mentions; if it mentions none of `COLOURS`, the palette's at `position`.

    Example:
        >>> colour_of("PI-VQ, matching") == COLOURS["matching"]
        True
    """
    for thing, colour in COLOURS.items():
        if thing in name.lower():
            return colour
    return PALETTE[position % len(PALETTE)]


def words(name: str) -> str:
    """Return a user's word, such as the name of an attribute, for a figure: a `$` in it starts no formula."""
    return name.replace("_", " ").replace("$", r"\$")


def use_style() -> None:
    """Set the style of all figures. The font comes with matplotlib, so figures are equal on every machine.

    In a notebook they are shown sharp, and with a description.
    """
    show_described()
    sns.set_theme(
        style="ticks",
        palette=PALETTE,
        rc={
            "figure.figsize": (WIDTH, 4.0),
            "figure.dpi": 100,
            "savefig.dpi": 170,
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "font.family": "DejaVu Sans",
            "font.size": 10,
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "legend.frameon": False,
            "text.color": INK,
            "axes.labelcolor": INK,
            "axes.edgecolor": GREY,
            "axes.linewidth": 0.8,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.color": "#EBEBEB",
            "grid.linewidth": 0.8,
            "xtick.color": INK,
            "ytick.color": INK,
            "xtick.major.width": 0.8,
            "ytick.major.width": 0.8,
            "lines.linewidth": 1.8,
            "image.interpolation": "nearest",
            "pdf.fonttype": 42,
        },
    )
