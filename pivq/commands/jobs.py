"""Long jobs over many images: encode a folder, write samples and reconstructions, compare folders.

All of them stream, so that memory does not grow with the number of images, and those that take long go on where they
were interrupted.
"""

import csv
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import save_image
from tqdm import tqdm

from pivq.data import ImageDataset, from_uint8, load_dataset, to_uint8
from pivq.data.files import Files
from pivq.inference import encode_images
from pivq.losses import psnr
from pivq.model import PIVQ, model_digest
from pivq.pretrained.features import FeatureNet, cached_features
from pivq.runs.evaluation import compare
from pivq.runs.run import Run
from pivq.sampling import stream_samples
from pivq.storage.paths import results_dir
from pivq.storage.writing import atomic_write

CHUNK = 4096  # images whose codes are kept in one file until all are encoded
PAGE = 32  # pairs of original and reconstruction in one picture
GRID = 64  # samples in the overview


def load_folder(folder: Path, image_size: int, limit: int | None = None, on_error: str = "raise") -> ImageDataset:
    """Return all images of a folder or zip, in natural order and without labels; see `pivq.data.load.load_dataset`."""
    return load_dataset(folder, "all", image_size=image_size, limit=limit, layout="folder", on_error=on_error)


def picture_size(folder: Path) -> int:
    """Return the shorter side, in pixels, of the first image of a folder that can be read.

    Raises:
        ValueError: there is none.
    """
    files = Files(folder)
    for path in files.pictures():
        # What cannot be read is reported, or skipped, with all other such files when the images are loaded.
        with suppress(OSError), files.open(path) as file, Image.open(file) as picture:
            return min(picture.size)
    raise ValueError(f"no images in {folder}")


def encode_dataset(model: PIVQ, dataset: ImageDataset, out: Path, batch_size: int = 64) -> bool:
    """Write the codes of all images to a file; go on where an earlier call was interrupted.

    Finished stretches of `CHUNK` images are kept in the folder `<out>.partial` until the file is written, and used
    again if model and images are the same.

    Args:
        model: on the device to use.
        dataset: images of the model's size.
        out: gets `codes` `(N, L)` in the smallest unsigned type, `ids` `(N,)` in the same order, and `made_from`.
        batch_size: images at a time.

    Returns:
        False if the file was there already, of this model and these images.

    Raises:
        FileExistsError: the file is there, of another model or other images.
    """
    made_from = json.dumps({"model": model_digest(model), "images": dataset.fingerprint})
    if out.exists():
        with np.load(out) as file:
            if "made_from" not in file or str(file["made_from"]) != made_from:
                raise FileExistsError(f"{out} holds codes of another model or other images: delete it, or rename --out")
        return False
    parts = out.with_name(out.name + ".partial")
    if parts.exists() and _text(parts / "made_from.json") != made_from:
        shutil.rmtree(parts)
    with atomic_write(parts / "made_from.json") as temporary:
        temporary.write_text(made_from)
    small, codes = np.min_scalar_type(model.config.codebook_size - 1), []
    with tqdm(total=len(dataset), desc="encoding", unit="img", dynamic_ncols=True) as bar:
        for start in range(0, len(dataset), CHUNK):
            path, images = parts / f"{start:09d}.npy", dataset.images[start : start + CHUNK]
            if not path.exists():
                rows = [encode_images(model, batch, batch_size) for batch in _shown(images.split(batch_size), bar)]
                with atomic_write(path) as temporary:
                    np.save(temporary, np.concatenate(rows).astype(small))
            codes.append(np.load(path))
            bar.n = start + len(images)
            bar.refresh()
    with atomic_write(out) as temporary:
        np.savez_compressed(temporary, codes=np.concatenate(codes), ids=np.array(dataset.ids), made_from=made_from)
    shutil.rmtree(parts)
    return True


def write_samples(run: Run, count: int, out: Path, seed: int, device: torch.device | str = "cpu") -> int:
    """Write samples of Algorithm 1 as `000000.png`, …, and `pairs.csv` with the ids of their parents.

    Sample i depends on the run, the seed and i alone. Pictures that an earlier call with the same run and seed left are
    kept: `samples.json` says what a folder holds.

    Returns:
        How many pictures were made.

    Raises:
        FileExistsError: the folder holds something else, or more samples than are asked for.
        ValueError: see `pivq.sampling.sample_pairs`.
    """
    model = run.model(device)
    codes = run.codes("train")
    with np.load(run.folder / "codes.npz") as file:
        ids = file["train_ids"]
    _claim(out, _made_from(model, codes, seed), count)
    made = 0
    with (
        atomic_write(out / "pairs.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8") as file,
        tqdm(total=count, desc="sampling", unit="img", dynamic_ncols=True) as bar,
    ):
        table = csv.writer(file)
        table.writerow(["image", "parent_a", "parent_b"])
        for batch in stream_samples(torch.from_numpy(codes), count, seed, run.quantizer == "nearest"):
            paths = [out / _name(i) for i in range(bar.n, bar.n + len(batch.codes))]
            if not all(path.exists() for path in paths):
                for path, image in zip(paths, to_uint8(model.decode(batch.codes.to(device))).cpu(), strict=True):
                    if not path.exists():
                        _save_png(path, image)
                        made += 1
            parents = ids[batch.pairs.numpy()]
            table.writerows([path.name, *pair] for path, pair in zip(paths, parents.tolist(), strict=True))
            bar.update(len(paths))
    return made


