"""Hours of training on paper: profile by card, from counted operations; the tables of two documents.

    python benchmarks/hours.py                      # the table
    python benchmarks/hours.py --write              # into docs/paper_scale.md and docs/colab.md
    python benchmarks/hours.py --price T4=0.35 L4=0.8

Operations of a step are counted, never computed: convolutions and matrix products of model, perceptual network and
discriminator, with all losses active. Hours are these operations over a share of the card's peak. That share is an
assumption (`UTILISATION`), so the hours are no measurement; `benchmarks/gpu.py` measures. No step is assumed to take
less than `LEAST`. Prices are yours to state: they differ between providers and change.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch.utils.flop_counter import FlopCounterMode

from pivq.config import Config, load_config
from pivq.discriminator import PatchDiscriminator
from pivq.model import PIVQ
from pivq.runs.budget import whole_trainings

DOCS = Path(__file__).resolve().parents[1] / "docs"
KEPT = DOCS / "gpu.json"  # what `gpu.py` has measured, by card; none of it is there until a card has
BEGIN, END = "<!-- hours -->", "<!-- /hours -->"
PROFILES = ("celeba64_short", "celeba64", "celebahq256", "ffhq256")
DOCUMENTS = {"paper_scale.md": PROFILES, "colab.md": PROFILES[:1]}
# Dense operations a second in the precision that `auto` picks, from NVIDIA's data sheets; those of L4 and H100 print
# the double of it, with sparsity. A100 and H100 are the SXM cards.
PEAK = {"T4": ("fp16", 65e12), "L4": ("bf16", 121e12), "A100": ("bf16", 312e12), "H100": ("bf16", 989e12)}
LEAST = 0.015  # seconds per step: it starts about 1,400 kernels, at 10 µs each from Python (assumed)
UTILISATION = {64: 0.15, 256: 0.3}  # of the peak, by image size: assumed; small images keep a card less busy


@cache
def step_operations(config: Config) -> float:
    """Return the floating-point operations of a training step with all losses; a multiply-add is two of them."""
    size, train = config.model.image_size, config.train
    with torch.device("meta"):
        model = PIVQ(config.model, "nearest")
        judge = PatchDiscriminator(train.discriminator_width, train.discriminator_layers)
        perceptual = torchvision.models.vgg16().features
        images = torch.rand(train.batch_size, 3, size, size)
    counts = []
    for network in (lambda: model(images, quantize=False).images, lambda: judge(images)):
        with FlopCounterMode(display=False) as counted:
            network().sum().backward()
        counts.append(counted.get_total_flops())
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        perceptual(images)
    # The perceptual network: two sets of images forward, one backward to the image, which costs as much as forward. The
    # discriminator: fakes for both networks, and reals.
    return counts[0] + 2.5 * counts[1] + 3 * counted.get_total_flops()


def hours(config: Config, card: str) -> float:
    """Return the hours of both trainings, with the steps before T_q counted once, on a card of `PEAK`."""
    seconds = step_operations(config) / (UTILISATION[config.model.image_size] * PEAK[card][1])
    return max(LEAST, seconds) * config.train.steps * whole_trainings(config) / 3600


def kept() -> dict[str, Any]:
    """Return what has been measured on cards, by name; {} where nothing has."""
    with suppress(FileNotFoundError):
        return json.loads(KEPT.read_text(encoding="utf-8"))
    return {}


def measured_hours(config: Config, card: str) -> float | None:
    """Return the hours of both trainings by a step that was measured on such a card in `auto`'s precision, or None."""
    for name, found in kept().items():
        step = found.get("steps", {}).get(f"{config.profile} {PEAK[card][0]}", {})
        if card in name and "seconds" in step:
            return step["seconds"] * config.train.steps * whole_trainings(config) / 3600
    return None


def _cell(config: Config, card: str, price: float) -> str:
    measured = measured_hours(config, card)
    return f"{price * hours(config, card):,.1f}" + (f" (measured {price * measured:,.1f})" if measured else "")


def table(prices: dict[str, float] | None = None, profiles: Sequence[str] = PROFILES) -> str:
    """Return the table of hours, or of money where a price per hour of each card is given."""
    cards = list(prices or PEAK)
    heads = [f"{card}, {PEAK[card][0]}" for card in cards]
    lines = [f"| profile | Tflop per step | steps, both models | {' | '.join(heads)} |"]
    lines.append("|---|" + "---:|" * (2 + len(cards)))
    for profile in profiles:
        config = load_config(profile)
        steps = config.train.steps * whole_trainings(config)
        found = [_cell(config, card, prices[card] if prices else 1.0) for card in cards]
        cells = [f"{step_operations(config) / 1e12:.2f}", f"{steps:,.0f}", *found]
        lines.append(f"| `{profile}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def document(name: str) -> str:
    """Return one of `DOCUMENTS` with its table as it should be."""
    text = (DOCS / name).read_text(encoding="utf-8")
    before, found, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (found and end):
        raise ValueError(f"{name} has no {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{table(profiles=DOCUMENTS[name])}\n{END}{after}"


def _price(text: str) -> tuple[str, float]:
    card, _, price = text.partition("=")
    try:
        valid = card in PEAK and float(price) > 0
    except ValueError:
        valid = False
    if not valid:
        known = ", ".join(PEAK)
        raise argparse.ArgumentTypeError(f"{text!r}: expected CARD=PRICE, with one of {known}, such as T4=0.35")
    return card, float(price)


def main(argv: list[str] | None = None) -> int:
    """Print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the tables into the documents")
    parser.add_argument("--price", metavar="CARD=PRICE", nargs="+", type=_price, default=[],
                        help="per hour, in any currency: print money instead of hours")  # fmt: skip
    arguments = parser.parse_args(argv)
    for name in DOCUMENTS if arguments.write else ():
        (DOCS / name).write_text(document(name), encoding="utf-8")
    print(table(dict(arguments.price)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
