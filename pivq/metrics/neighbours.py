"""Precision, recall, density and coverage of samples from features (Section 4.3, Table 3), in bounded memory."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pivq.metrics.frechet import Features, as_device, as_features, as_rows, check_dimensions, finite, row_chunks

Device = str | torch.device
Table = NDArray | Tensor  # numbers or truth values: an array on a CPU, a tensor on another device
PAIR_ELEMENTS = 1 << 16  # numbers of the pairs whose differences are summed at once: they stay in a processor's cache
DOUBTS = 16  # seeming neighbours for each that is asked for, above which float64 products are worth their time


class EmptyBallsWarning(UserWarning):
    """Points equal their k nearest neighbours: nothing lies inside their balls, which lowers all four shares."""


class PRDC(NamedTuple):
    """Fidelity (precision, density) and diversity (recall, coverage) of fake samples.

    Attributes:
        precision: share of fakes inside at least one real ball, in [0, 1].
        recall: share of reals inside at least one fake ball, in [0, 1].
        density: real balls that hold a fake, averaged over fakes and divided by k; 1 in expectation where the two
            distributions are equal, and unbounded above.
        coverage: share of reals whose ball holds at least one fake, in [0, 1].
    """

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(*, real: Features, fake: Features, k: int, block_size: int = 256, device: Device = "cpu") -> PRDC:
    """Return precision and recall [Kynkäänniemi 2019], density and coverage [Naeem 2020, the paper's 35].

    The ball of a point reaches to its k-th nearest neighbour within its own set, the point itself not counted, and is
    open: a point at that very distance lies outside. These are the definitions of the `prdc` package; the counts are
    the same, while at most `block_size` rows of distances exist at a time.

    Distances are exact enough for ties: each comparison is first decided by float32 matrix products with a rigorous
    error bound, and where that leaves doubt (equal distances, duplicates) by the sum of squared differences of the two
    vectors in float64. So duplicates are at distance 0 and neither `block_size` nor `device` changes a count. Sets with
    many exact ties or duplicates take longer.

    Args:
        real: features `(N, F)`, any real type, taken as the exact numbers they are.
        fake: features `(M, F)`.
        k: neighbours, 1 <= k < min(N, M). The paper does not give it; the base code has 3, the `prdc` authors 5.
        block_size: rows of distances in memory; about 2 block_size max(N, M) float32 numbers.
        device: of the matrix products; it holds both sets in float32.

    Returns:
        The four shares as floats.

    Raises:
        ValueError: sizes that do not fit, or rows that are not finite (named).

    Warns:
        EmptyBallsWarning: balls of radius 0, of points with k equals in their own set.

    Example:
        >>> prdc(real=np.array([[0], [1], [2], [3]]), fake=np.array([[0.5], [1.5], [10]]), k=1).coverage
        0.75
    """
    return prdc_for_all(real=real, fakes={"fake": fake}, ks=(k,), block_size=block_size, device=device)["fake"][k]


def prdc_for_all(
    *,
    real: Features,
    fakes: Mapping[str, Features],
    ks: Sequence[int],
    block_size: int = 256,
    device: Device = "cpu",
) -> dict[str, dict[int, PRDC]]:
    """Return `prdc` of several sets of fakes for several k, by name and k, in little more time than for one k.

    The distances serve every k, and the balls of the real ones every set.

    Args:
        real: see `prdc`.
        fakes: by name, each as `fake` of `prdc`.
        ks: at least one k.
        block_size: see `prdc`.
        device: see `prdc`.

    Raises:
        ValueError: see `prdc`.
    """
    device, real = as_device(device), as_features("real", real)
    if not isinstance(fakes, Mapping):
        raise TypeError(f"fakes must be features by name, got {type(fakes).__name__}")
    if not isinstance(ks, Sequence) or isinstance(ks, str) or not ks:
        raise ValueError(f"ks must be several whole numbers, at least one, got {ks!r:.80}")
    fakes = {name: as_features(name, features) for name, features in fakes.items()}
    if not isinstance(block_size, int) or isinstance(block_size, bool) or block_size < 1:
        raise ValueError(f"block_size must be at least 1, got {block_size!r}")
    for name, features in {"real": real, **fakes}.items():
        check_dimensions(real, features)
        for k in ks:
            _check_whole("k", k, 1, len(features) - 1, f", one less than {name} has rows")
    frame = _frame({"real": real, **fakes})
    with _float32_products():
        points = _Points(real, frame, device)
        radii = _radii("real", points, ks, block_size)
        return {
            name: _compare(points, radii, name, _Points(fake, frame, device), ks, block_size)
            for name, fake in fakes.items()
        }


def _check_whole(name: str, value: int, least: int, most: int, why: str = "") -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{name}={value!r} must be an integer from {least} to {most}{why}")


def _compare(
    real: "_Points", real_radii: NDArray, name: str, fake: "_Points", ks: Sequence[int], block_size: int
) -> dict[int, PRDC]:
    fake_radii = _radii(name, fake, ks, block_size)
    if real.centred.dtype != fake.centred.dtype:
        real.refine()
        fake.refine()
    holds_fake, in_fake_ball = np.zeros((2, len(ks), len(real)), bool)
    in_real_ball = np.zeros((len(ks), len(fake)), bool)
    memberships = [0] * len(ks)
    real_error, fake_error = real.error(fake), fake.error(real)
    for start in range(0, len(real), block_size):
        rows = slice(start, start + block_size)
        distances = _distances(real, rows, fake)
        for i in range(len(ks)):
            inside = _closer(distances, real_radii[i][rows, None], real_error[rows, None], real, start, fake)
            held, holds_fake[i, rows], count = _tally(inside)
            in_real_ball[i] |= held
            memberships[i] += count
            inside = _closer(distances, fake_radii[i][None, :], fake_error[None, :], real, start, fake)
            _, in_fake_ball[i, rows], _ = _tally(inside)
    return {
        k: PRDC(
            precision=float(in_real_ball[i].mean()),
            recall=float(in_fake_ball[i].mean()),
            density=memberships[i] / (k * len(fake)),
            coverage=float(holds_fake[i].mean()),
        )
        for i, k in enumerate(ks)
    }


@contextmanager
def _float32_products() -> Iterator[None]:
    """Do float32 matrix products in float32, even where cheaper ones (TF32, bfloat16) are allowed outside."""
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(allowed)


def _frame(sets: Mapping[str, NDArray]) -> tuple[NDArray, float]:
    """Return a centre `(F,)`, the mean of the first set, and the power of two that scales all sets into [-1, 1].

    Around the centre, and at this scale, float32 loses least.
    """
    first, *_ = sets.items()
    centre = sum(finite(first[0], rows, start).sum(axis=0) for start, rows in row_chunks(first[1])) / len(first[1])
    largest = 0.0
    for name, features in sets.items():
        widest = max(np.abs(finite(name, rows, at) - centre).max() for at, rows in row_chunks(features))
        if not widest < np.sqrt(np.finfo(np.float64).max / (4 * features.shape[1])):
            raise ValueError(f"{name}: values are too large, their squared distances overflow")
        largest = max(largest, float(widest))
    return centre, 2.0 ** -np.frexp(largest)[1].clip(-500)


class _Points:
    """Feature vectors as given; and as matrix products take them: centred, scaled, on a device, with squared norms."""

    def __init__(self, given: NDArray, frame: tuple[NDArray, float], device: Device):
        self.given, self.frame, self.device = given, frame, device
        self._prepare(torch.float32)

    def __len__(self) -> int:
        return len(self.given)

    def _prepare(self, dtype: torch.dtype) -> None:
        centre, scale = self.frame
        self.centred = torch.empty(self.given.shape, dtype=dtype, device=self.device)
        self.norms = torch.empty(len(self), dtype=dtype, device=self.device)
        for start, rows in row_chunks(self.given):
            rows = torch.from_numpy((rows - centre) * scale)
            self.centred[start : start + len(rows)] = rows
            self.norms[start : start + len(rows)] = rows.square().sum(dim=1)

    def refine(self) -> None:
        """Go on in float64, where that leaves fewer doubts."""
        if self.centred.dtype == torch.float32:
            self._prepare(torch.float64)

    def error(self, other: "_Points") -> NDArray:
        """Bound the error of `_distances` from each point to any of `other`, both ways, `(N,)` float64.

        With F terms in each sum, rounding in centring, norms and product, and in `_squared_distances` itself, adds up
        to less than (2 F + 8) eps (|a|^2 + |b|^2); twice that is used, and what underflow may lose besides.
        """
        kind, dimensions = torch.finfo(self.centred.dtype), self.given.shape[1]
        sums = (self.norms + other.norms.max()).double().cpu().numpy()
        return (4 * dimensions + 32) * (kind.eps * sums + 4 * kind.tiny)


def _distances(a: _Points, rows: slice, b: _Points) -> Tensor:
    """Return squared distances `(rows, len(b))` in the scaled frame from rows of `a` to all of `b`, up to `error`."""
    sums = a.norms[rows, None] + b.norms
    return sums.addmm_(a.centred[rows], b.centred.T, alpha=-2)


def _radii(name: str, points: _Points, ks: Sequence[int], block_size: int) -> NDArray:
    """Return the squared distances `(len(ks), N)` from each point to its k-th nearest neighbour other than itself."""
    radii = np.empty((len(ks), len(points)))
    start = 0
    while start < len(points):
        distances = _distances(points, slice(start, start + block_size), points)
        own = np.arange(len(distances))
        distances[own, start + own] = torch.inf
        # The k nearest of a row are among those that may be as near as the one that seems the k-th: at least k of them.
        seeming = distances.topk(max(ks), largest=False).values[:, -1]
        error = torch.from_numpy(points.error(points)[start : start + len(own)]).to(seeming)
        row, column = _places(_table(distances) <= _table(_above(seeming + 2 * error)[:, None]))
        if len(row) > DOUBTS * max(ks) * len(own) and points.centred.dtype == torch.float32:
            points.refine()
            continue
        exact = _squared_distances(points.given, start + row, points.given, column)
        ranked = np.lexsort((exact, row))
        first = np.searchsorted(row, own)
        for i, k in enumerate(ks):
            radii[i, start : start + len(own)] = exact[ranked[first + k - 1]]
        start += block_size
    empty = {k: int((row == 0).sum()) for k, row in zip(ks, radii, strict=True)}
    if any(empty.values()):
        counts = ", ".join(f"{count} of {len(points)} balls are empty at k={k}" for k, count in empty.items() if count)
        warnings.warn(
            f"{name}: {counts}: these points have k equals or more (the same image many times?), and nothing counts as "
            "inside; use distinct images, or a larger k",
            EmptyBallsWarning,
            stacklevel=4,
        )
    return radii


def _closer(distances: Tensor, radii: NDArray, error: NDArray, a: _Points, start: int, b: _Points) -> Table:
    """Return where the squared distance from row start + i of `a` to row j of `b` is below `radii`, exactly."""
    scaled = radii * a.frame[1] ** 2
    low, high = (torch.from_numpy(bound).to(distances) for bound in (scaled - error, scaled + error))
    table = _table(distances)
    closer = table < _table(_below(low))
    i, j = _places((table <= _table(_above(high))) ^ closer)
    if len(i):
        exact = _squared_distances(a.given, start + i, b.given, j) < np.broadcast_to(radii, distances.shape)[i, j]
        if isinstance(closer, np.ndarray):
            closer[i, j] = exact
        else:
            closer[torch.from_numpy(i), torch.from_numpy(j)] = torch.from_numpy(exact).to(closer.device)
    return closer


def _table(values: Tensor) -> Table:
    """Return values as an array if they are on a CPU: numpy takes a fraction of torch's time to compare and count."""
    return values.numpy() if values.device.type == "cpu" else values


def _places(found: Table) -> tuple[NDArray, NDArray]:
    """Return the rows and columns where a table is true, in order."""
    on_cpu = isinstance(found, np.ndarray)
    flat = np.flatnonzero(found) if on_cpu else found.flatten().nonzero()[:, 0].cpu().numpy()
    return np.divmod(flat, found.shape[1])


def _tally(found: Table) -> tuple[NDArray, NDArray, int]:
    """Return which columns and which rows of a table have anything true, and how much is true in all."""
    if isinstance(found, np.ndarray):
        return found.any(axis=0), found.any(axis=1), int(np.count_nonzero(found))
    return found.any(dim=0).cpu().numpy(), found.any(dim=1).cpu().numpy(), int(found.sum())


def _above(bound: Tensor) -> Tensor:
    return torch.nextafter(bound, torch.full_like(bound, torch.inf))


def _below(bound: Tensor) -> Tensor:
    return torch.nextafter(bound, torch.full_like(bound, -torch.inf))


def _squared_distances(a: NDArray, rows: NDArray, b: NDArray, columns: NDArray) -> NDArray:
    """Return |a[rows[p]] - b[columns[p]]|^2 for every p in float64, summed in one fixed order: a function of values."""
    distances = np.empty(len(rows))
    chunk = max(1, PAIR_ELEMENTS // a.shape[1])
    for start in range(0, len(rows), chunk):
        pairs = slice(start, start + chunk)
        difference = a[rows[pairs]].astype(np.float64) - b[columns[pairs]]
        distances[pairs] = np.square(difference, out=difference).sum(axis=1)
    return distances


def nearest_real(
    real: np.ndarray, fake: np.ndarray, k: int = 1, excluded: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the `k` closest rows of `real` to each row of `fake`, closest first, and their distances.

    Args:
        real: features `(N, F)`.
        fake: features `(M, F)`.
        k: neighbours.
        excluded: rows of `real` `(M, E)` that are no neighbour of that row of `fake`, such as a sample's parents.

    Returns:
        Indices and Euclidean distances, both `(M, k)`.

    Raises:
        ValueError: sizes that do not fit, a k with fewer rows to choose from, or rows that are not finite (named).
    """
    real, fake = as_features("real", real), as_features("fake", fake)
    check_dimensions(real, fake)
    for name, features in (("real", real), ("fake", fake)):
        for start, rows in row_chunks(features):
            finite(name, rows, start)
    if excluded is not None:
        excluded = as_rows("excluded", excluded, len(fake), len(real))
    left = len(real) - (0 if excluded is None else excluded.shape[1])
    _check_whole("k", k, 1, left, ", the rows of real that are not excluded")
    references = torch.from_numpy(real).double()
    indices, distances = [], []
    for start in range(0, len(fake), 500):  # rows of distances in memory
        rows = slice(start, start + 500)
        block = torch.cdist(torch.from_numpy(fake[rows]).double(), references)
        if excluded is not None:
            block.scatter_(1, torch.from_numpy(excluded[rows]), torch.inf)
        closest = block.topk(k, dim=1, largest=False)
        indices.append(closest.indices)
        distances.append(closest.values)
    return torch.cat(indices).numpy(), torch.cat(distances).numpy()
