"""Train several runs: shared steps once, the rest in parallel on the cores of a CPU.

Two small trainings in parallel, with one core each, take less time than one after the other with two cores.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from itertools import takewhile
from pathlib import Path
from threading import Thread
from typing import NamedTuple, TypeVar

from pivq.config import Config
from pivq.data.decoding import cpu_count
from pivq.processes import is_first, pick_device
from pivq.runs.branching import last_stage, train_ahead
from pivq.runs.planned import STAGES, run_dir, title_of
from pivq.runs.run import Run, find_run, read_config, write_config
from pivq.runs.stopping import Stopped, StopRequest, stop_requests
from pivq.runs.training import train
from pivq.runs.watching import Draw, current_watch, watching
from pivq.storage.checkpoint import has_checkpoint, newest_checkpoint
from pivq.storage.locking import locked
from pivq.storage.paths import CHECKOUT

Work = TypeVar("Work")
FEW_STEPS = 50  # so short a training takes less time than the start of a process for it
TICK = 0.5  # seconds between two looks at processes
PATIENCE = 60  # seconds that a process may take to save when the one that started it has ended
ENDED = -signal.SIGTERM, 128 + signal.SIGTERM  # a process that was asked to end: outside of a training, and in one


class Job(NamedTuple):
    """A run to train."""

    config: Config
    quantizer: str


def train_together(
    jobs: Sequence[tuple[Config, str]], device: str = "auto", tracker: str = "", *, draw: Draw | None = None
) -> list[Run]:
    """Train runs, or load those that are finished: first, once, the steps that they share, then each run's own.

    A job is the settings and the quantizer of a run; `device` is "auto", "cpu", "cuda", …; `tracker` is
    "tensorboard", or "" for none. On a CPU the stages are
    trained in parallel, each in a process with its share of the cores, common trunks before what follows. On a GPU,
    where several processes share each batch, and where none has more than `FEW_STEPS` steps, they are trained one after
    the other. Both quantizers share all steps
    up to the first that parts them, if the tokens are learned; with others they part at T_q. The results are those of
    `pivq.runs.training.train` with that many threads. One bar counts all steps; in a notebook, what `draw` returns is
    shown beside it, anew after each validation.

    Raises:
        InUse: another process trains one of these runs, or a stage of it.
        Stopped: Ctrl-C or SIGTERM, also of one of the processes: all have saved the steps that are done, and training
            again resumes there. A second one ends all at once.
        RuntimeError: a process failed; the message has its last words. The others are saved and ended.
        TypeError, ValueError: no such device.
    """
    pick_device(device)  # refused before anything is read
    jobs = [Job(*job) for job in jobs]
    with watching(jobs, draw):
        _train_steps(jobs, device, tracker)
        return [train(*job, device, tracker) for job in jobs]


def _train_steps(jobs: Sequence[Job], device: str, tracker: str) -> None:
    """Train the steps that runs share and, on a CPU, also the rest, each run to its end."""
    missing = [job for job in jobs if not find_run(*job)]
    new = [job for job in missing if not has_checkpoint(run_dir(*job))]
    needed = [run_dir(*job) for job in missing] + [run_dir(config, stage) for config, _ in new for stage in STAGES]
    for folder in dict.fromkeys(filter(Path.exists, needed)):
        if is_first():
            with locked(folder, "trained"):
                pass  # it is free; the process that trains the run or the stage locks it
    alike = _alike(new)
    if pick_device(device).type == "cpu" and os.environ.get("WORLD_SIZE", "1") == "1":
        trunks, shared = _common_trunks(new), [Job(config, "shared") for config in alike]
        parallel, pairs = _common_trunks(jobs), _alike(jobs)
        _run_processes(_unfinished(trunks), parallel, tracker)
        first = [*(Job(config, "shared") for config in pairs), *(job for job in jobs if job.config not in pairs)]
        _run_processes([*_unfinished(shared), *(job for job in missing if job.config not in pairs)], first, tracker)
        parted = [config for config in pairs if config not in alike] + [config for config, _ in _unfinished(shared)]
        last = [job for job in jobs if job.config in pairs]
        _run_processes([job for job in missing if job.config in parted], last, tracker)
    else:
        for config in alike:
            train_ahead("shared", config, device, tracker)


def _alike(jobs: Sequence[Job]) -> list[Config]:
    """Return the settings whose quantizers are both to be trained, and choose the same codes until they part."""
    pairs = [job.config for job in jobs if job.quantizer == "nearest" and (job.config, "matching") in jobs]
    return [config for config in pairs if config.model.tokens == "learned"]


def _common_trunks(jobs: Sequence[Job]) -> list[Job]:
    """Return the trunks that more than one of the runs branch from."""
    trunks = {run_dir(config, "trunk"): Job(config, "trunk") for config, _ in jobs}
    users = Counter(run_dir(config, "trunk") for config, _ in jobs if config.train.quantize_from_step)
    return [trunks[folder] for folder, count in users.items() if count > 1]


def _unfinished(stages: Iterable[Job]) -> list[Job]:
    """Return those of the stages whose last step is not trained yet."""
    folders = {job: run_dir(*job) for job in stages}
    done = {job: newest_checkpoint(path)["step"] for job, path in folders.items() if has_checkpoint(path)}
    return [job for job in folders if done.get(job, 0) < _last_step(job)]


def _last_step(job: Job) -> int:
    return job.config.train.quantize_from_step if job.quantizer == "trunk" else job.config.train.steps


def _run_processes(jobs: Sequence[Job], planned: Sequence[Job], tracker: str = "") -> None:
    """Train each run or stage in a process of its own, as many at once as there are cores; short ones in this one.

    If they do not divide evenly, the first ones come last, with more cores each: of three on two cores, two with one
    core each and then the other with both. So no core is idle while the last one is trained. Turns and cores are those
    of all that are `planned`, also of what is trained already: a training that is resumed has the threads, on which
    its rounding depends, that it has without an interruption.
    """
    odd = len(planned) % max(1, min(cpu_count(), len(planned)))
    watch = current_watch()
    for turn in filter(None, (planned[odd:], planned[:odd])):
        threads = max(1, cpu_count() // len(turn))
        left = [job for job in turn if job in jobs]
        if not left:
            continue
        run = partial(_run_process, tracker, threads)
        try:
            if all(_last_step(job) <= FEW_STEPS for job in turn):
                for job in left:
                    _train(*job, tracker)
            else:
                side_by_side(run, left, tick=watch.look if watch else lambda: None)
        except Stopped as end:
            raise Stopped(_where(left), end.number) from None


def _where(jobs: Sequence[Job]) -> str:
    """Say at which steps trainings are saved."""
    steps = {}
    for job in jobs:  # a run that has not begun itself may be in the steps before it
        folder = next(filter(has_checkpoint, filter(None, [run_dir(*job), last_stage(job.config)])), None)
        steps[job] = newest_checkpoint(folder)["step"] if folder else 0
    if len(jobs) == 1:
        return f"Stopped at step {steps[jobs[0]]:,} and saved."
    places = [f"{title_of(job.config.model.tokens, job.quantizer)}, at step {step:,}" for job, step in steps.items()]
    return f"Stopped and saved: {'; '.join(places)}."


def side_by_side(
    run: Callable[[Work, int, StopRequest], None], works: Sequence[Work], at_once: int = 0,
    tick: Callable[[], object] = lambda: None,
) -> None:  # fmt: skip
    """Call `run(work, threads, stop)` for each work, as many at once as there are cores, or `at_once`.

    `threads` are the cores for one of them. A failure, Ctrl-C or SIGTERM sets `stop`, which is to end them all; a
    second Ctrl-C also sets `stop.at_once`. `tick` is called twice a second meanwhile.

    Raises:
        Stopped: they were asked to stop, and have ended.
    """
    at_once = max(1, min(at_once or cpu_count(), len(works)))
    with ThreadPoolExecutor(at_once) as pool, stop_requests() as stop:

        def start(work: Work) -> None:
            if not stop.is_set():
                run(work, max(1, cpu_count() // at_once), stop)

        futures = [pool.submit(start, work) for work in works]
        try:
            while (state := wait(futures, TICK, FIRST_EXCEPTION)).not_done:
                for future in state.done:
                    future.result()  # raises what failed
                tick()
            for future in futures:
                future.result()
        except BaseException as error:
            stop.set()
            if isinstance(error, KeyboardInterrupt):
                stop.at_once.set()
            raise
    if stop.is_set():
        raise Stopped("Stopped.", stop.number)


def _run_process(tracker: str, threads: int, job: Job, _: int, stop: StopRequest) -> None:
    """Train a run or a stage in a process with as many threads."""
    folder = run_dir(*job)
    arguments = ["pivq.runs.parallel", str(write_config(*job)), *filter(None, [tracker])]
    run_module(arguments, folder / "output.txt", threads, stop, f"the training in {folder}")


def run_module(
    arguments: Sequence[str], output: Path, threads: int, stop: StopRequest, what: str,
    tick: Callable[[], object] = lambda: None,
) -> None:  # fmt: skip
    """Run a module with arguments in a process; when `stop` is set, end it, which lets it save; set it on failure.

    The process also ends when this one does, in any way: its standard input is a pipe that this one holds open, and the
    module calls `end_with_parent` first. Signals of the terminal and of Jupyter reach this process alone, since the
    other is in a group of its own.

    Args:
        arguments: the module's name, then its arguments.
        output: file that gets what the process writes.
        threads: cores that it may use.
        stop: shared by the processes that end together.
        what: names the work in the error.
        tick: called twice a second.

    Raises:
        RuntimeError: the process failed; the message has its last words. To be ended by SIGTERM is no failure:
            then `stop` is set.
    """
    command = [sys.executable, "-P", "-m", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(CHECKOUT)}
    environment["PYTHONIOENCODING"] = "utf-8:backslashreplace"  # of the file that holds its output
    with (
        open(output, "w", encoding="utf-8") as file,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=file, stderr=file, process_group=0
        ) as process,
    ):
        while process.poll() is None and not stop.wait(TICK):
            tick()
        if process.poll() is None:
            process.terminate()
        while process.poll() is None:
            if stop.at_once.is_set():
                process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(TICK)
            tick()
    if process.returncode and not stop.is_set():
        stop.set()
        if process.returncode in ENDED:
            stop.number = signal.SIGTERM
            return
        raise RuntimeError(f"{what} failed: {_last_words(output) or f'status {process.returncode}'} (see {output})")


def _last_words(output: Path) -> str:
    """Return what a process said last, in one line: of a traceback the error, without the places in the code."""
    text = output.read_bytes().decode(errors="replace").strip()
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]  # of a bar, its last state
    ending = takewhile(lambda line: line and not line[0].isspace(), reversed(lines))
    return " ".join(reversed(list(ending)))[-1000:]


def end_with_parent() -> None:
    """End this process as soon as the one that started it (`run_module`) has ended; a training is saved first."""

    def watch() -> None:
        os.read(0, 1)  # returns when the other end of the pipe is closed; a buffered read would lock stdin at the exit
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(PATIENCE)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _train(config: Config, run: str, tracker: str = "") -> None:
    if run in STAGES:
        train_ahead(run, config, "cpu", tracker)
    else:
        train(config, run, "cpu", tracker)


if __name__ == "__main__":
    end_with_parent()
    try:
        _train(*read_config(Path(sys.argv[1])), *sys.argv[2:])
    except Stopped as end:
        print(end)
        sys.exit(128 + end.number)
