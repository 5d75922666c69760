"""All that the project claims of a GPU, measured in at most eight minutes, with nothing but the lock's packages.

    python benchmarks/gpu.py                           # on a GPU: measure, print the tables, keep the numbers
    python benchmarks/gpu.py --write                   # also put the tables into docs/performance.md
    python benchmarks/gpu.py --device cpu --quick      # tiny sizes: only to check that this script works

| part | seconds at most | measures |
|---|---:|---|
| `steps` | 220 | a complete step in each precision, compiled or not: seconds, memory, matching's share |
| `parity` | 40 | the losses of 50 steps against those on the CPU |
| `metrics` | 80 | PRDC and the Fréchet distance of 50,000 samples |
| `training` | 140 | two minutes of real training, on drawn faces |

What would overrun its part is left out, and the table says so. The numbers are written as they come to a JSON file, by
the card's name. Images of the steps are noise and VGG16's weights random: neither changes the cost.
"""

import argparse
import gc
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from hours import DOCS, KEPT
from hours import PROFILES as PAPER_PROFILES
from metrics import features
from one_step import random_perceptual
from timing import median, once, peak_memory
from torch import nn

from pivq import quantizers
from pivq.config import Config, load_config
from pivq.metrics import frechet_distance, prdc
from pivq.metrics.frechet import RankDeficientWarning
from pivq.precision import Precision, compile_blocks, suiting, use_precision
from pivq.pretrained.perceptual import load_perceptual
from pivq.runs.training import train
from pivq.trainer import Trainer

DOCUMENT = DOCS / "performance.md"
BEGIN, END = "<!-- gpu -->", "<!-- /gpu -->"
SECONDS = {"steps": 220, "parity": 40, "metrics": 80, "training": 140}
PROFILES = [name for name in PAPER_PROFILES if name != "celebahq256"]  # which has the size of ffhq256
SHARE = 0.10  # of a step, that matching may take
WAYS = [(precision, False) for precision in ("fp16", "bf16", "fp32")] + [("auto", True)]  # and whether compiled
TINY = {"model__image_size": 32, "model__width": 32, "model__num_codes": 16, "model__codebook_size": 64,
        "model__transformer_layers": 1, "model__residual_blocks": 1, "train__batch_size": 2}  # fmt: skip
NOT_YET = "not measured on any card yet: `python benchmarks/gpu.py --write`"
Numbers = dict[str, Any]


class Clock:
    """The time of a part: whether there is some left for one more measurement, like the longest one so far."""

    def __init__(self, seconds: float):
        self.end, self.longest = time.monotonic() + seconds, 0.0

    @property
    def left(self) -> float:
        """Return the seconds that are left."""
        return self.end - time.monotonic()

    def measure(self, job: Callable[[], Numbers], expected: float = 0.0) -> Numbers:
        """Return what a job measures, or why it did not: `expected` are its seconds, as far as they are known."""
        if self.left < max(self.longest, expected):
            return {"missing": "no time left"}
        start = time.monotonic()
        try:
            return job()
        except torch.OutOfMemoryError:
            return {"missing": "out of memory"}
        finally:
            self.longest = max(self.longest, time.monotonic() - start)
            gc.collect()
            torch.cuda.empty_cache()


def precisions(device: torch.device) -> dict[str, str]:
    """Return the precisions of a device, "auto" too, and which one each is."""
    if device.type == "cpu":
        return {"fp32": "fp32", "auto": "fp32"}  # bfloat16 may take seconds per step
    best = suiting(torch.cuda.get_device_capability(device))
    offered = {"fp32": ("fp32",), "fp16": ("fp32", "fp16"), "bf16": ("fp32", "bf16", "fp16")}[best]
    return {name: name for name in offered} | {"auto": best}


@contextmanager
def matching_timed(device: torch.device) -> Iterator[list[float]]:
    """Yield the seconds of each call of the matching while the block lasts; the device is waited for around it."""
    seconds, match = [], quantizers.match

    def timed(distances: torch.Tensor) -> torch.Tensor:
        wait(device)
        found = []
        seconds.append(once(lambda: (found.append(match(distances)), wait(device))))
        return found[0]

    quantizers.match = timed
    try:
        yield seconds
    finally:
        quantizers.match = match


