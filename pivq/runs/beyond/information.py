"""How many bits codes say about attributes: exact mutual information of counts, and how much chance says. Ours.

With counts n of images over the values u of a unit (is the code there? which code of the group?) and y of an attribute,

    I(u; y) = sum over u, y of n(u, y) / N · log2( n(u, y) N / (n(u) n(y)) )   bits.

Images whose label is missing do not count. Attributes are frames of 0, 1 and missing, N rows.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from pivq.settings import check_whole, refusal


def code_information(inputs: csr_matrix, attributes: pd.DataFrame) -> NDArray[np.float64]:
    """Return the bits that the presence of each code says about each attribute, `(K, A)`.

    Args:
        inputs: presence `(N, K)`, of `pivq.usage.presence`.
        attributes: N rows of 0, 1 and missing.

    Raises:
        TypeError: attributes that are no frame.
        ValueError: other values than 0, 1 and missing, or rows that do not correspond.

    Example:
        >>> inputs = csr_matrix([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]])
        >>> code_information(inputs, pd.DataFrame({"hat": [1, 1, 0, 0]})).ravel().tolist()
        [1.0, 1.0, 0.0, 0.0]
    """
    labels, known = labels_of(attributes, inputs.shape[0])
    there, positive = inputs.T @ known, inputs.T @ labels
    counts = np.concatenate([there, known.sum(axis=0) - there])
    positives = np.concatenate([positive, labels.sum(axis=0) - positive])
    return _bits(counts, positives, np.tile(np.arange(inputs.shape[1]), 2))


def shares_with_codes(inputs: csr_matrix, attributes: pd.DataFrame) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of positives among images with each code, and among those without, `(K, A)`; NaN of none.

    Arguments and errors are those of `code_information`.

    Example:
        >>> shares = shares_with_codes(csr_matrix([[1, 0], [1, 0], [0, 1]]), pd.DataFrame({"hat": [1, 0, 1]}))
        >>> [share[0].tolist() for share in shares]
        [[0.5], [1.0]]
    """
    labels, known = labels_of(attributes, inputs.shape[0])
    there, positive = inputs.T @ known, inputs.T @ labels
    with np.errstate(invalid="ignore"):
        return positive / there, (labels.sum(axis=0) - positive) / (known.sum(axis=0) - there)


def unit_information(categories: ArrayLike, attributes: pd.DataFrame) -> NDArray[np.float64]:
    """Return the bits that each unit says about each attribute, `(U, A)`.

    Args:
        categories: whole numbers `(N, U)`, the value of each unit in each image, such as the code of a group.
        attributes: N rows of 0, 1 and missing.

    Raises:
        TypeError: attributes that are no frame.
        ValueError: categories that are no whole numbers `(N, U)`, other values than 0, 1 and missing, or rows that do
            not correspond.

    Example:
        >>> labels = pd.DataFrame({"hat": [1, 1, 0, 0]})
        >>> unit_information([[7, 0], [8, 0], [9, 0], [9, 0]], labels).ravel().tolist()
        [1.0, 0.0]
    """
    categories = np.asarray(categories)
    if categories.ndim != 2 or not np.issubdtype(categories.dtype, np.integer) or not categories.size:
        raise refusal("categories", "whole numbers (N, U)", categories)
    labels, known = labels_of(attributes, len(categories))
    numbered, sizes = np.empty(categories.shape, dtype=np.int64), []
    for unit in range(categories.shape[1]):
        values, inverse = np.unique(categories[:, unit], return_inverse=True)
        numbered[:, unit] = inverse.ravel() + sum(sizes)
        sizes.append(len(values))
    starts = np.arange(len(categories) + 1) * categories.shape[1]
    one_hot = csr_matrix((np.ones(numbered.size), numbered.ravel(), starts), shape=(len(categories), sum(sizes)))
    return _bits(one_hot.T @ known, one_hot.T @ labels, np.repeat(np.arange(len(sizes)), sizes))


def entropy_bits(attributes: pd.DataFrame) -> NDArray[np.float64]:
    """Return the entropy of each attribute in bits, `(A,)`: the most that anything can say about it.

    Example:
        >>> entropy_bits(pd.DataFrame({"even": [0, 1, 0, 1], "never": [0, 0, 0, 0]})).tolist()
        [1.0, 0.0]
    """
    labels, known = labels_of(attributes, len(attributes))
    share = labels.sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return -sum(p * np.log2(np.where(p > 0, p, 1)) for p in (share, 1 - share)) + 0.0  # no -0


def largest_by_chance(
    inform: Callable[[pd.DataFrame], NDArray], attributes: pd.DataFrame, shuffles: int = 20, seed: int = 0
) -> float:
    """Return the most bits that `inform` finds in any of `shuffles` shuffles of the images' labels.

    The labels of an image stay together, so attributes that go together still do. Bits above this number are no chance
    finding, with an error of at most 1 in `shuffles` + 1 for all units and attributes together (the permutation test of
    the largest value, Westfall and Young 1993).

    Args:
        inform: maps attributes to bits, such as `code_information` of some codes.
        attributes: N rows.
        shuffles: source of 20: assumption.
        seed: of the shuffles.

    Raises:
        TypeError: attributes that are no frame.
        ValueError: what is no function, fewer than one shuffle, or a seed that is no whole number from 0 on.
    """
    if not callable(inform):
        raise refusal("inform", "a function of attributes", inform)
    labels_of(attributes, len(attributes))
    generator = np.random.default_rng(check_whole("seed", seed, 0))
    orders = [generator.permutation(len(attributes)) for _ in range(check_whole("shuffles", shuffles))]
    return max(float(np.max(inform(attributes.iloc[order]))) for order in orders)


def labels_of(attributes: pd.DataFrame, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the labels `(N, A)`, 0 where they are missing, and which are known, 0 or 1.

    Raises:
        TypeError: attributes that are no frame.
        ValueError: another number of rows than `count`, no columns, or other values than 0, 1 and missing.
    """
    if not isinstance(attributes, pd.DataFrame):
        raise TypeError(f"attributes must be a data frame, got {type(attributes).__name__}")
    if len(attributes) != count or not count or not len(attributes.columns):
        raise ValueError(f"attributes must have columns and {count} rows, one per image, got {attributes.shape}")
    values = {value for _, column in attributes.items() for value in column.dropna().unique()}
    if wrong := [value for value in values if isinstance(value, str) or value not in (0, 1)]:
        raise ValueError(f"attributes hold {wrong[0]!r:.80}: labels must be 0, 1 or missing")
    found = attributes.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.nan_to_num(found), np.isfinite(found).astype(np.float64)


def _bits(counts: NDArray, positives: NDArray, units: NDArray) -> NDArray[np.float64]:
    """Return the mutual information `(U, A)` of counts, and positives among them, `(C, A)` of a unit's categories."""
    first = units == 0  # every unit counts the same images
    images, of_class = counts[first].sum(axis=0), positives[first].sum(axis=0)
    everyone, terms = np.maximum(images, 1), np.zeros_like(counts, dtype=np.float64)
    for joint, whole in ((positives, of_class), (counts - positives, images - of_class)):
        expected = counts * whole
        ratio = np.divide(joint * everyone, expected, out=np.ones_like(terms), where=joint > 0)
        terms += joint * np.log2(ratio)
    bits = np.zeros((units.max() + 1, counts.shape[1]))
    np.add.at(bits, units, terms)
    return np.maximum(bits / everyone, 0)  # rounding can leave -1e-17
