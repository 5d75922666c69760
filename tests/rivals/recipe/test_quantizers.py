"""Gradients by rotation, distances between Gaussians, effective dimensions and the memory, against cases by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from pivq.quantizers import MatchingQuantizer
from pivq.rivals.recipe.quantizers import RecipeQuantizer, effective_dimension, gaussian_distance, rotate


def carried(latent: list[float], code: list[float], gradient: list[float]) -> torch.Tensor:
    """Return the gradient at a latent for a gradient at its code."""
    e = torch.tensor(latent, dtype=torch.float64, requires_grad=True)
    rotate(e, torch.tensor(code, dtype=torch.float64)).backward(torch.tensor(gradient, dtype=torch.float64))
    return e.grad


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- The rotation trick -----------------------------------------------------------------------------------------------


def test_a_quarter_turn_by_hand():
    """From e = (1, 0) to q = (0, 2) the map is twice the turn by 90°; gradients are turned back, and doubled."""
    assert carried([1, 0], [0, 2], [0, 1]).tolist() == pytest.approx([2, 0])
    assert carried([1, 0], [0, 2], [1, 0]).tolist() == pytest.approx([0, -2])


def test_what_lies_across_the_plane_of_both_is_scaled_alone():
    assert carried([1, 0, 0], [0, 3, 0], [0, 0, 1]).tolist() == pytest.approx([0, 0, 3])


def test_where_latent_and_code_are_equal_it_is_straight_through():
    assert carried([3, 4], [3, 4], [0.7, -0.2]).tolist() == pytest.approx([0.7, -0.2])
    assert carried([3, 4], [6, 8], [0.7, -0.2]).tolist() == pytest.approx([1.4, -0.4])  # twice as long


def test_the_angle_between_gradient_and_vector_is_kept_and_the_length_scaled():
    e, q, g = normal(50, 6), normal(50, 6, seed=1), normal(50, 6, seed=2)
    latents = e.clone().requires_grad_()
    rotate(latents, q).backward(g)
    cosine = torch.nn.functional.cosine_similarity
    assert torch.allclose(cosine(latents.grad, e), cosine(g, q))
    assert torch.allclose(latents.grad.norm(dim=1) / g.norm(dim=1), q.norm(dim=1) / e.norm(dim=1))
    assert not torch.allclose(latents.grad, g, rtol=0.1), "straight through would keep neither"


def test_opposite_and_zero_vectors_give_finite_gradients():
    assert carried([1, 0], [-1, 0], [1, 0]).tolist() == pytest.approx([-1, 0])
    assert carried([1, 0], [0, 0], [1, 1]).tolist() == [0, 0]
    assert carried([0, 0], [1, 0], [1, 1]).isfinite().all()


def test_the_values_are_the_codes_bit_for_bit():
    e, q = normal(5, 4, 8).float().requires_grad_(), normal(5, 4, 8, seed=1).float()
    assert torch.equal(rotate(e, q), q)


def test_the_map_takes_the_latent_to_the_code():
    """The gradient of q·(λ R e) at e, for constant λ R, is λ Rᵀ q = ‖q‖² e / ‖e‖²: R e points along q."""
    e, q = [1.0, 2.0, -1.0], [0.5, -1.0, 2.0]
    expected = np.array(e) * np.dot(q, q) / np.dot(e, e)
    assert carried(e, q, q).tolist() == pytest.approx(expected.tolist())


def test_codes_get_no_gradient_and_shapes_must_agree():
    q = normal(3, 4, seed=1).requires_grad_()
    rotate(normal(3, 4).requires_grad_(), q).sum().backward()
    assert q.grad is None
    with pytest.raises(ValueError, match="codes"):
        rotate(normal(3, 4), normal(4, 4))


# --- The distance of distributions ------------------------------------------------------------------------------------


def test_it_is_the_distance_between_gaussians_by_scipy():
    latents, codebook = normal(200, 5) @ torch.diag(torch.tensor([1, 2, 0.5, 1, 3.0]).double()), normal(40, 5, seed=1)
    scale = latents.std(dim=0).max()
    a, b = (latents / scale).numpy(), (codebook / scale).numpy()
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    root = sqrtm(cov_a).real
    trace = np.trace(cov_a + cov_b - 2 * sqrtm(root @ cov_b @ root).real)
    expected = math.sqrt(np.square(a.mean(axis=0) - b.mean(axis=0)).sum() + trace)
    assert float(gaussian_distance(latents, codebook)) == pytest.approx(expected, rel=1e-6)


def test_by_hand_in_one_dimension():
    """Means 0 and 3, deviations 1 and 2: √(3² + (1 − 2)²), in units of the latents' deviation."""
    unit = torch.tensor([[-1.0], [1.0]]) / math.sqrt(2)
    assert float(gaussian_distance(unit, 3 + 2 * unit)) == pytest.approx(math.sqrt(10), rel=1e-5)
    assert float(gaussian_distance(10 * unit, 30 + 20 * unit)) == pytest.approx(math.sqrt(10), rel=1e-5)


