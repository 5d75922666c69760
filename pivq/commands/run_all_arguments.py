"""The command line of `run_all.sh`: which notebooks to run, with which parameters.

Arguments are checked against the notebooks themselves before a kernel starts and before anything is installed, so this
module needs only the standard library.
"""

import argparse
import ast
import json
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pivq
from pivq.commands.terminal import open_closed
from pivq.config import Config, load_config, suggestion
from pivq.profiles import FEATURE_NETWORKS, LAYOUTS, PRECISIONS, PROFILES
from pivq.runs.budget import parse_budget

DEVICES = ["auto", "cpu", "cuda"]
DEMO = "demo"  # the notebook of --demo
LAST = "10"  # of the notebooks on the paper; those of --extras go beyond it
EPILOG = """Figures and tables are written to figures/PROFILE/, runs and executed notebooks to results/PROFILE/.
Another seed has folders of its own: figures/PROFILE-seedN/ and results/PROFILE/notebooks-seedN/.

examples:
  ./run_all.sh --demo                            a first look in a minute, with the model that comes with the project
  ./run_all.sh                                   the default run, 15 to 30 minutes on two CPU cores
  ./run_all.sh --profile smoke                   every notebook in a few minutes, with models too small to show anything
  ./run_all.sh --only 4-6                        some notebooks; the models must be trained
  ./run_all.sh --profile folder --data DIR       your own aligned images: about the time of the default run
  ./run_all.sh --profile celeba64 --dry-run      what the paper's settings need, and what of it is missing
The paper's profiles (celeba64, celebahq256, ffhq256) train for days on a GPU: docs/paper_scale.md."""
OTHER_NUMBER = re.compile(r"\d_\d|\b0[box]", re.I | re.ASCII)  # numbers of Python's that are no decimal ones
EMPTY = "the name of a folder or file is empty (a shell variable that is not set?)"


@dataclass(frozen=True)
class Notebook:
    """A notebook, the parameters that it declares, with their defaults, and what its first cell says of it.

    `about` has its `title`, what it `needs` and what it `makes`, as far as the cell says it.
    """

    path: Path
    defaults: dict[str, Any]
    about: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Return the file's name without its ending, such as `04_capacity`."""
        return self.path.stem


@dataclass(frozen=True)
class Request:
    """A checked command line; `parameters` always holds `profile` and `seed`.

    `instead` says what to do in place of a run: "list", "dry_run", "check_only"; "" is a run. Before it, missing
    weights are downloaded if `download` is set. `budget` is the time of all trainings, "" for no limit; with `compile`,
    they compile the model's blocks on a GPU.
    """

    notebooks: list[Notebook]
    parameters: dict[str, Any]
    instead: str
    download: bool = False
    budget: str = ""
    compile: bool = False


def parse(argv: list[str] | None, folder: Path) -> Request:
    """Parse and check a command line.

    Args:
        argv: the arguments without the program's name; `sys.argv` when None.
        folder: of the notebooks.

    Raises:
        SystemExit: with status 2 and a message for a bad argument; with 0 after `--help`.
    """
    parser = _build_parser()
    arguments, unknown = parser.parse_known_args(argv)
    try:
        if unknown:
            raise ValueError(_unknown(unknown[0], vars(arguments)))
        if arguments.demo and (arguments.only or arguments.profile not in (None, "quick")):
            raise ValueError("--demo is one notebook with a model of quick: leave out --only and --profile")
        if arguments.extras and (arguments.only or arguments.demo):
            raise ValueError("--extras adds notebooks to the whole run: leave out --only and --demo")
        arguments.extras |= bool(arguments.retrain and not arguments.only and not arguments.demo)
        demo = [_read_notebook(folder / f"{DEMO}.ipynb")] if arguments.demo else None
        selected = demo or select_notebooks(folder, arguments.only, arguments.extras)
        instead = next((name for name in ("list", "dry_run", "check_only") if getattr(arguments, name)), "")
        if arguments.budget:
            parse_budget(arguments.budget)
            if arguments.steps is not None:
                raise ValueError("--steps and --budget both say how long to train: give one of them")
        if arguments.compile and not any("precision" in notebook.defaults for notebook in selected):
            raise ValueError("--compile is for a training, but no selected notebook trains")
        parameters = collect_parameters(arguments, selected)
        return Request(selected, parameters, instead, arguments.download, arguments.budget, arguments.compile)
    except ValueError as error:
        parser.error(str(error))


def _unknown(word: str, known: Iterable[str]) -> str:
    """Say what was probably meant by an argument that is none."""
    options = ["--" + name.replace("_", "-") for name in [*known, "help", "version"]]
    if word in PROFILES:
        return f"a profile is named with --profile {word}"
    if re.fullmatch(r"\d\d?(-\d\d?)?(_\w+)?", word):
        return f"a notebook is named with --only {word}"
    if f"--{word}" in options:
        return f"unknown argument {word!r}; did you mean --{word}?"
    if not word.startswith("-") and (hint := suggestion(word, list(PROFILES))).startswith("; did"):
        return f"unknown argument {word!r}{hint.replace('mean ', 'mean --profile ')}"
    return f"unknown argument {word!r}{suggestion(word, options)}"


