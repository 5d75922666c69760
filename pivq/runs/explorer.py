"""The moves of the explorer on an image's set of codes: walk, exchange, breed, edit; no widget and no picture here.

`notebooks/explore.ipynb` shows them with widgets (`pivq.figures.explorer_panel`); `docs/explorer/make_page.py` writes
what they need into a page that runs without Python.
"""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.linear_model import LogisticRegression

from pivq.data import ImageDataset, to_uint8
from pivq.data.decoding import decode
from pivq.data.files import Files
from pivq.inference import encode_images
from pivq.model import PIVQ
from pivq.probing import INVERSE_REGULARISATION, MAX_ITERATIONS, SOLVER, pixel_statistics
from pivq.sampling import interpolate, smooth_path
from pivq.usage import presence, slot_usage

# From this dominant share on (`pivq.usage.SlotUsage`), a code is said to belong to one slot. Source: assumption; with
# learned tokens it is 1.0 in `figures/quick/capacity.json`, with drawn ones and matching 0.33.
SLOT_SHARE = 0.9
ALTERNATIVES = 24  # codes offered in exchange for a code, where codes have no slots
FEWEST_LABELS = 5  # of each class, for an attribute to edit by


def is_interactive() -> bool:
    """Return whether someone can click widgets: in JupyterLab, VS Code or Colab, not in papermill or nbconvert."""
    notebook = "JPY_SESSION_NAME" in os.environ or "google.colab" in sys.modules
    notebook = notebook or hasattr(sys.modules["__main__"], "__vsc_ipynb_file__")  # set by VS Code in its kernels
    return notebook and importlib.util.find_spec("ipywidgets") is not None


def labels_to_edit(dataset: ImageDataset) -> pd.DataFrame:
    """Return a data set's attributes; where it has none, properties of pixels that half of the images have."""
    if dataset.attributes is not None:
        return dataset.attributes
    statistics = pixel_statistics(dataset.images.numpy(), dataset.ids)
    return (statistics > statistics.median()).astype("Int8")


def read_picture(picture: bytes | Path, image_size: int) -> torch.Tensor:
    """Return a picture, a file or the content of one, as uint8 `(3, H, W)`: upright, cropped to a square and resized.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableImage: it is no complete picture, or too large; says why (`pivq.data.decoding`).
    """
    if isinstance(picture, bytes):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "picture").write_bytes(picture)
            return read_picture(Path(folder) / "picture", image_size)
    picture = picture.expanduser()
    if not picture.is_file():
        raise FileNotFoundError(f"no file {picture}: give the path of a picture")
    return torch.from_numpy(decode(Files(picture.parent, only=[picture.name]), picture.name, image_size))


