"""Probing codes for attributes: one logistic regression an attribute on the presence of each code (Section 3.8)."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

# Source: assumption; the paper names neither. liblinear fits these sparse binary inputs 20 times as fast as lbfgs.
SOLVER, INVERSE_REGULARISATION, MAX_ITERATIONS = "liblinear", 1.0, 1000

COLUMNS = ("attribute", "accuracy", "std", "baseline", "baseline_std", "positives", "used", "significant", "note")


def presence(codes: ArrayLike, codebook_size: int) -> csr_matrix:
    """Return the presence of each code in each image as sparse binary inputs.

    Args:
        codes: integers `(N, L)` in 0 … K - 1; a code that an image repeats counts once.
        codebook_size: K.

    Returns:
        float64 `(N, K)` holding ones.

    Raises:
        ValueError: codes that are not `(N, L)` integers, or out of range.

    Example:
        >>> presence([[0, 2], [1, 1]], codebook_size=3).toarray()
        array([[1., 0., 1.],
               [0., 1., 0.]])
    """
    codes = np.asarray(codes)
    if codes.ndim != 2 or codes.size == 0 or codes.dtype.kind not in "iu":
        raise ValueError(f"codes must be integers (N, L), got {codes.dtype} {codes.shape}")
    if codes.min() < 0 or codes.max() >= codebook_size:
        raise ValueError(f"codes must lie in 0 … {codebook_size - 1}, got {codes.min()} … {codes.max()}")
    num_images, num_codes = codes.shape
    rows = np.repeat(np.arange(num_images), num_codes)
    inputs = csr_matrix((np.ones(codes.size), (rows, codes.ravel())), shape=(num_images, codebook_size))
    inputs.sum_duplicates()
    inputs.data[:] = 1.0
    return inputs


def probe(
    codes: ArrayLike, attributes: pd.DataFrame, codebook_size: int, folds: int = 5, seed: int = 0
) -> pd.DataFrame:
    """Predict each attribute from the presence of codes, by stratified cross-validation (Fig. 5).

    An image whose label is missing is left out for that attribute. The baseline always predicts the class that is more
    frequent among a fold's training labels, and is scored on the same folds.

    Args:
        codes: integers `(N, L)` in 0 … K - 1, of one encoded image a row.
        attributes: N rows, in the order of `codes`; columns of 0, 1 and missing.
        codebook_size: K.
        folds: cross-validation folds, at least 2.
        seed: of the assignment to folds.

    Returns:
        A frame with one row an attribute, in the order given:
        `attribute`; `accuracy`, the mean over folds; `std`, the sample standard deviation (n - 1) over folds, drawn as
        error bar; `baseline` and `baseline_std`, the same of the baseline; `positives` and `used`, labels that are 1
        and labels in all; `significant`, whether the error bars are apart: accuracy - std > baseline + baseline_std;
        `note`, empty, or why accuracy and baseline are missing (a class with fewer labels than there are folds).

    Raises:
        ValueError: codes that `presence` refuses, another number of rows, values other than 0, 1 and missing, or
            fewer than two folds.
    """
    if attributes is None:
        raise ValueError("this data set has no attributes to probe for")
    inputs = presence(codes, codebook_size)
    if len(attributes) != inputs.shape[0]:
        raise ValueError(f"{inputs.shape[0]} rows of codes, but {len(attributes)} of attributes: rows must correspond")
    if folds < 2:
        raise ValueError(f"cross-validation needs at least 2 folds, got {folds}")
    rows = []
    for name, column in attributes.items():
        known, labels = _labels(name, column)
        positives, used = int(labels.sum()), len(labels)
        row = dict.fromkeys(COLUMNS, np.nan) | {"attribute": name, "positives": positives, "used": used, "note": ""}
        rarer = min(positives, used - positives)
        if rarer < folds:
            kind = "positives" if positives <= used - positives else "negatives"
            row["note"] = f"too few {kind}: {rarer} for {folds} folds"
        else:
            scores = np.array(list(_fold_scores(inputs[known], labels, folds, seed)))
            row["accuracy"], row["baseline"] = scores.mean(axis=0)
            row["std"], row["baseline_std"] = scores.std(axis=0, ddof=1)
        # NaN, where nothing was scored, compares as False.
        row["significant"] = bool(row["accuracy"] - row["std"] > row["baseline"] + row["baseline_std"])
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def top_attributes(frame: pd.DataFrame, count: int = 15) -> pd.DataFrame:
    """Return the `count` most predictable attributes: most accuracy gained over the baseline first.

    The paper shows "the top 15 most predictable" and does not say by which measure. Accuracy itself would put rare
    attributes first, whatever the codes hold. Attributes without an accuracy are left out.

    Args:
        frame: what `probe` returned.
        count: rows at most.
    """
    scored = frame.dropna(subset="accuracy")
    order = (scored["accuracy"] - scored["baseline"]).sort_values(ascending=False, kind="stable").index
    return scored.loc[order[:count]].reset_index(drop=True)


def _labels(name: str, column: pd.Series) -> tuple[NDArray, NDArray]:
    """Return the positions of known labels and these labels, 0 or 1."""
    known = np.flatnonzero(column.notna())
    labels = column.iloc[known].to_numpy(dtype=np.float64)
    other = labels[(labels != 0) & (labels != 1)]
    if len(other):
        raise ValueError(f"attribute {name!r} holds {other[0]:g}: labels must be 0, 1 or missing")
    return known, labels.astype(np.int64)


def _fold_scores(inputs: csr_matrix, labels: NDArray, folds: int, seed: int) -> Iterator[tuple[float, float]]:
    """Yield (accuracy, accuracy of the majority class) on each fold's held-out images."""
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for train, test in splitter.split(inputs, labels):
        model = LogisticRegression(solver=SOLVER, C=INVERSE_REGULARISATION, max_iter=MAX_ITERATIONS)
        model.fit(inputs[train], labels[train])
        majority = int(labels[train].mean() > 0.5)
        yield model.score(inputs[test], labels[test]), float((labels[test] == majority).mean())