def test_it_vanishes_for_equal_moments_alone():
    latents = normal(100, 3)
    assert float(gaussian_distance(latents, latents)) < 1e-4
    assert float(gaussian_distance(latents, latents + 0.5)) > 0.3
    assert float(gaussian_distance(latents, 2 * latents)) > 0.3


def test_its_gradient_moves_the_codebook_to_the_latents_and_leaves_them():
    latents, codebook = normal(300, 4).requires_grad_(), (5 + 0.1 * normal(20, 4, seed=1)).requires_grad_()
    before = gaussian_distance(latents, codebook)
    before.backward()
    assert latents.grad is None and codebook.grad.isfinite().all()
    optimizer = torch.optim.Adam([codebook], lr=0.1)
    for _ in range(100):
        optimizer.zero_grad()
        distance = gaussian_distance(latents, codebook)
        distance.backward()
        optimizer.step()
    assert distance.item() < 0.05 * before.item()
    assert codebook.mean(dim=0).abs().max() < 0.3 and (codebook.std(dim=0) - 1).abs().max() < 0.3


def test_fewer_codes_than_dimensions_have_finite_gradients():
    codebook = normal(3, 6).requires_grad_()
    gaussian_distance(normal(50, 6, seed=1), codebook).backward()
    assert codebook.grad.isfinite().all()


# --- The effective dimension ------------------------------------------------------------------------------------------


def test_effective_dimension_by_hand():
    axes = torch.cat([torch.eye(5), -torch.eye(5)]) * torch.tensor([10.0, 10.0, 1.0, 0.01, 0.0])
    # Variances 100, 100, 1, 0.0001, 0 of 201.0001: two explain 0.995.
    assert effective_dimension(axes) == 2
    assert effective_dimension(axes, share=0.4) == 1 and effective_dimension(axes, share=0.999) == 3
    assert effective_dimension(axes + 7) == 2, "the mean does not count"
    assert effective_dimension(torch.ones(4, 3)) == 0
    assert effective_dimension(normal(2000, 8)) == 8
    with pytest.raises(ValueError, match="share"):
        effective_dimension(axes, share=1.5)


# --- The quantizer ----------------------------------------------------------------------------------------------------


def pair(**settings) -> tuple[MatchingQuantizer, RecipeQuantizer]:
    """Return the usual quantizer and one with other settings, with one codebook."""
    torch.manual_seed(0)
    usual, other = MatchingQuantizer(12, 6, 4), RecipeQuantizer(12, 6, 4, **settings)
    other.codebook.data.copy_(usual.codebook.data)
    return usual, other


def test_without_changes_it_is_the_usual_quantizer():
    usual, other = pair()
    latents = normal(3, 4, 6).float()
    for a, b in zip(usual(latents), other(latents), strict=True):
        assert torch.equal(a, b)
    assert usual.state_dict().keys() == other.state_dict().keys()


def test_with_rotation_codes_and_losses_are_the_usual_ones_and_gradients_those_of_the_trick():
    usual, other = pair(rotation=True)
    latents, gradient = normal(3, 4, 6).float().requires_grad_(), normal(3, 4, 6, seed=1).float()
    found, expected = other(latents), usual(latents)
    assert torch.equal(found.codes, expected.codes) and torch.equal(found.codebook_loss, expected.codebook_loss)
    assert torch.equal(found.quantized, other.codebook[found.codes])
    found.quantized.backward(gradient)
    again = latents.detach().clone().requires_grad_()
    rotate(again, other.codebook[found.codes]).backward(gradient)
    assert torch.equal(latents.grad, again.grad) and not torch.allclose(latents.grad, gradient)
    assert other.codebook.grad is None


def test_the_memory_has_the_last_latents_and_counts_idle_codes():
    _, other = pair(memory=10)
    batches = normal(3, 2, 4, 6).float()
    for i, batch in enumerate(batches):
        found = other(batch)
        assert int(other.seen) == 8 * (i + 1) and len(other.remembered()) == min(10, 8 * (i + 1))
        assert (other.unused[found.codes.flatten()] == 0).all() and int(other.unused.max()) == i + 1
    assert torch.equal(other.remembered(), batches.flatten(0, 2)[-10:])


def test_nothing_is_remembered_outside_of_training():
    _, other = pair(memory=10)
    with torch.no_grad():
        other(normal(2, 4, 6).float())
    other.eval()(normal(2, 4, 6).float())
    assert int(other.seen) == 0 and len(other.remembered()) == 0 and not other.unused.any()


def test_the_distance_joins_the_codebook_loss_once_the_memory_is_full():
    usual, other = pair(memory=16, distribution_weight=0.5)
    first, second = normal(2, 2, 4, 6).float()
    assert torch.equal(other(first).codebook_loss, usual(first).codebook_loss)
    found = other(second)
    distance = gaussian_distance(torch.cat([first, second]).flatten(0, 1), other.codebook)
    more = found.codebook_loss.item() - usual(second).codebook_loss.item()
    assert more == pytest.approx(0.5 * distance.item(), rel=1e-5)
    found.codebook_loss.backward()
    assert (other.codebook.grad.abs().sum(dim=1) > 0).all(), "codes that no latent took move too"
