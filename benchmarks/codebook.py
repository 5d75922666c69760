"""Fitting the codebook: seconds and inertia (sum of squared distances), against scikit-learn's k-means.

    python benchmarks/codebook.py

The latents are those of 512 learned tokens, each around a place of its own and spread in 16 directions. Peers are
`KMeans`, which is what the paper's text describes, and `MiniBatchKMeans`; a peer left out takes too long at that size.
"""

import argparse
import time

import torch
from sklearn.cluster import KMeans, MiniBatchKMeans
from torch import Tensor

from pivq.codebook_init import fit_codebook

DIM = 256
SIZES = {(25_600, 512): ("KMeans", "MiniBatchKMeans"), (50_000, 1024): ("KMeans", "MiniBatchKMeans"),
         (200_000, 4096): ("MiniBatchKMeans",)}  # fmt: skip


def make_latents(count: int) -> Tensor:
    """Return latents `(count, DIM)` float32."""
    generator = torch.Generator().manual_seed(0)
    centres, directions = (torch.randn(512, size, DIM, generator=generator) for size in (1, 16))
    latents = [
        centre + torch.randn(count // 512 + 1, 16, generator=generator) @ spread / 4
        for centre, spread in zip(centres, directions, strict=True)
    ]
    latents = torch.cat(latents)[torch.randperm(512 * (count // 512 + 1), generator=generator)[:count]]
    return latents + 0.1 * torch.randn(count, DIM, generator=generator)


def inertia(latents: Tensor, codebook: Tensor) -> float:
    """Return the sum of squared distances from latents to their nearest codes."""
    parts = (torch.cdist(part, codebook).amin(dim=1) for part in latents.split(5000))
    return sum(float(part.double().square().sum()) for part in parts)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="KMeans at the largest size too (half an hour)")
    arguments = parser.parse_args()
    print(f"d = {DIM}, {torch.get_num_threads()} threads\n")
    print("| latents | K | what | seconds | inertia / ours | codes without latents |")
    print("|---:|---:|---|---:|---:|---:|")
    for (count, codebook_size), peers in SIZES.items():
        latents = make_latents(count)
        ours = None
        for what in ("`fit_codebook`", *peers, *(["KMeans"] if arguments.all and "KMeans" not in peers else [])):
            start = time.perf_counter()
            if what == "`fit_codebook`":
                codebook = fit_codebook(latents, codebook_size, seed=0)
            else:
                peer = {"KMeans": KMeans, "MiniBatchKMeans": MiniBatchKMeans}[what]
                fitted = peer(codebook_size, n_init=1, random_state=0).fit(latents.numpy())
                codebook = torch.from_numpy(fitted.cluster_centers_)
            seconds = time.perf_counter() - start
            found = inertia(latents, codebook)
            ours = ours or found
            nearest = torch.cat([torch.cdist(part, codebook).argmin(dim=1) for part in latents.split(5000)])
            empty = codebook_size - len(nearest.unique())
            row = [f"{count:,}", f"{codebook_size:,}", what, f"{seconds:.1f}", f"{found / ours:.4f}", str(empty)]
            print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    main()
