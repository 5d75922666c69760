"""Tables of settings with their sources: one configuration as text, all profiles in Markdown (`docs/settings.md`).

`python -m pivq.commands.settings_table > docs/settings.md` writes that file; a test checks that it is up to date.
"""

import inspect
import re
from typing import Any

from pivq.config import Config, EvaluationConfig, ModelConfig, TrainConfig
from pivq.profiles import PROFILES, RANGES

PARTS = {"model": ModelConfig, "train": TrainConfig, "evaluation": EvaluationConfig}
INTRODUCTION = """# Settings of every profile, and where they come from

Made by `python -m pivq.commands.settings_table` from `pivq/profiles.py`. Under each value stands its source: the
**paper**, its **base code** (reference [5], *Unleashing Transformers*), or an **assumption** of ours, where neither
gives a value or where training must take only minutes on two CPU cores. Steps are updates of the generator.
`train_images` and `heldout_images`: 0 is all. Under each name stand its meaning and the values that it may have.

`pivq train --set train.steps=1000` changes a setting; its source is then an assumption, and the run gets its own
folder. `--steps` and `--budget` change the length with the whole schedule in proportion. `celeba64_short` is `celeba64`
at half the width, for one session of a small GPU; its schedule is given as fractions of its steps.
"""


def settings_text(config: Config) -> str:
    """Return the settings of a configuration as text: one row per setting, with value and source."""
    rows = [("setting", "value", "source"), ("seed", config.seed, "")]
    rows.append(("data", config.data or "its place in data/", ""))
    rows += [("layout", config.layout, "")] if config.layout else []
    rows += [("on_error", config.on_error, "")] if config.on_error != "raise" else []
    rows += [(name, value, source) for name, (value, source) in config.settings.items()]
    return "\n".join(f"{name:36}{value!s:24}{source}".rstrip() for name, value, source in rows)


def settings_markdown() -> str:
    """Return the settings of all profiles in Markdown: one row per setting, one column per profile."""
    lines = [INTRODUCTION]
    for part, kind in PARTS.items():
        comments = {f"{part}.{name}": comment for name, comment in _comments(kind).items()}
        lines += [f"## {part}", "", *_table(comments), ""]
    return "\n".join([*lines, "## data", "", *_table({"dataset": ""})]) + "\n"


def _table(comments: dict[str, str]) -> list[str]:
    """Return the lines of a table of settings, given by dotted name with what is said about them."""
    lines = [f"| setting | {' | '.join(PROFILES)} |", "|---" * (len(PROFILES) + 1) + "|"]
    for name, comment in comments.items():
        cells = [_cell(*settings[name]) for settings in PROFILES.values()]
        said = [f"`{name.split('.')[-1]}`", *([comment] if comment else []), f"{RANGES[name]}"]
        lines.append(f"| {'<br>'.join(said)} | {' | '.join(cells)} |")
    return lines


def _cell(value: Any, source: str) -> str:
    if isinstance(value, tuple):
        shown = ", ".join(map(str, value)) or "none"
    elif isinstance(value, bool | str):
        shown = str(value)
    else:
        shown = f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return f"{shown}<br>*{source}*"


def _comments(kind: type) -> dict[str, str]:
    """Return the comment after each field of a dataclass, "" where there is none."""
    lines = re.findall(r"^    (\w+): [^#\n]+?(?:  # (.*))?$", inspect.getsource(kind), flags=re.MULTILINE)
    return {name: comment for name, comment in lines if name in kind.__dataclass_fields__}


if __name__ == "__main__":
    print(settings_markdown(), end="")
