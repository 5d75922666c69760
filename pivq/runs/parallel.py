"""Train several runs: shared steps once, the rest in parallel on the cores of a CPU.

Two small trainings in parallel, with one core each, take less time than one after the other with two cores.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple, TypeVar

from tqdm import tqdm

from pivq.config import Config
from pivq.data.decoding import cpu_count
from pivq.processes import pick_device
from pivq.runs.branching import train_ahead
from pivq.runs.callbacks import read_log
from pivq.runs.planned import STAGES, run_dir
from pivq.runs.run import Run, find_run, read_config, write_config
from pivq.runs.training import train
from pivq.storage.checkpoint import has_checkpoint, newest_checkpoint
from pivq.storage.locking import locked
from pivq.storage.paths import CHECKOUT

Work = TypeVar("Work")


class Job(NamedTuple):
    """A run to train."""

    config: Config
    quantizer: str


def train_together(jobs: Sequence[tuple[Config, str]], device: str = "auto", tracker: str = "") -> list[Run]:
    """Train runs, or load those that are finished: first, once, the steps that they share, then each run's own.

    A job is the settings and the quantizer of a run; `device` is "auto", "cpu", "cuda", …; `tracker` is
    "tensorboard", or "" for none. On a CPU the stages are
    trained in parallel, each in a process with its share of the cores, common trunks before what follows. On a GPU, or
    where several processes share each batch, they are trained one after the other. Both quantizers share all steps
    up to the first that parts them, if the tokens are learned; with others they part at T_q. The results are those of
    `pivq.runs.training.train` with that many threads.

    Raises:
        InUse: another process trains one of these runs, or a stage of it.
        RuntimeError: a process failed; the message has the end of its output. A failure, or Ctrl-C, ends all processes;
            each run resumes from its last checkpoint when it is trained again.
    """
    jobs = [Job(*job) for job in jobs]
    missing = [job for job in jobs if not find_run(*job)]
    for folder in [run_dir(*job) for job in missing if run_dir(*job).exists()]:
        if os.environ.get("RANK", "0") == "0":
            with locked(folder, "trained"):
                pass  # it is free; the process that trains the run locks it
    new = [job for job in missing if not has_checkpoint(run_dir(*job))]
    pairs = [job.config for job in new if job.quantizer == "nearest" and (job.config, "matching") in new]
    alike = [config for config in pairs if config.model.tokens == "learned"]
    if pick_device(device).type == "cpu" and os.environ.get("WORLD_SIZE", "1") == "1":
        trunks = {run_dir(config, "trunk"): Job(config, "trunk") for config, _ in new}
        users = Counter(run_dir(config, "trunk") for config, _ in new if config.train.quantize_from_step)
        shared = [Job(config, "shared") for config in alike]
        _run_processes(_unfinished(trunks[folder] for folder, count in users.items() if count > 1), tracker)
        _run_processes([*_unfinished(shared), *(job for job in missing if job.config not in alike)], tracker)
        parted = [config for config, _ in _unfinished(shared)]
        _run_processes([job for job in missing if job.config in parted], tracker)
    else:
        for config in alike:
            train_ahead("shared", config, device, tracker)
    return [train(*job, device, tracker) for job in jobs]


def _unfinished(stages: Iterable[Job]) -> list[Job]:
    """Return those of the stages whose last step is not trained yet."""
    folders = {job: run_dir(*job) for job in stages}
    done = {job: newest_checkpoint(path)["step"] for job, path in folders.items() if has_checkpoint(path)}
    return [job for job in folders if done.get(job, 0) < _last_step(job)]


def _last_step(job: Job) -> int:
    return job.config.train.quantize_from_step if job.quantizer == "trunk" else job.config.train.steps


def _run_processes(jobs: Sequence[Job], tracker: str = "") -> None:
    """Train each run or stage in a process of its own, as many at once as there are cores.

    If they do not divide evenly, the first ones come last, with more cores each: of three on two cores, two with one
    core each and then the other with both. So no core is idle while the last one is trained.
    """
    odd = len(jobs) % max(1, min(cpu_count(), len(jobs)))
    for turn in filter(None, (jobs[odd:], jobs[:odd])):
        side_by_side(partial(_run_process, tracker), turn)


def side_by_side(run: Callable[[Work, int, Event], None], works: Sequence[Work], at_once: int = 0) -> None:
    """Call `run(work, threads, stop)` for each work, as many at once as there are cores, or `at_once`.

    `threads` are the cores for one of them. A failure, or Ctrl-C, sets `stop`, which is to end them all.
    """
    at_once, stop = max(1, min(at_once or cpu_count(), len(works))), Event()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            list(pool.map(lambda work: run(work, max(1, cpu_count() // at_once), stop), works))
        finally:
            stop.set()


def _run_process(tracker: str, job: Job, threads: int, stop: Event) -> None:
    """Train a run or a stage in a process and draw its progress from its log."""
    folder = run_dir(*job)

    def steps() -> int:
        return max((row["step"] for row in read_log(folder / "log.jsonl")), default=0)

    before = 0 if job.quantizer == "trunk" else job.config.train.quantize_from_step
    extent = {"total": _last_step(job), "initial": steps() or before}
    title = f"{job.config.model.tokens} tokens, {STAGES.get(job.quantizer, job.quantizer)}"
    arguments = ["pivq.runs.parallel", str(write_config(*job)), *filter(None, [tracker])]
    with tqdm(desc=title, unit="step", mininterval=1, dynamic_ncols=True, **extent) as bar:
        run_module(
            arguments, folder / "output.txt", threads, stop, f"the training in {folder}",
            lambda: bar.update(max(steps() - bar.n, 0)),
        )  # fmt: skip


def run_module(
    arguments: Sequence[str], output: Path, threads: int, stop: Event, what: str,
    tick: Callable[[], object] = lambda: None,
) -> None:  # fmt: skip
    """Run a module with arguments in a process; end it when `stop` is set, and set it on failure.

    The process also ends when this one does, in any way: its standard input is a pipe that this one holds open, and the
    module calls `end_with_parent` first.

    Args:
        arguments: the module's name, then its arguments.
        output: file that gets what the process writes.
        threads: cores that it may use.
        stop: shared by the processes that end together.
        what: names the work in the error.
        tick: called twice a second.

    Raises:
        RuntimeError: the process failed; the message has the end of its output.
    """
    command = [sys.executable, "-P", "-m", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(CHECKOUT)}
    environment["PYTHONIOENCODING"] = "utf-8:backslashreplace"  # of the file that holds its output
    with (
        open(output, "w", encoding="utf-8") as file,
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=file, stderr=file) as process,
    ):
        while process.poll() is None:
            if stop.wait(0.5):
                process.terminate()
            tick()
    if process.returncode and not stop.is_set():
        stop.set()
        said = output.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
        raise RuntimeError(f"{what} failed:\n{said}")


def end_with_parent() -> None:
    """End this process as soon as the one that started it (`run_module`) has ended."""

    def wait() -> None:
        os.read(0, 1)  # returns when the other end of the pipe is closed; a buffered read would lock stdin at the exit
        os._exit(1)

    Thread(target=wait, daemon=True).start()


def _train(config: Config, run: str, tracker: str = "") -> None:
    if run in STAGES:
        train_ahead(run, config, "cpu", tracker)
    else:
        train(config, run, "cpu", tracker)


if __name__ == "__main__":
    end_with_parent()
    _train(*read_config(Path(sys.argv[1])), *sys.argv[2:])
