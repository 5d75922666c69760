"""PRDC against cases by hand, a dense oracle and the `prdc` package; the nearest real neighbours."""

import warnings

import numpy as np
import prdc as reference
import pytest
import torch
from stand_ins import gaussians

from pivq.metrics import frechet, neighbours
from pivq.metrics.neighbours import PRDC, EmptyBallsWarning, nearest_real, prdc, prdc_for_all

pytestmark = pytest.mark.filterwarnings("ignore:.* balls are empty")  # duplicates and ties, on purpose

TOY_REAL, TOY_FAKE = np.array([[0.0], [1], [2], [3]]), np.array([[0.5], [1.5], [10]])


def dense_prdc(real, fake, k):
    """Write the definitions down literally, with all distances at once."""

    def distances(a, b):
        return np.array([[((x - y) ** 2).sum() for y in b] for x in a])

    def kth_nearest(a):
        return np.array([sorted(np.delete(row, i))[k - 1] for i, row in enumerate(distances(a, a))])

    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    cross, real_radii, fake_radii = distances(real, fake), kth_nearest(real), kth_nearest(fake)
    in_real = cross < real_radii[:, None]
    return PRDC(
        precision=np.mean([in_real[:, j].any() for j in range(len(fake))]),
        recall=np.mean([(cross[i] < fake_radii).any() for i in range(len(real))]),
        density=np.mean([in_real[:, j].sum() / k for j in range(len(fake))]),
        coverage=np.mean([in_real[i].any() for i in range(len(real))]),
    )


def package_prdc(real, fake, k):
    return PRDC(**reference.compute_prdc(real, fake, nearest_k=k))


# Precision, recall, density, coverage


@pytest.mark.parametrize("block_size", [1, 2, 3, 1000])
def test_toy_by_hand(block_size):
    # Real balls have radius 1, fake balls 1, 1 and 8.5. The fakes 0.5 and 1.5 lie in two real balls each, 10 in none;
    # no fake is nearer than 1 to the real 3. Each real lies in a fake's ball: 3 in that of 10, which reaches to 1.5.
    result = prdc(real=TOY_REAL, fake=TOY_FAKE, k=1, block_size=block_size)
    assert result.precision == 2 / 3
    assert result.recall == 1
    assert result.density == 4 / 3
    assert result.coverage == 3 / 4


