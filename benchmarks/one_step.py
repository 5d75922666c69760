"""One complete training step (model, discriminator, EMA) at the true size of a profile: seconds and peak memory.

The images are noise and VGG16's weights are random: neither changes the cost.

    python benchmarks/one_step.py celeba64 ffhq256
"""

import argparse
import itertools
import multiprocessing
import sys
import tempfile
from pathlib import Path

import torch
import torchvision
from timing import median, peak_memory
from torch import nn

from pivq.config import Config, load_config
from pivq.pretrained.perceptual import LpipsVgg, load_perceptual
from pivq.profiles import PROFILES
from pivq.trainer import Trainer


def random_perceptual(config: Config, folder: str) -> nn.Module:
    """Return the perceptual network of a configuration, with random weights where VGG16's would be needed."""
    if config.train.perceptual_network != "lpips_vgg":
        return load_perceptual(config.train.perceptual_network)
    weights = Path(folder) / "vgg16.pth"
    torch.save(torchvision.models.vgg16().state_dict(), weights)
    return LpipsVgg(weights)


def measure(profile: str, steps: int, device: str, folder: str) -> None:
    """Do the steps and print a row; in a process of its own, so that the peak is this profile's alone."""
    config = load_config(profile, data=folder if profile == "folder" else "")
    size = config.model.image_size
    perceptual = random_perceptual(config, folder)
    images = torch.randint(0, 256, (4 * config.train.batch_size, 3, size, size)).to(torch.uint8)
    trainer = Trainer(config, "matching", images, perceptual.to(device), device)
    trainer.step = config.train.steps - 1  # the last phase: every loss is active, and the codes are quantized
    numbers = itertools.count()

    def step() -> None:
        losses = trainer.train_step(trainer.batch(next(numbers)))
        assert {"l1", "perceptual", "adversarial", "codebook", "discriminator"} <= losses.keys() and not trainer.skipped

    seconds = median(step, steps, warm_up=0)
    if device == "cuda":
        peak, where = torch.cuda.max_memory_allocated(), torch.cuda.get_device_name()
    else:
        peak, where = peak_memory(), f"{torch.get_num_threads()} CPU cores"
    parameters = sum(p.numel() for p in trainer.model.parameters())
    print(f"| `{profile}` | {parameters:,} | {config.train.batch_size} | {seconds:.2f} | {peak / 1e9:.1f} | {where} |")


def main() -> int:
    """Measure each profile in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("profiles", nargs="*", default=["quick", "celeba64", "ffhq256"], choices=list(PROFILES))
    parser.add_argument("--steps", type=int, default=2, help="of which the median is shown (default: 2)")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    print("| profile | parameters | batch | seconds per step | peak GB | machine |")
    print("|---|---:|---:|---:|---:|---|", flush=True)
    for profile in arguments.profiles:
        with tempfile.TemporaryDirectory() as folder:
            job = (profile, arguments.steps, arguments.device, folder)
            process = multiprocessing.get_context("spawn").Process(target=measure, args=job)
            process.start()
            process.join()
            if process.exitcode:
                return process.exitcode
    return 0


if __name__ == "__main__":
    sys.exit(main())
