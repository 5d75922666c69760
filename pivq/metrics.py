"""Sample quality from features: Fréchet distance, and precision, recall, density, coverage (Section 4.3, Table 3).

Both take features of any network. A Fréchet distance is called FID only with Inception features; the feature network
knows the right name (`pivq.features.FeatureNet.distance_name`).
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Features = NDArray  # or a torch tensor; (N, F), any real type
Device = str | torch.device

CHUNK_ELEMENTS = 1 << 21  # numbers that one temporary array of feature rows holds: 16 MiB
DOUBTS = 16  # seeming neighbours for each that is asked for, above which float64 products are worth their time


class RankDeficientWarning(UserWarning):
    """Too few feature vectors for their dimension: the covariance is singular and the distance biased upwards."""


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


class Moments:
    """Mean and covariance of a stream of feature vectors, in float64 and one pass.

    Sums of squares about the running mean are merged batch by batch (Chan et al.), so a large mean costs no precision.

    Attributes:
        count: feature vectors seen.

    Example:
        >>> moments = Moments()
        >>> moments.update(np.array([[0.0, 1.0], [2.0, 5.0]]))
        >>> moments.update(np.array([[4.0, 3.0]]))
        >>> moments.mean, moments.cov[0, 1]
        (array([2., 3.]), np.float64(2.0))
    """

    def __init__(self) -> None:
        self.count = 0
        self._mean: NDArray | None = None
        self._scatter: NDArray | None = None

    def update(self, features: Features) -> None:
        """Take in features `(N, F)`, N >= 1.

        Raises:
            ValueError: not `(N, F)` with numbers, another F than before, or a value that is not finite.
        """
        batch = Moments()  # merged at the end, so that a refused batch leaves no trace
        for start, rows in _row_chunks(_as_features("features", features)):
            chunk = Moments()
            chunk.count = len(rows)
            chunk._mean = _finite("features", rows, start).mean(axis=0)
            rows -= chunk._mean
            chunk._scatter = rows.T @ rows
            batch.merge(chunk)
        self.merge(batch)

    def merge(self, other: "Moments") -> None:
        """Take in what another accumulator has seen, such as that of another process.

        Raises:
            ValueError: the dimensions differ.
        """
        if other.count == 0:
            return
        if self.count == 0:
            self.count, self._mean, self._scatter = other.count, other._mean.copy(), other._scatter.copy()
            return
        if other._mean.shape != self._mean.shape:
            raise ValueError(f"features have {other._mean.size} dimensions, those before had {self._mean.size}")
        total = self.count + other.count
        shift = other._mean - self._mean
        self._scatter += other._scatter + np.outer(shift, shift) * (self.count * other.count / total)
        self._mean += shift * (other.count / total)
        self.count = total

    @property
    def mean(self) -> NDArray:
        """Mean, float64 `(F,)`; ValueError if nothing was seen."""
        if self.count < 1:
            raise ValueError("the mean needs at least 1 feature vector, got 0")
        return self._mean.copy()

    @property
    def cov(self) -> NDArray:
        """Unbiased covariance, float64 `(F, F)`; ValueError for fewer than two feature vectors."""
        if self.count < 2:
            raise ValueError(f"a covariance needs at least 2 feature vectors, got {self.count}")
        return self._scatter / (self.count - 1)


def frechet_distance(*, real: Features, fake: Features) -> float:
    """Return the Fréchet distance between Gaussians fitted to two sets of features.

    Args:
        real: features `(N, F)`, N >= 2.
        fake: features `(M, F)`, M >= 2.

    Returns:
        The distance (already squared, as usual), at least 0; see `frechet_from_moments`.

    Raises:
        ValueError: a set with fewer than two vectors, other dimensions, or a value that is not finite.

    Warns:
        RankDeficientWarning: a set has no more vectors than dimensions.

    Example:
        >>> frechet_distance(real=np.array([[0.0], [2.0]]), fake=np.array([[3.0], [5.0]]))
        9.0
    """
    real, fake = _as_features("real", real), _as_features("fake", fake)
    _check_dimensions(real, fake)
    fitted = []
    for name, features in (("real", real), ("fake", fake)):
        count, dimensions = features.shape
        if count < 2:
            raise ValueError(f"{name}: a covariance needs at least 2 feature vectors, got {count}")
        if count <= dimensions:
            warnings.warn(
                f"{name}: {count} feature vectors in {dimensions} dimensions have a singular covariance; the distance "
                f"is biased upwards and comparable only between sets of equal size (use more than {dimensions})",
                RankDeficientWarning,
                stacklevel=2,
            )
        moments = Moments()
        for start, rows in _row_chunks(features):
            moments.update(_finite(name, rows, start))
        fitted.append(moments)
    a, b = fitted
    return frechet_from_moments(a.mean, a.cov, b.mean, b.cov)


def frechet_from_moments(mu_a: NDArray, cov_a: NDArray, mu_b: NDArray, cov_b: NDArray) -> float:
    """Return |mu_a - mu_b|^2 + tr(A) + tr(B) - 2 tr((A B)^(1/2)) for covariances A and B.

    The last trace is the sum of the singular values of A^(1/2) B^(1/2), with square roots of the symmetric A and B from
    their eigenvectors. That stays real for singular covariances and keeps full precision, where a square root of the
    unsymmetric product A B does neither.

    Args:
        mu_a: mean `(F,)`.
        cov_a: covariance `(F, F)`, symmetric and positive semi-definite up to rounding.
        mu_b: mean `(F,)`.
        cov_b: covariance `(F, F)`.

    Returns:
        The distance, at least 0 (rounding below 0 is cut off).

    Raises:
        ValueError: shapes that do not fit, a value that is not finite, or a matrix that is no covariance.

    Example:
        >>> round(frechet_from_moments([0, 0], np.diag([1, 4]), [1, 2], np.diag([9, 1])), 9)
        10.0
    """
    mu_a, cov_a = _checked_moments("a", mu_a, cov_a)
    mu_b, cov_b = _checked_moments("b", mu_b, cov_b)
    if mu_a.shape != mu_b.shape:
        raise ValueError(f"mu_a has {mu_a.size} dimensions, mu_b has {mu_b.size}")
    overlap = np.linalg.svd(_square_root("cov_a", cov_a) @ _square_root("cov_b", cov_b), compute_uv=False).sum()
    distance = np.square(mu_a - mu_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap
    return max(float(distance), 0.0)


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
    real = _as_features("real", real)
    fakes = {name: _as_features(name, features) for name, features in fakes.items()}
    if block_size < 1:
        raise ValueError(f"block_size must be at least 1, got {block_size}")
    for name, features in {"real": real, **fakes}.items():
        _check_dimensions(real, features)
        for k in ks:
            if k != int(k) or not 1 <= k < len(features):
                last = len(features) - 1
                raise ValueError(f"k={k} must be an integer from 1 to {last}, one less than {name} has rows")
    frame = _frame({"real": real, **fakes})
    with _float32_products():
        points = _Points(real, frame, device)
        radii = _radii(points, ks, block_size)
        return {
            name: _compare(points, radii, _Points(fake, frame, device), ks, block_size)
            for name, fake in fakes.items()
        }


def _compare(real: "_Points", real_radii: NDArray, fake: "_Points", ks: Sequence[int], block_size: int) -> dict:
    fake_radii = _radii(fake, ks, block_size)
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
            in_real_ball[i] |= inside.any(dim=0).cpu().numpy()
            holds_fake[i, rows] = inside.any(dim=1).cpu().numpy()
            memberships[i] += int(inside.sum())
            inside = _closer(distances, fake_radii[i][None, :], fake_error[None, :], real, start, fake)
            in_fake_ball[i, rows] = inside.any(dim=1).cpu().numpy()
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
    """Have float32 matrix products done in float32, whatever cheaper precision (TF32, bfloat16) is allowed outside."""
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
    centre = sum(_finite(first[0], rows, start).sum(axis=0) for start, rows in _row_chunks(first[1])) / len(first[1])
    largest = 0.0
    for name, features in sets.items():
        widest = max(np.abs(_finite(name, rows, at) - centre).max() for at, rows in _row_chunks(features))
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
        for start, rows in _row_chunks(self.given):
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


def _radii(points: _Points, ks: Sequence[int], block_size: int) -> NDArray:
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
        row, column = (distances <= _above(seeming + 2 * error)[:, None]).nonzero(as_tuple=True)
        if len(row) > DOUBTS * max(ks) * len(own) and points.centred.dtype == torch.float32:
            points.refine()
            continue
        row, column = row.cpu().numpy(), column.cpu().numpy()
        exact = _squared_distances(points.given, start + row, points.given, column)
        ranked = np.lexsort((exact, row))
        first = np.searchsorted(row, own)
        for i, k in enumerate(ks):
            radii[i, start : start + len(own)] = exact[ranked[first + k - 1]]
        start += block_size
    return radii


def _closer(distances: Tensor, radii: NDArray, error: NDArray, a: _Points, start: int, b: _Points) -> Tensor:
    """Return where the squared distance from row start + i of `a` to row j of `b` is below `radii`, exactly."""
    scaled = radii * a.frame[1] ** 2
    low, high = (torch.from_numpy(bound).to(distances) for bound in (scaled - error, scaled + error))
    closer = distances < _below(low)
    row, column = ((distances <= _above(high)) & ~closer).nonzero(as_tuple=True)
    if len(row):
        i, j = row.cpu().numpy(), column.cpu().numpy()
        exact = _squared_distances(a.given, start + i, b.given, j) < np.broadcast_to(radii, distances.shape)[i, j]
        closer[row, column] = torch.from_numpy(exact).to(closer.device)
    return closer


def _above(bound: Tensor) -> Tensor:
    return torch.nextafter(bound, torch.full_like(bound, torch.inf))


def _below(bound: Tensor) -> Tensor:
    return torch.nextafter(bound, torch.full_like(bound, -torch.inf))


def _squared_distances(a: NDArray, rows: NDArray, b: NDArray, columns: NDArray) -> NDArray:
    """Return |a[rows[p]] - b[columns[p]]|^2 for every p in float64, summed in one fixed order: a function of values."""
    distances = np.empty(len(rows))
    chunk = max(1, CHUNK_ELEMENTS // a.shape[1])
    for start in range(0, len(rows), chunk):
        pairs = slice(start, start + chunk)
        difference = a[rows[pairs]].astype(np.float64) - b[columns[pairs]]
        distances[pairs] = np.square(difference, out=difference).sum(axis=1)
    return distances


def _as_features(name: str, features: Features) -> NDArray:
    """Return features `(N, F)` as an array, without copying one; tensors move to the CPU."""
    if hasattr(features, "detach"):
        features = features.detach().cpu()
        features = (features if features.dtype.itemsize > 2 else features.float()).numpy()  # numpy has no bfloat16
    features = np.asarray(features)
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"{name} must have shape (N, F) with N >= 1 and F >= 1, got {features.shape}")
    if features.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be real numbers, got {features.dtype}")
    return features


def _check_dimensions(real: NDArray, fake: NDArray) -> None:
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"real has {real.shape[1]} feature dimensions, fake has {fake.shape[1]}")


def _row_chunks(features: NDArray) -> Iterator[tuple[int, NDArray]]:
    """Yield (first row, float64 copy of the rows) so that a long array is never converted as a whole."""
    chunk = max(1, CHUNK_ELEMENTS // features.shape[1])
    for start in range(0, len(features), chunk):
        yield start, features[start : start + chunk].astype(np.float64)


def _finite(name: str, rows: NDArray, start: int) -> NDArray:
    bad = np.nonzero(~np.isfinite(rows).all(axis=1))[0]
    if len(bad):
        shown = ", ".join(str(start + row) for row in bad[:5]) + (", ..." if len(bad) > 5 else "")
        raise ValueError(f"{name} has values that are not finite in row(s) {shown}")
    return rows


def _checked_moments(name: str, mu: NDArray, cov: NDArray) -> tuple[NDArray, NDArray]:
    mu, cov = np.asarray(mu, np.float64), np.asarray(cov, np.float64)
    if mu.ndim != 1 or cov.shape != (mu.size, mu.size):
        raise ValueError(f"mu_{name} must be (F,) and cov_{name} (F, F), got {mu.shape} and {cov.shape}")
    if not (np.isfinite(mu).all() and np.isfinite(cov).all()):
        raise ValueError(f"mu_{name} or cov_{name} has values that are not finite")
    if not np.allclose(cov, cov.T, rtol=1e-5, atol=1e-8 * np.abs(cov).max(initial=0)):
        raise ValueError(f"cov_{name} is not symmetric: not a covariance")
    return mu, (cov + cov.T) / 2


def _square_root(name: str, cov: NDArray) -> NDArray:
    values, vectors = np.linalg.eigh(cov)
    if values[0] < -1e-6 * max(values[-1], 0) or values[-1] < 0:
        raise ValueError(f"{name} has the negative eigenvalue {values[0]:g}: not a covariance")
    return (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
