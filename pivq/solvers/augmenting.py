"""Shortest augmenting paths: one image's assignment problem, Eq. (3), solved exactly and with a proof.

The algorithm is Jonker and Volgenant's (Computing 38, 1987), as in scipy's solver, with two changes for latents and a
codebook. It starts from the nearest codes. Each latent sees only a list of near codes, which grows when a path may
need a code beyond it. The time depends on how many latents contend for codes, not on all L times K distances.

Codes have dual prices `v_k <= 0` and latents dual prices `u_l`, so that no reduced cost `D_lk - u_l - v_k` is negative.
It is zero for a latent and its own code, so `u_l` is not stored. For each latent without a code the shortest augmenting
path is found: the latent takes the code of a second latent, which takes the code of a third, and so on to a free code.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from pivq.solvers.compiled import compiled

TOLERANCE = 1e-12  # an optimal cost may exceed the lower bound by this share, for rounding
# Tuning constants: they affect speed, not results; measured on two cores.
LISTED = 32  # codes on a latent's first list, plus one for each latent with the same nearest code
LONGER = 2  # factor by which a list grows
SAMPLED = 128  # codes from which the radius of a list is estimated

inner = njit(no_cpython_wrapper=True)  # for functions that Python does not call: less to compile
inlined = njit(inline="always")  # for functions of the main loop: calls with many arrays are slow


class Lists(NamedTuple):
    """The near codes of each latent. A list is empty until the first search that visits its latent."""

    # For signed codes numba would check whether an index is negative.
    codes: np.ndarray  # (L, K) uint32; the first counts[l] of row l are listed
    distances: np.ndarray  # (L, K) float64, of the listed codes
    counts: np.ndarray  # (L,) int64
    sizes: np.ndarray  # (L,) int64, about how many codes to list
    radii: np.ndarray  # (L,) float64; no code is nearer than this unless it is listed


class Search(NamedTuple):
    """The dual prices and owners of the codes, and the state of the current search."""

    v: np.ndarray  # (K,) float64, dual prices, not positive; 0 for free codes
    owners: np.ndarray  # (K,) int64, the latent that has the code; -1 for a free code
    paid: np.ndarray  # (L,) float64, the distance of each latent to the code that it has
    # (K,) float64, of the shortest path found to the code; infinite without a path, minus infinity once it is scanned.
    lengths: np.ndarray
    predecessors: np.ndarray  # (K,) int64, the latent before the code on that path
    reached: np.ndarray  # (K,) uint32, the codes with a path, scanned ones first


class Tree(NamedTuple):
    """The latents that the current search has visited: the one that it starts from, then the scanned codes' owners."""

    latents: np.ndarray  # (L,) int64
    lengths: np.ndarray  # (L,) float64, of the shortest path to the latent, through its own code
    shifted_u: np.ndarray  # (L,) float64, `u_l` of the latent minus that length


@inner
def new_search(codes, codebook_size, paid):
    """Return a search in which each nearest code belongs to the first latent that has it, and the others are free."""
    owners = np.full(codebook_size, -1, np.int64)
    for latent, code in enumerate(codes):
        if owners[code] == -1:
            owners[code] = latent
    lengths, predecessors = np.full(codebook_size, np.inf), np.empty(codebook_size, np.int64)
    return Search(np.zeros(codebook_size), owners, paid, lengths, predecessors, np.empty(codebook_size, np.uint32))


@inner
def empty_lists(distances, codes):
    """Return empty lists with the sizes and radii that suit the nearest codes of each latent."""
    num_codes, codebook_size = distances.shape
    demand = np.zeros(codebook_size, np.int64)
    for code in codes:
        demand[code] += 1
    sizes, radii = np.empty(num_codes, np.int64), np.empty(num_codes)
    for latent, code in enumerate(codes):
        sizes[latent], radii[latent] = LISTED + demand[code], distances[latent, code]
    room = (num_codes, codebook_size)
    return Lists(np.empty(room, np.uint32), np.empty(room), np.zeros(num_codes, np.int64), sizes, radii)


@inner
def smallest(values, count):
    """Return the `count`-th smallest value, or infinity if there are fewer; by insertion, for small counts."""
    found = np.empty(count)
    found[:] = np.inf
    for value in values:
        at = count - 1
        if value < found[at]:
            while at > 0 and found[at - 1] > value:
                found[at] = found[at - 1]
                at -= 1
            found[at] = value
    return found[-1]