def test_balls_are_open():
    # The fake at 2 is exactly as far from the real 1 as the real 0 is: outside. It lies on no real point either.
    result = prdc(real=np.array([[0.0], [1]]), fake=np.array([[2.0], [3]]), k=1)
    assert result == PRDC(precision=0, recall=0, density=0, coverage=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("block_size", [1, 64, 1000])
def test_a_set_against_itself(dtype, block_size):
    # Each point lies in its own ball and in those of its k - 1 nearer neighbours' number: k balls on average.
    points = gaussians(200, 8).astype(dtype)
    assert prdc(real=points, fake=points.copy(), k=5, block_size=block_size) == PRDC(1, 1, 1, 1)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_equals_the_package_on_random_features(dtype, k):
    real, fake = gaussians(150, 16, 1).astype(dtype), gaussians(110, 16, 2, scale=0.8).astype(dtype)
    ours = prdc(real=real, fake=fake, k=k)
    assert ours == pytest.approx(package_prdc(real, fake, k), abs=1e-12)
    assert 0 < ours.recall < 1 and 0 < ours.coverage < 1


@pytest.mark.parametrize("k", [1, 2, 7])
@pytest.mark.parametrize("dimensions", [1, 3])
def test_equals_the_package_on_ties_and_duplicates(k, dimensions):
    # Small whole numbers: the package's distances are exact too, and hundreds of them are equal.
    rng = np.random.default_rng(3)
    real = rng.integers(0, 6, (60, dimensions)).astype(np.float64)
    fake = rng.integers(2, 8, (50, dimensions)).astype(np.float64)
    ours = prdc(real=real, fake=fake, k=k)
    assert ours == pytest.approx(package_prdc(real, fake, k), abs=1e-12)
    assert ours == pytest.approx(dense_prdc(real, fake, k), abs=1e-12)


@pytest.mark.parametrize("offset", [0.0, 1e3, 1e7])
def test_duplicates_and_near_ties_far_from_the_origin_equal_the_dense_oracle(offset):
    # 13 distinct points, each several times and in both sets; half of the rest moved by the last bit. A matrix product
    # alone cannot order such distances, least of all after an offset.
    points = gaussians(13, 5, 4) + offset
    real, fake = points[np.arange(40) % 13], points[np.arange(35) % 13].copy()
    fake[20:] = np.nextafter(fake[20:], np.inf)
    expected = dense_prdc(real, fake, 3)
    for block_size in (1, 7, 1000):
        assert prdc(real=real, fake=fake, k=3, block_size=block_size) == pytest.approx(expected, abs=1e-12)


def test_all_points_equal():
    # Radii are 0 and balls are open: nothing is inside anything.
    assert prdc(real=np.full((9, 4), 0.1), fake=np.full((8, 4), 0.1), k=2) == PRDC(0, 0, 0, 0)


def test_block_size_and_chunks_never_change_a_count(monkeypatch):
    real, fake = gaussians(53, 6, 5).round(1), gaussians(47, 6, 6).round(1)
    expected = prdc(real=real, fake=fake, k=3, block_size=1000)
    for block_size in (1, 2, 10, 47, 53):
        assert prdc(real=real, fake=fake, k=3, block_size=block_size) == expected
    monkeypatch.setattr(frechet, "CHUNK_ELEMENTS", 1)
    monkeypatch.setattr(neighbours, "PAIR_ELEMENTS", 1)
    assert prdc(real=real, fake=fake, k=3) == expected


def test_scaling_both_sets_by_a_power_of_two_changes_nothing():
    real, fake = gaussians(60, 4, 7).round(2), gaussians(50, 4, 8).round(2)
    scaled = prdc(real=real * 1024, fake=fake * 1024, k=3)
    assert scaled == prdc(real=real, fake=fake, k=3)


def test_order_of_points_does_not_matter_and_roles_swap():
    real, fake = gaussians(60, 4, 7), gaussians(50, 4, 8)
    result = prdc(real=real, fake=fake, k=3)
    assert prdc(real=real[::-1], fake=fake[::-1], k=3) == result
    swapped = prdc(real=fake, fake=real, k=3)
    assert (swapped.precision, swapped.recall) == (result.recall, result.precision)


@pytest.mark.parametrize("block_size", [1, 7, 1000])
def test_several_k_at_once_equal_one_by_one(block_size):
    real, fake = gaussians(40, 4, 7).round(1), gaussians(30, 4, 8).round(1)
    expected = {k: dense_prdc(real, fake, k) for k in (5, 1, 3)}
    results = prdc_for_all(real=real, fakes={"fake": fake}, ks=(5, 1, 3), block_size=block_size)["fake"]
    assert list(results) == [5, 1, 3]
    for k, result in results.items():
        assert result == prdc(real=real, fake=fake, k=k, block_size=block_size)
        assert result == pytest.approx(expected[k], abs=1e-12)
    with pytest.raises(ValueError, match="k=30 must be an integer from 1 to 29"):
        prdc_for_all(real=real, fakes={"fake": fake}, ks=(1, 30))


def test_k_up_to_all_other_points():
    real, fake = gaussians(6, 3, 1), gaussians(5, 3, 2)
    assert prdc(real=real, fake=fake, k=4) == pytest.approx(dense_prdc(real, fake, 4))


def test_tensors_arrays_and_integers_are_taken_alike():
    real, fake = np.arange(40).reshape(20, 2) % 7, np.arange(36).reshape(18, 2) % 5
    expected = prdc(real=real.astype(np.float64), fake=fake.astype(np.float64), k=2)
    assert prdc(real=real, fake=fake.astype(np.uint8), k=2) == expected
    assert prdc(real=torch.tensor(real).float().requires_grad_(), fake=torch.tensor(fake).bfloat16(), k=2) == expected
    assert prdc(real=torch.tensor(real).half(), fake=fake.astype(np.float16), k=2) == expected


def test_pairs_summed_alone_or_together_are_bit_equal():
    # `prdc` compares sums made in chunks of different lengths.
    for dimensions in (1, 3, 128, 1280):
        a, b = gaussians(5, dimensions, 1), gaussians(5, dimensions, 2)
        every = np.arange(5)
        together = neighbours._squared_distances(a, every, b, every)
        alone = [neighbours._squared_distances(a, every[[i]], b, every[[i]])[0] for i in range(5)]
        swapped = neighbours._squared_distances(b, every, a, every)
        assert together.tolist() == alone == swapped.tolist()


@pytest.mark.parametrize("refined", [False, True])
@pytest.mark.parametrize("scale", [1e-140, 1e-30, 1.0, 1e30])
def test_products_are_within_their_bound_which_is_tight(scale, refined):
    a, b = (scale * (gaussians(rows, 64, rows) + 50) for rows in (30, 40))
    frame = neighbours._frame({"a": a, "b": b})
    points = [neighbours._Points(x, frame, "cpu") for x in (a, b)]
    if refined:
        points = [point.refine() or point for point in points]
    distances = neighbours._distances(points[0], slice(0, 30), points[1]).double().numpy()
    exact = ((frame[1] * a[:, None] - frame[1] * b) ** 2).sum(axis=2)
    off = np.abs(distances - exact)
    assert (off <= points[0].error(points[1])[:, None]).all()
    assert (off <= points[1].error(points[0])).all()
    assert points[0].error(points[1]).max() < (1e-12 if refined else 1e-3) * exact.max()


def test_two_tight_clusters_far_apart_take_float64_and_equal_the_dense_oracle(monkeypatch):
    # Within a cluster all squared distances are below float32's error: every neighbour would be in doubt.
    real, fake = (1e-5 * gaussians(120, 6, seed) + np.arange(120)[:, None] % 2 for seed in (1, 2))
    refined, checked = [], []
    refine, exact = neighbours._Points.refine, neighbours._squared_distances
    monkeypatch.setattr(neighbours._Points, "refine", lambda points: refined.append(points) or refine(points))
    monkeypatch.setattr(neighbours, "_squared_distances", lambda a, i, *of: checked.append(len(i)) or exact(a, i, *of))
    assert prdc(real=real, fake=fake, k=2) == pytest.approx(dense_prdc(real, fake, 2), abs=1e-12)
    assert refined
    assert sum(checked) < 20 * 120


def test_cheaper_products_allowed_outside_are_not_used():
    # Where the machine has them, TF32 and bfloat16 products are wrong in the third digit, beyond the bound.
    real, fake = gaussians(150, 16, 1), gaussians(110, 16, 2, scale=0.8)
    seen, expected = [], prdc(real=real, fake=fake, k=3)
    before = torch.get_float32_matmul_precision()
    distances = neighbours._distances
    try:
        torch.set_float32_matmul_precision("medium")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                neighbours,
                "_distances",
                lambda *of: seen.append(torch.get_float32_matmul_precision()) or distances(*of),
            )
            assert prdc(real=real, fake=fake, k=3) == expected
        assert set(seen) == {"highest"}
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_counts():
    real, fake = gaussians(500, 16, 1).astype(np.float32).round(1), gaussians(400, 16, 2).astype(np.float32).round(1)
    assert prdc(real=real, fake=fake, k=3, device="cuda") == prdc(real=real, fake=fake, k=3)


