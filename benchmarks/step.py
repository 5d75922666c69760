"""A training step: against the base code's way of doing it, in each phase of a run, and where its time goes.

    python benchmarks/step.py --profile quick
    python benchmarks/step.py --profile celeba64 --repeats 3
    python benchmarks/step.py --profile celeba64 --repeats 3 --bf16

Both steps train the same network with the same losses, on noise, in turn; `base_step.py` describes the peer. The whole
run is the mean over its phases. Then each part of our step in the last phase is timed alone, in float32.
"""

import argparse
import os
import tempfile

import torch
import torch.nn.functional as F
from base_step import BaseStep, plain_perceptual
from one_step import random_perceptual
from timing import Job, medians

from pivq.config import load_config
from pivq.losses import generator_hinge
from pivq.trainer import Trainer


def milliseconds(jobs: list[Job], repeats: int) -> list[float]:
    """Return the median milliseconds of each of some jobs that take turns, after two turns that do not count."""
    return [1000 * seconds for seconds in medians(jobs, repeats, warm_up=2)]


def print_row(name: str, share: float, took: list[float], images: int) -> None:
    """Print a row of the comparison; `took` are milliseconds of ours and of the base code's."""
    cells = [f"{ms:.0f}" for ms in took] + [f"{1000 * images / ms:.2f}" for ms in took]
    print("|", " | ".join([name, f"{share:.0%}", *cells, f"{took[1] / took[0]:.2f}×"]), "|", flush=True)


def parts(trainer: Trainer) -> dict[str, Job]:
    """Return the parts of a step by name."""
    images, encoder, decoder = trainer.batch(0), trainer.model.encoder, trainer.model.decoder
    batch, model = len(images), trainer.config.model
    patches = F.pixel_unshuffle(images, model.patch_size)
    cells = torch.randn(batch, model.dim, decoder.grid_size, decoder.grid_size, requires_grad=True)
    tokens = torch.randn(batch, decoder.grid_size**2 + model.num_codes, model.dim, requires_grad=True)
    with torch.no_grad():
        latents = encoder(images)

    def convolutions() -> None:
        (encoder.down(patches).mean() + decoder.conv_out(decoder.up(cells)).mean()).backward()

    def transformers() -> None:
        kept = slice(-model.num_codes, None), slice(model.num_codes, None)
        ends = (part.transformer(tokens, keep=keep) for part, keep in zip((encoder, decoder), kept, strict=True))
        sum(end.mean() for end in ends).backward()

    def perceptual() -> None:
        leaf = images.clone().requires_grad_()
        torch.autograd.grad(trainer.perceptual(leaf, images).mean(), leaf)

    def adversarial() -> None:
        leaf = images.clone().requires_grad_()
        torch.autograd.grad(generator_hinge(trainer._logits(leaf)), leaf)

    return {
        "batch from memory": lambda: trainer.batch(1),
        "convolutional paths, forward and backward": convolutions,
        "transformers, forward and backward": transformers,
        "quantizer with its losses": lambda: trainer.model.quantizer(latents),
        "perceptual loss and its gradient": perceptual,
        "adversarial loss and its gradient": adversarial,
        "discriminator's loss and gradient": lambda: trainer._backward_discriminator(images, trainer._logits(images)),
        "both optimisers": lambda: (trainer.optimizers.step(1.0), trainer.discriminator_optimizer.step()),
        "gradient norm": lambda: torch.nn.utils.clip_grad_norm_(trainer.model.parameters(), 1.0),
        "EMA": trainer._update_ema,
    }


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="quick", choices=["quick", "celeba64"], help="(default: quick)")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of torch (default: its own)")
    parser.add_argument("--repeats", type=int, default=15, help="of which the median is shown (default: 15)")
    parser.add_argument("--bf16", action="store_true", help="ours in bfloat16; the peer stays in float32")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    os.environ["ACCELERATE_MIXED_PRECISION"] = "bf16" if arguments.bf16 else "no"  # as `accelerate launch` sets it
    config = load_config(arguments.profile, train__muon_learning_rate=0.0)  # the peer has Adam for all weights
    size = config.model.image_size
    images = torch.randint(0, 256, (400, 3, size, size)).to(torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        perceptual = random_perceptual(config, folder)
    ours = Trainer(config, "matching", images, perceptual)
    base = BaseStep(config, "matching", plain_perceptual() if arguments.profile == "quick" else perceptual)
    train, batch = config.train, ours.batch(0)
    phases = {
        "before the discriminator": (0, train.discriminator_from_step),
        "with it": (train.discriminator_from_step, train.steps),
    }
    ours_in = "bfloat16" if arguments.bf16 else "float32"
    print(f"`{arguments.profile}`, ours in {ours_in}, {arguments.threads} threads, medians of {arguments.repeats}\n")
    print("| steps | of the run | ours, ms | base code's, ms | ours, images/s | base code's, images/s | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    run = [0.0, 0.0]
    for phase, (start, end) in phases.items():
        ours.step = base.step = end - 1
        took = milliseconds([lambda: ours.train_step(batch), lambda: base.train_step(batch)], arguments.repeats)
        share = (end - start) / train.steps
        run = [mean + share * ms for mean, ms in zip(run, took, strict=True)]
        print_row(phase, share, took, len(batch))
    print_row("**whole run**", 1, run, len(batch))
    if arguments.bf16:
        return
    print("\n| part of ours | ms | of the step |\n|---|---:|---:|")
    for name, part in parts(ours).items():
        (ms,) = milliseconds([part], arguments.repeats)
        print(f"| {name} | {ms:.1f} | {ms / took[0]:.0%} |", flush=True)


if __name__ == "__main__":
    main()
