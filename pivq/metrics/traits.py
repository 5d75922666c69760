"""Which traits an image shows, read by a classifier of pictures, and which of them recombination gains and loses.

"A random image that contains all the features shared by C_a and C_b as well as a mixture" (Section 3.5): where every
image has labels, this can be counted.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pivq.metrics.frechet import as_features, as_rows, finite

REGULARISATION = 100.0  # of the ridge, on standardised features; source: assumption
LEAST = 20  # images with a trait, and without it, that a classifier is fitted to


class TraitClassifier:
    """Linear classifiers of features, one per attribute, fitted to images whose labels are known.

    They are to read *decoded* images, so fit them to features of reconstructions: what decoding blurs is then part of
    what a trait looks like.

    Args:
        features: `(N, F)`.
        attributes: N rows of 0, 1 and missing. Attributes with a missing label, or with fewer than `LEAST` images on
            either side, are left out.

    Attributes:
        names: the attributes that are read.

    Raises:
        TypeError: attributes that are no frame.
        ValueError: features that are not `(N, F)` finite numbers, another number of rows, or no attribute that can be
            read.
    """

    def __init__(self, features: ArrayLike, attributes: pd.DataFrame):
        # here: it takes a second to load, and few need it
        from sklearn.linear_model import RidgeClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        features = finite("features", as_features("features", features), 0)
        if not isinstance(attributes, pd.DataFrame):
            raise TypeError(f"attributes must be a data frame, got {type(attributes).__name__}")
        if len(features) != len(attributes):
            raise ValueError(f"{len(features)} rows of features, but {len(attributes)} of attributes")
        known = attributes.loc[:, attributes.notna().all()].astype(int)
        positives = known.sum()
        self.names = list(known.columns[(positives >= LEAST) & (len(known) - positives >= LEAST)])
        if not self.names:
            raise ValueError(f"no attribute has {LEAST} images with it and {LEAST} without")
        balanced = RidgeClassifier(REGULARISATION, class_weight="balanced")
        labels = known[self.names].to_numpy()
        labels = labels[:, 0] if len(self.names) == 1 else labels
        self._model = make_pipeline(StandardScaler(), balanced).fit(features, labels)

    def __call__(self, features: ArrayLike) -> NDArray[np.bool_]:
        """Return whether each image of features `(M, F)` shows each trait, bool `(M, A)` in the order of `names`."""
        return self._model.predict(features).reshape(len(features), len(self.names)).astype(bool)


def count_traits(
    samples: NDArray[np.bool_], parents: NDArray[np.integer], shown: NDArray[np.bool_], labels: NDArray[np.bool_]
) -> dict[str, NDArray]:
    """Count traits that samples have and neither parent has, and traits that both parents have and samples lack.

    A parent counts only where the classifier reads its reconstruction right.

    Args:
        samples: `(M, A)`, the traits that the samples show.
        parents: `(M, 2)`, rows of the parents among the N images.
        shown: `(N, A)`, the traits that the reconstructions of these images show.
        labels: `(N, A)`, the traits that they have.

    Returns:
        By name, arrays `(M, A)`: `neither` and `both`, bool, whether neither or both of the parents have a trait;
        `gained` and `lost`, whether the sample then has it from nowhere, or lacks it.

    Raises:
        ValueError: arrays of another type or of shapes that do not fit, or rows of parents that are not there.

    Example:
        Two parents without a beard, and a sample with one.

        >>> bare, bearded = np.array([[False], [False]]), np.array([[True]])
        >>> counts = count_traits(bearded, np.array([[0, 1]]), shown=bare, labels=bare)
        >>> bool(counts["neither"][0, 0]), bool(counts["gained"][0, 0])
        (True, True)
    """
    for name, table in {"labels": labels, "samples": samples, "shown": shown}.items():
        if not isinstance(table, np.ndarray) or table.dtype != bool or table.ndim != 2:
            found = getattr(table, "dtype", type(table).__name__)
            raise ValueError(f"{name} must be truth values of two dimensions, got {found} {np.shape(table)}")
        if table.shape[1] != labels.shape[1]:
            raise ValueError(f"{name} {table.shape} must have as many columns as labels {labels.shape}")
    if len(shown) != len(labels):
        raise ValueError(f"shown {shown.shape} must have as many rows as labels {labels.shape}")
    parents = as_rows("parents", parents, len(samples), len(labels), 2)
    right = (shown == labels)[parents].all(axis=1)
    has = labels[parents]
    neither, both = right & ~has.any(axis=1), right & has.all(axis=1)
    return {"neither": neither, "both": both, "gained": neither & samples, "lost": both & ~samples}
