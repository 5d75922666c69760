"""Judge pictures by classifiers that know nothing of codes, and compare faces in features. For `editing`."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pivq.metrics.traits import LEAST, TraitClassifier


class Judge:
    """Reads attributes from features of pictures; one linear classifier per attribute, fitted where it is known.

    Args:
        features: `(N, F)` of real training pictures.
        attributes: N rows of 0, 1 and missing. Attributes with fewer than `LEAST` images of either class are left out.

    Attributes:
        names: what it reads.
    """

    def __init__(self, features: NDArray, attributes: pd.DataFrame):
        known = {name: column.notna().to_numpy() for name, column in attributes.items()}
        together: dict[bytes, list[str]] = {}  # attributes that are known of the same images are fitted at once
        for name, of in known.items():
            labels = attributes.loc[of, name].astype(int)
            if LEAST <= labels.sum() <= len(labels) - LEAST:
                together.setdefault(of.tobytes(), []).append(name)
        self._readers = []
        for names in together.values():
            of = known[names[0]]
            self._readers.append(TraitClassifier(features[of], attributes.loc[of, names]))
        found = [name for reader in self._readers for name in reader.names]
        self.names = [name for name in attributes if name in found]
        self._order = np.array([found.index(name) for name in self.names], dtype=np.int64)

    def __call__(self, features: NDArray) -> NDArray[np.bool_]:
        """Return whether each picture of features `(M, F)` shows each attribute, `(M, A)` in the order of `names`."""
        read = [reader(features) for reader in self._readers]
        return np.concatenate([np.zeros((len(features), 0), dtype=bool), *read], axis=1)[:, self._order]

    def accuracy(self, features: NDArray, attributes: pd.DataFrame) -> pd.DataFrame:
        """Return by attribute the shares that are read right: of images `with` it, and of those `without` it."""
        shown, rows = self(features), {}
        for j, name in enumerate(self.names):
            label = attributes[name].to_numpy(dtype=np.float64, na_value=np.nan)
            rows[name] = {side: float((shown[label == value, j] == value).mean()) if (label == value).any() else np.nan
                          for side, value in (("with", 1), ("without", 0))}  # fmt: skip
        return pd.DataFrame.from_dict(rows, orient="index", columns=["with", "without"])


def judge_table(judge: Judge, real: NDArray, again: NDArray, attributes: pd.DataFrame) -> pd.DataFrame:
    """Return how well the judge reads held-out images: a row per attribute, the worst balanced accuracy last.

    Args:
        judge: fitted to training images.
        real, again: features `(M, F)` of held-out images and of their reconstructions.
        attributes: of these images.

    Returns:
        `attribute`; the shares read right `with` and `without` it, of images and of reconstructions; the `ceiling`,
        the mean of the last two.
    """
    first, last = judge.accuracy(real, attributes), judge.accuracy(again, attributes)
    frame = first.add_suffix(", images").join(last.add_suffix(", reconstructions"))
    frame = frame.assign(ceiling=last.mean(axis=1)).sort_values("ceiling", ascending=False, kind="stable")
    return frame.rename_axis("attribute").reset_index()


def compare_faces(features: NDArray, shown: NDArray, seed: int = 0, pairs: int = 1000) -> dict[str, float]:
    """Return the mean `distance` of features `(N, F)` between two different faces, and how many `others`, attributes
    of `shown` `(N, A)`, differ."""
    generator = np.random.default_rng(seed)
    a = generator.integers(len(features), size=pairs)
    b = (a + generator.integers(1, len(features), size=pairs)) % len(features)
    distance = np.linalg.norm(features[a] - features[b], axis=1).mean()
    return {"distance": float(distance), "others": float((shown[a] != shown[b]).sum(axis=1).mean())}