def wait(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def make_trainer(config: Config, perceptual: nn.Module, device: torch.device) -> Trainer:
    """Return a trainer on noise in the last phase of a run, where every loss is active."""
    size = config.model.image_size
    images = torch.randint(0, 256, (4 * config.train.batch_size, 3, size, size)).to(torch.uint8)
    trainer = Trainer(config, "matching", images, perceptual.to(device), device)
    trainer.step = config.train.steps - 1
    return trainer


def measure_step(config: Config, compiled: bool, perceptual: nn.Module, device: torch.device, turns: int) -> Numbers:
    """Return seconds, images per second, peak memory and matching's share of a step; see `make_trainer`."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    trainer, numbers = make_trainer(config, perceptual, device), itertools.count()
    begin = time.monotonic()
    if compiled:
        with trainer.precision.autocast():
            if not compile_blocks(trainer.model, trainer.batch(0)):
                return {"missing": "cannot be compiled"}
    seconds_to_compile = time.monotonic() - begin if compiled else None

    def step() -> None:
        trainer.train_step(trainer.batch(next(numbers)))
        wait(device)

    seconds = median(step, turns, warm_up=2)
    with matching_timed(device) as matched:
        whole = [once(step) for _ in range(turns)]
    peak = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_memory()
    return {
        "precision": trainer.precision.name,
        "seconds": seconds,
        "images_per_second": config.train.batch_size / seconds,
        "peak_gb": peak / 1e9,
        "matching_share": statistics.median(matched) / statistics.median(whole),
        "seconds_to_compile": seconds_to_compile,
        "skipped": trainer.skipped,
        "overflows": trainer.overflows,
    }


def measure_steps(device: torch.device, quick: bool, clock: Clock) -> Iterator[tuple[str, Numbers]]:
    """Yield the name of each row and what was measured: profiles by `WAYS`."""
    offered = precisions(device)
    with tempfile.TemporaryDirectory() as folder:
        small = load_perceptual("efficientnet_lite0") if quick else None
        perceptual = small or random_perceptual(load_config(PROFILES[0]), folder)
        for (name, compiled), profile in itertools.product(WAYS, PROFILES):
            row = f"{profile} {name}{' compiled' if compiled else ''}"
            if name not in offered:
                yield row, {"missing": "not on this device"}
            elif compiled and device.type == "cpu":
                yield row, {"missing": "for GPUs only"}
            else:
                use_precision(offered[name])
                config, turns = load_config(profile, **TINY if quick else {}), 1 if quick else 5
                job = partial(measure_step, config, compiled, perceptual, device, turns)
                yield row, clock.measure(job)
    use_precision("auto")


def losses_of(config: Config, name: str, device: torch.device, steps: int) -> list[Numbers]:
    """Return the losses of the last steps of a run in a precision; images, batches and first weights are fixed."""
    use_precision(name)
    trainer = Trainer(config, "matching", noise_of(config), load_perceptual("efficientnet_lite0").to(device), device)
    found = []
    for step in range(steps):
        trainer.step = config.train.steps - steps + step
        losses = trainer.train_step(trainer.batch(trainer.step))
        found.append({key: float(value) for key, value in losses.items()})
    return found


def differences(config: Config, name: str, device: torch.device, expected: list[Numbers]) -> Numbers:
    """Return the largest relative difference of L1 in a precision from what is expected."""
    found = losses_of(config, name, device, len(expected))
    pairs = [(ours["l1"], theirs["l1"]) for ours, theirs in zip(found, expected, strict=True)]
    return {"steps": len(expected), "l1": max(abs(ours / theirs - 1) for ours, theirs in pairs)}


def noise_of(config: Config) -> torch.Tensor:
    """Return training images that are the same for every device."""
    size = config.model.image_size
    return torch.randint(0, 256, (64, 3, size, size), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def measure_parity(device: torch.device, quick: bool, clock: Clock) -> Iterator[tuple[str, Numbers]]:
    """Yield the largest relative difference of L1 over 50 steps from float32 on the CPU, by precision."""
    steps, config = 5 if quick else 50, load_config("quick")
    config = replace(config, train=replace(config.train, decay_from=1.0))  # else its last steps change nothing
    expected: list[Numbers] = []
    reference = clock.measure(lambda: expected.extend(losses_of(config, "fp32", torch.device("cpu"), steps)) or {})
    for name in ("fp32", "bf16", "fp16"):
        if name not in precisions(device) or not expected:
            yield f"{name}", reference if not expected else {"missing": "not on this device"}
            continue

        yield name, clock.measure(partial(differences, config, name, device, expected))
    use_precision("auto")


def measure_metrics(device: torch.device, quick: bool, clock: Clock) -> Iterator[tuple[str, Numbers]]:
    """Yield the seconds of PRDC on the device, and of the Fréchet distance, which is computed on the CPU."""
    small, large = (200, 400) if quick else (10_000, 50_000)
    jobs = {
        "PRDC": (lambda real, fake: prdc(real=real, fake=fake, k=5, device=device), 2),
        "Fréchet distance": (lambda real, fake: frechet_distance(real=real, fake=fake), 1),
    }
    for name, (job, exponent) in jobs.items():
        found = clock.measure(partial(measure_metric, job, small))
        yield f"{name}, {small:,}", found
        expected = found.get("seconds", 0) * (large / small) ** exponent
        yield f"{name}, {large:,}", clock.measure(partial(measure_metric, job, large), expected)


def measure_metric(job: Callable, count: int) -> Numbers:
    """Return the seconds of a metric of two sets of this size."""
    real, fake = features(count, 1), features(count, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RankDeficientWarning)  # of the quick sizes
        return {"seconds": once(lambda: job(real, fake)), "samples": count}


def measure_training(device: torch.device, quick: bool, clock: Clock) -> Iterator[tuple[str, Numbers]]:
    """Yield the result of a real training that fits the time: the profile `quick` on drawn faces, scaled to it."""
    profile, seconds = ("smoke", 1.0) if quick else ("quick", 120.0)

    def job() -> Numbers:
        config = load_config(profile)
        perceptual = load_perceptual(config.train.perceptual_network)
        trainer, numbers = make_trainer(config, perceptual, device), itertools.count()
        each = median(lambda: (trainer.train_step(trainer.batch(next(numbers))), wait(device)), 10, warm_up=3)
        steps = config.train.steps if quick else min(config.train.steps, max(400, int(seconds / each)))
        with tempfile.TemporaryDirectory() as folder:
            os.environ["PIVQ_ROOT"] = folder
            summary = train(load_config(profile, steps=steps), "matching", device.type).summary
        names = {"heldout_l1": "l1", "heldout_psnr": "psnr", "codes_in_use": "codes_in_use"}
        return {"steps": steps, "precision": trainer.precision.name} | {new: summary[old] for old, new in names.items()}

    yield profile, clock.measure(job)


PARTS = {"steps": measure_steps, "parity": measure_parity, "metrics": measure_metrics, "training": measure_training}


# --- Tables -----------------------------------------------------------------------------------------------------------


def tables(cards: dict[str, Numbers]) -> str:
    """Return all tables in Markdown: a row per measurement and card; a part that no card has filled says so."""
    texts = []
    for title, part, heads, cells in TABLES:
        lines = [f"| card | {' | '.join(heads)} |", f"|---|---|{'---:|' * (len(heads) - 1)}"]
        rows = [(card, row, numbers) for card, found in cards.items() for row, numbers in found.get(part, {}).items()]
        for card, row, numbers in rows or [("–", NOT_YET, {"missing": "–"})]:
            values = [numbers["missing"], *["–"] * (len(heads) - 2)] if "missing" in numbers else cells(numbers)
            lines.append(f"| {card} | {row} | {' | '.join(values)} |")
        texts.append(f"**{title}**\n\n" + "\n".join(lines))
    return "\n\n".join(texts)


TABLES = [
    ("A complete training step", "steps",
     ["profile, precision", "ms", "images/s", "peak GB", f"matching (at most {SHARE:.0%})", "compiling, s"],
     lambda n: [f"{1000 * n['seconds']:.1f}", f"{n['images_per_second']:.0f}", f"{n['peak_gb']:.1f}",
                f"{n['matching_share']:.1%}", f"{n['seconds_to_compile']:.0f}" if n["seconds_to_compile"] else "–"]),
    ("L1 against the CPU in float32", "parity", ["precision", "steps", "largest difference"],
     lambda n: [str(n["steps"]), f"{n['l1']:.1e}"]),
    ("Metrics, 2,048 features", "metrics", ["what, samples", "seconds"], lambda n: [f"{n['seconds']:.1f}"]),
    ("Two minutes of training", "training", ["profile", "steps", "held-out L1", "PSNR (dB)", "codes in use"],
     lambda n: [f"{n['steps']:,}", f"{n['l1']:.3f}", f"{n['psnr']:.2f}", str(n["codes_in_use"])]),
]  # fmt: skip


def kept(path: Path = KEPT) -> dict[str, Numbers]:
    """Return what has been measured so far, by card; {} where nothing has."""
    with suppress(FileNotFoundError):
        return json.loads(path.read_text(encoding="utf-8"))
    return {}


def document() -> str:
    """Return docs/performance.md with its tables of GPUs as they should be."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{DOCUMENT.name} has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{tables(kept())}\n{END}{after}"


def main(argv: list[str] | None = None) -> int:
    """Measure, print the tables and return the exit status: 2 where there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--quick", action="store_true", help="tiny sizes: the numbers mean nothing")
    parser.add_argument("--parts", nargs="*", choices=list(PARTS), default=list(PARTS), help="(default: all)")
    parser.add_argument("--out", type=Path, help="the numbers (default: gpu.json; with --write docs/gpu.json)")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    arguments = parser.parse_args(argv)
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("gpu.py: torch finds no GPU here; --device cpu --quick only shows that the script works", file=sys.stderr)
        return 2
    if arguments.device == "cpu" and not arguments.quick:
        parser.error("on a CPU only with --quick: full sizes take hours there")
    if arguments.write and arguments.quick:
        parser.error("--write keeps measurements, and --quick makes none")
    device = torch.device(arguments.device)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, tiny sizes"
    path = arguments.out or (KEPT if arguments.write else Path("gpu.json"))
    cards = kept(path)
    found = cards.setdefault(card, {})
    found |= {"torch": torch.__version__, "auto": str(Precision(device))}
    for part in arguments.parts:
        found[part] = {}
        limit = float("inf") if arguments.quick else SECONDS[part]
        for row, numbers in PARTS[part](device, arguments.quick, Clock(limit)):
            found[part][row] = numbers
            path.write_text(json.dumps(cards, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            print(f"{part}: {row}: {numbers.get('missing') or 'done'}", file=sys.stderr, flush=True)
    print(tables(cards))
    if arguments.write:
        DOCUMENT.write_text(document(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