def pixel_statistics(images: NDArray[np.uint8], ids: Sequence[str]) -> pd.DataFrame:
    """Return what the pixels themselves say of images, to be probed where nobody has labelled them.

    Args:
        images: `(N, 3, H, W)`.
        ids: N names.

    Returns:
        A frame of floats, one row an id: brightness, contrast, and which part or colour stands out by how much.

    Example:
        >>> images = np.zeros((1, 3, 8, 8), np.uint8)
        >>> images[:, :, :4] = 255
        >>> pixel_statistics(images, ["half"])[["bright", "brighter_top_than_bottom"]].values.tolist()
        [[0.5, 1.0]]
    """
    height, width = images.shape[2:]
    halves = {"top": np.s_[:, : height // 2], "bottom": np.s_[:, height // 2 :], "left": np.s_[:, :, : width // 2],
              "right": np.s_[:, :, width // 2 :],
              "middle": np.s_[:, height // 4 : -(height // 4), width // 4 : -(width // 4)]}  # fmt: skip
    parts = []
    for start in range(0, len(images), 1000):
        levels = np.asarray(images[start : start + 1000]) / np.float32(255)
        grey, colours = levels.mean(axis=1), levels.mean(axis=(2, 3))
        whole = grey.mean(axis=(1, 2))
        mean = {name: grey[rows].mean(axis=(1, 2)) for name, rows in halves.items()}
        statistics = {"bright": whole, "high_contrast": grey.std(axis=(1, 2))}
        statistics |= {name: colours[:, i] - whole for i, name in enumerate(("reddish", "greenish", "bluish"))}
        statistics["brighter_top_than_bottom"] = mean["top"] - mean["bottom"]
        statistics["brighter_left_than_right"] = mean["left"] - mean["right"]
        statistics["bright_middle"] = mean["middle"] - whole
        parts.append(pd.DataFrame(statistics))
    return pd.concat(parts).set_axis(pd.Index(ids, name="id"))
