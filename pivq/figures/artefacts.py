"""The one list of what a run leaves, and the one writer of figures, tables and numbers."""

import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pivq.config import suggestion
from pivq.figures.style import GREY
from pivq.figures.tables import to_markdown
from pivq.storage.paths import figures_dir
from pivq.storage.writing import atomic_write

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


def save_figure(figure: Figure, name: str, profile: str, caption: str) -> tuple[Path, Path]:
    """Write a figure to `figures/<profile>/<name>.png` and `.pdf`, its caption in small grey type under it.

    The same figure gives the same bytes: no dates are kept.

    Args:
        figure: to be written; it has the caption afterwards, so a notebook shows what the file holds.
        name: one of `ARTEFACTS`.
        profile: names the folder.
        caption: see `pivq.runs.provenance.caption`.

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
        caption: see `pivq.runs.provenance.caption`.

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


def _artefact(name: str, profile: str) -> Path:
    """Return the path of an artefact without its ending."""
    if name not in ARTEFACTS:
        raise ValueError(f"unknown figure or table {name!r}{suggestion(name, list(ARTEFACTS))}")
    return figures_dir(profile) / name


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")
