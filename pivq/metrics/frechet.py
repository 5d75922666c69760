"""The Fréchet distance of sets of features (Section 4.3, Table 3).

They may be of any network. A Fréchet distance is called FID only with Inception features; the feature network
knows the right name (`pivq.pretrained.features.FeatureNet.distance_name`).
"""

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Features = NDArray  # or a torch tensor; (N, F), any real type

LARGEST, EXACT = 1e140, 2**53  # numbers whose squares can be summed; whole numbers that float64 holds exactly
CHUNK_ELEMENTS = 1 << 21  # numbers that one temporary array of feature rows holds: 16 MiB


class RankDeficientWarning(UserWarning):
    """Too few feature vectors for their dimension: the covariance is singular and the distance biased upwards."""


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
        for start, rows in row_chunks(as_features("features", features)):
            chunk = Moments()
            chunk.count = len(rows)
            chunk._mean = finite("features", rows, start).mean(axis=0)
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
        ValueError: a set with fewer than two vectors, other dimensions, or a value that is not finite or too large.

    Warns:
        RankDeficientWarning: a set has no more vectors than dimensions.

    Example:
        >>> frechet_distance(real=np.array([[0.0], [2.0]]), fake=np.array([[3.0], [5.0]]))
        9.0
    """
    real, fake = as_features("real", real), as_features("fake", fake)
    check_dimensions(real, fake)
    few = len(real) + len(fake) < real.shape[1]  # seconds of eigenvectors are saved
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
        if few:
            fitted.append(_summable(name, features.astype(np.float64), 0))  # less than one covariance holds
            continue
        moments = Moments()
        for start, rows in row_chunks(features):
            moments.update(_summable(name, rows, start))
        fitted.append(moments)
    if few:
        return _frechet_of_few(*fitted)
    a, b = fitted
    return frechet_from_moments(a.mean, a.cov, b.mean, b.cov)


def _frechet_of_few(a: NDArray, b: NDArray) -> float:
    """Return the Fréchet distance of two sets of features `(N, F)` and `(M, F)`, float64, N + M < F; both are changed.

    With centred features X and Y, the covariances are A = X^T X / (N - 1) and B = Y^T Y / (M - 1), so A^(1/2) B^(1/2)
    has the singular values of X Y^T / ((N - 1) (M - 1))^(1/2), which is an `(N, M)` matrix.
    """
    difference = a.mean(axis=0) - b.mean(axis=0)
    for features in (a, b):
        features -= features.mean(axis=0)
        features /= np.sqrt(len(features) - 1)
    common = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(max(difference @ difference + (a**2).sum() + (b**2).sum() - 2 * common, 0.0))


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
        ValueError: shapes that do not fit, values that are not finite or too large, or a matrix that is no covariance.

    Example:
        >>> round(frechet_from_moments([0, 0], np.diag([1, 4]), [1, 2], np.diag([9, 1])), 9)
        10.0
    """
    mu_a, cov_a = _checked_moments("a", mu_a, cov_a)
    mu_b, cov_b = _checked_moments("b", mu_b, cov_b)
    if mu_a.shape != mu_b.shape:
        raise ValueError(f"mu_a has {mu_a.size} dimensions, mu_b has {mu_b.size}")
    overlap = np.linalg.svd(_square_root("cov_a", cov_a) @ _square_root("cov_b", cov_b), compute_uv=False).sum()
    with np.errstate(over="ignore"):
        distance = np.square(mu_a - mu_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * overlap
    if not np.isfinite(distance):
        raise ValueError("the values are too large: their distance overflows")
    return max(float(distance), 0.0)


def as_features(name: str, features: Features) -> NDArray:
    """Return features `(N, F)` as an array, without copying one; tensors move to the CPU."""
    if hasattr(features, "detach"):
        if features.is_meta or features.is_nested or str(features.layout) != "torch.strided":
            raise ValueError(f"{name} must be a dense tensor that holds its numbers, got {features.layout}")
        features = features.detach().cpu().resolve_neg()
        features = (features if features.dtype.itemsize > 2 else features.float()).numpy()  # numpy has no bfloat16
    if np.ma.is_masked(features):
        raise ValueError(f"{name} must not have masked numbers: leave these rows out")
    try:
        features = np.asarray(features)
    except ValueError as error:
        raise ValueError(f"{name} must have shape (N, F): {error}") from error
    if features.ndim != 2 or 0 in features.shape:
        raise ValueError(f"{name} must have shape (N, F) with N >= 1 and F >= 1, got {features.shape}")
    if features.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be real numbers, got {features.dtype}")
    if features.dtype.kind in "iu" and (features.max() > EXACT or features.min() < -EXACT):
        raise ValueError(f"{name} has whole numbers beyond 2^53, which float64 rounds: subtract their mean")
    return features


def as_device(device: Any) -> Any:
    """Return a `torch.device`; ValueError for what is none, or none that torch can compute on here."""
    import torch  # the Fréchet distance does without

    try:
        found = torch.device(device if isinstance(device, str | torch.device) else str(device))
        torch.zeros(1, device=found).item()
    except Exception as error:  # a device that is not there can make torch raise nearly anything
        raise ValueError(f"device must be one that is here, such as cpu or cuda, got {device!r:.80}") from error
    return found


def as_rows(name: str, rows: ArrayLike, count: int, most: int, each: int | None = None) -> NDArray[np.int64]:
    """Return rows int64 `(count, each)` of a set of `most`; ValueError if they are no such numbers."""
    try:
        found = np.asarray(rows)
    except ValueError:
        found = np.empty(0)
    fits = found.ndim == 2 and len(found) == count and found.shape[1] == (each or found.shape[1])
    fits = fits and found.dtype.kind in "iu"
    if not fits or found.size and not 0 <= found.min() <= found.max() < most:
        what = f"{found.dtype} {found.shape}" if not fits else f"{found.min()} to {found.max()}"
        raise ValueError(f"{name} must be ({count}, {each or 'E'}) whole numbers from 0 to {most - 1}, got {what}")
    return found.astype(np.int64)


def check_dimensions(real: NDArray, fake: NDArray) -> None:
    if real.shape[1] != fake.shape[1]:
        raise ValueError(f"real has {real.shape[1]} feature dimensions, fake has {fake.shape[1]}")


def row_chunks(features: NDArray) -> Iterator[tuple[int, NDArray]]:
    """Yield (first row, float64 copy of the rows) so that a long array is never converted as a whole."""
    chunk = max(1, CHUNK_ELEMENTS // features.shape[1])
    for start in range(0, len(features), chunk):
        yield start, features[start : start + chunk].astype(np.float64)


def finite(name: str, rows: NDArray, start: int) -> NDArray:
    bad = np.nonzero(~np.isfinite(rows).all(axis=1))[0]
    if len(bad):
        shown = ", ".join(str(start + row) for row in bad[:5]) + (", ..." if len(bad) > 5 else "")
        raise ValueError(f"{name} has values that are not finite in row(s) {shown}")
    return rows


def _summable(name: str, rows: NDArray, start: int) -> NDArray:
    if np.abs(finite(name, rows, start)).max() > LARGEST:
        raise ValueError(f"{name} has values beyond {LARGEST:g}: the sums of their squares would overflow")
    return rows


def _checked_moments(name: str, mu: NDArray, cov: NDArray) -> tuple[NDArray, NDArray]:
    mu, cov = np.asarray(mu), np.asarray(cov)
    if mu.dtype.kind not in "fiub" or cov.dtype.kind not in "fiub":
        raise ValueError(f"mu_{name} and cov_{name} must be real numbers, got {mu.dtype} and {cov.dtype}")
    mu, cov = mu.astype(np.float64), cov.astype(np.float64)
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
