"""Probing codes for attributes: one logistic regression per attribute on the presence of each code (Section 3.8)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from pivq.settings import check_dense, check_whole, refusal
from pivq.usage import presence

BLOCK_CODES = 512  # codes whose correlations are computed together

# Source: assumption; the paper names neither. liblinear fits these sparse binary inputs 20 times as fast as lbfgs.
SOLVER, INVERSE_REGULARISATION, MAX_ITERATIONS = "liblinear", 1.0, 1000

COLUMNS = ("attribute", "accuracy", "std", "baseline", "baseline_std", "positives", "used", "significant", "note")


def probe(
    codes: ArrayLike, attributes: pd.DataFrame, codebook_size: int, folds: int = 5, seed: int = 0
) -> pd.DataFrame:
    """Predict each attribute from the presence of codes, by stratified cross-validation (Fig. 5).

    An image whose label is missing is left out for that attribute. The baseline always predicts the class that is more
    frequent among a fold's training labels, and is scored on the same folds.

    Args:
        codes: integers `(N, L)` in 0 … K - 1, one encoded image per row.
        attributes: N rows, in the order of `codes`; columns of 0, 1 and missing.
        codebook_size: K.
        folds: cross-validation folds, at least 2.
        seed: of the assignment to folds.

    Returns:
        A frame with one row per attribute, in the order given:
        `attribute`; `accuracy`, the mean over folds; `std`, the sample standard deviation (n - 1) over folds, drawn as
        error bar; `baseline` and `baseline_std`, the same of the baseline; `positives` and `used`, labels that are 1
        and labels in all; `significant`, whether the error bars are apart: accuracy - std > baseline + baseline_std;
        `note`, empty, or why accuracy and baseline are missing (a class with fewer labels than there are folds).

    Raises:
        TypeError: attributes that are no frame.
        ValueError: codes that `presence` refuses, another number of rows, no or equally named attributes, values other
            than 0, 1 and missing, fewer than two folds, or a seed that is no whole number from 0 to 2^32 − 1.
    """
    if attributes is None:
        raise ValueError("this data set has no attributes to probe for")
    if not isinstance(attributes, pd.DataFrame):
        raise TypeError(f"attributes must be a data frame, got {type(attributes).__name__}")
    if not len(attributes.columns) or attributes.columns.has_duplicates:
        raise ValueError(f"attributes must have columns of distinct names, got {list(attributes.columns)}")
    inputs = presence(codes, codebook_size)
    if len(attributes) != inputs.shape[0]:
        raise ValueError(f"{inputs.shape[0]} rows of codes, but {len(attributes)} of attributes: rows must correspond")
    folds, seed = check_whole("folds", folds, 2), check_whole("seed", seed, 0, 2**32 - 1)
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
            scores = _fold_scores(inputs[known], labels, folds, seed)
            row["accuracy"], row["baseline"] = scores.mean(axis=0)
            row["std"], row["baseline_std"] = scores.std(axis=0, ddof=1)
        # NaN, where nothing was scored, compares as False.
        row["significant"] = bool(row["accuracy"] - row["std"] > row["baseline"] + row["baseline_std"])
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS)


def top_attributes(frame: pd.DataFrame, count: int = 15) -> pd.DataFrame:
    """Return the `count` most predictable attributes: most accuracy gained over the baseline first.

    The paper shows "the top 15 most predictable" and does not say by which measure. Accuracy itself would put rare
    attributes first, even for codes that say nothing. Attributes without an accuracy are left out.

    Args:
        frame: what `probe` returned.
        count: rows at most, at least 1.

    Raises:
        TypeError: a frame that is none.
        ValueError: a frame without the columns of `probe`, or a count below 1.
    """
    count = check_whole("count", count)
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"frame must be a data frame, got {type(frame).__name__}")
    if not {"accuracy", "baseline"} <= {*frame.columns}:
        raise ValueError(f"frame must be what `probe` returned, with accuracy and baseline, got {list(frame.columns)}")
    scored = frame.dropna(subset="accuracy")
    order = (scored["accuracy"] - scored["baseline"]).sort_values(ascending=False, kind="stable").index
    return scored.loc[order[:count]].reset_index(drop=True)


def correlate_codes(codes: ArrayLike, labels: pd.Series, codebook_size: int) -> pd.DataFrame:
    """Return how closely the presence of each code goes with one attribute.

    An image whose label is missing is left out.

    Args:
        codes: integers `(N, L)` in 0 … K - 1.
        labels: N values 0, 1 or missing, in the order of `codes`.
        codebook_size: K.

    Returns:
        A frame with one row per code: `share` of the images that have it; `correlation` of presence and attribute, two
        binary variables, in -1 … 1, and 0 where either never varies; `with_code` and `without_code`, the share of
        positives among the images that have the code and among those that do not, NaN where there are none.

    Raises:
        TypeError: labels that are no series.
        ValueError: codes that `presence` refuses, another number of labels, values other than 0, 1 and missing, or
            no known label.

    Example:
        >>> frame = correlate_codes([[0, 1], [0, 2], [1, 2]], pd.Series([1, 1, 0]), codebook_size=3)
        >>> frame.loc[0, ["correlation", "with_code", "without_code"]].round(2).tolist()
        [1.0, 1.0, 0.0]
    """
    inputs = presence(codes, codebook_size)
    if not isinstance(labels, pd.Series):
        raise TypeError(f"labels must be a series, got {type(labels).__name__}")
    if len(labels) != inputs.shape[0]:
        raise ValueError(f"{inputs.shape[0]} rows of codes, but {len(labels)} labels: rows must correspond")
    known, positive = _labels(str(labels.name), labels)
    if not len(known):
        raise ValueError(f"attribute {str(labels.name)!r} has no known label")
    inputs, centred = inputs[known], positive - positive.mean()
    parts = []
    for start in range(0, codebook_size, BLOCK_CODES):
        has = inputs[:, start : start + BLOCK_CODES].toarray()
        spread = has.std(axis=0) * centred.std()
        correlation = np.divide(centred @ has / len(has), spread, out=np.zeros(has.shape[1]), where=spread > 0)
        images, positives = has.sum(axis=0), positive @ has
        with np.errstate(invalid="ignore"):  # 0 / 0 where no image, or every image, has the code
            shares = positives / images, (positive.sum() - positives) / (len(has) - images)
        parts.append([images / len(has), correlation, *shares])
    return pd.DataFrame(np.concatenate(parts, axis=1).T, columns=["share", "correlation", "with_code", "without_code"])


def _labels(name: str, column: pd.Series) -> tuple[NDArray, NDArray]:
    """Return the positions of known labels and these labels, 0 or 1."""
    known = np.flatnonzero(column.notna())
    if words := [value for value in column.iloc[known] if isinstance(value, str)]:
        raise ValueError(f"attribute {name!r} holds {words[0]!r}: labels must be 0, 1 or missing")
    labels = column.iloc[known].to_numpy(dtype=np.float64)
    other = labels[(labels != 0) & (labels != 1)]
    if len(other):
        raise ValueError(f"attribute {name!r} holds {other[0]:g}: labels must be 0, 1 or missing")
    return known, labels.astype(np.int64)


def _fold_scores(inputs: csr_matrix, labels: NDArray, folds: int, seed: int) -> NDArray:
    """Return the accuracies of the probe and of the majority class on each fold's held-out images, `(folds, 2)`."""
    # here: it takes a second to load, and few need it
    from sklearn.dummy import DummyClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    model = LogisticRegression(solver=SOLVER, C=INVERSE_REGULARISATION, max_iter=MAX_ITERATIONS)
    predictors = (model, DummyClassifier(strategy="most_frequent"))
    return np.stack([cross_val_score(predictor, inputs, labels, cv=splitter) for predictor in predictors], axis=1)


