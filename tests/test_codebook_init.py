"""Delayed codebook initialisation: which latents are kept, and what is fitted to them."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from threadpoolctl import threadpool_limits

from pivq import codebook_init
from pivq.codebook_init import LatentHistory, TooFewLatents, fit_codebook, initialisation_steps


@pytest.fixture
def train(tiny_config):
    """Return a maker of training settings: codebooks before steps 4, 6 and 8, from two steps of latents each."""
    settings = {"quantize_from_step": 4, "codebook_initialisations": 3}
    return lambda **changes: tiny_config(**{f"train__{k}": v for k, v in (settings | changes).items()}).train


def test_initialisation_steps(train):
    assert initialisation_steps(train()) == [4, 6, 8]
    assert initialisation_steps(train(codebook_initialisations=1)) == [4]
    assert initialisation_steps(train(codebook_initialisations=0)) == []


@pytest.mark.parametrize("window", [2, 3])
def test_history_holds_exactly_the_window_before_each_initialisation(train, window):
    settings = train(history_steps=window)
    history = LatentHistory(settings)
    for step in range(12):
        if step in initialisation_steps(settings):
            expected = torch.cat([torch.full((2 * 4, 16), float(s)) for s in range(step - window, step)])
            assert torch.equal(history.gather(), expected), step
        history.record(step, lambda step=step: torch.full((2, 4, 16), float(step)))
    last = initialisation_steps(settings)[-1] - 1
    assert float(history.gather().max()) == last, "nothing is kept for no one"


def test_history_keeps_nothing_before_the_first_window(train):
    history = LatentHistory(train())
    history.record(1, lambda: torch.zeros(2, 4, 16))
    assert len(history.latents) == 0
    with pytest.raises(ValueError, match="no latents recorded"):
        history.gather()


def test_history_before_t_q_is_kept_for_whoever_branches_there(train):
    history = LatentHistory(train(codebook_initialisations=0))
    for step in range(12):
        history.record(step, lambda step=step: torch.full((1, 4, 16), float(step)))
    assert history.gather()[:, 0].tolist() == [2.0] * 4 + [3.0] * 4


def test_history_is_float32_without_a_graph(train):
    history = LatentHistory(train())
    history.record(2, lambda: torch.zeros(2, 4, 16, dtype=torch.float16, requires_grad=True))
    assert history.gather().dtype == torch.float32
    assert not history.gather().requires_grad


def clusters(centres, each=50, spread=0.01, seed=0) -> torch.Tensor:
    """Return latents `(len(centres) * each, d)` close to the centres, shuffled."""
    generator = torch.Generator().manual_seed(seed)
    points = centres.repeat(each, 1)
    points = points + spread * torch.randn(points.shape, generator=generator)
    return points[torch.randperm(len(points), generator=generator)]


def by_first_element(rows: torch.Tensor) -> torch.Tensor:
    return rows[rows[:, 0].argsort()]


def test_fit_finds_the_means_of_separate_clusters():
    centres = torch.tensor([[0.0, 5.0], [10.0, -5.0], [20.0, 5.0], [30.0, 0.0]])
    latents = clusters(centres)
    nearest = torch.cdist(latents, centres).argmin(dim=1)
    means = torch.stack([latents[nearest == k].mean(dim=0) for k in range(4)])
    codebook = fit_codebook(latents, 4, seed=0)
    assert codebook.shape == (4, 2) and codebook.dtype == torch.float32
    torch.testing.assert_close(by_first_element(codebook), means)


def test_seeding_spreads_out_where_uniform_seeding_would_not():
    # One cluster holds nearly all points: drawn uniformly, the seeds would all fall into it.
    latents = torch.cat([clusters(torch.zeros(1, 2), each=2000), torch.tensor([[100.0, 0.0], [0.0, 100.0]])])
    codebook = fit_codebook(latents, 3, seed=0)
    torch.testing.assert_close(codebook[codebook[:, 0] > 50], torch.tensor([[100.0, 0.0]]))
    torch.testing.assert_close(codebook[codebook[:, 1] > 50], torch.tensor([[0.0, 100.0]]))


def test_same_latents_and_seed_give_the_same_codebook():
    latents = torch.randn(400, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(fit_codebook(latents, 30, seed=5), fit_codebook(latents, 30, seed=5))
    assert not torch.equal(fit_codebook(latents, 30, seed=5), fit_codebook(latents, 30, seed=6))
    assert fit_codebook(latents, 30, seed=2**32 + 5).shape == (30, 8), "any seed will do"


def test_same_codebook_whatever_the_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    latents = torch.randn(8000, 16, generator=torch.Generator().manual_seed(0))
    with threadpool_limits(8, user_api="openmp"):
        codebooks = [fit_codebook(latents, 32, seed=0) for _ in range(4)]
    assert all(torch.equal(codebook, codebooks[0]) for codebook in codebooks)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("spare", [0, 2])
def test_codes_are_distinct_however_often_latents_repeat(scale, spare):
    generator = torch.Generator().manual_seed(1)
    distinct = scale * torch.randn(20 + spare, 6, generator=generator)
    repeats = distinct[torch.randint(20 + spare, (500,), generator=generator)]
    codebook = fit_codebook(torch.cat([distinct, repeats]), 20, seed=0)
    assert len(np.unique(codebook.numpy(), axis=0)) == 20
    if not spare:  # as many codes as latents: each is one of them
        close = {"rtol": 1e-4, "atol": 1e-5 * scale}
        torch.testing.assert_close(by_first_element(codebook), by_first_element(distinct), **close)


def test_distinct_latents_may_come_late():
    latents = torch.cat([torch.zeros(500, 3), torch.arange(30.0).reshape(10, 3)])
    assert len(fit_codebook(latents, 11, seed=0)) == 11


@pytest.mark.parametrize("latents", [torch.randn(9, 4), torch.arange(9.0)[:, None].repeat(100, 4)])
def test_refuses_fewer_distinct_latents_than_codes(latents):
    with pytest.raises(TooFewLatents, match="of which 9 are distinct, cannot give 10 codes") as caught:
        fit_codebook(latents, 10, seed=0)
    assert caught.value.distinct == 9


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_refuses_latents_that_are_not_finite(bad):
    latents = torch.randn(50, 4)
    latents[7, 2] = bad
    with pytest.raises(ValueError, match="NaN or infinite"):
        fit_codebook(latents, 5, seed=0)


def inertia(latents, codebook) -> float:
    return float(torch.cdist(latents.double(), codebook.double()).amin(dim=1).square().sum())


@pytest.mark.parametrize("kind", ["gaussian", "clusters", "of two scales"])
def test_as_good_as_scikit_learns_kmeans(kind):
    generator = torch.Generator().manual_seed(3)
    latents = torch.randn(12_000, 12, generator=generator)
    if kind == "clusters":
        latents = 0.3 * latents + 3 * torch.randn(300, 12, generator=generator)[torch.arange(12_000) % 300]
    elif kind == "of two scales":
        latents[::20] *= 10
    reference = [KMeans(256, n_init=1, random_state=seed).fit(latents.numpy()).inertia_ for seed in range(3)]
    ours = [inertia(latents, fit_codebook(latents, 256, seed)) for seed in range(3)]
    assert np.mean(ours) < 1.02 * np.mean(reference)
    codebook = fit_codebook(latents, 256, seed=0)
    nearest = torch.cdist(latents, codebook).argmin(dim=1)
    assert len(nearest.unique()) == 256, "no code without a latent"
    assert len(codebook.unique(dim=0)) == 256


def test_rare_distinct_latents_are_found_among_many(monkeypatch):
    monkeypatch.setattr(codebook_init, "SEEDED", 100)
    latents = torch.cat([torch.zeros(5000, 3), torch.arange(1.0, 31).reshape(10, 3)])
    assert len(fit_codebook(latents, 11, seed=0).unique(dim=0)) == 11


def test_a_part_of_the_latents_gives_the_seeds_and_all_refine_them(monkeypatch):
    monkeypatch.setattr(codebook_init, "SEEDED", 2000)
    centres = 10 * torch.randn(20, 4, generator=torch.Generator().manual_seed(4))
    latents = clusters(centres, each=500)
    nearest = torch.cdist(latents, centres).argmin(dim=1)
    means = torch.stack([latents[nearest == k].mean(dim=0) for k in range(20)])
    torch.testing.assert_close(by_first_element(fit_codebook(latents, 20, seed=0)), by_first_element(means))


@pytest.mark.parametrize(
    "latents, size, seed, error, message",
    [
        (np.zeros((9, 4)), 2, 0, TypeError, "latents must be a tensor of floats .N, d., got ndarray"),
        (torch.rand(9), 2, 0, ValueError, r"latents must be a tensor of floats \(N, d\), got torch.float32 \(9,\)"),
        (torch.rand(1, 9, 4), 2, 0, ValueError, r"got torch.float32 \(1, 9, 4\)"),
        (torch.ones(9, 4).long(), 2, 0, ValueError, "got torch.int64"),
        (torch.rand(9, 4), 0, 0, ValueError, "codebook_size must be a whole number from 1 .* got 0"),
        (torch.rand(9, 4), 2.5, 0, ValueError, "codebook_size must be .* got 2.5"),
        (torch.rand(9, 4), 2, -1, ValueError, "seed must be a whole number from 0 .* got -1"),
        (torch.rand(9, 4), 2, 2**70, ValueError, "seed must be"),
        (torch.rand(9, 4) * 1e25, 2, 0, ValueError, "latents of up to .*e.24 are too large: training has diverged"),
        (torch.rand(0, 4), 1, 0, ValueError, "0 latents"),
        (torch.rand(9, 4), 10, 0, ValueError, "9 latents, of which 9 are distinct, cannot give 10 codes"),
    ],
)
def test_what_gives_no_codebook_is_refused_by_name(latents, size, seed, error, message):
    with pytest.raises(error, match=message):
        fit_codebook(latents, size, seed)


def test_floats_of_any_precision_give_a_codebook():
    latents = torch.rand(50, 4)
    for kind in (torch.float64, torch.float16, torch.bfloat16):
        assert torch.equal(fit_codebook(latents.to(kind), 3, 0), fit_codebook(latents.to(kind).float(), 3, 0))
