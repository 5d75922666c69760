"""The protocol of Table 3: samples of a run, and the five metrics of each set of features, for each k."""

import numpy as np
import pytest
import torch

from pivq.metrics import frechet_distance, prdc
from pivq.runs.evaluation import compare, draw_samples


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


def test_samples_of_a_run_are_the_same_however_many_are_drawn(finished):
    run = finished[0]["matching"]
    many, few = draw_samples(run, 90, seed=5), draw_samples(run, 20, seed=5)
    assert torch.equal(few.codes, many.codes[:20]) and torch.equal(few.pairs, many.pairs[:20])
    assert torch.equal(draw_samples(run, 20).codes, draw_samples(run, 20, run.config.seed).codes)
    assert not torch.equal(draw_samples(run, 20, run.config.seed + 1).codes, draw_samples(run, 20).codes)