@pytest.mark.parametrize(
    ("real", "fake", "k", "message"),
    [
        (TOY_REAL, TOY_FAKE, 0, "k=0 must be an integer from 1 to 3"),
        (TOY_REAL, TOY_FAKE, 3, "k=3 must be an integer from 1 to 2, one less than fake has rows"),
        (TOY_REAL[:2], TOY_FAKE, 2, "k=2 must be an integer from 1 to 1, one less than real has rows"),
        (TOY_REAL, TOY_FAKE, 1.5, "k=1.5 must be an integer"),
        (np.zeros((4, 2)), np.zeros((4, 3)), 1, "real has 2 feature dimensions, fake has 3"),
        (np.zeros(4), np.zeros((4, 1)), 1, r"real must have shape \(N, F\).*got \(4,\)"),
        (np.zeros((4, 1)), np.zeros((0, 1)), 1, r"fake must have shape .*got \(0, 1\)"),
        (TOY_REAL, np.array([[0.0], [np.nan], [1], [np.inf]]), 1, r"fake has .* not finite in row\(s\) 1, 3"),
        (np.array([[0.0], [np.inf], [1]]), TOY_FAKE, 1, r"real has .* not finite in row\(s\) 1"),
        (np.array([[0.0], [1e200], [1]]), TOY_FAKE, 1, "real: values are too large"),
        (TOY_REAL.astype(complex), TOY_FAKE, 1, "real must be real numbers, got complex128"),
    ],
)
def test_bad_input_is_refused(real, fake, k, message):
    with pytest.raises(ValueError, match=message):
        prdc(real=real, fake=fake, k=k)


