"""Long jobs over many images: encode a folder, write samples and reconstructions, compare folders.

Images are streamed: in memory, only codes and features grow with their number. Long jobs resume when interrupted.
"""

import csv
import hashlib
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from pivq.commands.pictures import BATCH, NAME, claim, write_missing
from pivq.config import Config
from pivq.data import ImageDataset, load_dataset
from pivq.data.decoding import UnreadableImage, examine, quiet_pillow
from pivq.data.files import Files
from pivq.data.places import find_pictures
from pivq.inference import encode_images, reconstruction_errors
from pivq.model import PIVQ, model_digest
from pivq.pretrained.features import FeatureNet
from pivq.processes import pick_device
from pivq.rivals.recipe.settings import as_recipe
from pivq.runs.beyond.recipe_training import recipe_dir, steps_left, train_recipe
from pivq.runs.evaluation import compare, decoded_features, draw_samples, image_features
from pivq.runs.run import Run, arrays_digest, read_arrays
from pivq.runs.splits import load_split
from pivq.sampling import sample_batches
from pivq.storage.checkpoint import has_checkpoint
from pivq.storage.writing import atomic_write, kept_arrays, no_formula, write_text

CHUNK = 4096  # images whose codes are kept in one file until all are encoded
PAGE = 32  # pairs of original and reconstruction in one picture


def train_by_recipe(config: Config, name: str, device: str = "auto") -> str:
    """Train by a recipe that is not the paper's, and write the model as a folder to share; return what to tell of it.

    Raises:
        ValueError: see `pivq.runs.beyond.recipe_training.train_recipe`.
    """
    with tqdm(total=steps_left(config, name), desc=f"recipe: {name}", unit="step", dynamic_ncols=True) as bar:
        model, facts = train_recipe(config, name, device, bar)
    heldout, on, folder = load_split(config, "heldout").images, pick_device(device), recipe_dir(config, name)
    l1, psnr = reconstruction_errors(lambda images: model.decode(model.encode(images)), heldout, BATCH, on)
    model.facts = {"profile": config.profile, "dataset": config.dataset, "seed": config.seed, "steps": facts["steps"],
                   "planned_steps": facts["steps"], "heldout_l1": l1, "heldout_psnr": psnr, "recipe": name}  # fmt: skip
    said = f"recipe {name!r}: {facts['steps']:,} steps, held-out L1 {l1:.4f}, PSNR {psnr:.2f} dB"
    if as_recipe(name).projection > 1:  # its maps before and after the codes are no part of a PIVQ
        return f"{said}\n{folder}\nIts codes are projected: open it in Python, with train_recipe."
    model.save_pretrained(folder / "model")
    return f"{said}\n{folder / 'model'}"


def load_folder(
    folder: Path, image_size: int, limit: int | None = None, layout: str = "folder", on_error: str = "raise"
) -> ImageDataset:
    """Return all images of a folder or zip, in natural order; see `pivq.data.load.load_dataset`."""
    return load_dataset(folder, "all", image_size=image_size, limit=limit, layout=layout, on_error=on_error)


def picture_size(folder: Path) -> int:
    """Return the shorter side, in pixels, of the first image of a folder that can be read.

    Raises:
        ValueError: there is none.
    """
    pictures, paths, _ = find_pictures(Files(folder))
    with quiet_pillow():
        for path in paths:
            with suppress(UnreadableImage):  # reported, or skipped, all together when the images are loaded
                return min(examine(pictures, path))
    raise ValueError(f"no images in {folder}" + (" that can be read" if paths else ""))


def encode_dataset(model: PIVQ, dataset: ImageDataset, out: Path, batch_size: int = 64) -> bool:
    """Write the codes of all images, of the model's size, to a file; return False if the file was there already.

    It holds `codes` `(N, L)` in the smallest unsigned type, `ids` `(N,)` in the same order, and `made_from`. The codes
    of each `CHUNK` images are kept in the folder `<out>.partial` until the file is written. A later call resumes from
    these if model and images are the same.

    Raises:
        FileExistsError: the file is there, of another model or other images, or damaged.

    Warns:
        UserWarning: codes in the folder are damaged; they are made again.
    """
    made_from = json.dumps({"model": model_digest(model), "images": dataset.fingerprint} | _quantizer(model))
    if out.exists():
        try:
            found = read_arrays(out)
        except ValueError as error:
            raise FileExistsError(f"{error}: delete it, or change --out") from error
        if str(found.get("made_from")) != made_from or len(found.get("codes", ())) != len(dataset):
            raise FileExistsError(f"{out} holds codes of another model or other images: delete it, or change --out")
        return False
    parts = out.with_name(out.name + ".partial")
    note = parts / "made_from.json"
    if parts.exists() and not (note.exists() and note.read_bytes() == made_from.encode()):
        shutil.rmtree(parts)
    write_text(note, made_from)
    small, codes = np.min_scalar_type(model.config.codebook_size - 1), []
    with tqdm(total=len(dataset), desc="encoding", unit="img", dynamic_ncols=True) as bar:
        for start in range(0, len(dataset), CHUNK):
            images = dataset.images[start : start + CHUNK]

            def encode(images: Tensor = images) -> dict[str, np.ndarray]:
                rows = []
                for batch in images.split(batch_size):
                    rows.append(encode_images(model, batch, batch_size))
                    bar.update(len(batch))
                return {"codes": np.concatenate(rows).astype(small)}

            path, part = parts / f"{start:09d}.npz", {"made_from": made_from, "rows": str(len(images))}
            what = f"the codes of {len(images):,} images"
            codes.append(kept_arrays(path, part, encode, what, arrays_digest, compress=False)["codes"])
            bar.update(start + len(images) - bar.n)
    arrays = {"codes": np.concatenate(codes), "ids": np.array(dataset.ids), "made_from": np.array(made_from)}
    with atomic_write(out) as temporary:
        np.savez_compressed(temporary, **arrays, sha256=arrays_digest(arrays))
    shutil.rmtree(parts)
    return True


