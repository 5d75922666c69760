"""How a data set uses the codebook: codes in use, codes per image, and which learned token uses which code.

Codes are whole numbers `(N, L)` in 0 … K − 1, one encoded image per row. Every function here raises TypeError or
ValueError for another shape or type, for no codes, and for a code out of range; see `pivq.quantizers.as_codes`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from pivq.quantizers import as_codes
from pivq.settings import check_whole, refusal

BLOCK_ELEMENTS = 1 << 22  # overlaps held at once by best_overlap: 32 MiB


class CodeUsage(NamedTuple):
    """Codebook use over a data set.

    Attributes:
        counts: `(K,)` int64, occurrences of each code.
        codes_in_use: K_data, codes that occur at all.
        max_codes_per_image: K_img as Table 2 has it, the most distinct codes in any image.
        mean_codes_per_image: distinct codes in an image, averaged over images.
    """

    counts: NDArray
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
        entropy_bits: sum over slots of the entropy of their codes: the capacity in bits that the data use at most.
    """

    counts: NDArray
    dominant_share: float
    codes_per_slot: float
    bits: float
    entropy_bits: float


def code_usage(codes: ArrayLike, codebook_size: int) -> CodeUsage:
    """Count the use of `codes` `(N, L)`.

    Example:
        >>> usage = code_usage([[0, 1], [1, 1]], codebook_size=4)
        >>> usage.codes_in_use, usage.max_codes_per_image, usage.mean_codes_per_image
        (2, 2, 1.5)
    """
    codes = _checked(codes, codebook_size)
    counts = np.bincount(codes.ravel(), minlength=codebook_size)
    distinct = 1 + (np.diff(np.sort(codes, axis=1), axis=1) != 0).sum(axis=1)
    return CodeUsage(counts, int((counts > 0).sum()), int(distinct.max()), float(distinct.mean()))


def slot_usage(codes: ArrayLike, codebook_size: int) -> SlotUsage:
    """Count which slot (position in the encoder's output) takes which code, over `codes` `(N, L)`.

    Example:
        Two slots, each with two codes of its own: 2 × 2 sets, 2 bits.

        >>> slots = slot_usage([[0, 2], [1, 3], [0, 3], [1, 2]], codebook_size=4)
        >>> slots.dominant_share, slots.codes_per_slot, slots.bits, slots.entropy_bits
        (1.0, 2.0, 2.0, 2.0)
    """
    codes = _checked(codes, codebook_size)
    num_codes = codes.shape[1]
    flat = codes + codebook_size * np.arange(num_codes)
    counts = np.bincount(flat.ravel(), minlength=num_codes * codebook_size).reshape(num_codes, codebook_size)
    used = counts.sum(axis=0) > 0
    owned = np.bincount(counts.argmax(axis=0)[used], minlength=num_codes)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return SlotUsage(
        counts=counts,
        dominant_share=float(counts.max(axis=0).sum() / counts.sum()),
        codes_per_slot=float((counts > 0).sum(axis=1).mean()),
        bits=float(np.log2(np.maximum(owned, 1)).sum()),
        entropy_bits=float(-(shares * np.log2(np.where(shares > 0, shares, 1))).sum()),
    )


def presence(codes: ArrayLike, codebook_size: int) -> csr_matrix:
    """Return the presence of each code in each image as sparse binary inputs, float64 `(N, K)` holding ones.

    A code that an image repeats counts once.

    Example:
        >>> presence([[0, 2], [1, 1]], codebook_size=3).toarray()
        array([[1., 0., 1.],
               [0., 1., 0.]])
    """
    from sklearn.preprocessing import MultiLabelBinarizer  # here: it takes a second to load, and few need it

    codes = _checked(codes, codebook_size)
    binarizer = MultiLabelBinarizer(classes=np.arange(codebook_size), sparse_output=True)
    return binarizer.fit_transform(codes).astype(np.float64)


