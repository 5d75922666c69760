"""PI-VQ under the rivals' protocol: its own encode and decode, paths of Section 3.5, presence of codes."""

import pytest
import torch
from conftest import make_tiny_config

from pivq.capacity import matching_bits
from pivq.model import PIVQ
from pivq.rivals.any_order import draw_sets
from pivq.rivals.ours import Ours
from pivq.rivals.rival import count_passes, is_discrete, order_matters
from pivq.rivals.set_prior import PriorSettings, SetPrior
from pivq.usage import presence

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def ours() -> Ours:
    torch.manual_seed(0)
    model = PIVQ(make_tiny_config().model).eval()
    return Ours(model, lambda count, seed: torch.arange(4).expand(count, -1) + seed)


def test_it_is_the_model(ours):
    assert torch.equal(ours.encode(IMAGES), ours.model.encode(IMAGES))
    assert torch.equal(ours.sample(3, seed=2), ours.model.decode(torch.tensor([[2, 3, 4, 5]] * 3)))
    assert ours.bits == matching_bits(12, 4)
    assert (ours.encode_features(IMAGES) != presence(ours.model.encode(IMAGES), 12)).nnz == 0


def test_it_is_discrete_takes_one_pass_and_has_no_order(ours):
    assert is_discrete(ours, IMAGES) and count_passes(ours) == 1 and order_matters(ours, IMAGES) < 1e-5


def test_ways_begin_at_a_and_end_at_b(ours):
    a, b = torch.tensor([0, 1, 2, 3]), torch.tensor([3, 4, 5, 6])
    path = ours.path(a, b, torch.linspace(0, 1, 4), seed=0)
    sets = [set(row.tolist()) for row in path]
    assert sets[0] == {0, 1, 2, 3} and sets[-1] == {3, 4, 5, 6}
    assert all(len(now - before) == 1 for before, now in zip(sets, sets[1:], strict=False))


def test_a_prior_runs_once_for_each_code_and_then_the_decoder(ours):
    assert ours.prior is None
    prior = SetPrior(12, PriorSettings(dim=8, feedforward=8, heads=2, layers=1))
    rival = Ours(ours.model, lambda count, seed: draw_sets(prior, count, 4, 12, seed), prior)
    assert count_passes(rival) == 4 + 1 and rival.prior is prior


def test_a_nearest_model_is_refused():
    with pytest.raises(ValueError, match="matching"):
        Ours(PIVQ(make_tiny_config().model, "nearest"), lambda count, seed: torch.zeros(count, 4))
