"""How long a training takes to a held-out PSNR: the recipe of an earlier version, and today's, in turn.

    python benchmarks/time_to_quality.py

Both train the same network on the same faces. They take turns of some steps, so that both meet the same moods of the
machine; only steps are timed, not the looks at held-out faces between them. The quality is that of the averaged model
with its codes, so it counts from T_q on. A recipe that ends before it is there has no time. On two cores this takes
about a quarter of an hour.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pivq.config import Config, load_config
from pivq.runs.branching import make_trainer
from pivq.runs.callbacks import validate
from pivq.runs.splits import load_splits
from pivq.trainer import Trainer

# What differed at commit 52c913b, in `quick`.
EARLIER = {"train__muon_learning_rate": 0.0, "train__adversarial_limit": 0.2, "train__steps": 3000,
           "train__quantize_from_step": 1200, "train__decay_from": 0.5}  # fmt: skip
RECIPES: dict[str, dict[str, Any]] = {"AdamW (52c913b)": EARLIER, "Muon and AdamW (today)": {}}
LOOK_EVERY, LOOKED_AT = 50, 200  # steps; held-out faces


class Reached(NamedTuple):
    """When a training was as good as asked for, or that it ended before."""

    step: int
    minutes: float
    psnr: float
    good_enough: bool


def race(trainers: Mapping[str, Trainer], images: Any, target: float, every: int = LOOK_EVERY) -> dict[str, Reached]:
    """Train in turn until each has a held-out PSNR of `target` dB with its codes, or has ended."""
    seconds, reached = dict.fromkeys(trainers, 0.0), {}
    while len(reached) < len(trainers):
        for name, trainer in trainers.items():
            if name in reached:
                continue
            start = time.perf_counter()
            trainer.fit(min(trainer.step + every, trainer.config.train.steps))
            seconds[name] += time.perf_counter() - start
            ended = trainer.step == trainer.config.train.steps
            psnr = validate(trainer, images)[0]["heldout_psnr"] if trainer.quantizing else 0.0
            if psnr >= target or ended:
                reached[name] = Reached(trainer.step, seconds[name] / 60, psnr, psnr >= target)
    return reached


def table(reached: Mapping[str, Reached], target: float) -> str:
    """Return the results in Markdown."""
    (_, first), *_ = reached.items()
    lines = [f"| recipe | step | minutes to {target:g} dB | PSNR, dB | of the first's time |"]
    lines.append("|---|---:|---:|---:|---:|")
    for name, row in reached.items():
        there = f"{row.minutes:.1f}" if row.good_enough else f"not in {row.minutes:.1f}"
        share = f"{row.minutes / first.minutes:.0%}" if first.good_enough and row.good_enough else "–"
        lines.append(f"| {name} | {row.step:,} | {there} | {row.psnr:.2f} | {share} |")
    return "\n".join(lines)


def configurations(profile: str, seed: int) -> dict[str, Config]:
    """Return both recipes' settings of a profile."""
    return {name: load_config(profile, seed, **settings) for name, settings in RECIPES.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Train and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=float, default=23.5, help="dB (default: 23.5)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args(argv)
    configs = configurations("quick", arguments.seed)
    splits = load_splits(next(iter(configs.values())))
    images, heldout = splits["train"].images, splits["heldout"].images[:LOOKED_AT]
    trainers = {name: make_trainer(config, "matching", images, arguments.device) for name, config in configs.items()}
    print(table(race(trainers, heldout, arguments.target), arguments.target))


if __name__ == "__main__":
    main()
