"""What priors share: codes are drawn by their shares, in batches, the same for a seed."""

import pytest
import torch

from pivq.rivals import priors
from pivq.rivals.priors import Prior, draw_codes


class Even(Prior):
    def __init__(self):
        super().__init__(4, 3)
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.sizes = []

    def draw_batch(self, count, generator):
        self.sizes.append(count)
        return torch.randint(4, (count, 3), generator=generator)


def test_codes_are_drawn_by_their_shares():
    logits = torch.tensor([0.1, 0.2, 0.7]).log().expand(2, 5000, 3)
    drawn = draw_codes(logits, torch.Generator().manual_seed(0))
    assert drawn.shape == (2, 5000)
    assert (drawn.flatten().bincount() / 10_000).tolist() == pytest.approx([0.1, 0.2, 0.7], abs=0.02)


def test_a_code_without_a_share_is_never_drawn():
    logits = torch.tensor([-torch.inf, 0.0, -torch.inf, 1.0, -torch.inf]).expand(200_000, 5)
    assert draw_codes(logits, torch.Generator().manual_seed(0)).unique().tolist() == [1, 3]


def test_a_prior_draws_in_batches_and_repeats_itself(monkeypatch):
    monkeypatch.setattr(priors, "DRAWN", 4)
    prior = Even()
    codes = prior.draw(10, seed=3)
    assert codes.shape == (10, 3) and prior.sizes == [4, 4, 2]
    assert torch.equal(codes, prior.draw(10, seed=3)) and not torch.equal(codes, prior.draw(10, seed=4))
    assert prior.bits(codes, torch.Generator()) is None
