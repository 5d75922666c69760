"""The small model that comes with the project, shown by notebooks until there is a run of one's own.

The run that makes `figures/<profile>/` leaves its model of learned tokens and matching there, in `model/`: the weights
in half precision, and the codes of the held-out images. In `figures/quick/` both are part of the project, so that the
method can be seen before anything is trained.
"""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pivq.config import Config
from pivq.inference import encode_images
from pivq.model import PIVQ, model_digest
from pivq.runs.models import models, require_models
from pivq.runs.provenance import UNKNOWN
from pivq.runs.run import Run, arrays_digest, find_run, read_arrays, signature
from pivq.runs.splits import load_split
from pivq.storage.checkpoint import SETTINGS, load_stored, save_export
from pivq.storage.paths import CHECKOUT, figures_dir
from pivq.storage.writing import atomic_write, read_sealed

LABEL = "learned, matching"  # of the model, as in `pivq.runs.models.models`
FOLDER = "model"  # in `figures/<profile>/`
MOST_BYTES = 3_000_000  # of its weights; a larger model is not kept


@dataclass(frozen=True)
class ShippedRun(Run):
    """A shipped model in the place of a run: it has a model, codes and a summary, but no log and no pictures."""

    @property
    def summary(self) -> dict[str, Any]:
        """Return what is known of the training: steps, held-out L1 and PSNR, codes in use, …"""
        return load_stored(self.folder).facts

    def model(self, device: str | torch.device = "cpu") -> PIVQ:
        """Return the model in evaluation mode, in single precision."""
        return PIVQ.from_pretrained(self.folder, device)

    def codes(self, split: str) -> np.ndarray:
        """Return the codes of a split, `(N, L)` int64: of held-out images the stored ones, of others encoded now."""
        return _codes(self, split).copy()

    def ids(self, split: str) -> np.ndarray:
        """Return the ids of a split's images, `(N,)` texts, in the order of `codes`."""
        return np.array(load_split(self.config, split).ids)


@lru_cache(maxsize=4)
def _codes(run: ShippedRun, split: str) -> np.ndarray:
    images, facts = load_split(run.config, split), run.summary
    if split == "heldout" and facts["images"] == signature(images):
        try:
            return read_arrays(run.folder / "codes.npz", facts["codes"])["codes"].astype(np.int64)
        except (OSError, ValueError) as error:
            warnings.warn(f"{error}; the codes are made again from the shipped model", stacklevel=3)
    return encode_images(run.model(), images.images)


def ship(run: Run) -> Path | None:
    """Keep a run's model in half precision, and its codes of the held-out images, in `figures/<profile>/model/`.

    Return the folder, or None for a model of more than `MOST_BYTES`, which is not kept (docs/sharing.md exports it).
    """
    stored, folder = load_stored(run.folder), figures_dir(run.config.profile, run.config.seed) / FOLDER
    weights = {name: value.half() if value.is_floating_point() else value for name, value in stored.weights.items()}
    if sum(value.nbytes for value in weights.values()) > MOST_BYTES:
        return None
    model = PIVQ(run.config.model, run.quantizer).eval().requires_grad_(False)
    model.load_state_dict(weights)  # half precision may change a code: those of this very model are kept
    images = load_split(run.config, "heldout")
    small = np.min_scalar_type(run.config.model.codebook_size - 1)
    arrays = {"codes": encode_images(model, images.images).astype(small), "ids": np.array(images.ids)}
    facts = stored.facts | {
        "digest": run.config.digest(run.quantizer), "code": run.summary.get("code", UNKNOWN), "precision": "float16",
        "model": model_digest(model), "codes": arrays_digest(arrays), "images": signature(images),
    }  # fmt: skip
    save_export(folder, stored._replace(weights=weights, facts=facts))
    with atomic_write(folder / "codes.npz") as temporary:
        np.savez_compressed(temporary, **arrays, sha256=arrays_digest(arrays))
    return folder


def shipped_run(config: Config) -> ShippedRun | None:
    """Return the shipped model of exactly these settings in the place of a run, or None.

    Warns:
        UserWarning: a shipped model is damaged, and not used.
    """
    for folder in (figures_dir(config.profile, config.seed) / FOLDER, CHECKOUT / "figures" / "quick" / FOLDER):
        settings = folder / SETTINGS
        try:
            if read_sealed(settings)["run"].get("digest") == config.digest("matching"):
                return ShippedRun(folder, config, "matching")
        except FileNotFoundError:
            if folder.is_dir():
                warnings.warn(f"{settings} is gone: that shipped model is not used", stacklevel=2)
        except (OSError, ValueError, KeyError, AttributeError) as error:
            warnings.warn(f"{settings} is damaged: that shipped model is not used ({error})", stacklevel=2)
    return None


def find_shown(config: Config) -> Run | None:
    """Return the finished run of learned tokens with matching, else the shipped model of these settings, else None."""
    return find_run(config, "matching") or shipped_run(config)


def runs_to_show(config: Config) -> dict[str, Run]:
    """Return the finished runs by label (`pivq.runs.models.models`); unless all are there, the shipped model alone.

    Raises:
        MissingRun: they are not, and no model of these settings is shipped; says which notebook trains them.
        OtherImages: see `pivq.runs.run.require_run`.
    """
    if not all(find_run(*job) for job in models(config).values()) and (shipped := shipped_run(config)):
        return {LABEL: shipped}
    return require_models(config)


def model_to_show(config: Config) -> tuple[PIVQ, np.ndarray, str]:
    """Return a model, the codes `(N, L)` int64 of the held-out images, and a sentence that says which model it is.

    Raises:
        MissingRun: there is neither a run nor a shipped model; see `runs_to_show`.
    """
    run = find_shown(config) or require_models(config)[LABEL]
    return run.model(), run.codes("heldout"), which(run)


def which(run: Run | None) -> str:
    """Return a sentence that says which model is shown: a run, the shipped one, or, for None, an untrained one."""
    if run is None:
        return "An untrained model: its images are no faces. Notebook 03 trains one."
    if isinstance(run, ShippedRun):
        return (
            f"The model that comes with the project (profile {run.config.profile}, {run.summary['steps']:,} steps, "
            f"seed {run.config.seed}, in half precision). Notebook 03 trains one of your own."
        )
    return f"The trained model of your run {run.folder.name}."
