"""Run the notebooks in order: every figure and table of one profile, with one command.

`./run_all.sh` sets up the environment, then calls `python -m pivq.commands.run_all` with the same arguments. The top
of this module needs only the standard library, so that `--help` and a wrong argument are answered before anything is
installed.
"""

import json
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pivq.commands.download import download_weights
from pivq.commands.edited import tell_edited
from pivq.commands.preview import preview
from pivq.commands.progress import progress_of_each
from pivq.commands.run_all_arguments import DEMO, Notebook, Request, parse, print_anything, requested_config
from pivq.commands.schedule import TIMINGS, record_seconds
from pivq.commands.terminal import check_current_folder, check_progress_bars, message
from pivq.config import Config
from pivq.runs.budget import steps_within
from pivq.runs.ready import check_ready
from pivq.storage import paths
from pivq.storage.locking import InUse, scratch_folder
from pivq.storage.origin import claim_figures
from pivq.storage.writing import atomic_write

NOTEBOOKS = paths.CHECKOUT / "notebooks"
FREE_BYTES = 500 * 10**6  # more than the runs and figures of a small profile need
INTERRUPTED = 130  # the shell's exit status after Ctrl-C
ENDING = ("SIGTERM", "SIGHUP")  # signals that end the run as Ctrl-C does, with its kernels


class Ended(KeyboardInterrupt):
    """One of the `ENDING` signals came; its argument is the signal's number."""


class _Failed(Exception):
    """A notebook did not run to its end; its argument says why."""


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
    print_anything()
    try:
        check_current_folder()
        request = parse(argv, notebooks)
        if request.instead:
            return preview(request)
        with _ended_by_signals():
            return run(request)
    except KeyboardInterrupt as end:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # no traceback of the cell that was waited for
        with suppress(OSError):  # the terminal may be closed
            print("\nInterrupted. Finished work is kept. Run the same command again to resume.", file=sys.stderr)
        return 128 + end.args[0] if isinstance(end, Ended) else INTERRUPTED
    except (OSError, ValueError, InUse) as error:
        print(f"\nrun_all.sh: error: {message(error)}", file=sys.stderr)
        return 1


def run(request: Request) -> int:
    """Execute the notebooks of a request until one fails, print a summary, and return the exit status.

    Raises:
        OSError: the results cannot be written, or the weights not downloaded.
        InUse: another process downloads the weights.
        ValueError: there is no such device.
        KeyboardInterrupt: raised again after the executed part is written.
    """
    check_progress_bars()
    notebooks, parameters = request.notebooks, request.parameters
    place = parameters["profile"], parameters["seed"]
    folder, figures = paths.notebooks_dir(*place), paths.figures_dir(*place)
    check_writable(folder)
    check_writable(figures)
    config = requested_config(parameters)
    claim_figures(figures, config)
    if request.download:
        download_weights([config.train.perceptual_network, config.evaluation.features])
    try:
        check_ready(config)
    except FileNotFoundError as error:
        all_of_it = f"./run_all.sh {config.options} --dry-run"
        raise FileNotFoundError(f"{error}\nEverything that is missing, in one table: {all_of_it}") from error
    if parameters.get("device") == "cuda":
        from pivq.processes import pick_device

        pick_device("cuda")  # says that there is none before a notebook starts
    tell_edited(notebook.path for notebook in notebooks)
    before, outcomes = _time_of(verdict := figures / "verdict.md"), []
    with _kernel_environment(request.compile):
        if request.budget:
            parameters, config = _within(request.budget, config, parameters)
        for notebook, progress in zip(notebooks, progress_of_each(notebooks, config, parameters), strict=True):
            with progress:
                outcomes.append(execute(notebook, parameters, folder))
            if outcomes[-1].failure:
                break
            record_seconds(folder / TIMINGS, notebook.name, outcomes[-1].seconds)
            print(f"{notebook.name} took {outcomes[-1].seconds / 60:.1f} min", flush=True)
    _print_summary(notebooks, outcomes)
    print(f"Executed notebooks: {_shown(folder)}", flush=True)
    if notebooks[0].name == DEMO:
        print(f"To look at in a browser: {_shown(folder / f'{DEMO}.html')}", flush=True)
    else:
        from pivq.commands.results import write_results

        print(f"All results on one page: {_shown(write_results(config, notebooks[0].path.parent))}", flush=True)
    if outcomes[-1].failure:
        print(f"The one that failed: {_shown(_failed_copy(folder / outcomes[-1].notebook.path.name))}")
        return 1
    if _time_of(verdict) != before:  # made by this run
        print(f"Verdict: {_shown(verdict)}")
    return 0


def _within(budget: str, config: Config, parameters: dict[str, Any]) -> tuple[dict[str, Any], Config]:
    """Return the parameters, and their configuration, of trainings that fit a budget; print the choice."""
    if parameters.get("precision"):
        from pivq.precision import use_precision

        use_precision(parameters["precision"])
    steps, said = steps_within(config, budget, parameters.get("device", "auto"))
    print(said, flush=True)
    parameters = parameters | {"steps": steps}
    return parameters, requested_config(parameters)


def _time_of(path: Path) -> int | None:
    return path.stat().st_mtime_ns if path.is_file() else None


