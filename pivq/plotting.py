"""One style, one list of what a run leaves, one writer for figures, tables and numbers.

What the figures show is in `pivq.figures` and `pivq.diagrams`.
"""

import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from pivq.config import suggestion
from pivq.paths import atomic_write, figures_dir

# The figures and tables of `figures/<profile>/`, by the notebook that makes each. The one map of its kind.
ARTEFACTS = {
    "faces": "00_meet_the_faces",
    "attributes": "00_meet_the_faces",
    "fig2_architecture": "01_architecture",
    "parameters": "01_architecture",
    "fig3_matching": "02_matching_quantization",
    "matching_example": "02_matching_quantization",
    "matching_totals": "02_matching_quantization",
    "training": "03_train",
    "training_curves": "03_train",
    "at_tq": "03_train",
    "reconstructions": "03_train",
    "ablations": "03_train",
    "ablation_samples": "03_train",
    "fig4_capacity": "04_capacity",
    "table2_capacity": "04_capacity",
    "codebook_use": "04_capacity",
    "slots": "04_capacity",
    "capacity": "04_capacity",
    "fig1_interpolation": "05_interpolation",
    "samples_with_parents": "05_interpolation",
    "smoothness": "05_interpolation",
    "interpolation": "05_interpolation",
    "table1_capabilities": "06_sample_quality",
    "table1_measurements": "06_sample_quality",
    "table3_metrics": "06_sample_quality",
    "table3_reported": "06_sample_quality",
    "samples_and_neighbours": "06_sample_quality",
    "memorisation": "06_sample_quality",
    "sample_quality": "06_sample_quality",
    "fig5_probing": "07_probing",
    "probing": "07_probing",
    "predictive_codes": "07_probing",
    "results": "08_verdict",
    "verdict": "08_verdict",
}

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


def save_figure(figure: Figure, name: str, profile: str, caption: str) -> tuple[Path, Path]:
    """Write a figure to `figures/<profile>/<name>.png` and `.pdf`, its caption in small grey type under it.

    The same figure gives the same bytes: no dates are kept.

    Args:
        figure: to be written; it has the caption afterwards, so a notebook shows what the file holds.
        name: one of `ARTEFACTS`.
        profile: names the folder.
        caption: see `pivq.provenance.caption`.

    Returns:
        The paths of the PNG and the PDF.

    Raises:
        ValueError: for an unknown name.
        OSError: when the folder cannot be written; nothing half-written is left.
    """
    stem = _artefact(name, profile)
    for text in [text for text in figure.texts if text.get_gid() == "caption"]:
        text.remove()
    width, height = figure.get_size_inches()
    lines = textwrap.fill(caption, width=max(40, int(width / 0.062)))  # 0.062 inch: a letter at 8 points, on average
    figure.text(0.01, -0.08 / height, lines, ha="left", va="top", fontsize=8, color=GREY, gid="caption")
    paths = stem.with_suffix(".png"), stem.with_suffix(".pdf")
    for path in paths:
        dates = {"CreationDate": None} if path.suffix == ".pdf" else {}
        with atomic_write(path) as temporary:
            figure.savefig(temporary, bbox_inches="tight", pad_inches=0.08, metadata=dates)
    return paths


def save_table(frame: pd.DataFrame, name: str, profile: str, caption: str) -> tuple[Path, Path]:
    """Write a table to `figures/<profile>/<name>.csv` (plain numbers) and `.md` (formatted, with the caption).

    Args:
        frame: one row a line; its index is left out.
        name: one of `ARTEFACTS`.
        profile: names the folder.
        caption: see `pivq.provenance.caption`.

    Returns:
        The paths of the CSV and the Markdown file.

    Raises:
        ValueError: for an unknown name, or a frame without columns or with two of one name.
        OSError: when the folder cannot be written; nothing half-written is left.
    """
    stem = _artefact(name, profile)
    table = to_markdown(frame)
    paths = stem.with_suffix(".csv"), stem.with_suffix(".md")
    with atomic_write(paths[0]) as temporary:
        frame.to_csv(temporary, index=False, float_format="%.8g", lineterminator="\n")
    with atomic_write(paths[1]) as temporary:
        temporary.write_text(f"{table}\n*{caption}*\n", encoding="utf-8")
    return paths


def save_json(value: Any, name: str, profile: str) -> Path:
    """Write numbers to `figures/<profile>/<name>.json`; numpy's numbers and arrays become plain ones.

    Raises:
        ValueError: for an unknown name, or a NaN or infinite number, which JSON cannot hold.
        TypeError: for anything else that JSON cannot hold.
        OSError: when the folder cannot be written; nothing half-written is left.
    """
    path = _artefact(name, profile).with_suffix(".json")
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, default=_plain)
    with atomic_write(path) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return path


def to_markdown(frame: pd.DataFrame) -> str:
    """Return a Markdown table. Whole numbers get thousands separators, a column's decimals fit its largest number.

    Missing values become "–", booleans "yes" and "no".

    Raises:
        ValueError: for a frame without columns, or with two of one name.

    Example:
        >>> print(to_markdown(pd.DataFrame({"method": ["matching"], "bits": [2220.71]})), end="")
        | method | bits |
        |---|---:|
        | matching | 2,221 |
    """
    if not len(frame.columns) or not frame.columns.is_unique:
        raise ValueError(f"a table needs columns of different names, got {list(frame.columns)}")
    numeric = [pd.api.types.is_numeric_dtype(t) and not pd.api.types.is_bool_dtype(t) for t in frame.dtypes]
    columns = [format_column(frame[name]) for name in frame.columns]
    rows = [
        [str(name) for name in frame.columns],
        ["---:" if is_number else "---" for is_number in numeric],
        *zip(*columns, strict=True),
    ]
    lines = ["|" + "|".join(rows[1]) + "|" if i == 1 else "| " + " | ".join(row) + " |" for i, row in enumerate(rows)]
    return "\n".join(lines) + "\n"


def format_column(column: pd.Series) -> list[str]:
    """Return a column's values as text; the decimals fit its largest number, whole numbers have none.

    Example:
        >>> format_column(pd.Series([0.0363, 0.11, float("nan")]))
        ['0.036', '0.110', '–']
    """
    numbers = [abs(float(v)) for v in column if isinstance(v, float | np.floating) and np.isfinite(v)]
    largest = max(numbers, default=0.0)
    whole = all(number.is_integer() for number in numbers)
    decimals = 0 if whole else next(d for bound, d in ((1000, 0), (100, 1), (10, 2), (0, 3)) if largest >= bound)
    return [_format_cell(value, decimals) for value in column]


def _format_cell(value: Any, decimals: int) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return "–"
    if isinstance(value, float | np.floating):
        small = 0 < abs(value) < 10 ** -decimals  # would be shown as 0
        return f"{value:.2g}" if small else f"{value:,.{decimals}f}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _artefact(name: str, profile: str) -> Path:
    """Return the path of an artefact without its ending."""
    if name not in ARTEFACTS:
        raise ValueError(f"unknown figure or table {name!r}{suggestion(name, list(ARTEFACTS))}")
    return figures_dir(profile) / name


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")

