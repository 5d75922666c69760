"""Peak memory of drawing samples, decoding them and taking their features, over their number: it should not grow.

    python benchmarks/sampling_memory.py quick 2000 50000
    python benchmarks/sampling_memory.py celeba64 256 1024

Each number of samples is measured in a process of its own; the weights are random. What is kept of a sample is a row of
features, which the metrics need.
"""

import argparse
import multiprocessing
import resource

import torch

from pivq.config import load_config
from pivq.model import PIVQ
from pivq.pretrained.features import extract, load_feature_network
from pivq.sampling import stream_samples


def measure(profile: str, count: int) -> None:
    """Draw, decode and look at so many samples, and print a row."""
    config = load_config(profile).model
    model = PIVQ(config).eval().requires_grad_(False)
    codes = torch.rand(2000, config.codebook_size).argsort(dim=1)[:, : config.num_codes]
    network = load_feature_network("efficientnet_lite0")
    images = (model.decode(batch.codes) for batch in stream_samples(codes, count, seed=0))
    features = extract(network, images, progress=False)
    assert len(features) == count
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, on Linux
    as_floats = count * 3 * config.image_size**2 * 4
    row = f"| `{profile}` | {count:,} | {peak / 2**30:.2f} | {features.nbytes / 2**30:.2f} | {as_floats / 2**30:.2f} |"
    print(row, flush=True)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", choices=["quick", "celeba64", "ffhq256"])
    parser.add_argument("counts", type=int, nargs="+", help="numbers of samples")
    arguments = parser.parse_args()
    print("| profile | samples | peak GiB | features, GiB | all images would be, GiB |")
    print("|---|---:|---:|---:|---:|", flush=True)
    for count in arguments.counts:
        process = multiprocessing.get_context("spawn").Process(target=measure, args=(arguments.profile, count))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{count} samples: exit status {process.exitcode}")


if __name__ == "__main__":
    main()
