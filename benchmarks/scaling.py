"""How cost grows: matching with K and L, PRDC with N, a training step with L; a figure and its table.

    python benchmarks/scaling.py --out docs/scaling.png

An exponent is the slope of the larger half of the sizes, both axes logarithmic. At the end, on paper: what an epoch at
256 x 256 costs on GPUs, from the operations of a step, which are counted, and a share of the card's peak, assumed.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from hours import PEAK, UTILISATION, step_operations
from matching import DIM, latents
from matplotlib.ticker import LogLocator, NullLocator
from timing import median

from pivq.config import load_config
from pivq.figures.style import BLUE, GREEN, ORANGE, WIDTH, use_style
from pivq.matching import match
from pivq.pretrained.perceptual import load_perceptual
from pivq.trainer import Trainer

MATCHING_K, MATCHING_L = "matching an image, L = 256, ms over K", "matching an image, K = 16,384, ms over L"
PRDC, STEP = "PRDC of 2,048 features over N = M", "a training step of quick, ms over L"
MEASURES = {"seconds": "seconds", "peak GiB": "peak"}
THEORY = {
    MATCHING_K: {"near codes of their own": "1", "random latents": "1"},
    MATCHING_L: {"near codes of their own": "1", "random latents": "1 (reading distances) to 3 (the solver, at worst)"},
    PRDC: {"seconds": "2", "peak GiB": "1"},
    STEP: {"K = 512": "0 (convolutions) to 2 (attention)"},
}

Series = dict[int, float]  # a measurement by size


def matching_seconds(num_codes: int, codebook_size: int, case: str) -> float:
    """Return the seconds that one image takes."""
    generator = torch.Generator().manual_seed(0)
    codebook = torch.randn(codebook_size, DIM, generator=generator)
    z = latents(case, codebook, 1, num_codes, generator)
    distances = torch.cdist(z.double(), codebook.double())
    return median(lambda: match(distances))


def prdc_run(count: int) -> dict[str, float]:
    """Return seconds and peak memory of PRDC with N = M = `count`, 2,048 features, measured by `metrics.py`."""
    from metrics import run

    return run("ours", count)


def step_seconds(num_codes: int) -> float:
    """Return the seconds of a step of `quick` in its last phase, with L codes out of 512."""
    config = load_config("quick", model__num_codes=num_codes)
    images = torch.randint(0, 256, (64, 3, 64, 64)).to(torch.uint8)
    trainer = Trainer(config, "matching", images, load_perceptual(config.train.perceptual_network))
    trainer.step = config.train.steps - 1
    batch = trainer.batch(0)
    return median(lambda: trainer.train_step(batch), 7)


def exponent(series: Series) -> float:
    """Return the slope of the larger half of a series in logarithms."""
    sizes, values = (np.log(list(of)[len(series) // 2 :]) for of in (series.keys(), series.values()))
    return float(np.polyfit(sizes, values, 1)[0])


def draw(panels: dict[str, dict[str, Series]], path: Path) -> None:
    """Draw the panels side by side, both axes logarithmic, each line with its exponent."""
    use_style()
    figure, grid = plt.subplots(2, 2, figsize=(WIDTH, 5.6))
    for axes, (title, lines) in zip(grid.flat, panels.items(), strict=True):
        for colour, (name, series) in zip((BLUE, ORANGE, GREEN), lines.items(), strict=False):
            label = f"{name}: exponent {exponent(series):.2f}"
            axes.loglog(list(series), list(series.values()), "o-", markersize=4, color=colour, label=label)
        what, _, along = title.rpartition(" over ")
        what, _, unit = what.rpartition(", ")
        axes.set_title(what or unit, loc="left")
        axes.set(xlabel=along, ylabel=unit if what else "")
        axes.set_xticks(list(series), [f"{size:,}" for size in series])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.legend()
    figure.savefig(path)


def main() -> None:
    """Measure, print the tables and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("scaling.png"), help="the figure (default: scaling.png)")
    arguments = parser.parse_args()
    cases = {"near codes of their own": "near codes of their own", "random latents": "random"}
    runs = {count: prdc_run(count) for count in (1250, 2500, 5000, 10_000)}
    panels = {
        MATCHING_K: {
            name: {K: 1000 * matching_seconds(256, K, case) for K in (512, 1024, 2048, 4096, 8192, 16384)}
            for name, case in cases.items()
        },
        MATCHING_L: {
            name: {L: 1000 * matching_seconds(L, 16384, case) for L in (64, 128, 256, 512, 1024, 2048)}
            for name, case in cases.items()
        },
        PRDC: {what: {count: run[key] for count, run in runs.items()} for what, key in MEASURES.items()},
        STEP: {"K = 512": {L: 1000 * step_seconds(L) for L in (32, 64, 128, 256, 512)}},
    }
    print(f"{torch.get_num_threads()} threads\n")
    print("| what | line | sizes: measured | exponent | theory |\n|---|---|---|---:|---|")
    for title, lines in panels.items():
        for name, series in lines.items():
            measured = " · ".join(f"{size:,}: {value:.3g}" for size, value in series.items())
            print(f"| {title} | {name} | {measured} | {exponent(series):.2f} | {THEORY[title][name]} |")
    draw(panels, arguments.out)
    config = load_config("ffhq256")
    operations, share = step_operations(config) / config.train.batch_size, UTILISATION[config.model.image_size]
    rate = share * PEAK["H100"][1] / operations
    print(f"\n`ffhq256`: {operations / 1e12:.2f} Tflop per image and step; at {share:.0%} of an H100's peak "
          f"{rate:.0f} images/s.\n\n| images | 1 H100, hours per epoch | 8 H100s |\n|---:|---:|---:|")  # fmt: skip
    for images in (70_000, 1_000_000):
        hours = images / rate / 3600
        print(f"| {images:,} | {hours:.2f} | {hours / 8:.2f} |")


if __name__ == "__main__":
    main()
