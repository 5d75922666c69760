"""One style for all figures: sizes, fonts, and the colour that a thing has in every figure."""

import seaborn as sns

WIDTH = 8.5  # inches; shown about 850 pixels wide, one inch is about 100 pixels and 10 points about 14

# Okabe and Ito's palette, told apart with every common colour blindness.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE, INK = "#8C8C8C", "#DDDDDD", "#222222"
PALETTE = [BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, YELLOW, GREY]

# The colour that a thing has in every figure.
COLOURS = {"matching": BLUE, "nearest": VERMILLION, "positional": GREEN, "multiset": PURPLE, "baseline": GREY}


def colour_of(name: str, position: int = 0) -> str:
    """Return the colour of the thing that `name` speaks of, or the palette's at `position` if it is none of them.

    Example:
        >>> colour_of("PI-VQ, matching") == COLOURS["matching"]
        True
    """
    for thing, colour in COLOURS.items():
        if thing in name.lower():
            return colour
    return PALETTE[position % len(PALETTE)]


def use_style() -> None:
    """Set the one style of all figures. The font is the one that comes with matplotlib: equal on every machine."""
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
