"""Measure how fast a data set is indexed, decoded and read: from the cache, and by decoding every time.

Makes a set in CelebA's layout in a temporary folder out of any pictures: each image is a picture shifted, mirrored and
brightened a little, as a JPEG of 178×218, with the lists that belong to it. Prints a table in Markdown.

    python benchmarks/data_loading.py --source DIR --images 30000
"""

import argparse
import io
import os
import random
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageEnhance, ImageOps
from timing import median, once

from pivq.data import from_uint8, load_dataset
from pivq.data.decoding import cpu_count, decode, examine, ordered_map
from pivq.data.files import Files

WIDTH, HEIGHT, ATTRIBUTES, BATCH = 178, 218, 40, 16


def main() -> None:
    """Make the set and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--source", type=Path, required=True, metavar="DIR", help="folder of pictures to make the set from")
    add("--images", type=int, default=30_000, metavar="N", help="images of the set (default: 30000)")
    add("--image-size", type=int, default=64, metavar="PIXELS", help="size to decode to (default: 64)")
    add("--repeats", type=int, default=5, metavar="R", help="of each measurement (default: 5)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["PIVQ_ROOT"] = temporary
        make_celeba(arguments.source, Path(temporary) / "data" / "celeba", arguments.images)
        measure(arguments.image_size, arguments.repeats)


def make_celeba(source: Path, folder: Path, count: int) -> None:
    """Write `count` images in CelebA's layout; how an image is changed depends on its number alone."""
    (folder / "img_align_celeba").mkdir(parents=True)
    files = Files(source)
    pictures = files.pictures()

    def write(number: int) -> None:
        chance = random.Random(number)
        with files.open(pictures[number % len(pictures)]) as file:
            image = Image.open(io.BytesIO(file.read())).convert("RGB")
        left, top = chance.randrange(9), chance.randrange(9)
        image = ImageOps.fit(image, (WIDTH + 8, HEIGHT + 8)).crop((left, top, left + WIDTH, top + HEIGHT))
        image = ImageOps.mirror(image) if chance.random() < 0.5 else image
        image = ImageEnhance.Brightness(image).enhance(chance.uniform(0.8, 1.2))
        image.save(folder / "img_align_celeba" / f"{number + 1:06d}.jpg", quality=90)

    for _ in ordered_map(write, range(count)):
        pass
    names = [f"{number + 1:06d}.jpg" for number in range(count)]
    values = np.random.default_rng(0).choice([" 1", "-1"], (count, ATTRIBUTES))
    header = [str(count), " ".join(f"Attribute_{i}" for i in range(ATTRIBUTES))]
    rows = [f"{name} {' '.join(row)}" for name, row in zip(names, values, strict=True)]
    (folder / "list_attr_celeba.txt").write_text("\n".join(header + rows) + "\n")
    parts = [0 if i < 0.8 * count else 1 if i < 0.9 * count else 2 for i in range(count)]  # about CelebA's shares
    partition = "".join(f"{name} {part}\n" for name, part in zip(names, parts, strict=True))
    (folder / "list_eval_partition.txt").write_text(partition)


def measure(image_size: int, repeats: int) -> None:
    """Print the table; "all" is the split measured, so that every image counts."""

    def load(limit: int | None = None):
        return load_dataset("celeba", "all", image_size, limit)

    listed = once(lambda: load(BATCH))  # lists all, and decodes one batch
    first = once(load)
    indexed = median(load, repeats, warm_up=0)
    dataset = load()
    count = len(dataset)
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
    batches = order[: min(count, 8000)].split(BATCH)

    def read_batches() -> None:
        for batch in batches:
            from_uint8(dataset.images[batch])

    read = sum(map(len, batches)) / median(read_batches, repeats, warm_up=0)

    files = Files(Path(os.environ["PIVQ_ROOT"]) / "data" / "celeba")
    everything = files.pictures()

    def look() -> None:
        for _ in ordered_map(lambda chunk: [examine(files, path) for path in chunk], _chunks(everything)):
            pass

    looked = once(look)
    paths = [everything[i] for i in order[: min(count, 1600)].tolist()]
    one = len(paths) / median(lambda: [decode(files, path, image_size) for path in paths], repeats, warm_up=0)

    def in_threads() -> list:
        return list(ordered_map(lambda chunk: [decode(files, path, image_size) for path in chunk], _chunks(paths)))

    several = len(paths) / median(in_threads, repeats, warm_up=0)
    threads = f"{min(16, cpu_count())} threads"
    print(f"| {count:,} images of {WIDTH}×{HEIGHT}, to {image_size}×{image_size} | median of {repeats} |\n|---|---|")
    print(f"| first load: list all, with labels and splits (once) | {listed:.2f} s |")
    print(f"| first load: check whether each can be read, {threads} (once) | {looked:.1f} s |")
    print(f"| first load: both, and decode all, {threads} (once) | {first:.1f} s |")
    print(f"| indexed: every later load, with labels and splits | {indexed:.2f} s |")
    print(f"| read from the cache, random batches of {BATCH} | {read:,.0f} images/s |")
    print(f"| decoded every time, one thread | {one:,.0f} images/s |")
    print(f"| decoded every time, {threads} | {several:,.0f} images/s |")
    print(f"| cache over decoding in {threads} | {read / several:.0f} × |")


def _chunks(paths: list[str]) -> list[list[str]]:
    return [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]


if __name__ == "__main__":
    warnings.simplefilter("error")  # a set that is made correctly causes none
    main()
