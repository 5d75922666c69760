"""Other ways to do parts of the training step, each compared with ours: what was tried, and what it gained.

    python benchmarks/variations.py
    python benchmarks/variations.py --profile celeba64 --repeats 3

Each way trains the same network on the same noise in the most expensive phase, in turn with ours. Then scaled
dot-product attention is compared with attention multiplied out, alone and at the sizes of each profile.
"""

import argparse
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from unittest import mock

import torch
import torch.nn.functional as F
from base_step import attention
from one_step import random_perceptual
from step import milliseconds
from torch import nn

from pivq.config import Config, load_config
from pivq.trainer import Trainer


def compiled(trainer: Trainer) -> None:
    """Compile what is run often."""
    for module in (trainer.model.encoder, trainer.model.decoder, trainer.discriminator, trainer.perceptual):
        module.compile()


def channels_last(trainer: Trainer) -> None:
    """Keep the channels of a pixel together."""
    for network in (trainer.model, trainer.discriminator):
        network.to(memory_format=torch.channels_last)


def one_by_one(trainer: Trainer) -> None:
    """Let the optimisers go through the parameters one at a time."""
    for optimizer in (trainer.optimizers.adam, trainer.discriminator_optimizer):
        for group in optimizer.param_groups:
            group.update(fused=False, foreach=False)


def nothing(trainer: Trainer) -> None:
    """Leave the trainer as it is."""


WAYS: dict[str, tuple[Callable[[Trainer], None], Callable[[], AbstractContextManager]]] = {
    "attention multiplied out": (nothing, lambda: mock.patch.object(F, "scaled_dot_product_attention", attention)),
    "`channels_last`": (channels_last, nullcontext),
    "bfloat16 autocast": (nothing, lambda: torch.autocast("cpu", torch.bfloat16)),
    "optimisers one parameter at a time": (one_by_one, nullcontext),
    "`torch.compile`": (compiled, nullcontext),
}


def compare_ways(config: Config, perceptual: nn.Module, repeats: int) -> None:
    """Print a row for each way."""
    size, last = config.model.image_size, config.train.steps - 1
    images = torch.randint(0, 256, (config.train.batch_size, 3, size, size)).to(torch.uint8)
    print("| way | ms | ours, ms | way / ours |\n|---|---:|---:|---:|")
    for name, (change, context) in WAYS.items():
        trainers = [Trainer(config, "matching", images, perceptual) for _ in range(2)]
        change(trainers[0])
        batch = trainers[0].batch(0)
        for trainer in trainers:
            trainer.step = last

        def step(trainer: Trainer = trainers[0], context: Callable = context, batch: torch.Tensor = batch) -> None:
            with context():
                trainer.train_step(batch)

        other, ours = milliseconds([step, lambda trainer=trainers[1], batch=batch: trainer.train_step(batch)], repeats)
        print(f"| {name} | {other:.1f} | {ours:.1f} | {other / ours:.2f} |", flush=True)


def compare_attention(profile: str, repeats: int) -> None:
    """Print the row of a profile: the encoder's attention of the tokens it keeps, forward and backward."""
    config = load_config(profile, data="-" if profile == "folder" else "")
    model = config.model
    tokens, shape = model.grid_size**2 + model.num_codes, (config.train.batch_size, model.heads)
    q, k, v = (
        torch.randn(*shape, count, model.dim // model.heads, requires_grad=True) for count in (tokens, tokens, tokens)
    )
    ways = [attention, F.scaled_dot_product_attention]
    plain, ours = milliseconds([lambda way=way: way(q, k, v).sum().backward() for way in ways], repeats)
    print(f"| `{profile}` | {tuple(q.shape)} | {plain:.2f} | {ours:.2f} | {plain / ours:.2f} |", flush=True)


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="quick", choices=["quick", "celeba64"], help="(default: quick)")
    parser.add_argument("--repeats", type=int, default=15, help="of which the median is shown (default: 15)")
    arguments = parser.parse_args()
    config = load_config(arguments.profile)
    print(f"`{arguments.profile}`, {torch.get_num_threads()} threads, medians of {arguments.repeats}\n")
    with tempfile.TemporaryDirectory() as folder:
        compare_ways(config, random_perceptual(config, folder), arguments.repeats)
    print("\n| profile | batch, heads, tokens, width of a head | multiplied out, ms | ours, ms | ratio |")
    print("|---|---|---:|---:|---:|")
    for profile in ("quick", "celeba64", "ffhq256"):
        compare_attention(profile, arguments.repeats)


if __name__ == "__main__":
    main()