def pixel_statistics(images: NDArray[np.uint8], ids: Sequence[str]) -> pd.DataFrame:
    """Return simple properties of pixels, to be probed for images that have no labels.

    Args:
        images: `(N, 3, H, W)` uint8, N >= 1, H and W >= 4.
        ids: N names.

    Returns:
        A frame of floats, one row per id: brightness, contrast, and which part or colour stands out by how much.

    Raises:
        TypeError: images that are no array or tensor.
        ValueError: images of another shape or type, or not one per id.

    Example:
        >>> images = np.zeros((1, 3, 8, 8), np.uint8)
        >>> images[:, :, :4] = 255
        >>> pixel_statistics(images, ["half"])[["bright", "brighter_top_than_bottom"]].values.tolist()
        [[0.5, 1.0]]
    """
    shape, dtype = getattr(images, "shape", ()), str(getattr(images, "dtype", ""))
    if dtype.removeprefix("torch.") != "uint8" or len(shape) != 4 or shape[1] != 3 or min(shape[2:]) < 4:
        raise refusal("images", "uint8 (N, 3, H, W) of 4 pixels a side or more", images)
    check_dense("images", images)
    if not hasattr(ids, "__len__"):
        raise refusal("ids", "names", ids)
    if len(ids) != len(images) or not len(ids):
        raise ValueError(f"ids must be one per image, at least one, got {len(ids)} for {len(images)} images")
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