def best_overlap(
    codes: ArrayLike, reference: ArrayLike, codebook_size: int, excluded: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Return how many distinct codes each image has in common with the most similar image of a reference set.

    Args:
        codes: `(M, L)`.
        reference: `(N, L)`.
        codebook_size: K.
        excluded: `(M, E)`, for each image the rows of the reference set that do not count, such as its parents.

    Returns:
        int64 `(M,)`, from 0 to L.

    Example:
        >>> best_overlap([[0, 1, 2]], [[0, 1, 2], [2, 1, 3]], codebook_size=4, excluded=[[0]])
        array([2])
    """
    rows = presence(codes, codebook_size)
    columns = presence(_checked(reference, codebook_size, "reference"), codebook_size).T
    if excluded is not None:
        excluded = as_codes(excluded, columns.shape[1], "excluded").cpu().numpy()
        if len(excluded) != rows.shape[0]:
            raise refusal("excluded", f"{rows.shape[0]} rows, one per row of codes", excluded)
    best = np.empty(rows.shape[0], dtype=np.int64)
    step = max(1, BLOCK_ELEMENTS // columns.shape[1])
    for start in range(0, len(best), step):
        common = (rows[start : start + step] @ columns).toarray()
        if excluded is not None:
            np.put_along_axis(common, excluded[start : start + step], 0, axis=1)
        best[start : start + step] = common.max(axis=1)
    return best


def near_images(codes: ArrayLike, codebook_size: int, count: int) -> NDArray[np.int64]:
    """Return for each image the rows of the `count` others with most distinct codes in common, the most first.

    Of images with as many, the first come first. Ours; `pivq.sampling.sample_pairs` takes them as partners.

    Args:
        codes: `(N, L)`.
        codebook_size: K.
        count: P, from 1 to N − 1.

    Returns:
        int64 `(N, P)`.

    Example:
        >>> near_images([[0, 1], [1, 2], [0, 1], [3, 4]], codebook_size=5, count=1).ravel().tolist()
        [2, 0, 0, 0]
    """
    rows = presence(codes, codebook_size)
    number = rows.shape[0]
    count = check_whole("count", count, 1, number - 1)
    found = np.empty((number, count), dtype=np.int64)
    step = max(1, BLOCK_ELEMENTS // number)
    for start in range(0, number, step):
        common = (rows[start : start + step] @ rows.T).toarray().astype(np.int64)
        common[np.arange(len(common)), start + np.arange(len(common))] = -1  # an image is not its own neighbour
        rank = common * number - np.arange(number)  # distinct, so a partial sort leaves no tie to chance
        best = np.argpartition(-rank, count - 1, axis=1)[:, :count]
        order = np.take_along_axis(rank, best, axis=1).argsort(axis=1)[:, ::-1]
        found[start : start + step] = np.take_along_axis(best, order, axis=1)
    return found


def exchange_groups(
    codes: ArrayLike, codebook_size: int, num_groups: int | None = None, starts: int = 16
) -> NDArray[np.int64]:
    """Divide the codebook into groups of codes that seldom meet in an image, so that each image has one of each group.

    Codes of a group are alternatives to each other. Where learned tokens have divided the codebook, such groups exist
    exactly; in other sets they are the nearest thing. Nothing but the sets is used, no order of the codes. Ours; for
    `pivq.sampling`.

    The number of pairs of codes of one group in an image is made small, by a greedy colouring: the codes of one image
    open the groups; then the code whose second-best group is worst for it joins its best; last, codes change groups
    while that helps. The best of several first images counts.

    Args:
        codes: `(N, L)`.
        codebook_size: K.
        num_groups: G; None is L. At most the distinct codes of an image that has most.
        starts: how many first images are tried, evenly spaced.

    Returns:
        int64 `(K,)` in 0 … G − 1. Codes that no image has join any group.

    Example:
        >>> groups = exchange_groups([[0, 2], [1, 3], [0, 3], [2, 1]], codebook_size=4)
        >>> bool(groups[0] == groups[1] != groups[2] == groups[3])
        True
    """
    codes = _checked(codes, codebook_size)
    inputs = presence(codes, codebook_size)
    different = inputs.getnnz(axis=1)
    num_groups = codes.shape[1] if num_groups is None else num_groups
    num_groups, starts = check_whole("num_groups", num_groups, 1, different.max()), check_whole("starts", starts)
    rows = np.flatnonzero(different >= num_groups)
    meetings = (inputs.T @ inputs).toarray()
    uses = np.maximum(meetings.diagonal(), 1)
    np.fill_diagonal(meetings, 0)
    spaced = rows[np.linspace(0, len(rows) - 1, min(starts, len(rows))).astype(int)]
    found = [_coloured(meetings, uses, np.unique(codes[row])[:num_groups]) for row in spaced]
    return min(found, key=lambda groups: meetings[groups[:, None] == groups].sum())


def _coloured(meetings: NDArray, uses: NDArray, first: NDArray) -> NDArray[np.int64]:
    """Return `exchange_groups` of one start: `meetings` `(K, K)`, `uses` `(K,)`, the codes that open the groups."""
    groups = np.full(len(uses), -1)
    groups[first] = np.arange(len(first))
    cost = meetings[:, first]  # of code k in group g: how often they meet
    while len(free := np.flatnonzero(groups < 0)):
        best = np.partition(cost[free], min(1, len(first) - 1), axis=1)
        code = free[((best[:, min(1, len(first) - 1)] - best[:, 0]) / uses[free]).argmax()]
        groups[code] = cost[code].argmin()
        cost[:, groups[code]] += meetings[:, code]
    moving = True
    while moving:
        moving = False
        for code in range(len(uses)):
            old, new = groups[code], cost[code].argmin()
            if cost[code, new] < cost[code, old]:
                cost[:, old] -= meetings[:, code]
                cost[:, new] += meetings[:, code]
                groups[code], moving = new, True
    return groups


def pack_codes(codes: ArrayLike, codebook_size: int) -> NDArray[np.uint8]:
    """Write each image's codes to bytes, ⌈log2 K⌉ bits per code; `unpack_codes` reads them back.

    Args:
        codes: `(N, L)`; their order is kept.
        codebook_size: K.

    Returns:
        uint8 `(N, ⌈L ⌈log2 K⌉ / 8⌉)`.

    Example:
        >>> packed = pack_codes([[5, 0, 7]], codebook_size=8)
        >>> packed.shape, unpack_codes(packed, num_codes=3, codebook_size=8).tolist()
        ((1, 2), [[5, 0, 7]])
    """
    codes = _checked(codes, codebook_size)
    bits = codes[:, :, None] >> np.arange(_bits_per_code(codebook_size)) & 1
    return np.packbits(bits.reshape(len(codes), -1), axis=1)


def unpack_codes(packed: NDArray[np.uint8], num_codes: int, codebook_size: int) -> NDArray[np.int64]:
    """Return the codes `(N, L)` int64 that `pack_codes` wrote.

    Args:
        packed: uint8 `(N, bytes)`.
        num_codes: L.
        codebook_size: K.

    Raises:
        TypeError: bytes that are no array.
        ValueError: another type or number of bytes than L codes take, or a code of K or more.
    """
    num_codes, codebook_size = check_whole("num_codes", num_codes), check_whole("codebook_size", codebook_size)
    width = _bits_per_code(codebook_size)
    expected = -(-num_codes * width // 8)
    if not isinstance(packed, np.ndarray) or packed.dtype != np.uint8 or packed.shape[1:] != (expected,):
        reason = f"uint8 (N, {expected}), the bytes that {num_codes} codes of {codebook_size} take"
        raise refusal("packed", reason, packed)
    bits = np.unpackbits(packed, axis=1, count=num_codes * width).reshape(-1, num_codes, width)
    return _checked(bits @ (1 << np.arange(width)), codebook_size)


def _bits_per_code(codebook_size: int) -> int:
    return max(1, (codebook_size - 1).bit_length())


def _checked(codes: ArrayLike, codebook_size: int, name: str = "codes") -> NDArray[np.int64]:
    checked = as_codes(codes, codebook_size, name).cpu().numpy()
    if not len(checked):
        raise ValueError(f"{name} must not be empty, got {checked.shape}: there are no images")
    return checked
