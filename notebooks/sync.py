"""Write each notebook from its source: `notebooks/py/NN_name.py` → `notebooks/NN_name.ipynb`.

Edit the percent-format source, then run `python notebooks/sync.py`. The same source always gives the same bytes,
without outputs. Cells that begin with an import are the set-up: JupyterLab and the HTML pages show them folded, Colab
without their code. A source says REPOSITORY where the notebook gets the project's `owner/name` on GitHub, which stands
in `pyproject.toml` alone. With `--check` nothing is written: the notebooks that differ from their source are listed,
and the exit status is 1 if there are any. To keep an edit made in JupyterLab, bring it to the source first:
`jupytext --to py:percent --output notebooks/py/NN_name.py notebooks/NN_name.ipynb`, and put REPOSITORY back.
"""

import argparse
import sys
import tomllib
from pathlib import Path

import jupytext
import nbformat

FOLDER = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
FOLDED = {"jupyter": {"source_hidden": True}, "cellView": "form"}


def repository() -> str:
    """Return the project's repository on GitHub, `owner/name`."""
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"].removeprefix("https://github.com/")


def to_notebook(source: Path) -> str:
    """Return the notebook of a percent-format source as the text of its file."""
    text = source.read_text(encoding="utf-8").replace("REPOSITORY", repository())
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(METADATA)
    for index, cell in enumerate(notebook.cells):
        cell.id = f"cell-{index:02d}"  # not random, so that an unchanged source makes no difference
        if cell.cell_type == "code" and cell.source.startswith(("import ", "from ")):
            cell.metadata |= nbformat.from_dict(FOLDED)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def main() -> int:
    """Write the notebooks, or check them, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a notebook differs")
    check = parser.parse_args().check
    sources = {path.stem: path for path in sorted((FOLDER / "py").glob("*.py"))}
    differing = [path.stem for path in sorted(FOLDER.glob("*.ipynb")) if path.stem not in sources]
    for name in differing:
        print(f"{name}.ipynb has no source py/{name}.py", file=sys.stderr)
    for name, source in sources.items():
        target, text = FOLDER / f"{name}.ipynb", to_notebook(source)
        if target.is_file() and target.read_text(encoding="utf-8") == text:
            continue
        if check:
            differing.append(name)
            print(f"{name}.ipynb differs from py/{name}.py", file=sys.stderr)
        else:
            target.write_text(text, encoding="utf-8")
            print(f"wrote {name}.ipynb")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
