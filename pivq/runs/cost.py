"""What a training will cost, measured before it starts."""

import math
import resource
import sys
import time
from dataclasses import dataclass

import torch

from pivq.config import Config
from pivq.runs.ready import check_ready
from pivq.runs.splits import load_split
from pivq.runs.training import make_trainer


@dataclass(frozen=True)
class Cost:
    """The price of one run; `str` says it in a sentence.

    Attributes:
        parameters: of the model; the discriminator's and the EMA's copies are not counted.
        discriminator_parameters: of the discriminator.
        seconds_per_step: median of the measured steps, all losses active: the dearest phase.
        measured_steps: how many these were.
        peak_bytes: greatest memory so far: of the GPU, or of this whole process.
        steps: of the run.
        batch_size: images a step.
        images: in the training set.
        device: where it was measured.
    """

    parameters: int
    discriminator_parameters: int
    seconds_per_step: float
    measured_steps: int
    peak_bytes: int
    steps: int
    batch_size: int
    images: int
    device: str

    @property
    def hours(self) -> float:
        """Return the projected hours of the whole run, at most: steps before the adversarial loss are cheaper."""
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
        return (
            f"{self.parameters / 1e6:.1f} M parameters (discriminator: {self.discriminator_parameters / 1e6:.2f} M), "
            f"{self.peak_bytes / 2**30:.1f} GiB at the peak and {self.seconds_per_step:.3g} s a step on {self.device} "
            f"({self.measured_steps} steps measured): at most {hours} for {self.steps:,} steps, which see "
            f"{self.images_seen:,} images, {self.epochs:.1f} epochs of {self.images:,}."
        )


def measure_cost(config: Config, quantizer: str = "matching", device: str = "auto", steps: int = 20) -> Cost:
    """Do a few steps of the last phase of a run with a network that is thrown away, and time them.

    Args:
        config: the settings.
        quantizer: "matching" or "nearest".
        device: "auto", "cpu", "cuda", …
        steps: steps that are timed, after one that is not; in a single process fewer if these take over a minute.

    Raises:
        FileNotFoundError: data or weights are not in place.
    """
    check_ready(config, metrics=False)
    images = load_split(config, "train").images
    trainer = make_trainer(config, quantizer, images, device)
    trainer.step = config.train.steps - 1
    seconds: list[float] = []
    patience = 60 if trainer.accelerator.num_processes == 1 else math.inf  # processes must not part on their clocks
    while len(seconds) <= steps and sum(seconds) < patience:
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
        device=torch.cuda.get_device_name(trainer.device) if on_gpu else f"{torch.get_num_threads()} CPU cores",
    )


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak  # bytes there, KiB elsewhere
