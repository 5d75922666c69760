"""The protocol of Table 3: the five metrics of each set of features, for each k."""

import numpy as np
import pytest

from pivq.metrics import frechet_distance, prdc
from pivq.runs.evaluation import compare


@pytest.mark.filterwarnings("ignore::pivq.metrics.frechet.RankDeficientWarning")
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
