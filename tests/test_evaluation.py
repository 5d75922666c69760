"""The protocol of Table 3, on points that can be checked by eye."""

import numpy as np
import pytest

from pivq.evaluation import compare, nearest_real
from pivq.metrics import frechet_distance
from pivq.prdc import prdc


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


@pytest.mark.filterwarnings("ignore::pivq.metrics.RankDeficientWarning")
def test_compare_is_the_five_metrics_for_each_k():
    rng = np.random.default_rng(0)
    real, fakes = rng.normal(size=(40, 3)), {"a": rng.normal(0.5, 1, size=(30, 3)), "b": rng.normal(size=(20, 3))}
    rows = compare(real, fakes, ks=(3, 5))
    assert list(rows) == ["a", "b"]
    for name, fake in fakes.items():
        assert rows[name]["distance"] == frechet_distance(real=real, fake=fake)
        for k in (3, 5):
            for metric, value in prdc(real=real, fake=fake, k=k)._asdict().items():
                assert rows[name][f"{metric} (k={k})"] == value
