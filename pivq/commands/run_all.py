"""Run the notebooks in order: every figure and table of one profile, with one command.

`./run_all.sh` sets up the environment, then calls `python -m pivq.commands.run_all` with the same arguments. The top
of this module needs only the standard library, so that `--help` and a wrong argument are answered before anything is
installed.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pivq.commands.run_all_arguments import Notebook, parse, requested_config
from pivq.runs.ready import check_ready
from pivq.storage import paths
from pivq.storage.writing import read_json, write_json, write_text

NOTEBOOKS = paths.CHECKOUT / "notebooks"
FREE_BYTES = 500 * 10**6  # more than the runs and figures of a small profile need
INTERRUPTED = 130  # the shell's exit status after Ctrl-C


@dataclass(frozen=True)
class Outcome:
    """How the execution of one notebook ended; `failure` is None when every cell ran."""

    notebook: Notebook
    seconds: float
    failure: str | None


def main(argv: list[str] | None = None, notebooks: Path = NOTEBOOKS) -> int:
    """Check the arguments, execute the notebooks, and return the exit status: 0 only if every cell ran.

    Args:
        argv: the arguments without the program's name; `sys.argv` when None.
        notebooks: folder of the notebooks.

    Raises:
        SystemExit: with status 2 for a bad argument; with 0 after `--help`.
    """
    request = parse(argv, notebooks)
    if request.check_only:
        return 0
    try:
        return run(request.notebooks, request.parameters)
    except KeyboardInterrupt:
        print("\nInterrupted. Finished work is kept. Run the same command again to resume.", file=sys.stderr)
        return INTERRUPTED
    except (OSError, ValueError) as error:
        print(f"\nrun_all.sh: error: {error}", file=sys.stderr)
        return 1


def run(notebooks: list[Notebook], parameters: dict[str, Any]) -> int:
    """Execute notebooks until one fails, print a summary, and return the exit status.

    Raises:
        OSError: the results cannot be written.
        KeyboardInterrupt: raised again after the executed part is written.
    """
    folder = paths.results_dir(parameters["profile"]) / "notebooks"
    figures = paths.figures_dir(parameters["profile"])
    check_writable(folder)
    check_writable(figures)
    check_ready(requested_config(parameters))
    outcomes: list[Outcome] = []
    with _kernel_environment():
        for notebook in notebooks:
            print(f"{notebook.name} …", flush=True)
            outcomes.append(execute(notebook, parameters, folder))
            if outcomes[-1].failure:
                break
            _record_seconds(folder / "timings.json", outcomes[-1])
            print(f"{notebook.name} took {outcomes[-1].seconds / 60:.1f} min", flush=True)
    _print_summary(notebooks, outcomes)
    print(f"Executed notebooks: {_shown(folder)}", flush=True)
    if outcomes[-1].failure:
        return 1
    if (figures / "verdict.md").is_file():
        print(f"Verdict: {_shown(figures / 'verdict.md')}")
    return 0


def check_writable(folder: Path) -> None:
    """Create a folder if it is missing, and check that there is permission and space to write to it.

    Raises:
        OSError: naming the folder and what is wrong.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"0")
    except OSError as error:
        raise OSError(f"cannot write to {folder}: {error.strerror}. Nothing has been run.") from error
    free = shutil.disk_usage(folder).free
    if free < FREE_BYTES:
        raise OSError(
            f"{free // 10**6} MB are free at {folder}, {FREE_BYTES // 10**6} MB are needed. Nothing has been run."
        )


