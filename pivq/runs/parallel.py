"""Several trainings: what they share is trained once, the rest at once on the cores of a CPU.

One small training cannot keep two cores busy: at these sizes, two trainings with one core each do more than one after
the other with two cores.
"""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from pivq.config import Config
from pivq.processes import pick_device
from pivq.runs.callbacks import read_log
from pivq.runs.run import Run, find_run, read_config, run_dir, write_config
from pivq.runs.training import train, train_shared, train_trunk
from pivq.storage.paths import CHECKOUT


def train_together(jobs: Sequence[tuple[Config, str]], device: str = "auto") -> list[Run]:
    """Train runs, or load those that are finished: first, once, the steps that they share, then each run's own.

    Both quantizers with the same settings share `pivq.runs.training.train_shared`, other runs the steps before T_q. The
    rest is trained on a CPU side by side, each run in a process with its share of the cores, and on a GPU, or where
    several processes share each batch, one run after the other. The results are those of `pivq.runs.training.train`
    with that many threads.

    Args:
        jobs: pairs of settings and quantizer.
        device: "auto", "cpu", "cuda", …

    Raises:
        RuntimeError: a process failed; its last words are in the message. Ctrl-C, or a failure, ends all processes;
            each run goes on from its last checkpoint when it is asked for again.
    """
    missing = [(config, quantizer) for config, quantizer in jobs if not find_run(config, quantizer)]
    new = [job for job in missing if not (run_dir(job[0], job[1]) / "checkpoint.pt").exists()]
    alike = [config for config, quantizer in new if quantizer == "nearest" and (config, "matching") in new]
    ready = [config for config in alike if train_shared(config, device) == config.train.steps]
    if pick_device(device).type == "cpu" and os.environ.get("WORLD_SIZE", "1") == "1":
        for config, _ in new:
            if config not in alike:
                train_trunk(config, device)
        _run_processes([job for job in missing if job[0] not in ready])
    return [train(config, quantizer, device) for config, quantizer in jobs]


def _run_processes(jobs: Sequence[tuple[Config, str]]) -> None:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    at_once = max(1, min(cores, len(jobs)))
    threads = str(cores // at_once)
    environment = os.environ | {"OMP_NUM_THREADS": threads, "PYTHONPATH": str(CHECKOUT)}
    waiting, running = list(jobs), []
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                running.append(_Process(*waiting.pop(0), environment))
            time.sleep(0.5)
            running = [process for process in running if not process.finished()]
    finally:
        for process in running:
            process.stop()


class _Process:
    """A training in a process of its own, with a progress bar drawn from its log."""

    def __init__(self, config: Config, quantizer: str, environment: dict[str, str]):
        self.folder = run_dir(config, quantizer)
        path = write_config(config, quantizer)
        self.output = open(self.folder / "output.txt", "w+")  # noqa: SIM115 - closed in `stop`
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pivq.runs.parallel", str(path)],
            env=environment, stdin=subprocess.DEVNULL, stdout=self.output, stderr=self.output,
        )  # fmt: skip
        bar = {"desc": quantizer, "unit": "step", "mininterval": 1, "dynamic_ncols": True}
        self.bar = tqdm(total=config.train.steps, initial=self._step() or config.train.quantize_from_step, **bar)

    def finished(self) -> bool:
        """Move the bar; return whether the training has ended well, and raise if it has ended badly."""
        ended = self.process.poll() is not None
        self.bar.update(max(self._step() - self.bar.n, 0))
        if not ended:
            return False
        self.output.seek(0)
        last_words = self.output.read().strip()[-2000:]
        self.stop()
        if self.process.returncode:
            raise RuntimeError(f"the training in {self.folder} failed:\n{last_words}")
        return True

    def _step(self) -> int:
        return max((row["step"] for row in read_log(self.folder / "log.jsonl")), default=0)

    def stop(self) -> None:
        """End the process if it still runs, and close its bar and its output."""
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait()
        self.bar.close()
        self.output.close()


if __name__ == "__main__":
    train(*read_config(Path(sys.argv[1])), "cpu")
