"""Fréchet distance and moments against closed forms and numpy."""

import warnings

import mpmath
import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from stand_ins import gaussians

from pivq.metrics import frechet
from pivq.metrics.frechet import Moments, RankDeficientWarning, frechet_distance, frechet_from_moments
from pivq.metrics.neighbours import prdc

# Fréchet distance


def test_distance_of_diagonal_gaussians_by_hand():
    # |mu|^2 = 1 + 4; the standard deviations 1, 2 and 3, 1 differ by 2 and 1: 4 + 1.
    distance = frechet_from_moments([0, 0], np.diag([1, 4]), [1, 2], np.diag([9, 1]))
    assert distance == pytest.approx(10.0, abs=1e-6)


def test_distance_of_covariances_that_do_not_commute():
    # For 2×2 matrices tr (AB)^(1/2) = (tr AB + 2 (det AB)^(1/2))^(1/2): here AB has trace 18 and determinant 24.
    a, b = np.array([[2.0, 1], [1, 2]]), np.array([[1.0, 0], [0, 8]])
    assert (np.trace(a @ b), round(np.linalg.det(a @ b), 9)) == (18, 24)
    expected = np.trace(a) + np.trace(b) - 2 * np.sqrt(18 + 2 * np.sqrt(24))
    assert frechet_from_moments([0, 0], a, [0, 0], b) == pytest.approx(expected, abs=1e-12)


def test_distance_does_not_change_under_rotation():
    rotation = np.linalg.qr(gaussians(2, 2))[0]
    covariances = [rotation @ np.diag(values) @ rotation.T for values in ([1, 4], [9, 1])]
    distance = frechet_from_moments([0, 0], covariances[0], rotation @ [1, 2], covariances[1])
    assert distance == pytest.approx(10.0, abs=1e-9)


