"""The table of all settings of all profiles with their sources, as `docs/settings.md` shows it.

`python -m pivq.commands.settings_table > docs/settings.md` writes it anew; a test holds file and code together.
"""

import inspect
import re
from typing import Any

from pivq.config import EvaluationConfig, ModelConfig, TrainConfig
from pivq.profiles import PROFILES

PARTS = {"model": ModelConfig, "train": TrainConfig, "evaluation": EvaluationConfig}
INTRODUCTION = """# Settings of every profile, and where they come from

Made by `python -m pivq.commands.settings_table` from `pivq/profiles.py`. Under each value stands its source: the
**paper**, its **base code** (reference [5], *Unleashing Transformers*), or an **assumption** of ours, where neither
says anything or where minutes on two CPU cores must do. Steps are updates of the generator. `train_images` and
`heldout_images`: 0 is all.

`pivq train --set train.steps=1000` changes a setting; its source is then an assumption, and the run gets a folder of
its own.
"""


def settings_markdown() -> str:
    """Return the table: a row a setting, a column a profile."""
    lines = [INTRODUCTION]
    for part, kind in PARTS.items():
        lines += [f"## {part}", "", f"| setting | {' | '.join(PROFILES)} |", "|---" * (len(PROFILES) + 1) + "|"]
        for name, comment in _comments(kind).items():
            cells = [_cell(*settings[f"{part}.{name}"]) for settings in PROFILES.values()]
            lines.append(f"| `{name}`{f'<br>{comment}' if comment else ''} | {' | '.join(cells)} |")
        lines.append("")
    cells = [_cell(*settings["dataset"]) for settings in PROFILES.values()]
    lines += ["## data", "", f"| setting | {' | '.join(PROFILES)} |", "|---" * (len(PROFILES) + 1) + "|"]
    return "\n".join([*lines, f"| `dataset` | {' | '.join(cells)} |"]) + "\n"


def _cell(value: Any, source: str) -> str:
    if isinstance(value, tuple):
        shown = ", ".join(map(str, value)) or "none"
    elif isinstance(value, bool):
        shown = str(value)
    else:
        shown = f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
    return f"{shown}<br>*{source}*"


def _comments(kind: type) -> dict[str, str]:
    """Return what the source says behind each field of a dataclass."""
    lines = re.findall(r"^    (\w+): [^#\n]+?(?:  # (.*))?$", inspect.getsource(kind), flags=re.MULTILINE)
    return {name: comment for name, comment in lines if name in kind.__dataclass_fields__}


if __name__ == "__main__":
    print(settings_markdown(), end="")
