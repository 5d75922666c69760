"""What the campaigns of this folder share: trials and their counts, tiny trainings in processes of their own.

A campaign is a function `trials(count, seed)` that yields a `Trial` for each thing that it tried. `report.py` runs all
of them; each also runs by itself, e.g. `python tests/trust/kills.py --many 200`.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

import checkout  # noqa: F401
import numpy as np
import torch
from conftest import make_tiny_config
from moments import Moments
from stand_ins import Perceptual, make_split
from tqdm import tqdm

from pivq.commands.cli import one_line
from pivq.config import Config
from pivq.runs import branching, callbacks, splits
from pivq.runs.callbacks import read_log
from pivq.runs.parallel import train_ahead
from pivq.runs.training import train
from pivq.storage.checkpoint import load_checkpoint
from pivq.storage.writing import read_sealed

AROUND = ("training_seconds", "code", "commit")  # of a summary: what a clock, or who edits the code, decides


class Trial(NamedTuple):
    """One thing that was tried: what, how it ended, and what is wrong with that ("" if nothing)."""

    what: str
    outcome: str
    fault: str = ""


Campaign = Callable[[int, int], Iterator[Trial]]


def tally(trials: Iterable[Trial]) -> dict[str, Any]:
    """Run trials; return how often each outcome came of what was tried, the faults, and the seconds it took."""
    counts: dict[str, Counter[str]] = {}
    faults, start = [], time.monotonic()
    for what, outcome, fault in trials:
        counts.setdefault(what, Counter())["wrong" if fault else outcome] += 1
        if fault:
            faults.append(f"{what}: {fault}")
            print(f"WRONG  {faults[-1]}", file=sys.stderr, flush=True)
    return {"counts": counts, "faults": faults, "seconds": round(time.monotonic() - start)}


def command_line(trials: Campaign, many: int, about: str) -> int:
    """Run a campaign as a script; print its counts; return 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=about.splitlines()[0])
    parser.add_argument("--many", type=int, default=many, help=f"how often each thing is tried; default {many}")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    found = tally(trials(arguments.many, arguments.seed))
    for what, outcomes in found["counts"].items():
        print(f"{what}: " + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    print(f"{sum(sum(c.values()) for c in found['counts'].values())} trials, {len(found['faults'])} wrong")
    return int(bool(found["faults"]))


def is_plain(error: str, kind: str) -> bool:
    """Tell whether an error is one of those that the command `pivq` shows without their type, in one line."""
    return bool(error) and "\n" not in error and not error.startswith(f"{kind}:")


# --- Trainings in processes -------------------------------------------------------------------------------------------


class Slow(Perceptual):
    """Takes its time in each step."""

    def __init__(self, pause: float):
        super().__init__()
        self.pause = pause

    def forward(self, images, targets):
        time.sleep(self.pause)
        return super().forward(images, targets)


def tiny() -> Config:
    """Return the settings of all trainings here: eight steps, a checkpoint after every second one."""
    return make_tiny_config(evaluation__checkpoint_every=2)


def _quiet() -> None:
    """Make this process compute with one thread and show nothing; no semaphore stays if it is killed."""
    torch.set_num_threads(1)
    tqdm.set_lock(RLock())
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nowhere, stream)


def _train_all(root: Path, said: Path, at: int, act: str, pause: float) -> None:
    """Train every stage in a root: a run of its own from T_q on, and one that shares steps; note the end in `said`.

    At the moment `at` (`moments.Moments`), `act` happens.
    """
    _quiet()
    os.environ["PIVQ_ROOT"] = str(root)
    network = Slow(pause)
    callbacks.LOG_EVERY = 2
    splits.load_split = make_split
    branching.load_perceptual = lambda name: network
    moments = Moments(root, at, act)
    try:
        train(tiny(), "matching", "cpu")
        train_ahead("shared", tiny(), "cpu")
        train(tiny(), "nearest", "cpu")
        error, kind = "", ""
    except Exception as caught:
        error, kind = one_line(caught), type(caught).__name__
    moments.stop()
    said.write_text(json.dumps({"error": error, "kind": kind, "moments": moments.count}))


