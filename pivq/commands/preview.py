"""What `run_all.sh` says instead of running: its notebooks; what a run would do, what is there and what is missing.

Nothing is written. The top of this module needs only the standard library, so that it answers before anything is
installed.
"""

import re
import shutil
import sys
import textwrap
import time
from dataclasses import replace
from typing import Any

from pivq.commands import doctor
from pivq.commands.run_all_arguments import Notebook, Request, requested_config
from pivq.commands.schedule import TRAINS, expected_seconds, span, typical
from pivq.commands.terminal import drop, flush, shown
from pivq.config import Config
from pivq.runs.planned import planned, unfinished
from pivq.storage import paths

STORED = {TRAINS: "ablations", "09_when_codes_compete": "competition"}  # results that come with the project
NAME, MINUTES, WIDEST = 28, 9, 120  # characters: two columns, the longest line


def preview(request: Request) -> int:
    """Print what `request.instead` asks for; return the exit status: 1 if a run would miss anything that it needs."""
    chosen, parameters, missing = request.notebooks, request.parameters, False
    if request.instead == "list":
        text = list_notebooks(chosen, parameters["profile"])
    elif request.instead == "check_only":
        said = ", ".join(f"{name} {value}" for name, value in parameters.items())
        count = f"{len(chosen)} notebook{'s' if len(chosen) > 1 else ''}"
        text = f"The arguments are right: {count}, {said}. --dry-run says what else is needed."
    else:
        config = requested_config(parameters)
        rows = needs(config, parameters)
        text = f"{plan(chosen, config, parameters)}\n\n{doctor.table(rows, config)}"
        missing = any(row.state == doctor.MISSING for row in rows)
    try:
        print(shown(text))
        flush()
    except OSError as error:
        drop(sys.stdout)
        if not isinstance(error, BrokenPipeError):  # that of `| head`; any other is a full disk
            raise
    return int(missing)


def list_notebooks(notebooks: list[Notebook], profile: str) -> str:
    """Return the notebooks as a table: name, typical minutes, what each shows and makes."""
    usual = {notebook.name: typical(profile).get(notebook.name) for notebook in notebooks}
    lines = [f"{'notebook':{NAME}}{'minutes':>{MINUTES}}  shows and makes"]
    for notebook in notebooks:
        row, makes = usual[notebook.name], notebook.about.get("makes", "").replace("<profile>", profile)
        lines += _row(notebook.name, f"{row['minutes']:.1f}" if row else "–", notebook.about.get("title", ""))
        lines += _row("", "", f"makes {makes}") if makes else []
    if all(usual.values()):
        minutes = sum(row["minutes"] for row in usual.values())
        lines += _row("all of these", f"{minutes:.1f}", "on two CPU cores, the first time")
    return "\n".join(lines)


def plan(notebooks: list[Notebook], config: Config, parameters: dict[str, Any]) -> str:
    """Return what a run would do as a table: name, minutes, what is there already, what the notebook needs."""
    seconds = expected_seconds(notebooks, config, parameters)
    lines = [f"{'notebook':{NAME}}{'minutes':>{MINUTES}}  is there already · needs"]
    for notebook in notebooks:
        # Of what it needs, the first clause: the rest says what happens without it.
        needed = re.split(r"[.;:]|, (?:which|if|where) ", notebook.about.get("needs", ""))[0]
        words = ["; ".join(_there(notebook, config)) or "nothing", needed.replace("<profile>", config.profile)]
        known = seconds[notebook.name]
        minutes = "–" if known is None else f"{known / 60:.1f}"
        lines += _row(notebook.name, minutes, " · needs ".join(filter(None, words)))
    unknown = [name for name, known in seconds.items() if known is None]
    total = span(sum(known for known in seconds.values() if known is not None))
    without = f" without {', '.join(unknown)}, whose time is not known" if unknown else ""
    if len(unknown) < len(notebooks):
        lines.append(f"All of these: {total}{without}.")
    lines.append(f"Figures and tables go to {paths.figures_dir(config.profile, config.seed)}")
    lines.append(f"Runs and executed notebooks go to {paths.results_dir(config.profile)}")
    return "\n".join(lines)


def _there(notebook: Notebook, config: Config) -> list[str]:
    """Say what is left of a notebook by an earlier run, or comes with the project."""
    found = []
    executed = paths.notebooks_dir(config.profile, config.seed) / notebook.path.name
    if executed.is_file():
        found.append(f"run on {time.strftime('%Y-%m-%d, %H:%M', time.localtime(executed.stat().st_mtime))}")
    if notebook.name == TRAINS:
        jobs, missing = planned(config), unfinished(config)
        done = [label for label in jobs if label not in missing]
        which = f" ({'; '.join(done)})" if done and missing else ""
        found.append(f"{len(done)} of {len(jobs)} models trained{which}")
    if name := STORED.get(notebook.name):
        own = paths.figures_dir(config.profile, config.seed) / f"{name}.json"
        kept = paths.stored_file(name, config.profile, config.seed)
        found += [f"{name} stored" + ("" if kept == own else " (the project's)")] if kept.is_file() else []
    return found


def needs(config: Config, parameters: dict[str, Any]) -> list[doctor.Row]:
    """Return what `pivq doctor` finds, in terms of `run_all.sh`, which sets up its own environment."""
    rows: dict[str, doctor.Row] = {}
    for number, row in enumerate(doctor.examine(config)):
        if row.what == "packages" and row.state == doctor.MISSING:
            found = row.found.partition(":")[0]
            remedy = "run_all.sh installs them into .venv: up to 6 GB, several minutes"
            rows["packages"] = replace(row, state=doctor.NOTE, found=found, remedy=remedy)  # one for all of them
            continue
        if row.what == "GPU" and row.found.startswith("none") and parameters.get("device") == "cuda":
            row = replace(row, state=doctor.MISSING, remedy="--device cpu, or a computer with a GPU")
        if row.what == "weights" and row.state == doctor.MISSING:
            row = replace(row, remedy="run_all.sh --download brings them")
        if row.what == "data" and row.state == doctor.MISSING and "there is no " in row.found:
            row = replace(row, remedy="docs/datasets.md says how to get it; --data DIR names another place")
        rows[f"{number}"] = row
    return list(rows.values())


def _row(name: str, minutes: str, text: str) -> list[str]:
    """Return the lines of a row; a long text is wrapped in its column."""
    indent = " " * (NAME + MINUTES + 2)
    width = max(len(indent) + 30, min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns))
    first = f"{name:{NAME}}{minutes:>{MINUTES}}  "
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=indent) or [first.rstrip()]
