"""The absorbing prior: its bound against exact likelihoods by enumeration, what is hidden, and how codes are shown."""

import itertools
import math

import pytest
import torch

from pivq.rivals import absorbing
from pivq.rivals.absorbing import AbsorbingPrior, hide

K, L = 3, 4
ALL = torch.tensor(list(itertools.product(range(K), repeat=L)))
MASKS = [torch.tensor(row) for row in itertools.product([False, True], repeat=L) if any(row)]


class Known(AbsorbingPrior):
    """Says the same about each place, whatever it sees."""

    def __init__(self, shares: torch.Tensor):
        super().__init__(K, L)
        self.shares, self.seen = shares, []

    def forward(self, codes):
        self.seen.append(codes.clone())
        return self.shares.log().expand(len(codes), -1, -1)


def bound(prior: AbsorbingPrior, codes: torch.Tensor) -> torch.Tensor:
    """Return the bound `(B,)` with every choice of hidden places, each k as likely as the others."""
    total = torch.zeros(len(codes))
    for mask in MASKS:
        weight = 1 / (L * math.comb(L, int(mask.sum())))
        total += weight * prior.nats(codes, mask.expand(len(codes), -1))
    return total


@pytest.fixture
def shares() -> torch.Tensor:
    return torch.rand(L, K, generator=torch.Generator().manual_seed(0)).softmax(dim=1)


def test_where_places_are_independent_the_bound_is_the_likelihood(shares):
    exact = -shares.log()[torch.arange(L), ALL].sum(dim=1)
    assert bound(Known(shares), ALL).tolist() == pytest.approx(exact.tolist(), rel=1e-5)


def test_evenly_guessed_it_is_l_log2_k_for_any_hidden_places():
    prior = Known(torch.full((L, K), 1 / K))
    for mask in MASKS:
        assert prior.nats(ALL, mask.expand(len(ALL), -1)).tolist() == pytest.approx([L * math.log(K)] * len(ALL))
    assert prior.bits(ALL, torch.Generator().manual_seed(0)) == pytest.approx(L * math.log2(K))


def test_a_network_s_bound_is_never_below_the_likelihood_of_its_own_draws():
    """Codes shown one by one in random order have the probabilities of the network's mixture over all orders."""
    torch.manual_seed(0)
    prior = AbsorbingPrior(K, L).eval()
    with torch.no_grad():
        likelihoods = torch.zeros(len(ALL))
        orders = list(itertools.permutations(range(L)))
        for order in orders:
            logs = torch.zeros(len(ALL))
            hidden = torch.ones(len(ALL), L, dtype=torch.bool)
            for place in order:
                table = prior(ALL.masked_fill(hidden, K)).log_softmax(dim=2)
                logs += table[torch.arange(len(ALL)), place, ALL[:, place]]
                hidden[:, place] = False
            likelihoods += logs.exp() / len(orders)
        assert float(likelihoods.sum()) == pytest.approx(1, abs=1e-5)
        assert (bound(prior, ALL) >= -likelihoods.log() - 1e-5).all()


def test_hidden_codes_are_not_seen_and_seen_ones_are(shares):
    prior = Known(shares)
    hidden = torch.tensor([[True, False, False, True]])
    prior.nats(torch.tensor([[0, 1, 2, 0]]), hidden)
    assert prior.seen[0].tolist() == [[K, 1, 2, K]]


def test_every_number_of_hidden_codes_is_as_likely():
    hidden = hide(8000, L, torch.Generator().manual_seed(0))
    counts = hidden.sum(dim=1).bincount(minlength=L + 1) / 8000
    assert counts.tolist() == pytest.approx([0, *[1 / L] * L], abs=0.02)
    assert hidden.float().mean(dim=0).tolist() == pytest.approx([(L + 1) / (2 * L)] * L, abs=0.02)


def test_codes_are_shown_in_the_given_passes_and_then_stay(shares, monkeypatch):
    monkeypatch.setattr(absorbing, "PASSES", 2)
    prior = Known(shares)
    codes = prior.draw(5, seed=0)
    assert [(seen == K).sum(dim=1).tolist() for seen in prior.seen] == [[4] * 5, [2] * 5]
    kept = prior.seen[1] != K
    assert torch.equal(prior.seen[1][kept], codes[kept])
    many = Known(shares).draw(6000, seed=1)
    found = torch.stack([many[:, place].bincount(minlength=K) / 6000 for place in range(L)])
    assert float((found - shares).abs().max()) < 0.03


def test_there_are_no_more_passes_than_codes(shares):
    prior = Known(shares)
    prior.draw(2, seed=0)
    assert len(prior.seen) == L
