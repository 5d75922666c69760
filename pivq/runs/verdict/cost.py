"""How the time of both quantizers grows with their size (Section 3.4: O(n³) against O(n²), n = max(L, K)).

Times differ from run to run, so the verdict reads stored ones: equal runs have equal verdicts. This measures them anew:

    python -m pivq.runs.verdict.cost
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pivq.matching import match
from pivq.storage.origin import computed_on
from pivq.storage.paths import CHECKOUT
from pivq.storage.writing import read_sealed, seal, write_json

STORED = CHECKOUT / "figures" / "quick" / "matching_cost.json"
SIZES = (512, 1024, 2048, 4096)  # K, with L = K / 8 as the paper has it for 256×256 images
CROWDED = 49  # codes that all latents are near to: K_img of the paper's nearest model, at its L


def stored_growth() -> list[dict[str, Any]] | None:
    """Return the stored rows of `growth`; None where the package is installed without its checkout.

    Raises:
        ValueError: the file is damaged; names it.
    """
    return read_sealed(STORED)["rows"] if STORED.exists() else None


def growth(sizes: tuple[int, ...] = SIZES, repeats: int = 5, dim: int = 32) -> list[dict[str, Any]]:
    """Measure the processor time of nearest and of matching for one image over K; return a row per case.

    The distances are included. Latents are made up: each near a code of its own, or crowded around 49 codes of 512 as
    in the paper's nearest model (in proportion at other sizes). A row has `latents`, the case; both times in
    milliseconds at the largest size; their `ratio`; and the exponents of both times over K, by least squares in
    logarithms.

    Example:
        >>> [row["latents"] for row in growth(sizes=(16, 32), repeats=1)]
        ['near codes of their own', 'crowded on few codes']
    """
    rows = []
    for name, share in (("near codes of their own", 1.0), ("crowded on few codes", CROWDED / 512)):
        seconds: dict[str, list[float]] = {"nearest": [], "matching": []}
        for size in sizes:
            codebook, latents = _example(size, share, dim)
            least = _seconds({"nearest": _nearest, "matching": match}, latents, codebook, repeats)
            for rule, value in least.items():
                seconds[rule].append(value)
        exponents = {rule: float(np.polyfit(np.log(sizes), np.log(values), 1)[0]) for rule, values in seconds.items()}
        near, matched = seconds["nearest"][-1], seconds["matching"][-1]
        rows.append({
            "latents": name, "nearest_ms": 1000 * near, "matching_ms": 1000 * matched, "ratio": matched / near,
            "nearest_exponent": exponents["nearest"], "matching_exponent": exponents["matching"],
        })  # fmt: skip
    return rows


def _example(size: int, share: float, dim: int) -> tuple[Tensor, Tensor]:
    """Return a codebook `(K, d)` and latents `(1, L, d)` around `share * L` of its codes."""
    generator = torch.Generator().manual_seed(size)
    codebook, length = torch.randn(size, dim, generator=generator), size // 8
    owners = torch.arange(length) % max(1, round(share * length))
    noise = 0.3 * torch.randn(length, dim, generator=generator)
    return codebook, (codebook[owners] + noise)[None]


def _nearest(distances: Tensor) -> Tensor:
    return distances.argmin(dim=2)


def _seconds(
    rules: dict[str, Callable[[Tensor], Tensor]], latents: Tensor, codebook: Tensor, repeats: int
) -> dict[str, float]:
    """Return the least time of each rule; the rules take turns, so that what else runs slows all of them."""
    times: dict[str, list[float]] = {name: [] for name in rules}
    for _ in range(repeats + 1):  # the first one compiles
        for name, choose in rules.items():
            start = time.process_time()
            choose(torch.cdist(latents, codebook))
            times[name].append(time.process_time() - start)
    return {name: max(min(values[1:]), 1e-9) for name, values in times.items()}


if __name__ == "__main__":
    write_json(STORED, seal({"rows": growth(), "sizes": SIZES} | computed_on()))
