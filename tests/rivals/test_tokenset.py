"""TokenSet: counts and codes, sums that never change, shuffled training, and a denoiser that learns."""

import math

import pytest
import torch
from conftest import make_tiny_config

from pivq.rivals.rival import count_passes, is_discrete
from pivq.rivals.tokenset import STEPS, FixedSumDiffusion, TokenSet, adjust, codes_of, counts_of, likeliest, rounded

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
K, L = 6, 4


@pytest.fixture
def model() -> TokenSet:
    torch.manual_seed(0)
    return TokenSet(make_tiny_config().model).eval()


def test_counts_are_as_good_as_codes():
    codes = torch.randint(K, (50, L), generator=torch.Generator().manual_seed(0)).sort(dim=1).values
    counts = counts_of(codes, K)
    assert (counts.sum(dim=1) == L).all() and torch.equal(codes_of(counts), codes)
    assert torch.equal(counts_of(codes.flip(1), K), counts)


def test_adjusted_counts_have_the_sum_and_change_where_it_costs_least():
    shares = torch.tensor([[[0.1, 0.9], [0.6, 0.4], [0.9, 0.1]]])  # of 0 and 1 of three codes
    assert adjust(torch.tensor([[0, 0, 0]]), shares.log(), 2).tolist() == [[1, 1, 0]]
    assert adjust(torch.tensor([[1, 1, 1]]), shares.log(), 1).tolist() == [[1, 0, 0]]
    assert adjust(torch.tensor([[1, 0, 0]]), shares.log(), 1).tolist() == [[1, 0, 0]]


def test_any_counts_can_be_adjusted():
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(L + 1, (200, K), generator=generator)
    counts[0], counts[1] = 0, L
    shares = torch.rand(200, K, L + 1, generator=generator).log_softmax(dim=2)
    made = adjust(counts, shares, L)
    assert (made.sum(dim=1) == L).all() and made.min() >= 0 and made.max() <= L


def test_every_state_of_the_diffusion_is_counts_that_sum_to_l():
    torch.manual_seed(0)
    prior, seen = FixedSumDiffusion(K, L).eval(), []
    prior.register_forward_pre_hook(lambda _, given: seen.append(given))
    codes = prior.draw(30, seed=0)
    assert codes.shape == (30, L) and (codes.diff(dim=1) >= 0).all() and codes.min() >= 0 and codes.max() < K
    assert len(seen) == STEPS
    for state, _ in seen:
        assert (state.sum(dim=1) == L).all() and torch.equal(state, state.round()) and state.min() >= 0
    assert [float(t[0]) for _, t in seen] == pytest.approx([step / STEPS for step in range(STEPS)])


def test_a_rounded_state_is_near_the_way_and_keeps_what_both_ends_agree_on():
    generator = torch.Generator().manual_seed(0)
    noise = torch.tensor([[1.0, 1.0, 2.0, 0.0, 0.0, 0.0]]).expand(4000, -1)
    image = torch.tensor([[1.0, 0.0, 0.0, 3.0, 0.0, 0.0]]).expand(4000, -1)
    for t in (0.0, 0.5, 1.0):
        state = rounded((1 - t) * noise + t * image, noise - image, L, L, generator)
        assert (state.sum(dim=1) == L).all() and torch.equal(state, state.round())
        assert (state[:, 0] == 1).all() and (state[:, 4:] == 0).all()
        if t in (0.0, 1.0):
            assert (state == (image if t else noise)).float().mean() > 0.98
        else:
            assert 0.4 < state[:, 1].mean() < 0.6 and len(state.unique(dim=0)) > 3


def test_guesses_are_drawn_from_the_likeliest_classes():
    logits = torch.tensor([[0.7, 0.2, 0.06, 0.04], [0.9, 0.05, 0.03, 0.02]]).log()
    assert likeliest(logits).isfinite().tolist() == [[True, True, False, False], [True, False, False, False]]


def test_a_state_in_training_sums_to_l_and_an_even_guess_costs_log_classes():
    torch.manual_seed(0)
    prior, seen = FixedSumDiffusion(K, L), []
    prior.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    codes = torch.randint(K, (20, L), generator=torch.Generator().manual_seed(1))
    prior.loss(codes, torch.Generator().manual_seed(2))
    assert (seen[0].sum(dim=1) == L).all() and torch.equal(seen[0], seen[0].round())
    with torch.no_grad():
        prior.counts[-1].weight.zero_()
        prior.counts[-1].bias.zero_()
        even = float(prior.loss(codes, torch.Generator().manual_seed(2)))
    assert even == pytest.approx(K * math.log(L + 1) / L, rel=1e-5)


def test_an_image_with_a_code_too_often_is_refused():
    prior = FixedSumDiffusion(20, 10)
    assert prior.most == 8
    with pytest.raises(ValueError, match="a code 9 times"):
        prior.loss(torch.tensor([[3] * 9 + [1]]), torch.Generator())


def test_it_learns_a_set_that_never_changes():
    torch.manual_seed(0)
    prior, codes = FixedSumDiffusion(K, L), torch.tensor([[0, 2, 2, 5]] * 32)
    optimizer = torch.optim.Adam(prior.parameters(), lr=3e-3)
    for step in range(150):
        optimizer.zero_grad()
        prior.loss(codes, torch.Generator().manual_seed(step)).backward()
        optimizer.step()
    assert (prior.draw(50, seed=0) == codes[0]).all(dim=1).float().mean() > 0.9


def test_the_tokenizer_stores_a_multiset(model):
    codes = model.encode(IMAGES)
    assert (codes.diff(dim=1) >= 0).all() and is_discrete(model, IMAGES)
    latents = model.encode_latents(IMAGES)
    assert torch.equal(codes, model.quantizer.codes(latents).sort(dim=1).values)
    assert model.bits == pytest.approx(math.log2(math.comb(12 + 4 - 1, 4)))


def test_training_shuffles_the_tokens_of_each_image_and_all_of_them_reach_the_decoder(model):
    seen = []
    model.decoder.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    output = model(IMAGES, quantize=False)
    rows = seen[0] - model.places
    orders = []
    for image in range(4):
        distances = torch.cdist(output.latents[image], rows[image])
        assert distances.min(dim=1).values.max() < 1e-3
        orders.append(tuple(distances.argmin(dim=1).tolist()))
    assert all(sorted(order) == list(range(4)) for order in orders) and len(set(orders)) > 1


def test_places_are_added_when_codes_are_decoded(model):
    codes = model.encode(IMAGES)
    with_places = model.decode(codes)
    with torch.no_grad():
        model.places.zero_()
    without = model.decode(codes)
    assert not torch.equal(with_places, without)
    assert torch.allclose(without, model.decode(codes.flip(1)), atol=1e-5)


def test_ways_exchange_codes_of_multisets(model):
    a, b = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 3, 3, 2])
    path = model.path(a, b, torch.linspace(0, 1, 3), seed=0)
    assert path[0].tolist() == [0, 0, 1, 2] and path[2].tolist() == [0, 2, 3, 3]
    assert (counts_of(path, 4).diff(dim=0).abs().sum(dim=1) == 2).all()


def test_a_sample_takes_the_steps_of_the_prior_and_one_pass_of_the_decoder(model):
    with pytest.raises(RuntimeError, match="prior"):
        model.sample(1, 0)
    model.prior = FixedSumDiffusion(12, 4).eval()
    assert count_passes(model) == STEPS + 1
