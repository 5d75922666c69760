"""Shortest augmenting paths: one image's assignment problem, Eq. (3), solved exactly and with a proof.

The algorithm is Jonker and Volgenant's (Computing 38, 1987), as in scipy's solver, with two changes for latents and a
codebook: it starts from the nearest codes, and a latent sees a list of near codes only, which gets longer where a path
may need it to. What it costs depends on how many latents contend for codes, not on all L times K distances.

Codes have prices `v_k <= 0`, and latent l finds code k at `D_lk - v_k`. A latent without a code looks for the cheapest
way to one that is free: it takes a code from another latent, that one takes the next best from a third, and so on.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numba import njit

TOLERANCE = 1e-12  # an assignment is optimal if it costs this share more than the bound at most: rounding
# What follows decides the time only; measured on two cores.
LISTED = 32  # codes on a list at first, and as many more as there are latents with the same nearest code
LONGER = 2  # times as many when a list is too short
SAMPLED = 128  # codes that a list's reach is estimated from


def compiled(function: Callable) -> Callable:
    """Compile when first called, without the interpreter's lock; kept for later runs where numba can write files."""
    try:
        return njit(function, nogil=True, cache=True)
    except RuntimeError:  # it can write neither beside this file nor in the home directory
        return njit(function, nogil=True)


class Lists(NamedTuple):
    """The near codes of each latent; row l is filled in when latent l is first visited.

    Attributes:
        codes: `(L, K)` uint32, of which `counts[l]` are listed. (Signed ones numba checks for being negative.)
        distances: `(L, K)` float64, theirs.
        counts: `(L,)` int64.
        lengths: `(L,)` int64, about how many were asked for: 0 before the first visit.
        reaches: `(L,)` float64: every code that is not listed is farther than this.
    """

    codes: np.ndarray
    distances: np.ndarray
    counts: np.ndarray
    lengths: np.ndarray
    reaches: np.ndarray


class Search(NamedTuple):
    """What is known of the codes.

    Attributes:
        prices: `(K,)` float64, not positive; those of free codes are 0.
        owners: `(K,)` int64, the latent that has the code, -1 for a free one.
        ways: `(K,)` float64, length of the shortest way found to it in this search; infinite without one, and minus
            infinity once there is no shorter one.
        takers: `(K,)` int64, the latent that takes it on that way.
        reached: `(K,)` uint32, the codes with a way.
    """

    prices: np.ndarray
    owners: np.ndarray
    ways: np.ndarray
    takers: np.ndarray
    reached: np.ndarray


@compiled
def smallest(values, count):
    """Return the `count`-th smallest of the values, infinity if there are fewer; by insertion, for small counts."""
    found = np.full(count, np.inf)
    for value in values:
        at = count - 1
        if value < found[at]:
            while at > 0 and found[at - 1] > value:
                found[at] = found[at - 1]
                at -= 1
            found[at] = value
    return found[-1]


