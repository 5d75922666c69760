"""Which notebooks have other code than their sources in `notebooks/py/`. Standard library only."""

import json
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path

from pivq.storage.paths import CHECKOUT


def tell_edited(paths: Iterable[Path]) -> None:
    """Print in one line which of some notebooks are edited, if any are."""
    if names := [path.stem for path in paths if is_edited(path)]:
        print(f"Edited since they were made from notebooks/py/, and run as they are: {', '.join(names)}.", flush=True)


def is_edited(path: Path) -> bool:
    """Say whether a notebook's code is not that of its source; one without a source is not edited.

    The text between the cells does not count, since it changes no result.
    """
    source = path.parent / "py" / f"{path.stem}.py"
    if not source.is_file():
        return False
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]).strip() for cell in cells if cell["cell_type"] == "code"]
    return code != source_code(source.read_text(encoding="utf-8"))


def source_code(text: str) -> list[str]:
    """Return the code cells of a percent-format source, as `notebooks/sync.py` makes them.

    Example:
        >>> source_code("# %% [markdown]\\n# A title.\\n\\n# %% tags=['parameters']\\nseed = 0\\n")
        ['seed = 0']
    """
    if "REPOSITORY" in text:
        project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        text = text.replace("REPOSITORY", project["urls"]["Repository"].removeprefix("https://github.com/"))
    cells = [cell.partition("\n") for cell in re.split(r"^# %%", text, flags=re.MULTILINE)[1:]]
    return [body.strip() for head, _, body in cells if "[markdown]" not in head]
