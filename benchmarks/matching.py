"""Time of the matching of a batch, against a loop over scipy's solver and against the same in threads.

    python benchmarks/matching.py --repeats 7

All three are run in turn, and agree on the least total. The latents are: near distinct codes, as a trained model's;
random; in sixty clusters; and all near one code, as in early training.
"""

import argparse
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from pivq.matching import match

DIM = 256


def latents(case: str, codebook: torch.Tensor, batch: int, num_codes: int, generator: torch.Generator) -> torch.Tensor:
    """Return latents `(B, L, d)` of a case."""
    noise = torch.randn(batch, num_codes, DIM, generator=generator)
    if case == "trained":
        chosen = torch.stack([torch.randperm(len(codebook), generator=generator)[:num_codes] for _ in range(batch)])
        return codebook[chosen] + 0.3 * noise
    if case == "random":
        return noise
    if case == "60 clusters":
        centres = torch.randn(60, DIM, generator=generator)
        return centres[torch.randint(60, (batch, num_codes), generator=generator)] + 0.3 * noise
    return codebook[0] + 0.01 * noise


def loop(distances: torch.Tensor) -> torch.Tensor:
    """Solve image after image."""
    return torch.from_numpy(np.stack([linear_sum_assignment(image)[1] for image in distances.numpy()]))


def threads(distances: torch.Tensor, pool: ThreadPoolExecutor) -> torch.Tensor:
    """Solve the images in threads; scipy's solver releases the lock of the interpreter."""
    return torch.from_numpy(np.stack(list(pool.map(lambda image: linear_sum_assignment(image)[1], distances.numpy()))))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5, help="of which the median is shown (default: 5)")
    repeats = parser.parse_args().repeats
    pool = ThreadPoolExecutor(os.cpu_count())
    print(f"{os.cpu_count()} CPU cores, torch {torch.__version__}; medians of {repeats}, milliseconds a batch\n")
    print("| B | L | K | latents | loop | threads | `match` | loop / `match` | threads / `match` |")
    print("|---:|---:|---:|---|---:|---:|---:|---:|---:|", flush=True)
    for batch, num_codes, codebook_size in ((16, 32, 512), (4, 512, 4096)):
        for case in ("trained", "random", "60 clusters", "one code"):
            generator = torch.Generator().manual_seed(0)
            codebook = torch.randn(codebook_size, DIM, generator=generator)
            z = latents(case, codebook, batch, num_codes, generator)
            distances = torch.cdist(z.double(), codebook.double())
            solvers = {"loop": loop, "threads": lambda d: threads(d, pool), "match": match}
            seconds, totals = {name: [] for name in solvers}, {}
            for repeat in range(repeats + 1):
                for name, solve in solvers.items():
                    start = time.perf_counter()
                    codes = solve(distances)
                    if repeat:  # the first one warms up
                        seconds[name].append(time.perf_counter() - start)
                    totals[name] = distances.gather(2, codes[:, :, None]).sum(dim=(1, 2))
            for total in totals.values():
                torch.testing.assert_close(total, totals["loop"], rtol=1e-9, atol=0)
            ms = {name: 1000 * statistics.median(values) for name, values in seconds.items()}
            row = [batch, num_codes, codebook_size, case, *(f"{ms[name]:.2f}" for name in solvers)]
            row += [f"{ms['loop'] / ms['match']:.1f}×", f"{ms['threads'] / ms['match']:.1f}×"]
            print("|", " | ".join(map(str, row)), "|", flush=True)


if __name__ == "__main__":
    main()
