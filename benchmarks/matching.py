"""Time to match a batch, compared with a loop over scipy's solver and with the same solver in threads.

    python benchmarks/matching.py --repeats 7

All three run in turn and agree on the least total. The latents are made up: each near a code of its own; the same,
with one code in fifty nearest to two latents; random; in sixty clusters, about as many as an image of the paper's
nearest models has codes (49); or all near one code, as in early training.

The last column counts the images by the step that solved them: distinct nearest codes (n), a crowd that agrees about
the codes near by (c), augmenting paths (a), or scipy's solver on all distances, where nothing proved the answer (x).
"""

import argparse
import os
import platform
import statistics
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import scipy
import torch
from scipy.optimize import linear_sum_assignment

import pivq.matching
from pivq.matching import match
from pivq.solvers.augmenting import assign_each
from pivq.solvers.crowd import match_crowd

DIM = 256
SIZES = ((16, 32, 512), (4, 512, 4096))  # B, L, K
CASES = ("near codes of their own", "a few shared", "random", "60 clusters", "one code")


def latents(case: str, codebook: torch.Tensor, batch: int, num_codes: int, generator: torch.Generator) -> torch.Tensor:
    """Return the latents `(B, L, d)` of a case."""
    noise = torch.randn(batch, num_codes, DIM, generator=generator)
    if case in ("near codes of their own", "a few shared"):
        chosen = torch.stack([torch.randperm(len(codebook), generator=generator)[:num_codes] for _ in range(batch)])
        if case == "a few shared":
            twice = num_codes // 50 + 1
            chosen[:, :twice] = chosen[:, twice : 2 * twice]
        return codebook[chosen] + 0.3 * noise
    if case == "random":
        return noise
    if case == "60 clusters":
        centres = torch.randn(60, DIM, generator=generator)
        return centres[torch.randint(60, (batch, num_codes), generator=generator)] + 0.3 * noise
    return codebook[0] + 0.01 * noise


def loop(distances: torch.Tensor) -> torch.Tensor:
    """Solve one image after another with scipy."""
    return torch.from_numpy(np.stack([linear_sum_assignment(image)[1] for image in distances.numpy()]))


def threads(distances: torch.Tensor, pool: ThreadPoolExecutor) -> torch.Tensor:
    """Solve the images in threads; scipy's solver releases the interpreter's lock."""
    return torch.from_numpy(np.stack(list(pool.map(lambda image: linear_sum_assignment(image)[1], distances.numpy()))))


def solved_by(distances: torch.Tensor) -> str:
    """Count the images of a batch by the step that solves them, such as "3 n, 1 x" (see the head of this file)."""
    counts = Counter()
    for image in distances:
        with (
            mock.patch.object(pivq.matching, "match_crowd", wraps=match_crowd) as crowd,
            mock.patch.object(pivq.matching, "assign_each", wraps=assign_each) as paths,
            mock.patch.object(pivq.matching, "linear_sum_assignment", wraps=linear_sum_assignment) as solver,
        ):
            match(image)
        on_all = any(call.args[0].shape == image.shape for call in solver.call_args_list)
        counts["x" if on_all else "a" if paths.called else "c" if crowd.called else "n"] += 1
    return ", ".join(f"{count} {step}" for step, count in sorted(counts.items()))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="timed runs; the median is shown (default: 5)")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES, help="kinds of latents (default: all)")
    arguments = parser.parse_args()
    pool = ThreadPoolExecutor(os.cpu_count())
    print(
        f"{platform.machine()}, {os.cpu_count()} CPU cores, {torch.get_num_threads()} torch threads, "
        f"Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__}, "
        f"scipy {scipy.__version__}; medians of {arguments.repeats}, milliseconds per batch\n"
    )
    print("| B | L | K | latents | loop | threads | `match` | loop / `match` | threads / `match` | images |")
    print("|---:|---:|---:|---|---:|---:|---:|---:|---:|---|", flush=True)
    for batch, num_codes, codebook_size in SIZES:
        for case in arguments.cases:
            generator = torch.Generator().manual_seed(0)
            codebook = torch.randn(codebook_size, DIM, generator=generator)
            z = latents(case, codebook, batch, num_codes, generator)
            distances = torch.cdist(z.double(), codebook.double())
            solvers = {"loop": loop, "threads": lambda d: threads(d, pool), "match": match}
            seconds, totals = {name: [] for name in solvers}, {}
            for repeat in range(arguments.repeats + 1):
                for name, solve in solvers.items():
                    start = time.perf_counter()
                    codes = solve(distances)
                    if repeat:  # the first run is a warm-up
                        seconds[name].append(time.perf_counter() - start)
                    totals[name] = distances.gather(2, codes[:, :, None]).sum(dim=(1, 2))
            for total in totals.values():
                torch.testing.assert_close(total, totals["loop"], rtol=1e-12, atol=0)
            ms = {name: 1000 * statistics.median(values) for name, values in seconds.items()}
            row = [batch, num_codes, codebook_size, case, *(f"{ms[name]:.2f}" for name in solvers)]
            row += [f"{ms['loop'] / ms['match']:.1f}×", f"{ms['threads'] / ms['match']:.1f}×", solved_by(distances)]
            print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
