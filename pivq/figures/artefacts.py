"""The list of all figures, tables and numbers in `figures/<profile>/`, and the functions that write them.

Another seed than 0 has a folder of its own, and every file but the plain CSV says what it was made from.
"""

import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pivq.config import Config, suggestion
from pivq.figures.descriptions import describe
from pivq.figures.style import GREY
from pivq.figures.tables import escape, to_markdown
from pivq.storage.origin import claim_figures, computed_on, origin, origin_text
from pivq.storage.paths import figures_dir
from pivq.storage.writing import atomic_write, no_formula, seal, write_json, write_text

if TYPE_CHECKING:
    from torch import Tensor

# Every figure, table and JSON file of `figures/<profile>/`, by the notebook that makes it.
_MADE_BY = {
    "00_meet_the_faces": ["faces", "attributes"],
    "01_architecture": ["fig2_architecture", "parameters"],
    "02_matching_quantization": ["fig3_matching", "matching_example", "patches", "matching_totals"],
    "03_train": ["training", "training_curves", "at_tq", "reconstructions", "ablations", "ablation_samples"],
    "04_capacity": ["fig4_capacity", "table2_capacity", "codebook_use", "slots", "capacity"],
    "05_interpolation": [
        "fig1_interpolation", "fig1_path", "samples_with_parents", "smoothness", "traits", "traits_from_nowhere",
        "interpolation",
    ],
    "06_sample_quality": [
        "table1_capabilities", "table1_measurements", "table3_metrics", "table3_reported", "samples_and_neighbours",
        "memorisation", "sample_quality",
    ],
    "07_probing": ["fig5_probing", "probing", "predictive_codes"],
    "08_verdict": ["results", "verdict"],
    "09_when_codes_compete": [
        "competition", "competition_samples", "competing_tokens", "codes_over_steps", "codes_by_length",
    ],
    "11_better_samples": ["samplers", "samplers_compared", "samplers_side_by_side"],
    "12_prior_over_sets": [
        "prior_training", "prior_bits", "prior_samples", "prior_side_by_side", "prior_filled_in", "prior_extremes",
        "prior_anomalies", "prior",
    ],
    "13_rivals": ["rivals", "rivals_capabilities", "rivals_compared", "rivals_side_by_side"],
    "14_what_codes_mean": [
        "atlas", "code_bits", "code_atlas", "disentanglement", "editing", "edit_success", "edits", "what_codes_mean",
    ],
    "15_other_data": ["other_data", "other_data_transfer", "other_data_compared", "other_data_pictures"],
    "16_better_recipe": ["recipes", "recipes_compared", "recipes_side_by_side"],
}  # fmt: skip
ANIMATED = {"scale": 3, "quality": 85}  # of animations, for under 1 MB
ARTEFACTS = {name: notebook for notebook, names in _MADE_BY.items() for name in names}


def save_figure(figure: Figure, name: str, config: Config, caption: str) -> tuple[Path, Path]:
    """Write a figure to `figures/<profile>/<name>.png` and `.pdf`, with its caption in small grey type under it.

    The same figure gives the same bytes: no dates are kept. The files' metadata say what they were made from and
    what they show.

    Args:
        figure: gets the caption too, so that a notebook shows what the file holds.
        name: one of `ARTEFACTS`.
        config: its profile and seed name the folder.
        caption: see `pivq.runs.provenance.caption`.

    Returns:
        The paths of the PNG and the PDF.

    Raises:
        ValueError: for an unknown name, or where figures of other images are.
        OSError: when the folder cannot be written; nothing half-written is left.
    """
    stem = _artefact(name, config)
    for text in [text for text in figure.texts if text.get_gid() == "caption"]:
        text.remove()
    width, height = figure.get_size_inches()
    lines = _in_lines(caption, max(40, int(width / 0.062)))  # 0.062 inch: average letter at 8 points
    figure.text(0.01, -0.08 / height, lines, ha="left", va="top", fontsize=8, color=GREY, gid="caption",
                parse_math=False)  # fmt: skip
    figure.set_label(name)
    paths = stem.with_suffix(".png"), stem.with_suffix(".pdf")
    made_from, shows = origin_text(config, name), describe(figure)
    facts_of = {
        ".png": {"Description": made_from, "Comment": shows},
        ".pdf": {"CreationDate": None, "Keywords": made_from, "Subject": shows},
    }
    for path in paths:
        with atomic_write(path) as temporary:
            figure.savefig(temporary, bbox_inches="tight", pad_inches=0.08, metadata=facts_of[path.suffix])
    return paths


