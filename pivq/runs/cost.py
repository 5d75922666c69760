"""The cost of a training, measured before it starts."""

import math
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

import torch

from pivq.config import Config
from pivq.precision import COMPILE, Precision
from pivq.processes import pick_device
from pivq.runs.branching import make_trainer
from pivq.runs.planned import STAGES, run_dir
from pivq.runs.ready import check_ready
from pivq.runs.splits import load_split
from pivq.storage.checkpoint import has_checkpoint
from pivq.storage.paths import results_dir
from pivq.storage.source import code_digest
from pivq.storage.writing import read_json, write_json

SESSION = 3  # hours, above which a shorter training is offered


@dataclass(frozen=True)
class Cost:
    """The cost of one run; `str` says it in a sentence."""

    parameters: int  # of the model, without its EMA copy
    discriminator_parameters: int
    seconds_per_step: float  # median of the measured steps, with all losses active: the most expensive phase
    measured_steps: int
    peak_bytes: int | None  # greatest memory so far: of the GPU, or of this whole process; None where unknown
    steps: int  # of the run
    batch_size: int  # images per step
    images: int  # in the training set
    device: str  # that was measured

    @property
    def hours(self) -> float:
        """Return the projected hours of the run, at most: the steps before the adversarial loss cost less."""
        return self.steps * self.seconds_per_step / 3600

    @property
    def images_seen(self) -> int:
        """Return how many images the run trains on, repetitions counted."""
        return self.steps * self.batch_size

    @property
    def epochs(self) -> float:
        """Return how often the run sees each image."""
        return self.images_seen / self.images

    def __str__(self) -> str:
        """Say it."""
        hours = f"{self.hours:,.1f} hours" if self.hours >= 1 else f"{60 * self.hours:.0f} minutes"
        peak = "" if self.peak_bytes is None else f"{self.peak_bytes / 2**30:.1f} GiB at the peak and "
        return (
            f"{self.parameters / 1e6:.1f} M parameters (discriminator: {self.discriminator_parameters / 1e6:.2f} M), "
            f"{peak}{self.seconds_per_step:.3g} s per step on "
            f"{self.device} ({self.measured_steps} steps measured): at most {hours} for {self.steps:,} steps, which "
            f"see {self.images_seen:,} images, {self.epochs:.1f} epochs of {self.images:,}."
            + (f" --budget {SESSION}h trains as long as fits {SESSION} hours." if self.hours > SESSION else "")
        )


def expected_cost(config: Config, quantizer: str = "matching", device: str = "auto") -> Cost | None:
    """Return the cost of a run that is still to begin, None of one that has begun: its bar says what is left.

    The same settings, with any seed, are measured once by the same code on the same device; `costs.json` in the
    profile's folder of results keeps the answers. Errors are those of `measure_cost`.
    """
    if any(has_checkpoint(run_dir(config, run)) for run in (quantizer, *STAGES)):
        return None
    path, known = results_dir(config.profile) / "costs.json", {}
    surroundings = [os.environ.get("WORLD_SIZE", ""), os.environ.get(COMPILE, "")]
    settings = replace(config, seed=0).digest(quantizer)
    key = " ".join(filter(None, [settings, code_digest(), _machine(pick_device(device)), *surroundings]))
    with suppress(OSError, ValueError, KeyError, TypeError):  # not there, damaged or of another version
        known = read_json(path)
        return Cost(**known[key])
    cost = measure_cost(config, quantizer, device)
    with suppress(OSError):
        write_json(path, known | {key: asdict(cost)}, sort_keys=True)
    return cost


def measure_cost(config: Config, quantizer: str = "matching", device: str = "auto", steps: int = 20) -> Cost:
    """Time `steps` steps of the last phase of a run, after one that does not count, on a network that is thrown away.

    A single process stops after a minute. The other arguments are those of `pivq.runs.training.train`.

    Raises:
        FileNotFoundError: data or weights are not in place.
        TypeError, ValueError: no such device.
    """
    pick_device(device)  # refused before anything is read
    check_ready(config, metrics=False)
    load_split(config, "heldout")  # images that cannot be read are said before anything is measured
    images = load_split(config, "train").images
    trainer = make_trainer(config, quantizer, images, device)
    trainer.step = config.train.steps - 1
    seconds: list[float] = []
    limit = 60 if trainer.accelerator.num_processes == 1 else math.inf  # several must all do the same number of steps
    while len(seconds) <= steps and sum(seconds) < limit:
        start = time.perf_counter()
        losses = trainer.train_step(trainer.batch(len(seconds)))
        float(losses["l1"])  # waits for the device
        seconds.append(time.perf_counter() - start)
    measured = sorted(seconds[1:] or seconds)
    on_gpu = trainer.device.type == "cuda"
    return Cost(
        parameters=sum(p.numel() for p in trainer.model.parameters()),
        discriminator_parameters=sum(p.numel() for p in trainer.discriminator.parameters()),
        seconds_per_step=measured[len(measured) // 2],
        measured_steps=len(measured),
        peak_bytes=torch.cuda.max_memory_allocated(trainer.device) if on_gpu else _peak_memory(),
        steps=config.train.steps,
        batch_size=config.train.batch_size,
        images=len(images),
        device=_machine(trainer.device),
    )


def _machine(device: torch.device) -> str:
    """Return what is measured in words: the GPU with the number format, or how many CPU cores."""
    precision = str(Precision(device))
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, {precision}"
    return f"{torch.get_num_threads()} CPU cores" + (f", {precision}" if precision != "fp32" else "")


def _peak_memory() -> int | None:
    """Return the greatest memory of this process so far, in bytes; None on Windows, where it is unknown."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)  # in KiB else