def check_writable(folder: Path) -> None:
    """Create a folder if it is missing, and check that there is permission and space to write to it.

    Raises:
        OSError: naming the folder and what is wrong.
        ValueError: the folder's name cannot be written into a notebook.
    """
    try:
        str(folder).encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(f"the name of the folder {folder} is not UTF-8: rename it, or set PIVQ_ROOT") from error
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
    """Execute one notebook; write the executed copy and its HTML version to `folder`.

    They replace older ones only if every cell ran. Otherwise they are kept as `<name>.failed.ipynb` and `.html`.
    A notebook gets only the parameters that it declares. The kernel's working directory is the notebook's folder, as in
    JupyterLab.

    Raises:
        OSError: the copy cannot be written.
        KeyboardInterrupt: raised again after the executed part is kept.
    """
    target, start, failure = folder / notebook.path.name, time.monotonic(), None
    failed = _failed_copy(target)
    try:
        with atomic_write(target) as executed:
            try:
                died = _run_cells(notebook, parameters, executed)
                if failure := _find_failure(notebook.path, executed, died):
                    raise _Failed(failure)
                _write_html(executed, target)
            except BaseException:
                with suppress(Exception):  # what ended it is to be told, not that this copy cannot be written either
                    os.replace(executed, failed)
                    _write_html(failed, failed)
                raise
    except _Failed:
        pass
    else:
        for left in (failed, failed.with_suffix(".html")):
            left.unlink(missing_ok=True)
    return Outcome(notebook, time.monotonic() - start, failure)


def _failed_copy(target: Path) -> Path:
    return target.with_name(f"{target.stem}.failed.ipynb")


def _run_cells(notebook: Notebook, parameters: dict[str, Any], executed: Path) -> str | None:
    """Execute a notebook into a file; return why its kernel died, or None."""
    import papermill
    from papermill.exceptions import PapermillExecutionError

    try:
        papermill.execute_notebook(
            str(notebook.path),
            str(executed),
            parameters={name: value for name, value in parameters.items() if name in notebook.defaults},
            kernel_name="python3",
            language="python",
            cwd=str(notebook.path.parent),
            start_timeout=300,  # seconds; a busy machine may take a while
            progress_bar=False,  # pivq.commands.progress has the terminal's line
        )
    except PapermillExecutionError:
        pass  # the executed copy holds the error
    except RuntimeError as error:  # the kernel died, or did not start
        return str(error)
    return None


def _find_failure(path: Path, executed: Path, died: str | None) -> str | None:
    """Say which cell failed and why, or return None if every cell ran to its end.

    papermill counts SystemExit as success although no later cell runs, so every cell is checked. Cells are numbered by
    their place, because those of old notebooks have no ids.
    """
    original, made = (json.loads(file.read_text(encoding="utf-8"))["cells"] for file in (path, executed))
    added = {"injected-parameters", "papermill-error-cell-tag"} - {tag for cell in original for tag in _tags(cell)}
    numbered = [cell for cell in made if not added & _tags(cell)]
    cells = [cell for cell in made if cell["cell_type"] == "code" and "".join(cell["source"]).strip()]

    def at(cell: dict[str, Any], reason: str) -> str:
        places = [number for number, other in enumerate(numbered, 1) if other is cell]
        number = places[0] if places else "of the injected parameters"
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


def _tags(cell: dict[str, Any]) -> set[str]:
    return set(cell["metadata"].get("tags", []))


def _write_html(executed: Path, target: Path) -> None:
    """Write the HTML version of an executed notebook next to `target`, which names it."""
    from pivq.commands.pages import write_page  # needs what is installed, as the next function does

    write_page(executed, target)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Make the `ENDING` signals raise `Ended`, once, so that kernels are ended and temporary folders removed."""
    numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        numbers = []  # signals can be handled in the main thread alone
    old = {number: signal.getsignal(number) for number in numbers}

    def end(number: int, _: Any) -> None:
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise Ended(number)

    try:
        for number, handler in old.items():
            if handler is signal.SIG_DFL:  # not under nohup
                signal.signal(number, end)
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def _kernel_environment(compile_blocks: bool) -> Iterator[None]:
    """Give every kernel this interpreter, this package and this root, and override the user's own settings."""
    from ipykernel.kernelspec import write_kernel_spec

    outside = dict(os.environ)
    with scratch_folder() as scratch:
        folder = str(scratch)
        # Lower levels of the kernel's own log are about its connection; errors of cells are in the notebook.
        write_kernel_spec(Path(folder) / "kernels" / "python3", extra_arguments=["--log-level=CRITICAL"])
        for name, first in {"JUPYTER_PATH": folder, "PYTHONPATH": str(paths.CHECKOUT)}.items():
            more = outside.get(name, "").split(os.pathsep)
            os.environ[name] = os.pathsep.join([first, *filter(None, more)])  # an empty part: the working directory
        os.environ |= {"IPYTHONDIR": folder, "JUPYTER_RUNTIME_DIR": folder, "PIVQ_ROOT": str(paths.root())}
        os.environ["PYTHONSAFEPATH"] = "1"  # no module of the working directory is taken for one of Python's
        os.environ |= {"PIVQ_COMPILE": "1"} if compile_blocks else {}  # as `pivq train --compile` sets it
        os.environ.pop("MPLBACKEND", None)  # if it were set, no figure would show in the executed notebooks
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(outside)


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
