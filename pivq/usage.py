"""How a data set uses the codebook: codes in use, codes per image, and which learned token uses which code."""

from typing import NamedTuple

import numpy as np


class CodeUsage(NamedTuple):
    """Codebook use over a data set.

    Attributes:
        counts: `(K,)` int64, occurrences of each code.
        codes_in_use: K_data, codes that occur at all.
        max_codes_per_image: K_img as Table 2 has it, the most distinct codes in any image.
        mean_codes_per_image: distinct codes in an image, averaged over images.
    """

    counts: np.ndarray
    codes_in_use: int
    max_codes_per_image: int
    mean_codes_per_image: float


class SlotUsage(NamedTuple):
    """How the learned tokens (slots) share the codebook among themselves.

    Attributes:
        counts: `(L, K)` int64, how often slot l takes code k.
        dominant_share: share of all uses that fall to their code's most frequent slot, in (0, 1]; 1 means that
            every code belongs to one slot.
        codes_per_slot: distinct codes a slot takes, averaged over slots.
        bits: log2 of the number of sets in which each slot takes one of the codes that it dominates: the capacity
            in bits that remains when slots do not share codes.
    """

    counts: np.ndarray
    dominant_share: float
    codes_per_slot: float
    bits: float


def _checked(codes: np.ndarray, codebook_size: int) -> np.ndarray:
    codes = np.asarray(codes)
    if codes.ndim != 2 or not np.issubdtype(codes.dtype, np.integer) or not codes.size:
        raise ValueError(f"codes must be whole numbers (N, L), at least one, got {codes.dtype} {codes.shape}")
    if codes.min() < 0 or codes.max() >= codebook_size:
        raise ValueError(f"codes must lie in 0 … {codebook_size - 1}, got {codes.min()} … {codes.max()}")
    return codes.astype(np.int64)


def code_usage(codes: np.ndarray, codebook_size: int) -> CodeUsage:
    """Count the use of `codes` `(N, L)`, whole numbers in 0 … K − 1.

    Raises:
        ValueError: for another shape or type, no codes, or codes out of range.

    Example:
        >>> usage = code_usage(np.array([[0, 1], [1, 1]]), codebook_size=4)
        >>> usage.codes_in_use, usage.max_codes_per_image, usage.mean_codes_per_image
        (2, 2, 1.5)
    """
    codes = _checked(codes, codebook_size)
    counts = np.bincount(codes.ravel(), minlength=codebook_size)
    distinct = 1 + (np.diff(np.sort(codes, axis=1), axis=1) != 0).sum(axis=1)
    return CodeUsage(counts, int((counts > 0).sum()), int(distinct.max()), float(distinct.mean()))


def slot_usage(codes: np.ndarray, codebook_size: int) -> SlotUsage:
    """Count which slot (position in the encoder's output) takes which code, over `codes` `(N, L)`.

    Raises:
        ValueError: see `code_usage`.

    Example:
        Two slots, each with two codes of its own: 2 × 2 sets, 2 bits.

        >>> slots = slot_usage(np.array([[0, 2], [1, 3], [0, 3]]), codebook_size=4)
        >>> slots.dominant_share, slots.codes_per_slot, slots.bits
        (1.0, 2.0, 2.0)
    """
    codes = _checked(codes, codebook_size)
    num_codes = codes.shape[1]
    flat = codes + codebook_size * np.arange(num_codes)
    counts = np.bincount(flat.ravel(), minlength=num_codes * codebook_size).reshape(num_codes, codebook_size)
    used = counts.sum(axis=0) > 0
    owned = np.bincount(counts.argmax(axis=0)[used], minlength=num_codes)
    return SlotUsage(
        counts=counts,
        dominant_share=float(counts.max(axis=0).sum() / counts.sum()),
        codes_per_slot=float((counts > 0).sum(axis=1).mean()),
        bits=float(np.log2(np.maximum(owned, 1)).sum()),
    )
