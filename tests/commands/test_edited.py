"""Whether a notebook has the code of its source."""

import json
import shutil
from pathlib import Path

import pytest

from pivq.commands.edited import is_edited, source_code


@pytest.fixture
def copied(checkout, tmp_path):
    """Return the copy of a notebook, with its source in place."""
    (tmp_path / "py").mkdir()
    shutil.copy(checkout / "notebooks/py/03_train.py", tmp_path / "py")
    return Path(shutil.copy(checkout / "notebooks/03_train.ipynb", tmp_path))


def change(path, kind, text="\nx = 1"):
    content = json.loads(path.read_text())
    cell = next(cell for cell in content["cells"] if cell["cell_type"] == kind)
    cell["source"] = "".join(cell["source"]) + text
    path.write_text(json.dumps(content))


def test_committed_notebooks_are_not_edited(checkout):
    names = {path.stem: is_edited(path) for path in (checkout / "notebooks").glob("*.ipynb")}
    assert "03_train" in names and not any(names.values()), names


def test_code_counts_and_text_does_not(copied):
    change(copied, "markdown")
    assert not is_edited(copied)
    change(copied, "code", "\n")
    assert not is_edited(copied), "an empty line"
    change(copied, "code")
    assert is_edited(copied)


def test_a_cell_more_is_an_edit(copied):
    content = json.loads(copied.read_text())
    content["cells"].append(content["cells"][-1] | {"cell_type": "code", "source": "1 + 1"})
    copied.write_text(json.dumps(content))
    assert is_edited(copied)


def test_a_notebook_without_a_source_is_not_edited(copied):
    shutil.rmtree(copied.parent / "py")
    change(copied, "code")
    assert not is_edited(copied)


def test_cells_of_a_source():
    text = "# ---\n# a head\n# ---\n\n# %% [markdown]\n# Text.\n\n# %%\na = 1\n\n\n# %% tags=['x']\nb = '# %%'\n"
    assert source_code(text) == ["a = 1", "b = '# %%'"]