def test_distance_of_singular_covariances_is_exact():
    # Both live on the same line, with standard deviations 3 and 5.
    line = np.outer([0.6, 0.8], [0.6, 0.8])
    assert frechet_from_moments([0, 0], 9 * line, [0, 0], 25 * line) == pytest.approx(4.0, abs=1e-12)
    assert frechet_from_moments([0, 0], np.diag([9, 0]), [0, 0], np.diag([0, 25])) == pytest.approx(34.0, abs=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_the_same_set_twice_is_at_distance_zero(scale):
    features = gaussians(300, 64, scale=scale) + 5 * scale
    assert frechet_distance(real=features, fake=features) == pytest.approx(0, abs=1e-9 * scale**2)


def test_fewer_samples_than_dimensions_are_finite_and_flagged():
    few, many = gaussians(10, 64, 1), gaussians(100, 64, 2)
    with pytest.warns(RankDeficientWarning, match="fake: 10 feature vectors in 64 dimensions"):
        distance = frechet_distance(real=many, fake=few)
    assert np.isfinite(distance) and distance > 0
    with pytest.warns(RankDeficientWarning) as caught:
        assert frechet_distance(real=few, fake=few) == pytest.approx(0, abs=1e-9)
    assert [str(warning.message)[:8] for warning in caught] == ["real: 10", "fake: 10"]
    with pytest.warns(RankDeficientWarning, match="fake: 64 feature vectors in 64"):  # the mean takes one away
        frechet_distance(real=many, fake=gaussians(64, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frechet_distance(real=many, fake=gaussians(65, 64))


def test_distance_agrees_with_numpy_moments_and_takes_tensors():
    real, fake = gaussians(90, 5, 1), gaussians(70, 5, 2, scale=2)
    moments = [m for x in (real, fake) for m in (x.mean(axis=0), np.cov(x, rowvar=False))]
    expected = frechet_from_moments(*moments)
    assert frechet_distance(real=real, fake=fake) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(real=torch.tensor(real), fake=torch.tensor(fake)) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(real=fake, fake=real) == pytest.approx(expected, rel=1e-12)
    assert type(frechet_distance(real=real, fake=fake)) is float


@pytest.mark.parametrize(("real", "fake"), [(2, 2), (5, 7), (12, 3)])
@pytest.mark.filterwarnings("ignore:Matrix is singular")
@pytest.mark.filterwarnings("ignore::pivq.metrics.frechet.RankDeficientWarning")
def test_distance_of_few_samples_against_fifty_digits(real, fake):
    a, b = gaussians(real, 40, 1) + 3, gaussians(fake, 40, 2, scale=2)
    with mpmath.workdps(50):
        centred = [mpmath.matrix((x - x.mean(axis=0)).tolist()) for x in (a, b)]
        products = centred[0] * centred[1].T / mpmath.sqrt((real - 1) * (fake - 1))
        common = float(sum(mpmath.svd_r(products, compute_uv=False)))
    traces = a.var(axis=0, ddof=1).sum() + b.var(axis=0, ddof=1).sum()
    expected = np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + traces - 2 * common
    assert frechet_distance(real=a, fake=b) == pytest.approx(expected, rel=1e-13)
    # Square roots of 40×40 matrices turn eigenvalues of 1e-16 in place of 0 into 1e-8.
    moments = [m for x in (a, b) for m in (x.mean(axis=0), np.cov(x, rowvar=False))]
    assert frechet_from_moments(*moments) == pytest.approx(expected, rel=1e-7)
    root = sqrtm(moments[1] @ moments[3]).real
    assert traces - 2 * np.trace(root) == pytest.approx(traces - 2 * common, rel=1e-6)


@pytest.mark.filterwarnings("ignore::pivq.metrics.frechet.RankDeficientWarning")
def test_only_sets_smaller_together_than_their_dimensions_take_the_short_way(monkeypatch):
    monkeypatch.setattr(frechet, "_frechet_of_few", lambda a, b: -1.0)
    assert frechet_distance(real=gaussians(20, 40, 1), fake=gaussians(19, 40, 2)) == -1
    moments = []
    for features in (real := gaussians(20, 40, 1), fake := gaussians(20, 40, 2)):
        of = Moments()
        of.update(features)
        moments += [of.mean, of.cov]
    assert frechet_distance(real=real, fake=fake) == frechet_from_moments(*moments), "bit for bit"


@pytest.mark.filterwarnings("ignore::pivq.metrics.frechet.RankDeficientWarning")
def test_distance_of_few_samples_leaves_them_as_they_are():
    real, fake = gaussians(5, 40, 1), gaussians(6, 40, 2)
    before = real.copy(), fake.copy()
    frechet_distance(real=real, fake=fake)
    np.testing.assert_array_equal(real, before[0])
    np.testing.assert_array_equal(fake, before[1])
    real[2, 0] = np.nan
    with pytest.raises(ValueError, match=r"real has values that are not finite in row\(s\) 2"):
        frechet_distance(real=real, fake=fake)


def test_one_dimension():
    assert frechet_distance(real=np.array([[0.0], [2]]), fake=np.array([[3.0], [7]])) == pytest.approx(16 + 2)


@pytest.mark.parametrize(
    ("real", "fake", "message"),
    [
        (np.zeros((1, 2)), np.zeros((4, 2)), "real: a covariance needs at least 2 feature vectors, got 1"),
        (np.zeros((4, 2)), np.zeros((1, 2)), "fake: a covariance needs at least 2 feature vectors, got 1"),
        (np.zeros((4, 2)), np.zeros((4, 3)), "real has 2 feature dimensions, fake has 3"),
        (np.full((4, 2), np.nan), np.zeros((4, 2)), r"real has .* not finite in row\(s\) 0, 1, 2, 3"),
        (np.full((9, 2), np.nan), np.zeros((4, 2)), r"row\(s\) 0, 1, 2, 3, 4, \.\.\."),
    ],
)
@pytest.mark.filterwarnings("ignore::pivq.metrics.frechet.RankDeficientWarning")
def test_features_without_a_distance_are_refused(real, fake, message):
    with pytest.raises(ValueError, match=message):
        frechet_distance(real=real, fake=fake)


@pytest.mark.parametrize(
    ("moments", "message"),
    [
        (([0, 0], np.eye(2), [0, 0, 0], np.eye(3)), "mu_a has 2 dimensions, mu_b has 3"),
        (([0, 0], np.eye(3), [0, 0], np.eye(2)), r"cov_a \(F, F\), got \(2,\) and \(3, 3\)"),
        (([0, 0], np.eye(2), [0, 0], np.diag([1, -1])), "cov_b has the negative eigenvalue -1"),
        (([0, 0], [[1, 0.5], [0, 1]], [0, 0], np.eye(2)), "cov_a is not symmetric"),
        (([0, np.nan], np.eye(2), [0, 0], np.eye(2)), "mu_a or cov_a has values that are not finite"),
    ],
)
def test_moments_that_are_none_are_refused(moments, message):
    with pytest.raises(ValueError, match=message):
        frechet_from_moments(*moments)


def test_roles_must_be_named():
    with pytest.raises(TypeError):
        frechet_distance(gaussians(4, 1), gaussians(3, 1))


# Moments


@pytest.mark.parametrize("batch_size", [1, 7, 100])
def test_moments_of_a_stream_equal_those_of_the_whole(batch_size):
    features = gaussians(100, 6)
    moments = Moments()
    for start in range(0, 100, batch_size):
        moments.update(features[start : start + batch_size])
    assert moments.count == 100
    np.testing.assert_allclose(moments.mean, features.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.cov, np.cov(features, rowvar=False), rtol=1e-12, atol=1e-14)


def test_moments_keep_precision_under_a_large_mean():
    # float32 features around 10,000: squares summed as they are would lose every digit of a variance near 1e-6.
    features = (1e4 + gaussians(1000, 3, scale=1e-3)).astype(np.float32)
    moments = Moments()
    for batch in np.split(features, 10):
        moments.update(batch)
    expected = np.cov(features.astype(np.float64), rowvar=False)
    np.testing.assert_allclose(moments.cov, expected, rtol=1e-6, atol=1e-12)
    assert moments.cov.dtype == np.float64


def test_moments_merge_in_any_grouping(monkeypatch):
    features = gaussians(50, 4)
    left, right = Moments(), Moments()
    left.update(features[:20])
    right.update(features[20:])
    left.merge(right)
    left.merge(Moments())
    monkeypatch.setattr(frechet, "CHUNK_ELEMENTS", 12)  # three rows at a time
    whole = Moments()
    whole.update(features)
    np.testing.assert_allclose(left.cov, whole.cov, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(left.mean, whole.mean, rtol=1e-12)
    assert left.count == whole.count == 50 and right.count == 30


def test_a_refused_batch_leaves_moments_as_they_were(monkeypatch):
    monkeypatch.setattr(frechet, "CHUNK_ELEMENTS", 4)
    moments = Moments()
    moments.update(np.array([[0.0, 1], [2, 5]]))
    for bad in (np.array([[1.0, 1], [1, 1], [1, 1], [1, np.nan]]), np.zeros((3, 5)), np.zeros(2)):
        with pytest.raises(ValueError):
            moments.update(bad)
    assert moments.count == 2
    assert moments.mean.tolist() == [1, 3]
    assert moments.cov.tolist() == [[2, 4], [4, 8]]


def test_moments_update_leaves_features_alone():
    features = np.array([[0.0, 1], [2, 5]])
    Moments().update(features)
    assert features.tolist() == [[0, 1], [2, 5]]


def test_moments_of_too_little_are_refused():
    moments = Moments()
    with pytest.raises(ValueError, match="at least 1 feature vector, got 0"):
        moments.mean  # noqa: B018
    moments.update(np.zeros((1, 2)))
    with pytest.raises(ValueError, match="at least 2 feature vectors, got 1"):
        moments.cov  # noqa: B018


def test_moments_that_are_no_real_numbers_are_refused():
    for cov in (np.eye(2) * (1 + 1j), np.eye(2).astype(str), np.eye(2).astype(object)):
        with pytest.raises(ValueError, match="mu_a and cov_a must be real numbers, got"):
            frechet_from_moments([0, 0], cov, [0, 0], np.eye(2))


@pytest.mark.parametrize("rows, columns", [(50, 4), (5, 40)])
@pytest.mark.filterwarnings("ignore::pivq.metrics.frechet.RankDeficientWarning")
def test_values_whose_squares_overflow_are_refused_without_numpy_s_words(rows, columns, recwarn):
    features = np.random.default_rng(0).random((rows, columns))
    with pytest.raises(ValueError, match="fake has values beyond 1e.140: the sums of their squares would overflow"):
        frechet_distance(real=features, fake=features * 1e200)
    assert np.isfinite(frechet_distance(real=features * 1e100, fake=features))
    with pytest.raises(ValueError, match="too large: their distance overflows"):
        frechet_from_moments([0.0], [[1.0]], [1e200], [[1.0]])
    assert not [said for said in recwarn if said.category is RuntimeWarning]


@pytest.mark.parametrize("measure", [frechet_distance, lambda **sets: prdc(**sets, k=3)])
def test_features_that_would_count_as_other_numbers_are_refused(measure):
    """What lies behind a mask, and whole numbers that float64 rounds: all were equal, and precision was 0."""
    features = np.random.default_rng(0).random((50, 4))
    masked = np.ma.array(features, mask=features < 0.01)
    with pytest.raises(ValueError, match="fake must not have masked numbers"):
        measure(real=features, fake=masked)
    assert measure(real=features, fake=np.ma.array(features)) == measure(real=features, fake=features)
    for shift in (2**60, np.uint64(2**63)):
        whole = np.arange(50, dtype=np.int64)[:, None].astype(np.asarray(shift).dtype) + shift
        with pytest.raises(ValueError, match="real has whole numbers beyond 2.53"):
            measure(real=whole, fake=whole)
    negated = torch.complex(torch.zeros(50, 4), torch.from_numpy(features).float()).conj().imag
    assert negated.is_neg()
    assert measure(real=negated, fake=negated) == pytest.approx(measure(real=-features, fake=-features), abs=1e-9)