@compiled
def list_codes(row, lists, latent, length):
    """List the codes up to about the `length`-th nearest, and all that tie with the last; of distances `(K,)`."""
    every = max(1, len(row) // SAMPLED)
    reach = smallest(row[::every], 1 + length // every) if length < len(row) else np.inf
    codes, distances = lists.codes[latent], lists.distances[latent]
    count = 0
    for code in range(len(row)):
        codes[count], distances[count] = code, row[code]
        count += row[code] <= reach
    lists.counts[latent], lists.lengths[latent], lists.reaches[latent] = count, length, reach


@compiled
def reach_codes(lists, search, latent, offset, count, bound):
    """Note the ways through a latent to its listed codes where they are the shortest so far.

    Args:
        offset: length of the way to the latent less `D - v` of the code that it leaves; with `D - v` of another, the
            length of the way to that one.
        count: of the codes reached.
        bound: length of the shortest way to a free code; a longer one is of no use.

    Returns:
        The new `count` and `bound`.
    """
    codes, distances = lists.codes[latent], lists.distances[latent]
    prices, owners, ways, takers, reached = search
    for at in range(lists.counts[latent]):
        if offset + distances[at] >= bound:  # its price only makes it longer
            continue
        code = codes[at]
        length = offset + (distances[at] - prices[code])
        if length < ways[code]:
            if ways[code] == np.inf:
                reached[count] = code
                count += 1
            ways[code], takers[code] = length, latent
            if owners[code] == -1:
                bound = min(bound, length)
    return count, bound


@compiled
def lower_bound(lists, nearest, prices):
    """Return `sum u` and `sum v`, which together are the least that an assignment can cost.

    `u_l` is latent l's best offer, or less. An offer that is not listed is no better than the reach, as prices are not
    positive. A latent without a list is offered nothing better than its nearest code's distance.
    """
    offers = 0.0
    for latent in range(len(nearest)):
        offer = nearest[latent]
        if lists.lengths[latent] > 0:
            offer = lists.reaches[latent]
            codes, distances = lists.codes[latent], lists.distances[latent]
            for at in range(lists.counts[latent]):
                offer = min(offer, distances[at] - prices[codes[at]])
        offers += offer
    return offers, prices.sum()


@compiled
def is_proved(cost, size, offers, charges):
    """Say whether an assignment of this cost is optimal, given `sum u` and `sum v`.

    Args:
        size: sum of the absolute values of the distances that `cost` is the sum of. Prices far beyond it would hide a
            difference in their rounding, and prove nothing; nor does what overflows.
    """
    return size < np.inf and -charges <= 1e3 * size and cost - offers - charges <= TOLERANCE * size


@compiled
def assign(distances, codes):
    """Turn the nearest codes of an image into an assignment of least cost, Eq. (3).

    Args:
        distances: `(L, K)` float64, finite, C order, L <= K.
        codes: `(L,)` int64, the nearest codes; they become the assignment's.

    Returns:
        Whether prices prove that no assignment costs less. If not, because distances differ by too many orders of
        magnitude or overflow in sums, `codes` are of no use.
    """
    num_codes, codebook_size = distances.shape
    lists = Lists(
        codes=np.empty((num_codes, codebook_size), np.uint32),
        distances=np.empty((num_codes, codebook_size)),
        counts=np.zeros(num_codes, np.int64),
        lengths=np.zeros(num_codes, np.int64),
        reaches=np.full(num_codes, np.inf),
    )
    search = Search(
        prices=np.zeros(codebook_size),
        owners=np.full(codebook_size, -1),
        ways=np.full(codebook_size, np.inf),
        takers=np.empty(codebook_size, np.int64),
        reached=np.empty(codebook_size, np.uint32),
    )
    prices, owners, ways, takers, reached = search
    lengths, reaches = lists.lengths, lists.reaches
    # Of the latents visited in a search: the way to the code that each had, and that less what it pays for it.
    path, arrivals, offsets = np.empty(num_codes, np.int64), np.empty(num_codes), np.empty(num_codes)

    nearest, wanted = np.empty(num_codes), np.zeros(codebook_size, np.int64)
    for latent in range(num_codes):  # the first to want a code has it
        nearest[latent] = distances[latent, codes[latent]]
        wanted[codes[latent]] += 1
        if owners[codes[latent]] == -1:
            owners[codes[latent]] = latent
    for start in range(num_codes):
        if owners[codes[start]] == start:
            continue
        latent, arrival, offset = start, 0.0, 0.0
        visited = done = count = 0
        bound = np.inf
        while True:  # Dijkstra's algorithm; the first `done` of the codes reached have their shortest way
            path[visited], arrivals[visited], offsets[visited] = latent, arrival, offset
            visited += 1
            if lengths[latent] == 0:
                list_codes(distances[latent], lists, latent, LISTED + wanted[codes[latent]])
            count, bound = reach_codes(lists, search, latent, offset, count, bound)
            short = True
            while short:
                best, arrival = done, np.inf
                for at in range(done, count):
                    way = ways[reached[at]]
                    if way < arrival or (way == arrival and owners[reached[at]] == -1):  # of equals, one that is free
                        best, arrival = at, way
                short = False
                for at in range(visited):
                    if offsets[at] + reaches[path[at]] < arrival:  # a code that is not listed may be nearer
                        list_codes(distances[path[at]], lists, path[at], LONGER * lengths[path[at]])
                        count, bound = reach_codes(lists, search, path[at], offsets[at], count, bound)
                        short = True
            if arrival == np.inf:
                return False  # all ways overflow
            code = reached[best]
            reached[best], reached[done] = reached[done], code
            done += 1
            if owners[code] == -1:
                break
            ways[code] = -np.inf  # rounding must not find a shorter one: the way back would have no end
            latent = owners[code]
            offset = arrival - (distances[latent, code] - prices[code])

        for at in range(1, visited):  # under the new prices the codes on the way are the best offers, too
            held = codes[path[at]]
            prices[held] = min(0.0, prices[held] - (arrival - arrivals[at]))  # never raised, but for rounding
        for at in range(count):
            ways[reached[at]] = np.inf
        latent = -1
        while latent != start:  # back along the way: each latent takes its code and leaves the one it had
            latent = takers[code]
            owners[code] = latent
            codes[latent], code = code, codes[latent]

    cost = size = 0.0
    for latent in range(num_codes):
        cost += distances[latent, codes[latent]]
        size += abs(distances[latent, codes[latent]])
    offers, charges = lower_bound(lists, nearest, prices)
    return is_proved(cost, size, offers, charges)


@compiled
def assign_each(distances, codes, images, solved):
    """Do `assign` for the images of a batch, with a table `(B, L, K)`, `(B, L)` and `(B,)` bool of what it returns."""
    for image in images:
        solved[image] = assign(distances[image], codes[image])
