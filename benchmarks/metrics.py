"""Precision, recall, density and coverage: time and memory, against the package `prdc`; and the Fréchet distance.

    python benchmarks/metrics.py --sizes 5000 10000 --alone 50000

Each measurement is a process of its own, so that its peak is its own; ours and the peer's are run in turn, on the same
features. The peer's results must be ours. Sizes given with --alone are too large for the peer's dense distances.

No method that looks at all distances can be faster than the matrix products that give them. So their bare time is
measured in the same process, half of them before ours and half after it.
"""

import argparse
import json
import statistics
import subprocess
import sys

import numpy as np
import torch
from timing import once, peak_memory

from pivq.metrics import frechet_distance, prdc

K, FEATURES = 5, 2048
BLOCK = 256  # rows of distances at a time, as `prdc` takes them


def features(count: int, seed: int) -> np.ndarray:
    """Return features `(N, F)` float32 of low intrinsic dimension, as those of images are."""
    rng = np.random.default_rng(seed)
    basis = np.random.default_rng(0).normal(size=(40, FEATURES)).astype(np.float32)
    noise = rng.standard_normal((count, FEATURES), np.float32)
    return rng.standard_normal((count, 40), np.float32) @ basis + noise


def measure(what: str, count: int) -> None:
    """Compute one of `METRICS` and print seconds, peak memory and result as JSON."""
    real, fake = features(count, 1), features(count, 2)
    result, ours = [], what == "ours"
    bare = once(lambda: multiply(real, fake, 0)) if ours else 0.0
    seconds = once(lambda: result.extend(METRICS[what](real, fake)))
    bare += once(lambda: multiply(real, fake, 1)) if ours else 0.0
    print(json.dumps({"seconds": seconds, "bare": bare, "peak": peak_memory() / 2**30, "result": result}))


def multiply(real: np.ndarray, fake: np.ndarray, half: int) -> None:
    """Do the even or the odd blocks of the three products that PRDC needs: of each set with itself, and of both."""
    a, b = torch.from_numpy(real), torch.from_numpy(fake)
    for left, right in ((a, a), (b, b), (a, b)):
        product = torch.empty(BLOCK, len(right))
        for rows in left.split(BLOCK)[half::2]:
            torch.mm(rows, right.T, out=product[: len(rows)])


def by_prdc(real: np.ndarray, fake: np.ndarray) -> list[float]:
    """Return what the package `prdc` computes."""
    from prdc import compute_prdc

    found = compute_prdc(real_features=real, fake_features=fake, nearest_k=K)
    return [float(found[name]) for name in ("precision", "recall", "density", "coverage")]


METRICS = {
    "ours": lambda real, fake: prdc(real=real, fake=fake, k=K),
    "prdc": by_prdc,
    "frechet": lambda real, fake: [frechet_distance(real=real, fake=fake)],
}


def run(what: str, count: int) -> dict:
    """Measure in a process of its own."""
    command = [sys.executable, __file__, "--measure", what, str(count)]
    lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    return json.loads(lines[-1])


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="*", type=int, default=[5000, 10000], help="N = M, with the peer")
    parser.add_argument("--alone", nargs="*", type=int, default=[50000], help="N = M, ours alone")
    parser.add_argument("--repeats", type=int, default=3, help="of which the median is shown (default: 3)")
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        return measure(arguments.measure[0], int(arguments.measure[1]))
    print(f"F = {FEATURES}, k = {K}, float32; medians of {arguments.repeats}, one run where the peer is left out\n")
    titles = ["N = M", "what", "seconds", "peak GiB", "bare products, seconds", "ours / products"]
    titles += ["peer's seconds", "peer's peak GiB", "ours / peer"]
    print(f"| {' | '.join(titles)} |\n|---:|---|{'---:|' * 7}", flush=True)
    for count in arguments.sizes:
        pairs = [(run("ours", count), run("prdc", count)) for _ in range(arguments.repeats)]
        assert all(np.allclose(ours["result"], peer["result"], atol=1e-12) for ours, peer in pairs), pairs
        ours, peer = ([side[i] for side in pairs] for i in range(2))
        seconds = statistics.median(side["seconds"] for side in peer)
        ratio = statistics.median(side["seconds"] for side in ours) / seconds
        peak = max(side["peak"] for side in peer)
        print(f"| {count:,} | PRDC | {row(ours)} | {seconds:.1f} | {peak:.2f} | {ratio:.2f} |", flush=True)
    for count in arguments.alone:
        for what, name in (("ours", "PRDC"), ("frechet", "Fréchet distance")):
            print(f"| {count:,} | {name} | {row([run(what, count)])} | – | – | – |", flush=True)


def row(runs: list[dict]) -> str:
    """Return seconds and peak memory of runs, and how the first compare with bare products, as cells of a table."""
    bare = statistics.median(run["bare"] for run in runs)
    seconds = f"{statistics.median(run['seconds'] for run in runs):.1f}"
    ratio = statistics.median(run["seconds"] / run["bare"] for run in runs) if bare else 0
    products = f"{bare:.1f} | {ratio:.2f}" if bare else "– | –"
    return f"{seconds} | {max(run['peak'] for run in runs):.2f} | {products}"


if __name__ == "__main__":
    main()