@cache
def _server() -> BaseContext:
    """Start the server that forks the trainings: it imports everything once, and has none of this process's threads."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(map(str, sys.path))
    try:
        multiprocessing.set_forkserver_preload(["trials"])
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
    return multiprocessing.get_context("forkserver")


def start(root: Path, at: int = 0, act: str = "", pause: float = 0.0) -> BaseProcess:
    """Start a training in a process; `finish` waits for it."""
    root.mkdir(parents=True, exist_ok=True)
    said = Path(tempfile.gettempdir()) / f"pivq-trial-{os.getpid()}-{time.monotonic_ns()}.json"
    process = _server().Process(target=_train_all, args=(root, said, at, act, pause))
    process.said = said
    process.start()
    return process


def finish(process: BaseProcess) -> dict[str, Any]:
    """Wait for a training; return its `exit` code, and unless it was killed the `error` in one line and its `kind`."""
    process.join(300)
    if process.exitcode is None:
        process.kill()
        return {"exit": "none after five minutes", "error": "", "kind": ""}
    ended = {"exit": process.exitcode, "error": "", "kind": "", "moments": 0}
    if process.said.exists():
        ended |= json.loads(process.said.read_text())
        process.said.unlink()
    return ended


def ask(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a process of its own; return its plain answer, or None if there is none in five minutes."""
    answers, sender = _server().Pipe(duplex=False)
    process = _server().Process(target=_answer, args=(sender, function, arguments))
    process.start()
    sender.close()
    try:
        return answers.recv() if answers.poll(300) else None
    except EOFError:
        return None
    finally:
        process.kill()
        process.join()


def _answer(sender: Connection, function: Callable[..., Any], arguments: tuple) -> None:
    _quiet()
    sender.send(function(*arguments))


# --- What is left on disk ---------------------------------------------------------------------------------------------


def contents(root: Path) -> dict[str, str]:
    """Return the digests of what trainings left below a root by file, without what is decided by a clock, by who
    edits the code meanwhile, or by an interruption.

    The previous checkpoint is left out: after an interruption it may be of another step.
    """
    found = {}
    for path in sorted(path for path in (root / "results").rglob("*") if path.is_file()):
        name = str(path.relative_to(root))
        if path.name == "checkpoint.pt":
            found[name] = digest(load_checkpoint(path))
        elif path.name == "codes.npz":
            with np.load(path) as file:
                found[name] = digest(dict(file))
        elif path.name == "log.jsonl":
            found[name] = digest([{k: v for k, v in row.items() if k != "seconds"} for row in read_log(path)])
        elif path.name == "summary.json":
            found[name] = digest({k: v for k, v in read_sealed(path).items() if k not in AROUND})
        elif path.name != "checkpoint.previous.pt":
            found[name] = digest(path.read_bytes())
    return found


def digest(value: Any) -> str:
    """Return a digest of nested plain values, tensors and arrays, which changes with every bit of them."""
    found = hashlib.sha256()

    def take(value: Any) -> None:
        if isinstance(value, dict):
            found.update(f"{{{len(value)}".encode())
            for key, part in value.items():
                take(key)
                take(part)
        elif isinstance(value, list | tuple):
            found.update(f"[{len(value)}".encode())
            for part in value:
                take(part)
        elif isinstance(value, torch.Tensor | np.ndarray):
            array = np.ascontiguousarray(value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value)
            found.update(f"{array.dtype} {array.shape} ".encode() + array.tobytes())
        else:
            found.update(value if isinstance(value, bytes) else repr(value).encode())

    take(value)
    return found.hexdigest()[:16]


def differences(one: dict[str, str], other: dict[str, str]) -> str:
    """Return which files differ, or "" for none."""
    return ", ".join(sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)))
