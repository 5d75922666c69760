"""Images per second of encoding, Algorithm 1, decoding and feature extraction, at the sizes of `quick` and `ffhq256`.

    python benchmarks/throughput.py

The weights are random; the codebook is made of the latents of other images, so that matching has what it has after
training: most latents near a code of their own.
"""

import argparse

import torch
from timing import Job, median

from pivq.config import load_config
from pivq.data import to_uint8
from pivq.model import PIVQ
from pivq.pretrained.features import FeatureNet, load_feature_network
from pivq.sampling import sample_pairs

BATCHES = {"quick": 100, "ffhq256": 4}


def rates(profile: str, batch: int, network: FeatureNet, repeats: int) -> list[float]:
    """Return images/s of encode, Algorithm 1, decode and features."""
    config, device = load_config(profile).model, network.device
    torch.manual_seed(0)
    model = PIVQ(config).to(device).eval().requires_grad_(False)
    images = torch.rand(batch, 3, config.image_size, config.image_size, device=device)
    others = torch.rand(config.codebook_size // config.num_codes + 1, *images.shape[1:], device=device)
    latents = torch.cat([model.encode_latents(part) for part in others.split(batch)])
    model.quantizer.codebook.copy_(latents.flatten(0, 1)[: config.codebook_size])
    encoded = torch.rand(10_000, config.codebook_size).argsort(dim=1)[:, : config.num_codes].contiguous()
    codes, samples = model.encode(images), 5000
    jobs: list[tuple[Job, int]] = [
        (lambda: model.encode(images), batch),
        (lambda: sample_pairs(encoded, samples, seed=0), samples),
        (lambda: model.decode(codes), batch),
        (lambda: network(to_uint8(images)), batch),
    ]
    return [count / median(job, repeats) for job, count in jobs]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, help="of which the median counts (default: 3)")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    arguments = parser.parse_args()
    network = load_feature_network("efficientnet_lite0", arguments.device)
    gpu = arguments.device == "cuda"
    print(torch.cuda.get_device_name() if gpu else f"{torch.get_num_threads()} CPU cores", end="")
    print(f"; images/s, medians of {arguments.repeats}\n")
    print("| profile | encode | Algorithm 1 | decode | features |\n|---|---:|---:|---:|---:|")
    for profile, batch in BATCHES.items():
        cells = [f"{value:,.1f}" for value in rates(profile, batch, network, arguments.repeats)]
        print(f"| `{profile}` |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