def _in_lines(caption: str, longest: int) -> str:
    """Return a caption in as few lines as it takes; if the last would be short, all are about equally long."""
    lines = textwrap.wrap(caption, longest)
    if len(lines) > 1 and len(lines[-1]) < longest / 4:
        shorter = (textwrap.wrap(caption, width) for width in range(longest // 2, longest))
        lines = next(wrapped for wrapped in (*shorter, lines) if len(wrapped) <= len(lines))
    return "\n".join(lines)


def save_animation(frames: "Tensor", name: str, config: Config, seconds: float) -> Path:
    """Write frames to `figures/<profile>/<name>.webp`, there and back in a loop; its EXIF data say what made it.

    Args:
        frames: `(T, 3, H, W)` uint8, such as of `pivq.figures.animation.side_by_side`.
        name: one of `ARTEFACTS`.
        config: its profile and seed name the folder.
        seconds: of the way from the first to the last frame.

    Raises:
        ValueError: for an unknown name, or where figures of other images are.
        OSError: when the folder cannot be written; nothing half-written is left.
    """
    from pivq.figures.animation import write_walk  # needs torch, which those who only read the map do without

    path = _artefact(name, config).with_suffix(".webp")
    write_walk(frames, path, seconds, loop=True, description=origin_text(config, name), **ANIMATED)
    return path


def save_table(
    frame: pd.DataFrame, name: str, config: Config, caption: str, introduction: str = ""
) -> tuple[Path, Path]:
    """Write a table to `figures/<profile>/<name>.csv` (plain numbers) and `.md` (formatted, with caption and origin).

    Args:
        frame: its index is not written.
        name: one of `ARTEFACTS`.
        config: its profile and seed name the folder.
        caption: see `pivq.runs.provenance.caption`.
        introduction: Markdown that stands before the table.

    Returns:
        The paths of the CSV and the Markdown file.

    Raises:
        ValueError: for an unknown name, or a frame without columns or with two columns of the same name.
        OSError: when the folder cannot be written; nothing half-written is left.
    """
    stem = _artefact(name, config)
    table = to_markdown(frame)
    paths = stem.with_suffix(".csv"), stem.with_suffix(".md")
    with atomic_write(paths[0]) as temporary:
        _write_csv(frame, temporary)
    before = f"{introduction}\n\n" if introduction else ""
    write_text(paths[1], f"{before}{table}\n*{escape(caption)}*\n\n<!-- {origin_text(config, name)} -->\n")
    return paths


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write the columns of a frame, with full precision; users' words in it are no formulas."""
    plain = frame.copy(deep=False)
    for name, column in frame.items():
        if not pd.api.types.is_numeric_dtype(column):
            plain[name] = column.map(no_formula, na_action="ignore")
    header = [no_formula(name) for name in frame.columns]
    plain.to_csv(path, index=False, header=header, float_format="%.8g", lineterminator="\n")


def save_json(values: dict[str, Any], name: str, config: Config) -> Path:
    """Write numbers to `figures/<profile>/<name>.json`, with name and `pivq.storage.origin.origin`, which are checked.

    Device, threads and code are noted too, unless `values` name theirs, and a checksum. Numbers and arrays of numpy
    become plain ones.

    Raises:
        ValueError: for an unknown name, or a NaN or infinite number, which JSON cannot hold.
        TypeError: for anything else that JSON cannot hold.
        OSError: when the folder cannot be written; nothing half-written is left.
    """
    path = _artefact(name, config).with_suffix(".json")
    values = computed_on() | values | {"artefact": name} | origin(config)
    values = json.loads(json.dumps(values, allow_nan=False, default=_plain))
    write_json(path, seal(values), ensure_ascii=False)
    return path


def _artefact(name: str, config: Config) -> Path:
    """Return the path of an artefact without its ending, in a folder without figures of other images."""
    if name not in ARTEFACTS:
        raise ValueError(f"unknown figure or table {name!r}{suggestion(name, list(ARTEFACTS))}")
    folder = figures_dir(config.profile, config.seed)
    claim_figures(folder, config)
    return folder / name


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written as JSON: {value!r}")