def test_roles_must_be_named():
    with pytest.raises(TypeError):
        prdc(TOY_REAL, TOY_FAKE, 1)
    with pytest.raises(ValueError, match="block_size must be at least 1, got 0"):
        prdc(real=TOY_REAL, fake=TOY_FAKE, k=1, block_size=0)


# Nearest neighbours


def test_nearest_real_by_hand():
    real, fake = np.array([[0.0], [10.0], [11.0]]), np.array([[1.0], [10.4]])
    indices, distances = nearest_real(real, fake, k=2)
    assert indices.tolist() == [[0, 1], [1, 2]]
    np.testing.assert_allclose(distances, [[1, 9], [0.4, 0.6]])


def test_nearest_real_of_many_is_that_of_each():
    rng = np.random.default_rng(0)
    real, fake, parents = rng.normal(size=(50, 2)), rng.normal(size=(1203, 2)), rng.integers(0, 50, size=(1203, 2))
    indices, distances = nearest_real(real, fake, k=2, excluded=parents)
    for row in (0, 499, 500, 1202):
        alone = nearest_real(real, fake[row : row + 1], k=2, excluded=parents[row : row + 1])
        assert (indices[row] == alone[0]).all()
        np.testing.assert_allclose(distances[row], alone[1][0], rtol=1e-12)


def test_nearest_real_leaves_out_the_parents():
    real, fake = np.array([[0.0], [10.0], [11.0]]), np.array([[1.0], [10.4]])
    indices, distances = nearest_real(real, fake, excluded=np.array([[0, 1], [1, 0]]))
    assert indices.tolist() == [[2], [2]]
    np.testing.assert_allclose(distances, [[10], [0.6]])


@pytest.mark.parametrize("number, empty", [(1, 0), (3, 0), (4, 32), (32, 32)])
def test_balls_without_an_inside_are_flagged(number, empty):
    points = np.repeat(gaussians(32 // number, 4, 1), number, axis=0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        prdc(real=points, fake=gaussians(40, 4, 2), k=3)
        prdc_for_all(real=gaussians(40, 4, 2), fakes={"samples": points}, ks=(3, 5))
    messages = [str(warning.message) for warning in said if warning.category is EmptyBallsWarning]
    if not empty:
        assert messages == []
    else:
        assert [message.split(":")[0] for message in messages] == ["real", "samples"]
        assert all(f"{empty} of 32 balls are empty at k=3" in message for message in messages)
        assert ("32 of 32 balls are empty at k=5" in messages[1]) == (number == 32)


@pytest.mark.parametrize("k", [0, -1, 30, 2.0, 29.5, float("nan"), float("inf"), "3", None, True, [3], np.float32(3)])
def test_k_is_a_whole_number_below_the_number_of_points(k):
    points = gaussians(30, 4, 1)
    with pytest.raises(ValueError, match="k=.* must be an integer from 1 to 29, one less than real has rows"):
        prdc(real=points, fake=points, k=k)
    with pytest.raises(ValueError, match="k=.* must be an integer from 1 to 29, the rows of real"):
        nearest_real(points[:29], points, k=k)
    for block_size in (0, 2.5, "4"):
        with pytest.raises(ValueError, match="block_size must be at least 1, got"):
            prdc(real=points, fake=points, k=3, block_size=block_size)


def test_nearest_real_refuses_what_has_no_nearest():
    points = gaussians(6, 3, 1)
    for real, fake, message in (
        (points, points * np.nan, "fake has values that are not finite in row.s. 0"),
        (np.where(points > points.max() - 1e-9, np.inf, points), points, "real has values that are not finite"),
        (points, points[:, :2], "real has 3 feature dimensions, fake has 2"),
        (points[:0], points, r"real must have shape \(N, F\)"),
        (points.astype(str), points, "real must be real numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            nearest_real(real, fake)
    with pytest.raises(ValueError, match="k=5 must be an integer from 1 to 4, the rows of real that are not excluded"):
        nearest_real(points, points, k=5, excluded=np.array([[0, 1]] * 6))
