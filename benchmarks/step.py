"""A training step in its last phase: against the base code's way of doing it, and where its time goes.

    python benchmarks/step.py --profile quick
    python benchmarks/step.py --profile celeba64 --repeats 3

Both steps train the same network with the same losses, on noise, in turn; see `base_step.py` for what the peer does.
Then each part of our step is timed alone.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
from base_step import BaseStep
from one_step import random_perceptual

from pivq.config import load_config
from pivq.discriminator import diff_augment
from pivq.losses import generator_hinge
from pivq.trainer import Trainer


def medians(ways: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the median milliseconds of each of some ways, which take turns, after two turns that are not counted."""
    seconds = {name: [] for name in ways}
    for _ in range(repeats + 2):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(of[2:]) for name, of in seconds.items()}


def parts(trainer: Trainer) -> dict[str, Callable[[], object]]:
    """Return the parts of a step by name."""
    images = trainer.batch(0)
    with torch.no_grad():
        latents = trainer.model.encoder(images)

    def autoencoder() -> None:
        trainer.model(images, quantize=False).images.mean().backward()

    def perceptual() -> None:
        leaf = images.clone().requires_grad_()
        torch.autograd.grad(trainer.perceptual(leaf, images).mean(), leaf)

    def adversarial() -> None:
        leaf = images.clone().requires_grad_()
        torch.autograd.grad(generator_hinge(trainer.discriminator(diff_augment(leaf))), leaf)

    return {
        "batch from memory": lambda: trainer.batch(1),
        "autoencoder, forward and backward": autoencoder,
        "quantizer with its losses": lambda: trainer.model.quantizer(latents),
        "perceptual loss and its gradient": perceptual,
        "adversarial loss and its gradient": adversarial,
        "discriminator's loss and gradient": lambda: trainer._discriminator_gradient(images, trainer._judge(images)),
        "both optimisers": lambda: (trainer.optimizer.step(), trainer.discriminator_optimizer.step()),
        "gradient norm": lambda: torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), 1.0),
        "EMA": trainer._update_ema,
    }


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="quick", choices=["quick", "celeba64"], help="(default: quick)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch (default: its own)")
    parser.add_argument("--repeats", type=int, default=15, help="of which the median is shown (default: 15)")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    config = load_config(arguments.profile)
    size = config.model.image_size
    images = torch.randint(0, 256, (400, 3, size, size)).to(torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        perceptual = random_perceptual(config, folder)
    ours, base = Trainer(config, "matching", images, perceptual), BaseStep(config, "matching", perceptual)
    ours.step = base.step = config.train.steps - 1
    batch = ours.batch(0)
    took = medians({"ours": lambda: ours.train_step(batch), "base": lambda: base.train_step(batch)}, arguments.repeats)
    print(f"`{arguments.profile}`, {arguments.threads} threads, medians of {arguments.repeats}\n")
    print("| step | ms | images/s | |\n|---|---:|---:|---:|")
    for name, ms in took.items():
        print(f"| {name} | {ms:.0f} | {1000 * len(batch) / ms:.2f} | {took['base'] / ms:.2f}× |", flush=True)
    print("\n| part of ours | ms | of the step |\n|---|---:|---:|")
    for name, part in parts(ours).items():
        (ms,) = medians({name: part}, arguments.repeats).values()
        print(f"| {name} | {ms:.1f} | {ms / took['ours']:.0%} |", flush=True)


if __name__ == "__main__":
    main()