class Explorer:
    """A trained model, and what the codes of many faces say about its codes.

    Sets of codes are int64 arrays `(L,)`. A move keeps the others of a set at their places, so that what changes can
    be followed; the places mean nothing to the model.

    Args:
        model: in evaluation mode.
        codes: of faces that the model encoded, `(N, L)`.
        attributes: of these faces, N rows in their order; columns of 0, 1 and missing. Without it nothing is edited.

    Attributes:
        uses: `(K,)`, how many of the faces have each code.
        has_slots: whether each code belongs to one slot, a learned token of the encoder.
        owners: `(K,)`, the slot that takes each code most often.
        alternatives: for each code those it can be exchanged for, best first. With slots, the other codes of its slot,
            the most frequent first. Without, the codes that share a face with it least often, compared with chance:
            codes of one slot exclude each other, and so do these.
    """

    def __init__(self, model: PIVQ, codes: ArrayLike, attributes: pd.DataFrame | None = None):
        self.model, self.codes = model, np.asarray(codes)
        if attributes is not None and len(attributes) != len(self.codes):
            raise ValueError(f"{len(self.codes)} rows of codes, but {len(attributes)} of attributes: both of one split")
        size = model.config.codebook_size
        self._presence = presence(self.codes, size)
        self.uses = np.asarray(self._presence.sum(axis=0)).ravel().astype(np.int64)
        slots = slot_usage(self.codes, size)
        self.has_slots, self.owners = slots.dominant_share >= SLOT_SHARE, slots.counts.argmax(axis=0)
        self.alternatives = self._alternatives()
        self._attributes, self._probes = attributes, {}

    def _alternatives(self) -> list[NDArray[np.int64]]:
        used = np.flatnonzero(self.uses)
        if self.has_slots:
            ordered = used[np.argsort(-self.uses[used], kind="stable")]
            by_slot = [ordered[self.owners[ordered] == slot] for slot in range(self.codes.shape[1])]
            return [by_slot[slot][by_slot[slot] != code] for code, slot in enumerate(self.owners)]
        together = (self._presence.T @ self._presence).toarray()
        excess = together - np.outer(self.uses, self.uses) / len(self.codes)  # over that of independent codes
        ordered = [used[np.argsort(row[used], kind="stable")] for row in excess]
        return [others[others != code][:ALTERNATIVES] for code, others in enumerate(ordered)]

    # --- Pictures -----------------------------------------------------------------------------------------------------

    def decode(self, codes: ArrayLike) -> torch.Tensor:
        """Return the images of sets of codes `(B, L)`, uint8 `(B, 3, H, W)` on the CPU."""
        return to_uint8(self.model.decode(torch.as_tensor(np.array(codes))).cpu())

    def encode(self, picture: bytes | Path) -> tuple[torch.Tensor, NDArray[np.int64]]:
        """Return a picture as the model sees it, uint8 `(3, H, W)`, and its codes `(L,)`; errors as `read_picture`."""
        image = read_picture(picture, self.model.config.image_size)
        return image, encode_images(self.model, image[None])[0]

    # --- Moves --------------------------------------------------------------------------------------------------------

    def path(self, a: ArrayLike, b: ArrayLike, seed: int) -> NDArray[np.int64]:
        """Return a smooth path `(|R| + 1, L)` from a to b; another seed is another order of the exchanges."""
        rows = smooth_path(torch.tensor(b), torch.tensor(a), torch.Generator().manual_seed(seed), multiset=True)
        return rows.numpy()  # row 0 is the second argument's: a

    def breed(self, a: ArrayLike, b: ArrayLike, count: int, seed: int) -> NDArray[np.int64]:
        """Return `count` recombinations of two sets, `(count, L)`, by Algorithm 1."""
        pair = (torch.tensor(np.tile(codes, (count, 1))) for codes in (a, b))
        return interpolate(*pair, torch.Generator().manual_seed(seed), multiset=True).numpy()

    def exchanges(self, codes: ArrayLike, place: int, most: int | None = None) -> NDArray[np.int64]:
        """Return the codes that can take the place of `codes[place]`, best first: no code comes twice."""
        offered = self.alternatives[codes[place]]
        return offered[~np.isin(offered, codes)][:most]

    def edit(self, codes: ArrayLike, attribute: str, count: int) -> NDArray[np.int64]:
        """Return a set `(L,)` with up to |count| codes exchanged for those that the probe names.

        Each exchange is the one that changes the probe's sum of coefficients most: upwards, to add the attribute, for a
        positive count, downwards for a negative one. It ends early if none changes it in that direction.
        """
        codes, weights = np.array(codes), np.sign(count) * self.coefficients(attribute)[0]
        for _ in range(abs(count)):
            best, gain = None, 0.0
            for place, code in enumerate(codes):
                offered = self.exchanges(codes, place)
                if len(offered) and (found := (weights[offered] - weights[code]).max()) > gain:
                    best, gain = (place, offered[(weights[offered] - weights[code]).argmax()]), found
            if best is None:
                break
            codes[best[0]] = best[1]
        return codes

    # --- What is known of codes ---------------------------------------------------------------------------------------

    def sharing(self, code: int) -> NDArray[np.int64]:
        """Return the faces that have a code, as rows of `codes`."""
        return self._presence[:, [code]].nonzero()[0].astype(np.int64)

    @staticmethod
    def origins(codes: ArrayLike, a: ArrayLike, b: ArrayLike) -> list[str]:
        """Return for each code of a set which of two others has it: "both", "a", "b" or "neither".

        Example:
            >>> Explorer.origins([1, 2, 3, 4], [1, 2, 7, 8], [1, 3, 7, 9])
            ['both', 'a', 'b', 'neither']
        """
        names = {(True, True): "both", (True, False): "a", (False, True): "b", (False, False): "neither"}
        return [names[found] for found in zip(np.isin(codes, a).tolist(), np.isin(codes, b).tolist(), strict=True)]

    @property
    def attributes(self) -> list[str]:
        """Return the attributes that can be edited: those with `FEWEST_LABELS` or more of each class."""
        if self._attributes is None:
            return []
        counts = {name: column.dropna().astype(int).value_counts() for name, column in self._attributes.items()}
        return [name for name, found in counts.items() if len(found) == 2 and found.min() >= FEWEST_LABELS]

    def coefficients(self, attribute: str) -> tuple[NDArray[np.float64], float]:
        """Return the probe of an attribute: one coefficient per code, `(K,)`, and the intercept (Section 3.8)."""
        if attribute not in self._probes:
            labels = self._attributes[attribute]
            known = labels.notna().to_numpy()
            probe = LogisticRegression(solver=SOLVER, C=INVERSE_REGULARISATION, max_iter=MAX_ITERATIONS)
            probe.fit(self._presence[known], labels[known].astype(int))
            self._probes[attribute] = probe.coef_[0], float(probe.intercept_[0])
        return self._probes[attribute]

    def chance(self, codes: ArrayLike, attribute: str) -> float:
        """Return the probability, 0 … 1, that the probe gives to an attribute of an image with these codes."""
        weights, intercept = self.coefficients(attribute)
        return float(1 / (1 + np.exp(-intercept - weights[np.unique(codes)].sum())))
