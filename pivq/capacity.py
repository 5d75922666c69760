"""Information capacity of sets, multisets and grids of codes: Eqs. (2) and (4), in bits.

Counts are exact Python integers and only their base-2 logarithm is rounded, so every result is right to about one
unit in the last place of a float. Only `math` is imported: capacities can be computed where torch is not installed.

The paper writes B for capacity; here B is the batch and capacity is `capacity_bits`.
"""

import math
import operator

# The largest sizes, as of a model (`pivq.profiles.RANGES`): larger counts would take minutes.
MOST = {"codes_in_use": 1_000_000, "codebook_size": 1_000_000, "num_codes": 65_536, "codes_per_image": 65_536}


def matching_bits(codes_in_use: int, num_codes: int) -> float:
    """Return Eq. (4), the capacity of matching quantization: log2 C(K_data, L).

    An image is a set of L distinct codes out of the K_data codes that the data set uses.

    Args:
        codes_in_use: K_data, codes that appear anywhere in the encoded data set, at least `num_codes`.
        num_codes: L, codes per image, at least 1.

    Returns:
        Capacity in bits.

    Raises:
        ValueError: a size that is no whole number in its range (`MOST`), or L > K_data (L distinct codes cannot be
            drawn from fewer).

    Example:
        >>> round(matching_bits(codes_in_use=4096, num_codes=512), 3)
        2220.71
    """
    codes_in_use = _size("codes_in_use", codes_in_use)
    num_codes = _size("num_codes", num_codes)
    if num_codes > codes_in_use:
        raise ValueError(
            f"num_codes={num_codes} distinct codes cannot be drawn from codes_in_use={codes_in_use}: "
            "matching needs codes_in_use >= num_codes"
        )
    return math.log2(math.comb(codes_in_use, num_codes))


def nearest_bits(codes_in_use: int, codes_per_image: int, num_codes: int) -> float:
    """Return Eq. (2), the paper's bound for nearest quantization: log2 [C(K_data, K_img) C(L + K_img - 1, K_img - 1)].

    The bound counts some multisets more than once (those with fewer than K_img distinct codes), so for K_img close to
    L it exceeds `multiset_bits`; `exactly_distinct_bits` counts each multiset once.

    Args:
        codes_in_use: K_data, codes that appear anywhere in the encoded data set.
        codes_per_image: K_img, the largest number of distinct codes seen in one image, at most `codes_in_use` and
            at most `num_codes`.
        num_codes: L, codes per image, repeats included.

    Returns:
        Capacity in bits.

    Raises:
        ValueError: a size that is no whole number in its range (`MOST`), or K_img > min(L, K_data).

    Example:
        >>> round(nearest_bits(codes_in_use=4096, codes_per_image=49, num_codes=512), 3)
        611.284
    """
    codes_in_use, codes_per_image, num_codes = _nearest_sizes(codes_in_use, codes_per_image, num_codes)
    choices = math.comb(codes_in_use, codes_per_image)
    repeats = math.comb(num_codes + codes_per_image - 1, codes_per_image - 1)
    return math.log2(choices * repeats)


def exactly_distinct_bits(codes_in_use: int, codes_per_image: int, num_codes: int) -> float:
    """Return log2 [C(K_data, K_img) C(L - 1, K_img - 1)]: multisets of size L with exactly K_img distinct codes.

    This is Eq. (2) without its over-counting: each of the K_img codes is used at least once, and the remaining
    L - K_img uses are shared among them. It never exceeds `multiset_bits`. Not in the paper.

    Args:
        codes_in_use: K_data, codes that appear anywhere in the encoded data set.
        codes_per_image: K_img, distinct codes in one image, at most `codes_in_use` and at most `num_codes`.
        num_codes: L, codes per image, repeats included.

    Returns:
        Capacity in bits.

    Raises:
        ValueError: a size that is no whole number in its range (`MOST`), or K_img > min(L, K_data).

    Example:
        >>> exactly_distinct_bits(codes_in_use=2, codes_per_image=2, num_codes=3)  # {0, 0, 1} and {0, 1, 1}
        1.0
    """
    codes_in_use, codes_per_image, num_codes = _nearest_sizes(codes_in_use, codes_per_image, num_codes)
    choices = math.comb(codes_in_use, codes_per_image)
    repeats = math.comb(num_codes - 1, codes_per_image - 1)
    return math.log2(choices * repeats)


def multiset_bits(codebook_size: int, num_codes: int) -> float:
    """Return log2 C(K + L - 1, L), the number of multisets of L codes: the most any quantizer without order can hold.

    Section 3.4 quotes it as "around 2313 bits" for K = 4096 and L = 512.

    Args:
        codebook_size: K, codes in the codebook.
        num_codes: L, codes per image, repeats included.

    Returns:
        Capacity in bits.

    Raises:
        ValueError: a size that is no whole number in its range (`MOST`).

    Example:
        >>> round(multiset_bits(codebook_size=4096, num_codes=512), 3)
        2313.103
    """
    codebook_size = _size("codebook_size", codebook_size)
    num_codes = _size("num_codes", num_codes)
    return math.log2(math.comb(codebook_size + num_codes - 1, num_codes))


def positional_bits(codebook_size: int, num_codes: int) -> float:
    """Return L log2 K, the capacity of VQ-VAE and VQ-GAN, whose codes have positions (Section 4.1).

    Args:
        codebook_size: K, codes in the codebook.
        num_codes: L, codes (grid cells) per image.

    Returns:
        Capacity in bits.

    Raises:
        ValueError: a size that is no whole number in its range (`MOST`).

    Example:
        >>> positional_bits(codebook_size=1024, num_codes=256)
        2560.0
    """
    codebook_size = _size("codebook_size", codebook_size)
    num_codes = _size("num_codes", num_codes)
    return num_codes * math.log2(codebook_size)


def _nearest_sizes(codes_in_use: int, codes_per_image: int, num_codes: int) -> tuple[int, int, int]:
    codes_in_use = _size("codes_in_use", codes_in_use)
    codes_per_image = _size("codes_per_image", codes_per_image)
    num_codes = _size("num_codes", num_codes)
    if codes_per_image > codes_in_use:
        raise ValueError(
            f"codes_per_image={codes_per_image} exceeds codes_in_use={codes_in_use}: "
            "one image cannot use more distinct codes than the whole data set"
        )
    if codes_per_image > num_codes:
        raise ValueError(
            f"codes_per_image={codes_per_image} exceeds num_codes={num_codes}: "
            "an image of num_codes codes has at most num_codes distinct ones"
        )
    return codes_in_use, codes_per_image, num_codes


def _size(name: str, value: int) -> int:
    """Return `value` as a Python int, so that numpy's fixed-width integers cannot overflow in the counts."""
    try:
        size = operator.index(value)
    except TypeError:
        size = None
    if size is None or "bool" in str(getattr(value, "dtype", type(value))) or not 1 <= size <= MOST[name]:
        raise ValueError(f"{name} must be a whole number from 1 to {MOST[name]:,}, got {value!r:.80}")
    return size
