"""Representations counted by listing them, and what the order of the codes costs in bits."""

import math
from itertools import combinations, combinations_with_replacement, product

import pandas as pd

from pivq.capacity import matching_bits, multiset_bits, nearest_bits, positional_bits

SHOWN = 16  # representations written out, at most
LISTED = 10**6  # representations counted one by one, at most


def representations(letters: str, length: int) -> pd.DataFrame:
    """Return all representations of an image, listed and counted: with places, as multisets, as sets.

    Args:
        letters: K different letters, the codebook.
        length: L, codes of an image; there are no sets without repeats if L > K.

    Raises:
        ValueError: a letter twice, no letters, a length below 1, or more than `LISTED` representations.

    Example:
        >>> representations("abc", 2)[["number", "bits"]].values.tolist()
        [[9, '3.17'], [6, '2.58'], [3, '1.58']]
    """
    size = _check(letters, length)
    kinds = [
        ("with positions", product(letters, repeat=length), "K^L (VQ-VAE, VQ-GAN)", positional_bits),
        ("without order, repeats allowed", combinations_with_replacement(letters, length), "C(K + L − 1, L), multisets",
         multiset_bits),
        ("without order, no repeats", combinations(letters, length), "C(K, L), Eq. (4), matching", matching_bits),
    ]  # fmt: skip
    rows = []
    for name, listed, formula, bits in kinds:
        words = ["".join(codes) for codes in listed]
        shown = " ".join(words[:SHOWN]) + (" …" if len(words) > SHOWN else "")
        rows.append([name, shown or "none: L > K", len(words), formula,
                     f"{bits(size, length):.2f}" if words else "–"])  # fmt: skip
    return pd.DataFrame(rows, columns=["the codes of an image", "all of them", "number", "formula", "bits"])


def overcount(letters: str, length: int) -> str:
    """Return, in words, what Eq. (2) counts for K_img = min(L, K), and how often it counts the first letter repeated.

    Raises:
        ValueError: see `representations`.

    Example:
        >>> overcount("abc", 2)
        'With 2 codes per image, Eq. (2) counts 9, but there are only 6 multisets: it counts aa 2 times.'
    """
    size = _check(letters, length)
    distinct = min(size, length)
    counted = round(2 ** nearest_bits(size, distinct, length))
    multisets = round(2 ** multiset_bits(size, length))
    times = math.comb(size - 1, distinct - 1)  # the sets of K_img codes that hold this letter
    said = f"With {distinct} code{'s' * (distinct > 1)} per image, Eq. (2) counts {counted:,}"
    if counted == multisets:
        return f"{said}, the number of multisets: nothing is counted twice."
    return f"{said}, but there are only {multisets:,} multisets: it counts {letters[0] * length} {times:,} times."


def cost_of_order(codebook_size: int, num_codes: int) -> dict[str, float]:
    """Return how the L log2 K bits of codes with places are divided: what a set keeps and what it gives up.

    `set` is log2 C(K, L), Eq. (4); `order` is log2 L!; `repeats` is what remains: lists in which a code repeats.

    Raises:
        ValueError: L > K, or a size that is no positive whole number.

    Example:
        >>> {part: round(bits, 1) for part, bits in cost_of_order(512, 32).items()}
        {'set': 168.9, 'order': 117.7, 'repeats': 1.4}
    """
    kept, order = matching_bits(codebook_size, num_codes), math.log2(math.factorial(num_codes))
    return {"set": kept, "order": order, "repeats": positional_bits(codebook_size, num_codes) - kept - order}


def _check(letters: str, length: int) -> int:
    """Return K; raise an error for letters or a length that cannot be listed."""
    if not letters or len(set(letters)) != len(letters):
        raise ValueError(f"letters must be different from each other and at least one, got {letters!r}")
    if not isinstance(length, int) or length < 1:
        raise ValueError(f"length must be a whole number from 1 on, got {length!r}")
    if len(letters) ** length > LISTED:
        raise ValueError(
            f"{len(letters)} codes in {length} places are {len(letters) ** length:,} lists, too many to count one by "
            "one: take fewer letters or a smaller length"
        )
    return len(letters)