def print_anything() -> None:
    """Print to a terminal or file that is not UTF-8 without an error: what it cannot show, such as "…", is escaped.

    What goes to a stream that was closed before the start goes nowhere.
    """
    open_closed()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="run_all.sh",
        description="Train the models and regenerate every figure and table by running the notebooks in order. "
        "A finished training with the same settings is loaded.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--version", action="version", version=f"pivq {pivq.__version__}")
    add("--extras", action="store_true", help="also the notebooks from 11 on, which go beyond the paper")
    add("--demo", action="store_true", help="a first look, with the model that comes with the project; no training")
    add("--list", action="store_true", help="list the notebooks: what they show and make, minutes; run nothing")
    add("--dry-run", action="store_true",
        help="say what would run, how long, and what is there or missing; run nothing. The status is 1 if anything is "
        "missing, else 0")  # fmt: skip
    add("--profile", metavar="NAME", help=f"settings: {', '.join(PROFILES)} (default: quick)")
    add("--seed", type=whole, metavar="N", help="seed of every random choice (default: 0)")
    add("--only", action="append", metavar="04",
        help="run only this notebook, by number or name, or those of a range, 4-6; may be repeated")  # fmt: skip
    add("--force", action="store_const", const=True, help="redo everything, training included")
    add("--rerun-ablations", action="store_const", const=True, help="retrain the stored ablations")
    add("--rerun-study", action="store_const", const=True, help="retrain the stored study of notebook 09, three hours")
    add("--retrain", action="store_const", const=True,
        help="with --extras: retrain what notebooks 13, 15 and 16 show, 4 to 10 hours of a core; resumes")  # fmt: skip
    add("--data", metavar="DIR", help="folder of images, for the profiles that need one")
    add("--layout", metavar="NAME",
        help=f"read the files of DIR as {', '.join(LAYOUTS)} (default: the profile's, or recognised)")  # fmt: skip
    add("--on-error", metavar="raise|skip",
        help="what to do with images that cannot be read: end with a list of them, or leave them out with a warning "
        "(default: raise)")  # fmt: skip
    add("--features", metavar="NAME", help=f"for the metrics: {', '.join(FEATURE_NETWORKS)} (default: the profile's)")
    add("--download", action="store_true",
        help="first download the weights that are missing; says size, source and licence")  # fmt: skip
    add("--device", metavar="NAME", help=f"{', '.join(DEVICES)} (default: auto)")
    add("--precision", metavar="NAME",
        help=f"of the training: {', '.join(PRECISIONS)} (default: auto, half precision on GPUs)")  # fmt: skip
    add("--compile", action="store_true",
        help="compile the blocks of the model, on GPUs; if that fails, it says why and trains without")  # fmt: skip
    add("--steps", type=whole, metavar="N", help="train N steps, with the profile's whole schedule in proportion")
    add("--budget", default="", metavar="TIME",
        help="train as long as fits a time such as 2h or 90min: measures, then scales as --steps does")  # fmt: skip
    add("-p", "--parameter", action="append", default=[], metavar="NAME=VALUE", help="set any notebook parameter")
    add("--check-only", action="store_true", help="check the arguments alone, run nothing")
    return parser


def select_notebooks(folder: Path, only: list[str] | None = None, extras: bool = False) -> list[Notebook]:
    """Return the numbered notebooks of a folder in order, or just those asked for.

    Args:
        folder: where the `NN_name.ipynb` files are.
        only: numbers, names or ranges of numbers (`4-6`), commas allowed; when None, all up to `LAST`.
        extras: with `only` None, those after `LAST` too.

    Raises:
        ValueError: for an unknown name (with a suggestion), and for a notebook that cannot be run.
    """
    files = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if not files:
        raise ValueError(f"no notebooks in {folder}: is this a whole checkout?")
    if only is None:
        return [_read_notebook(path) for path in files if extras or path.stem[:2] <= LAST]
    by_name = {path.stem: path for path in files}
    by_number = {path.stem[:2]: path for path in files}
    chosen = set()
    for name in ",".join(only).split(","):
        name = name.strip().removesuffix(".ipynb")
        if ends := re.fullmatch(r"(\d\d?)\s*-\s*(\d\d?)", name):
            chosen |= _range(name, *map(int, ends.groups()), by_number)
            continue
        path = by_name.get(name) or by_number.get(name and name.zfill(2))
        if path is None and os.path.isfile(folder / f"{name}.ipynb"):
            raise ValueError(f"notebook {name!r} is interactive: open it in JupyterLab")
        if path is None and len(name) <= 2:
            likely = re.sub(r"\D", "", name).zfill(2)
            raise ValueError(f"unknown notebook {name!r}{suggestion(likely, list(by_number))}")
        if path is None:
            raise ValueError(f"unknown notebook {name!r:.200}{suggestion(name[:200], list(by_name))}")
        chosen.add(path)
    return [_read_notebook(path) for path in files if path in chosen]


