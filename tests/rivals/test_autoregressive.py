"""The autoregressive prior: causality, a distribution that sums to 1, exact bits, and draws from it."""

import itertools
import math

import pytest
import torch

from pivq.rivals.autoregressive import AutoregressivePrior
from pivq.rivals.rival import count_passes
from pivq.rivals.vqvae import VQVAE, vqvae_settings

K, L = 3, 4
ALL = torch.tensor(list(itertools.product(range(K), repeat=L)))


@pytest.fixture
def prior() -> AutoregressivePrior:
    torch.manual_seed(0)
    return AutoregressivePrior(K, L).eval()


def test_a_later_code_changes_no_earlier_logit(prior):
    codes = torch.tensor([[0, 1, 2], [2, 2, 0]])
    before = prior(codes)
    for place in range(3):
        changed = codes.clone()
        changed[:, place] = (changed[:, place] + 1) % K
        after = prior(changed)
        assert torch.allclose(before[:, : place + 1], after[:, : place + 1], atol=1e-6)
        assert not torch.allclose(before[:, place + 1 :], after[:, place + 1 :], atol=1e-4)


def test_prefixes_have_the_logits_of_the_whole(prior):
    codes = torch.tensor([[0, 1, 2]])
    assert torch.allclose(prior(codes[:, :1]), prior(codes)[:, :2], atol=1e-5)


def test_the_likelihoods_of_all_images_sum_to_1(prior):
    with torch.no_grad():
        assert float((-prior.nats(ALL)).exp().sum()) == pytest.approx(1, abs=1e-5)


def test_loss_and_bits_are_the_likelihood_in_other_units(prior):
    with torch.no_grad():
        nats, loss = float(prior.nats(ALL).mean()), float(prior.loss(ALL, torch.Generator()))
    assert loss == pytest.approx(nats / L, rel=1e-5)
    assert prior.bits(ALL, torch.Generator()) == pytest.approx(nats / math.log(2), rel=1e-5)
    assert nats / math.log(2) > L * math.log2(K)  # of all images, once each, no code is shorter


def test_draws_have_the_likelihoods_of_the_prior(prior):
    drawn = prior.draw(4000, seed=0)
    weights = K ** torch.arange(L - 1, -1, -1)
    found = (drawn @ weights).bincount(minlength=K**L) / len(drawn)
    with torch.no_grad():
        expected = (-prior.nats(ALL)).exp()
    assert float((found - expected).abs().sum()) < 0.25  # twice the total variation; of noise alone about 0.11
    assert float((found - expected.roll(1)).abs().sum()) > float((found - expected).abs().sum())


def test_a_sample_takes_a_pass_for_each_code_and_one_of_the_decoder(tiny_config):
    model = VQVAE(vqvae_settings(tiny_config()).model).eval()
    model.prior = AutoregressivePrior(12, 16).eval()
    assert count_passes(model) == 16 + 1