def execute(notebook: Notebook, parameters: dict[str, Any], folder: Path) -> Outcome:
    """Execute one notebook; write the executed copy and its HTML version to `folder`, also when a cell fails.

    A notebook gets only the parameters that it declares. The kernel's working directory is the notebook's folder, as in
    JupyterLab.
    """
    import papermill
    from papermill.exceptions import PapermillExecutionError

    target = folder / notebook.path.name
    target.unlink(missing_ok=True)
    start = time.monotonic()
    died = None
    try:
        papermill.execute_notebook(
            str(notebook.path),
            str(target),
            parameters={name: value for name, value in parameters.items() if name in notebook.defaults},
            kernel_name="python3",
            language="python",
            cwd=str(notebook.path.parent),
            start_timeout=300,  # seconds; a busy machine may take a while
            progress_bar={"desc": notebook.name, "disable": None, "leave": False},
            # In a terminal, the standard error of the cells is shown too: the progress of the training.
            stderr_file=sys.stderr if sys.stderr.isatty() else None,
        )
    except PapermillExecutionError:
        pass  # the executed copy holds the error
    except RuntimeError as error:  # the kernel died, or did not start
        died = str(error)
    finally:
        if target.is_file():
            _write_html(target)
    return Outcome(notebook, time.monotonic() - start, _find_failure(notebook.path, target, died))


def _find_failure(path: Path, executed: Path, died: str | None) -> str | None:
    """Say which cell failed and why, or return None if every cell ran to its end.

    papermill counts SystemExit as success although no later cell runs, so every cell is checked.
    """
    order = [cell["id"] for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    cells = json.loads(executed.read_text(encoding="utf-8"))["cells"]
    cells = [cell for cell in cells if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]

    def at(cell: dict[str, Any], reason: str) -> str:
        number = order.index(cell["id"]) + 1 if cell["id"] in order else "of the injected parameters"
        return f"cell {number} ({''.join(cell['source']).strip().splitlines()[0]})\n{reason}"

    for cell in cells:
        for output in cell["outputs"]:
            if output["output_type"] == "error":
                return at(cell, f"{output['ename']}: {output['evalue']}")
    if died:
        started = [cell for cell in cells if cell["metadata"]["papermill"]["start_time"]]
        return at(started[-1], f"{died} (usually out of memory)") if started else died
    for cell in cells:
        if cell["execution_count"] is None:
            return at(cell, "did not run: the cell before it ended the kernel")
    return None


def _write_html(executed: Path) -> None:
    import nbformat
    from nbconvert import HTMLExporter

    content = nbformat.read(executed, as_version=4)
    html, _ = HTMLExporter().from_notebook_node(content, resources={"metadata": {"name": executed.stem}})
    write_text(executed.with_suffix(".html"), html)


@contextmanager
def _kernel_environment() -> Iterator[None]:
    """Give every kernel this interpreter, this package and this root, and override the user's own settings."""
    from ipykernel.kernelspec import write_kernel_spec

    outside = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="pivq-") as folder:
        # Lower levels of the kernel's own log are about its connection; errors of cells are in the notebook.
        write_kernel_spec(Path(folder) / "kernels" / "python3", extra_arguments=["--log-level=CRITICAL"])
        for name, first in {"JUPYTER_PATH": folder, "PYTHONPATH": str(paths.CHECKOUT)}.items():
            os.environ[name] = os.pathsep.join([first, *filter(None, [outside.get(name)])])
        os.environ |= {"IPYTHONDIR": folder, "JUPYTER_RUNTIME_DIR": folder, "PIVQ_ROOT": str(paths.root())}
        os.environ.pop("MPLBACKEND", None)  # if it were set, no figure would show in the executed notebooks
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(outside)


def _record_seconds(path: Path, outcome: Outcome) -> None:
    seconds = read_json(path) if path.is_file() else {}
    seconds[outcome.notebook.name] = round(outcome.seconds, 1)
    write_json(path, seconds, sort_keys=True)


def _print_summary(notebooks: list[Notebook], outcomes: list[Outcome]) -> None:
    print(f"\n{'notebook':28}{'minutes':>8}  result")
    for notebook, outcome in zip_longest(notebooks, outcomes):
        minutes = f"{outcome.seconds / 60:.1f}" if outcome else "–"
        result = "not run" if outcome is None else "FAILED" if outcome.failure else "ok"
        print(f"{notebook.name:28}{minutes:>8}  {result}")
    print(f"{'total':28}{sum(outcome.seconds for outcome in outcomes) / 60:>8.1f}")
    if outcomes[-1].failure:
        print(f"\n{outcomes[-1].notebook.name} failed: {outcomes[-1].failure}\n")


def _shown(path: Path) -> str:
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


if __name__ == "__main__":
    sys.exit(main())