def write_samples(run: Run, count: int, out: Path, seed: int, device: torch.device | str = "cpu") -> int:
    """Write samples of Algorithm 1 as `000000.png`, …, and `pairs.csv` with the ids of their parents.

    Sample i depends on the run, the seed and i alone. Pictures that an earlier call with the same run and seed wrote
    are kept, if they are whole: `samples.json` says what a folder holds. Return how many pictures were made.

    Raises:
        FileExistsError: the folder holds something else, or more samples than are asked for.
        ValueError: see `pivq.sampling.sample_pairs`.
    """
    model, codes, ids = run.model(device), run.codes("train"), run.ids("train")
    facts = {"model": model_digest(model), "codes": hashlib.sha256(codes).hexdigest()[:16], "seed": seed}
    facts |= _quantizer(model)
    claim(out / "samples.json", facts, "samples", "another run or seed")
    if (out / NAME.format(count)).exists():
        raise FileExistsError(f"{out} holds more than {count} samples: ask for more, or choose another folder")
    made, multiset = 0, run.quantizer == "nearest"
    with (
        atomic_write(out / "pairs.csv") as temporary,
        open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file,
        tqdm(total=count, desc="sampling", unit="img", dynamic_ncols=True) as bar,
    ):
        table = csv.writer(file)
        table.writerow(["image", "parent_a", "parent_b"])
        for batch in sample_batches(torch.from_numpy(codes), count, seed, multiset, batch_size=BATCH):
            paths = [out / NAME.format(i) for i in range(bar.n, bar.n + len(batch.codes))]
            made += write_missing(model, batch.codes, paths)
            parents = ids[batch.pairs.numpy()].tolist()
            table.writerows([path.name, *map(no_formula, pair)] for path, pair in zip(paths, parents, strict=True))
            bar.update(len(paths))
    return made


def reconstruct(model: PIVQ, images: Tensor, out: Path) -> tuple[float, float]:
    """Write pairs, original on the left and reconstruction on the right, as `reconstructions-000.png`, …

    `images` are uint8 `(N, 3, H, W)` of the model's size. Return mean L1 on the [0, 1] scale and mean PSNR in dB.

    Raises:
        FileExistsError: `out` is the folder of a run, which has pictures of such names; or it holds something else than
            reconstructions of these images by this model, which `reconstructions.json` says.
    """
    if has_checkpoint(out):
        raise FileExistsError(f"{out} is the folder of a run: choose another --out")
    digest = hashlib.sha256()
    for start in range(0, len(images), CHUNK):
        digest.update(images[start : start + CHUNK].contiguous().numpy())
    facts = {"model": model_digest(model), "images": digest.hexdigest()[:16], "count": len(images)}
    facts |= _quantizer(model)
    claim(out / "reconstructions.json", facts, "reconstructions", "another model or other images")
    from torchvision.utils import save_image  # here: it takes seconds, and most processes never need it

    bar = tqdm(total=-(-len(images) // PAGE), desc="reconstructing", unit="page", dynamic_ncols=True)

    def write_page(originals: Tensor) -> Tensor:
        made = model.decode(model.encode(originals))
        with atomic_write(out / f"reconstructions-{bar.n:03d}.png") as temporary:
            save_image(torch.cat([originals, made], dim=3).cpu(), temporary, nrow=4, padding=2)
        bar.update()
        return made

    with bar:
        return tuple(reconstruction_errors(write_page, images, PAGE, next(model.parameters()).device))


def _quantizer(model: PIVQ) -> dict[str, str]:
    """Return what tells two models of the same weights apart, as both quantizers' are before they part.

    For "matching" it is nothing, so that files of earlier versions stay valid.
    """
    return {} if model.quantizer_name == "matching" else {"quantizer": model.quantizer_name}


def evaluate_images(real: ImageDataset, fake: ImageDataset, network: FeatureNet, ks: Sequence[int]) -> dict[str, Any]:
    """Return the five metrics of images against real ones, with their protocol; `ks` are the numbers of neighbours."""
    features = [image_features(images, network, "folder") for images in (real, fake)]
    return _report(*features, network, ks, samples="images of a folder")


def evaluate_run(
    real: ImageDataset, run: Run, count: int, seed: int, network: FeatureNet, ks: Sequence[int]
) -> dict[str, Any]:
    """Return the five metrics of `count` samples of a run (Algorithm 1); see `evaluate_images`.

    Protocol and cached features are those of notebook 06 (`pivq.runs.evaluation`).
    """
    features = image_features(real, network, run.config.profile)
    made = decoded_features(run, network, draw_samples(run, count, seed).codes)
    return _report(features, made, network, ks, samples=f"Algorithm 1 on {run.folder.name}", seed=seed)


def _report(real: Any, made: Any, network: FeatureNet, ks: Sequence[int], **protocol: Any) -> dict[str, Any]:
    """Compare features `(N, F)` and `(M, F)`."""
    row = compare(real, {"made": made}, ks, network.device)["made"]
    metrics = {network.distance_name: row.pop("distance")} | row
    features = {"features": network.label, "preprocessing": network.preprocessing}
    return {"metrics": metrics} | features | {"N": len(real), "M": len(made), "k": list(ks)} | protocol
