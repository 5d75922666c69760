"""Train several runs: shared steps once, the rest in parallel on the cores of a CPU.

Two small trainings in parallel, with one core each, take less time than one after the other with two cores.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event, Thread
from typing import NamedTuple

from tqdm import tqdm

from pivq.config import Config
from pivq.data.decoding import cpu_count
from pivq.processes import pick_device
from pivq.runs.branching import train_ahead
from pivq.runs.callbacks import read_log
from pivq.runs.run import Run, find_run, read_config, run_dir, write_config
from pivq.runs.training import train
from pivq.storage.checkpoint import has_checkpoint
from pivq.storage.locking import locked
from pivq.storage.paths import CHECKOUT


class Job(NamedTuple):
    """A run to train."""

    config: Config
    quantizer: str


def train_together(jobs: Sequence[tuple[Config, str]], device: str = "auto") -> list[Run]:
    """Train runs, or load those that are finished: first, once, the steps that they share, then each run's own.

    A job is the settings and the quantizer of a run; `device` is "auto", "cpu", "cuda", … On a CPU the runs' own steps
    are trained in parallel, each run in a process with its share of the cores. On a GPU, or where several processes
    share each batch, the runs are trained one after the other. The results are those of `pivq.runs.training.train` with
    that many threads.

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
    complete = [config for config in pairs if train_ahead("shared", config, device) == config.train.steps]
    if pick_device(device).type == "cpu" and os.environ.get("WORLD_SIZE", "1") == "1":
        for job in new:
            if job.config not in pairs and job.config.train.quantize_from_step:
                train_ahead("trunk", job.config, device)
        _run_processes([job for job in missing if job.config not in complete])
    return [train(*job, device) for job in jobs]


def _run_processes(jobs: Sequence[Job]) -> None:
    """Train each run in a process of its own, as many at once as there are cores."""
    at_once, stop = max(1, min(cpu_count(), len(jobs))), Event()
    with ThreadPoolExecutor(at_once) as pool:
        try:
            list(pool.map(lambda job: _run_process(job, cpu_count() // at_once, stop), jobs))
        finally:
            stop.set()


def _run_process(job: Job, threads: int, stop: Event) -> None:
    """Train a run in a process and draw its progress from its log; end it when `stop` is set, and set it on failure.

    The process also ends when this one does, in any way: its standard input is a pipe that this one holds open.
    """
    folder, output = run_dir(*job), run_dir(*job) / "output.txt"
    command = [sys.executable, "-P", "-m", "pivq.runs.parallel", str(write_config(*job))]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(CHECKOUT)}
    environment["PYTHONIOENCODING"] = "utf-8:backslashreplace"  # of the file that holds its output

    def steps() -> int:
        return max((row["step"] for row in read_log(folder / "log.jsonl")), default=0)

    extent = {"total": job.config.train.steps, "initial": steps() or job.config.train.quantize_from_step}
    with (
        tqdm(desc=job.quantizer, unit="step", mininterval=1, dynamic_ncols=True, **extent) as bar,
        open(output, "w", encoding="utf-8") as file,
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=file, stderr=file) as process,
    ):
        while process.poll() is None:
            if stop.wait(0.5):
                process.terminate()
            bar.update(max(steps() - bar.n, 0))
    if process.returncode and not stop.is_set():
        stop.set()
        said = output.read_text(encoding="utf-8", errors="replace").strip()[-2000:]
        raise RuntimeError(f"the training in {folder} failed:\n{said}")


def _end_with_parent() -> None:
    """End this process as soon as the one that started it has ended."""
    os.read(0, 1)  # returns when the other end of the pipe is closed; a buffered read would lock stdin at the exit
    os._exit(1)


if __name__ == "__main__":
    Thread(target=_end_with_parent, daemon=True).start()
    train(*read_config(Path(sys.argv[1])), "cpu")