def write_grid(folder: Path, count: int) -> Path:
    """Write an overview of the first samples in a folder beside it, where nobody takes it for a sample."""
    pixels = [np.asarray(Image.open(folder / _name(i))) for i in range(min(count, GRID))]
    path = folder.with_name(f"{folder.name}-grid.png")
    with atomic_write(path) as temporary:
        save_image(from_uint8(torch.from_numpy(np.stack(pixels))).permute(0, 3, 1, 2), temporary, nrow=8, padding=1)
    return path


def reconstruct(model: PIVQ, images: Tensor, out: Path) -> tuple[float, float]:
    """Write pairs, original on the left and reconstruction on the right, as `reconstructions-000.png`, …

    Args:
        model: on the device to use.
        images: uint8 `(N, 3, H, W)` of the model's size.
        out: folder.

    Returns:
        Mean L1 on the [0, 1] scale, and mean PSNR in dB.
    """
    device, sums = next(model.parameters()).device, torch.zeros(2, dtype=torch.float64)
    pages = images.split(PAGE)
    for number, batch in enumerate(tqdm(pages, desc="reconstructing", unit="page", dynamic_ncols=True)):
        originals = from_uint8(batch.to(device))
        made = model.decode(model.encode(originals))
        l1 = (made - originals).abs().mean(dim=(1, 2, 3))
        sums += torch.stack([l1.sum(), psnr(made, originals).sum()]).cpu()
        with atomic_write(out / f"reconstructions-{number:03d}.png") as temporary:
            save_image(torch.cat([originals, made], dim=3).cpu(), temporary, nrow=4, padding=2)
    l1, decibels = (sums / len(images)).tolist()
    return l1, decibels


def evaluate_images(real: ImageDataset, fake: ImageDataset, network: FeatureNet, ks: Sequence[int]) -> dict[str, Any]:
    """Return the five metrics of images against real ones, with their protocol; features are cached.

    Args:
        real: N images.
        fake: M images.
        network: of the features.
        ks: neighbours of precision, recall, density and coverage.
    """
    made = _features(network, fake.images, fake.fingerprint)
    return _report(real, made, network, ks) | {"samples": "images of a folder"}


def evaluate_run(
    real: ImageDataset, run: Run, count: int, seed: int, network: FeatureNet, ks: Sequence[int]
) -> dict[str, Any]:
    """Return the five metrics of samples of a run (Algorithm 1), drawn and measured in a stream; see `evaluate_images`.

    Args:
        real: N images.
        run: with its training codes.
        count: M, samples to draw.
        seed: of the draw.
        network: of the features; the model runs on its device.
        ks: neighbours.
    """
    model, codes = run.model(network.device), run.codes("train")
    drawn = stream_samples(torch.from_numpy(codes), count, seed, run.quantizer == "nearest")
    images = (model.decode(batch.codes.to(network.device)) for batch in drawn)
    made = _features(network, images, json.dumps([_made_from(model, codes, seed), count]))
    return _report(real, made, network, ks) | {"samples": f"Algorithm 1 on {run.folder.name}", "seed": seed}


def _report(real: ImageDataset, made: np.ndarray, network: FeatureNet, ks: Sequence[int]) -> dict[str, Any]:
    row = compare(_features(network, real.images, real.fingerprint), {"made": made}, ks, network.device)["made"]
    return {
        "metrics": {network.distance_name: row.pop("distance")} | row,
        "features": network.label,
        "preprocessing": network.preprocessing,
        "N": len(real),
        "M": len(made),
        "k": list(ks),
    }


def _features(network: FeatureNet, images: Tensor | Iterator[Tensor], identity: str) -> np.ndarray:
    return cached_features(network, images, results_dir("folder") / "features", identity=identity)


def _made_from(model: PIVQ, codes: np.ndarray, seed: int) -> dict[str, Any]:
    """Return what decides samples of Algorithm 1."""
    return {"model": model_digest(model), "codes": hashlib.sha256(codes).hexdigest()[:16], "seed": seed}


def _claim(folder: Path, made_from: dict[str, Any], count: int) -> None:
    """Take an empty folder for samples, or one with some of the same."""
    manifest, wanted = folder / "samples.json", json.dumps(made_from)
    if not manifest.exists():
        if folder.exists() and any(folder.iterdir()):
            raise FileExistsError(f"{folder} is not empty and holds no samples: choose another folder")
        with atomic_write(manifest) as temporary:
            temporary.write_text(wanted)
    if _text(manifest) != wanted:
        raise FileExistsError(f"{folder} holds samples of another run or seed: choose another folder, or delete it")
    if (folder / _name(count)).exists():
        raise FileExistsError(f"{folder} holds more than {count} samples: ask for more, or choose another folder")


def _name(sample: int) -> str:
    return f"{sample:06d}.png"


def _save_png(path: Path, image: Tensor) -> None:
    """Write an image, uint8 `(3, H, W)`, whole or not at all."""
    with atomic_write(path) as temporary:
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(temporary)


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _shown(batches: Sequence[Tensor], bar: tqdm) -> Iterator[Tensor]:
    """Yield batches and move the bar by each once it is done."""
    for batch in batches:
        yield batch
        bar.update(len(batch))
