"""Peak memory of drawing, decoding and measuring samples, by their number: no image stays in memory.

    python benchmarks/sampling_memory.py quick 2000 50000
    python benchmarks/sampling_memory.py celeba64 256 1024

Each number of samples is measured in a process of its own; the weights are random. Of a sample its codes are kept, and
its row of features, which the metrics need.
"""

import argparse
import multiprocessing

import torch
from timing import peak_memory

from pivq.config import load_config
from pivq.inference import decode_levels
from pivq.model import PIVQ
from pivq.pretrained.features import extract, load_feature_network
from pivq.sampling import sample_pairs


def measure(profile: str, count: int) -> None:
    """Draw, decode and measure this number of samples, and print a row."""
    config = load_config(profile).model
    model = PIVQ(config).eval().requires_grad_(False)
    codes = torch.rand(2000, config.codebook_size).argsort(dim=1)[:, : config.num_codes]
    network = load_feature_network("efficientnet_lite0")
    samples = sample_pairs(codes, count, seed=0).codes
    features = extract(network, decode_levels(model, samples), progress=False)
    assert len(features) == count
    as_floats = count * 3 * config.image_size**2 * 4
    kept = samples.nbytes + features.nbytes
    cells = [f"{size / 2**30:.2f}" for size in (peak_memory(), kept, as_floats)]
    row = f"| `{profile}` | {count:,} | {' | '.join(cells)} |"
    print(row, flush=True)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", choices=["quick", "celeba64", "ffhq256"])
    parser.add_argument("counts", type=int, nargs="+", help="numbers of samples")
    arguments = parser.parse_args()
    print("| profile | samples | peak GiB | codes and features, GiB | all images would be, GiB |")
    print("|---|---:|---:|---:|---:|", flush=True)
    for count in arguments.counts:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(arguments.profile, count))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{count} samples: exit status {process.exitcode}")


if __name__ == "__main__":
    main()