def _range(name: str, first: int, last: int, by_number: dict[str, Path]) -> set[Path]:
    """Return the notebooks with the numbers of a range, both ends included."""
    found = {path for number, path in by_number.items() if first <= int(number) <= last}
    if not found:
        raise ValueError(f"no notebooks in the range {name!r}; there are {min(by_number)} to {max(by_number)}")
    return found


def _read_notebook(path: Path) -> Notebook:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        cells, kernel = content["cells"], content["metadata"].get("kernelspec", {}).get("name", "python3")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name} is not a notebook with a kernel: {error!r}") from error
    if kernel != "python3":
        raise ValueError(f"{path.name} asks for the kernel {kernel!r}: it must be 'python3'")
    tagged = ["".join(cell["source"]) for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"{path.name} has {len(tagged)} cells tagged 'parameters': it must have one")
    defaults = {}
    try:
        for statement in ast.parse(tagged[0]).body:
            (target,) = statement.targets
            defaults[target.id] = ast.literal_eval(statement.value)
    except (SyntaxError, ValueError, AttributeError) as error:
        raise ValueError(f"{path.name}: its parameters cell may hold only lines `name = literal`: {error}") from error
    return Notebook(path, defaults, _about("".join(cells[0]["source"])))


def _about(cell: str) -> dict[str, str]:
    """Return title and rows of the table in a notebook's first cell, as plain text."""
    rows = dict(re.findall(r"^\| (needs|makes) \| (.*) \|$", cell, re.MULTILINE))
    if title := re.match(r"# (?:\d\d · )?(.+)", cell):
        rows["title"] = title[1]
    return {name: re.sub(r"\[(.+?)\]\(.*?\)", r"\1", text).replace("`", "") for name, text in rows.items()}


def collect_parameters(arguments: argparse.Namespace, selected: list[Notebook]) -> dict[str, Any]:
    """Return the notebook parameters that the command line sets, checked, and always `profile` and `seed`.

    Raises:
        ValueError: for a name that no selected notebook declares, a value of another type than its default, or an
            unknown profile, seed, device or folder; with a suggestion if possible.
    """
    options = ["profile", "seed", "force", "rerun_ablations", "rerun_study", "retrain", "data", "layout", "on_error",
               "features", "device", "precision", "steps"]  # fmt: skip
    given = {name: getattr(arguments, name) for name in options if getattr(arguments, name) is not None}
    for entry in arguments.parameter:
        name, equals, text = entry.partition("=")
        if not equals:
            raise ValueError(f"--parameter {entry}: expected NAME=VALUE")
        if name in given:
            raise ValueError(f"{name!r} is given twice")
        given[name] = parse_literal(text)
    for name, value in given.items():
        _check_declared(name, value, selected)
    parameters = {"profile": "quick", "seed": 0} | given
    if "device" in given and given["device"] not in DEVICES:
        raise ValueError(f"unknown device {given['device']!r}; known: {', '.join(DEVICES)}")
    if "precision" in given and given["precision"] not in PRECISIONS:
        raise ValueError(f"unknown precision {given['precision']!r}{suggestion(given['precision'], PRECISIONS)}")
    if "data" in given:
        if not given["data"].strip():
            raise ValueError(f"{EMPTY}, given as data")
        # Full, since the kernels have another working directory; links in a circle lead nowhere, without an error.
        folder = Path(os.path.realpath(os.path.expanduser(given["data"])))
        if not os.path.exists(folder):  # unlike the method, False for a name that no file can have
            raise ValueError(f"no such folder or zip: {given['data']!r:.200}, given as data")
        parameters["data"] = str(folder)
    requested_config(parameters)  # checks profile, seed, features and whether the profile needs data
    return parameters


def requested_config(parameters: dict[str, Any]) -> Config:
    """Return the configuration that the notebooks make of their parameters; ValueError as `load_config`."""
    names = ("profile", "seed", "data", "features", "layout", "on_error", "steps")
    return load_config(**{name: parameters[name] for name in names if name in parameters})


def whole(text: str) -> int:
    """Return a whole number that is written in decimal digits."""
    if not re.fullmatch(r"[+-]?\d{1,20}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r:.80}")
    return int(text)


def parse_literal(text: str) -> Any:
    """Return the value of a Python literal, whose numbers are decimal ones; any other text as it is."""
    if OTHER_NUMBER.search(text) and text.lstrip()[:1] not in ("'", '"'):
        return text
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):  # the last two: nested too deeply
        return text


def _check_declared(name: str, value: Any, selected: list[Notebook]) -> None:
    declaring = [notebook for notebook in selected if name in notebook.defaults]
    if not declaring:
        known = sorted({name for notebook in selected for name in notebook.defaults})
        who = f"{selected[0].name} takes no" if len(selected) == 1 else "no selected notebook takes a"
        raise ValueError(f"{who} parameter {name!r}{suggestion(name, known)}")
    for notebook in declaring:
        default = notebook.defaults[name]
        if default is not None and type(value) is not type(default) and (type(value), type(default)) != (int, float):
            raise ValueError(f"{name}={value!r}: {notebook.name} takes {type(default).__name__}, such as {default!r}")
