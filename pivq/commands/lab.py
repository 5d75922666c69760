"""JupyterLab at the root of the checkout, as `run_lab.sh` starts it: notebooks are saved without their outputs.

A notebook of the project that was only run is written back as it was, so a checkout stays clean. One that was edited
keeps the edit. What the cells showed is kept with the results, in `results/lab/`.
"""

import json
import os
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

from pivq.storage import paths
from pivq.storage.writing import write_text

NOTEBOOKS = paths.CHECKOUT / "notebooks"
FIRST = "notebooks/00_meet_the_faces.ipynb"


def main(argv: list[str] | None = None) -> int:
    """Start JupyterLab and return its exit status; `argv` is a notebook or folder to open, and options of JupyterLab.

    A path is relative to the working directory, or to the checkout.
    """
    arguments = sys.argv[1:] if argv is None else argv
    options = [word for word in arguments if word.startswith("-")]
    places = [word for word in arguments if not word.startswith("-")] or [FIRST]
    if len(places) > 1:
        print(f"run_lab.sh: error: one notebook or folder can be opened at the start, not {len(places)}: {places}",
              file=sys.stderr)  # fmt: skip
        return 2
    found = [path for path in (Path.cwd() / places[0], paths.CHECKOUT / places[0]) if path.exists()]
    inside = [path.resolve() for path in found if path.resolve().is_relative_to(paths.CHECKOUT)]
    if not inside:
        print(f"run_lab.sh: error: there is no {places[0]} in {paths.CHECKOUT}", file=sys.stderr)
        return 2
    from jupyterlab.labapp import LabApp

    os.environ.pop("MPLBACKEND", None)  # if it were set, no figure would show
    place = inside[0].relative_to(paths.CHECKOUT).as_posix()
    LabApp.launch_instance([
        f"--ServerApp.root_dir={paths.CHECKOUT}",
        f"--LabApp.default_url=/lab/tree/{place}",
        "--FileContentsManager.pre_save_hook=pivq.commands.lab.strip",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",  # which asks a server
        *options,
    ])  # fmt: skip
    return 0


def strip(model: dict[str, Any], path: str, contents_manager: Any, **_: Any) -> None:
    """Take the outputs out of a notebook of the project that Jupyter is about to save; a hook of its server.

    Args:
        model: what is saved; changed in place.
        path: where it is saved, relative to the server's root.
        contents_manager: knows that root.
    """
    target = Path(contents_manager.root_dir, path.strip("/"))
    if model["type"] != "notebook" or target.parent.resolve() != NOTEBOOKS.resolve():
        return
    notebook = model["content"]
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    if any(cell["outputs"] for cell in cells):
        write_text(paths.root() / "results" / "lab" / target.name, json.dumps(notebook, indent=1) + "\n")
    for cell in cells:
        cell["outputs"], cell["execution_count"] = [], None
        cell["metadata"].pop("execution", None)  # when it ran
    try:
        before = json.loads(target.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return
    if sources(before) == sources(notebook):
        model["content"] = before
    else:  # what Jupyter notes about the kernel is no edit
        notebook["metadata"] = deepcopy(before["metadata"])


def sources(notebook: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """Return the kind, the text and the tags of each cell of a notebook."""
    cells = notebook["cells"]
    return [(cell["cell_type"], "".join(cell["source"]), [*cell["metadata"].get("tags", [])]) for cell in cells]


if __name__ == "__main__":
    sys.exit(main())
