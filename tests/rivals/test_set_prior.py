"""The prior has no order, learns what it is shown, and can be trained again to the same weights."""

import itertools
import math

import pytest
import torch

from pivq.rivals.any_order import draw_sets, log_next, set_bits
from pivq.rivals.set_prior import PriorSettings, SetPrior, frequencies, hide, train_set_prior

SMALL = PriorSettings(dim=16, feedforward=16, layers=1, heads=2, steps=300, batch_size=32, warmup_steps=10)
PAIRED = torch.tensor([[0, 2], [1, 3]] * 400)  # of K = 4: one code says the other


def untrained(layers: int = 2) -> SetPrior:
    """Return a prior with random weights everywhere, in double precision."""
    prior = SetPrior(6, PriorSettings(dim=8, feedforward=8, heads=2, layers=layers)).double()
    generator = torch.Generator().manual_seed(0)
    for value in prior.parameters():
        value.data = torch.randn(value.shape, generator=generator, dtype=torch.float64)
    return prior


@pytest.mark.parametrize("layers", [0, 2])
def test_logits_do_not_depend_on_the_order(layers):
    given = torch.tensor([[5, 6, 0, 6, 3], [1, 2, 6, 6, 6]])
    prior = untrained(layers)
    for order in ([4, 3, 2, 1, 0], [1, 4, 0, 2, 3]):
        torch.testing.assert_close(prior(given[:, order]), prior(given))


def test_logits_depend_on_every_given_code_and_on_how_many_there_are():
    prior = untrained()
    rows = torch.tensor([[5, 0, 3, 6], [4, 0, 3, 6], [5, 1, 3, 6], [5, 0, 2, 6], [5, 0, 6, 6], [5, 0, 3, 1]])
    assert len(torch.unique(prior(rows[:-1]), dim=0)) == 5


def test_without_layers_logits_are_the_sums_of_pairs():
    prior = untrained(layers=0)
    expected = prior.bias + prior.pairs.weight[2] + 2 * prior.pairs.weight[6]
    torch.testing.assert_close(prior(torch.tensor([[6, 2, 6]]))[0], expected)


def test_a_new_prior_has_no_preferences():
    assert (SetPrior(6, SMALL)(torch.tensor([[0, 1, 6]])) == 0).all()


def test_the_mean_bits_are_those_of_two_orders_and_of_equation_4_without_preferences():
    codes = torch.tensor([[0, 1, 2], [3, 5, 4]])
    assert SetPrior(6, SMALL).bits(codes, torch.Generator()) == pytest.approx(math.log2(math.comb(6, 3)), abs=1e-5)
    prior = untrained()
    for seed in (1, 2):
        expected = float(set_bits(prior, codes, 6, orders=2, seed=seed).mean())
        assert prior.bits(codes, torch.Generator().manual_seed(seed)) == expected
    exact = -torch.tensor([[sets(prior, row) for row in codes.tolist()]]).log2().mean()
    assert expected > exact, "it is an upper bound"


@torch.no_grad()
def sets(prior: SetPrior, codes: list[int]) -> float:
    """Return the probability of a set: the sum over all of its orders, of the product of its steps."""
    found = 0.0
    for order in itertools.permutations(codes):
        given, chance = torch.full((1, len(order)), 6), 1.0
        for place, code in enumerate(order):
            chance *= float(log_next(prior, given, 6)[0, code].exp())
            given[0, place] = code
        found += chance
    return found


def test_hiding_leaves_each_number_and_each_code_equally_often():
    codes = torch.arange(4).expand(40_000, -1)
    given = hide(codes, 9, torch.Generator().manual_seed(0))
    assert ((given == codes) | (given == 9)).all()
    left = (given != 9).sum(dim=1)
    shares = torch.bincount(left, minlength=5) / len(codes)
    torch.testing.assert_close(shares, torch.tensor([0.25, 0.25, 0.25, 0.25, 0.0]), atol=0.01, rtol=0)
    torch.testing.assert_close((given != 9).float().mean(dim=0), torch.full((4,), 1.5 / 4), atol=0.01, rtol=0)
    pairs = torch.unique(given[left == 2], dim=0, return_counts=True)[1]
    assert len(pairs) == 6 and float(pairs.max() / pairs.min()) < 1.2


def test_training_finds_what_belongs_together():
    """Two equally likely sets out of C(4, 2) = 6: 1 bit; frequencies, which cannot see pairs, keep log2 6."""
    trained = train_set_prior(PAIRED, 4, seed=0, settings=SMALL, progress=False)
    bits = float(set_bits(trained.prior, PAIRED[:2], 4, orders=8).mean())
    assert 1 <= bits < 1.1, "no predictor can take fewer"
    assert float(set_bits(frequencies(PAIRED, 4), PAIRED, 4).mean()) > 2.4
    assert float(log_next(trained.prior, torch.tensor([[1, 4]]), 4)[0, 3].exp()) > 0.95
    drawn = draw_sets(trained.prior, 200, 2, 4, seed=0)
    assert ((drawn == PAIRED[0]).all(dim=1) | (drawn == PAIRED[1]).all(dim=1)).float().mean() > 0.95
    assert not trained.prior.training and not any(value.requires_grad for value in trained.prior.parameters())


def test_the_log_has_each_validation_and_the_best_weights_are_kept():
    settings = PriorSettings(dim=8, feedforward=8, layers=0, heads=2, steps=40, batch_size=8, warmup_steps=1,
                             pair_learning_rate=10.0, validations=8)  # fmt: skip
    codes = torch.stack([torch.randperm(12, generator=torch.Generator().manual_seed(i))[:4] for i in range(30)])
    trained = train_set_prior(codes, 12, seed=1, settings=settings, progress=False)
    assert [row["step"] for row in trained.log] == [5, 10, 15, 20, 25, 30, 35, 40]
    best = min(trained.log, key=lambda row: row["validation"])
    assert best != trained.log[-1], "this learning rate makes it worse"
    stopped = train_set_prior(codes, 12, seed=1, settings=settings, progress=False)
    for name, value in trained.prior.state_dict().items():
        assert torch.equal(value, stopped.prior.state_dict()[name]), "the same seed, the same prior"
    other = train_set_prior(codes, 12, seed=2, settings=settings, progress=False)
    assert not torch.equal(other.prior.bias, trained.prior.bias)


def test_training_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    train_set_prior(PAIRED, 4, settings=PriorSettings(dim=8, heads=2, steps=2), progress=False)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_wrong_arguments_are_refused_by_name():
    with pytest.raises(ValueError, match="codes must be sets"):
        train_set_prior(torch.tensor([[0, 0], [1, 2]]), 4)
    with pytest.raises(ValueError, match="codes must be at least two sets"):
        train_set_prior(torch.tensor([[0, 1]]), 4)
    with pytest.raises(ValueError, match="seed"):
        train_set_prior(PAIRED, 4, seed=-1)
    with pytest.raises(ValueError, match="codebook_size"):
        SetPrior(0)
    for name, value in {"steps": 0, "layers": -1, "batch_size": 2.5, "validation_share": 1.0}.items():
        with pytest.raises(ValueError, match=name):
            PriorSettings(**{name: value})