@compiled
def list_codes(row, lists, latent):
    """List about the `sizes[latent]` nearest codes, and all that tie with the last one.

    Args:
        row: `(K,)` float64, the latent's distances.
    """
    size, every = lists.sizes[latent], max(1, len(row) // SAMPLED)
    radius = smallest(row[::every], 1 + size // every) if size < len(row) else np.inf
    codes, distances = lists.codes[latent], lists.distances[latent]
    count = 0
    for code in range(len(row)):
        codes[count], distances[count] = code, row[code]
        count += row[code] <= radius
    lists.counts[latent], lists.radii[latent] = count, radius


@inner
def relax(lists, search, latent, shifted_u, count, cutoff):
    """Update the shortest paths to the codes on a latent's list with the paths through this latent.

    The length of a path is the sum of its reduced costs; through latent l to code k it is `D_lk - v_k - shifted_u`.

    Args:
        count: number of reached codes.
        cutoff: length of the shortest path to a free code; longer paths are ignored.

    Returns:
        The new `count` and `cutoff`.
    """
    codes, distances = lists.codes[latent], lists.distances[latent]
    v, owners, _, lengths, predecessors, reached = search
    for at in range(lists.counts[latent]):
        if distances[at] - shifted_u >= cutoff:  # v <= 0 can only make it longer
            continue
        code = codes[at]
        length = distances[at] - v[code] - shifted_u
        if length < lengths[code]:
            if lengths[code] == np.inf:
                reached[count] = code
                count += 1
            lengths[code], predecessors[code] = length, latent
            if owners[code] == -1:
                cutoff = min(cutoff, length)
    return count, cutoff


@inlined
def closest_code(search, scanned, count):
    """Find the code with the shortest path among the reached ones not yet scanned; of equal ones, a free code.

    Returns:
        The code's position in `reached` and the length of its path; infinity if there is no code.
    """
    owners, lengths, reached = search.owners, search.lengths, search.reached
    closest, shortest = scanned, np.inf
    for at in range(scanned, count):
        length = lengths[reached[at]]
        if length < shortest or (length == shortest and owners[reached[at]] == -1):
            closest, shortest = at, length
    return closest, shortest


@inner
def grow_lists(distances, lists, search, tree, visited, length, count, cutoff):
    """Grow the lists of visited latents that may miss a code with a path shorter than `length`.

    Returns:
        The new `count` and `cutoff`, and the horizon: no path to a code that is not listed is shorter than this.
    """
    horizon = np.inf
    for at in range(visited):
        latent, shifted_u = tree.latents[at], tree.shifted_u[at]
        if lists.radii[latent] - shifted_u < length:
            lists.sizes[latent] *= LONGER
            list_codes(distances[latent], lists, latent)
            count, cutoff = relax(lists, search, latent, shifted_u, count, cutoff)
        horizon = min(lists.radii[latent] - shifted_u, horizon)
    return count, cutoff, horizon


@inlined
def shortest_path(distances, lists, search, tree, start):
    """Find the shortest augmenting path from a latent to a free code, with Dijkstra's algorithm.

    Args:
        distances: `(L, K)`, from which lists grow; or `(L, 0)`, where they cannot.

    Returns:
        The free code (-1 if all path lengths overflow, or if a list would have to grow and cannot), the length of the
        path, and the number of scanned codes.
    """
    v, owners, paid, lengths, _, reached = search
    latent, length, shifted_u = start, 0.0, 0.0
    count, cutoff, horizon = np.int64(0), np.inf, np.inf  # for the literal 0 `relax` would be compiled once more
    for scanned in range(len(distances)):
        tree.latents[scanned], tree.lengths[scanned], tree.shifted_u[scanned] = latent, length, shifted_u
        if lists.counts[latent] == 0:
            list_codes(distances[latent], lists, latent)
        count, cutoff = relax(lists, search, latent, shifted_u, count, cutoff)
        horizon = min(lists.radii[latent] - shifted_u, horizon)
        while True:
            at, length = closest_code(search, scanned, count)
            if not horizon < length:  # also after an overflow, where the horizon may be NaN
                break
            if distances.shape[1] == 0:
                return -1, length, scanned
            count, cutoff, horizon = grow_lists(distances, lists, search, tree, scanned + 1, length, count, cutoff)
        if length == np.inf:
            return -1, length, scanned
        code = reached[at]
        if owners[code] == -1:
            break
        reached[at], reached[scanned] = reached[scanned], code
        lengths[code] = -np.inf  # rounding must not find a shorter path to it: the predecessors would form a cycle
        latent = owners[code]
        shifted_u = paid[latent] - v[code] - length
    for at in range(count):
        lengths[reached[at]] = np.inf
    return code, length, scanned


@inner
def update_prices(codes, v, tree, scanned, length):
    """Lower `v` of the scanned codes, given the path's length, so that the reduced costs on the path are zero."""
    for at in range(1, scanned + 1):
        code = codes[tree.latents[at]]
        price = v[code] - (length - tree.lengths[at])
        v[code] = min(0.0, price)  # positive only by rounding


@inner
def augment(codes, lists, search, start, code):
    """Follow the path back from its free code to `start`: each latent leaves its own code and takes the next one."""
    latent = -1
    while latent != start:
        latent = search.predecessors[code]
        search.owners[code] = latent
        at = 0
        while lists.codes[latent, at] != code:  # a path leads over listed codes alone
            at += 1
        search.paid[latent] = lists.distances[latent, at]
        codes[latent], code = code, codes[latent]


@compiled
def lower_bound(lists, v):
    """Return `sum u` and `sum v`; no assignment costs less than the two together.

    `u_l` is the least `D_lk - v_k` of the listed codes, or the radius if that is less: no other code offers less, as
    `v_k <= 0`.
    """
    sum_u = 0.0
    for latent in range(len(lists.counts)):
        u, codes, distances = lists.radii[latent], lists.codes[latent], lists.distances[latent]
        for at in range(lists.counts[latent]):
            u = min(u, distances[at] - v[codes[at]])
        sum_u += u
    sum_v = 0.0
    for price in v:
        sum_v += price
    return sum_u, sum_v


@compiled
def is_proved(cost, magnitude, sum_u, sum_v):
    """Say whether the lower bound `sum u + sum v` proves that an assignment of this cost is optimal.

    Args:
        magnitude: sum of the absolute distances of the assignment. Prices far larger than it prove nothing, because
            their rounding errors would hide a difference in cost. Sums that overflow prove nothing either.
    """
    return magnitude < np.inf and -sum_v <= 1e3 * magnitude and cost - sum_u - sum_v <= TOLERANCE * magnitude


@inner
def augment_all(distances, lists, search, codes):
    """Find an augmenting path for each latent without a code; return whether prices prove that none costs less."""
    num_codes = len(codes)
    tree = Tree(latents=np.empty(num_codes, np.int64), lengths=np.empty(num_codes), shifted_u=np.empty(num_codes))
    for start in range(num_codes):
        if search.owners[codes[start]] != start:
            code, length, scanned = shortest_path(distances, lists, search, tree, start)
            if code == -1:
                return False
            update_prices(codes, search.v, tree, scanned, length)
            augment(codes, lists, search, start, code)
    cost = magnitude = 0.0
    for paid in search.paid:
        cost += paid
        magnitude += abs(paid)
    sum_u, sum_v = lower_bound(lists, search.v)
    return is_proved(cost, magnitude, sum_u, sum_v)


@compiled
def assign_each(distances, nearest, images):
    """Turn the nearest codes of some images into assignments of least cost, Eq. (3).

    Args:
        distances: `(B, L, K)` float32 or float64, finite, C order, L <= K.
        nearest: `(n, L)` int64, the nearest codes of the images.
        images: `(n,)`, which of the B.

    Returns:
        The codes `(n, L)`, and for which images `(n,)` dual prices prove that no assignment costs less. The others, in
        which distances differ by too many orders of magnitude or their sums overflow, are not to be used.
    """
    codes, solved = nearest.copy(), np.empty(len(images), np.bool_)
    for at, image in enumerate(images):
        table, paid = distances[image], np.empty(codes.shape[1])
        for latent, code in enumerate(codes[at]):
            paid[latent] = table[latent, code]
        search = new_search(codes[at], table.shape[1], paid)
        solved[at] = augment_all(table, empty_lists(table, codes[at]), search, codes[at])
    return codes, solved


@compiled
def assign_listed(near_codes, near_distances, nearest, images, codebook_size):
    """Do `assign_each` with nothing but the m nearest codes of each latent: unsolved, too, where more are needed.

    Args:
        near_codes: `(B, L, m)` uint32, in any order. No code that is not listed is nearer than a listed one.
        near_distances: `(B, L, m)` float64.
        nearest: `(n, L)` int64, the nearest codes of the images.
        images: `(n,)`, which of the B.
        codebook_size: K.
    """
    codes, solved = nearest.copy(), np.empty(len(images), np.bool_)
    num_codes, width = near_codes.shape[1:]
    for at, image in enumerate(images):
        full, radii, paid = np.full(num_codes, width, np.int64), np.full(num_codes, np.inf), np.empty(num_codes)
        for latent, listed in enumerate(near_distances[image]):
            paid[latent] = listed.min()
            if width < codebook_size:
                radii[latent] = listed.max()
        lists = Lists(near_codes[image], near_distances[image], full, full, radii)
        search = new_search(codes[at], codebook_size, paid)
        solved[at] = augment_all(np.empty((num_codes, 0)), lists, search, codes[at])
    return codes, solved
