"""The VAE: its KL divergence by hand and by quadrature, its loss, its draws and its straight ways."""

import math

import pytest
import torch
from conftest import make_tiny_config

from pivq.losses import training_loss
from pivq.rivals.rival import count_passes, is_discrete
from pivq.rivals.vae import LATENTS, SCALE, VAE, beta_vae_settings, kl_divergence, vae_settings

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def vae() -> VAE:
    torch.manual_seed(0)
    return VAE(make_tiny_config().model)


def test_divergence_by_hand():
    mean = torch.tensor([[0.0, 0.0], [1.0, -2.0], [0.0, 0.0]])
    log_variance = torch.tensor([[0.0, 0.0], [0.0, 0.0], [math.log(4), 0.0]])
    expected = [0, (1 + 4) / 2, (4 - math.log(4) - 1) / 2]
    assert kl_divergence(mean, log_variance).tolist() == pytest.approx(expected)


def test_divergence_is_the_integral():
    mean, deviation = 0.7, 0.4
    z = torch.linspace(-8, 8, 200_001, dtype=torch.float64)
    posterior, prior = torch.distributions.Normal(mean, deviation), torch.distributions.Normal(0.0, 1.0)
    integrand = posterior.log_prob(z).exp() * (posterior.log_prob(z) - prior.log_prob(z))
    expected = float(torch.trapezoid(integrand, z))
    found = kl_divergence(torch.tensor([[mean]]), torch.tensor([[2 * math.log(deviation)]]))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def loss(vae: VAE, beta: float) -> tuple[float, dict]:
    """Return the loss of a step without perceptual and adversarial terms, and its terms."""
    torch.manual_seed(1)
    config = vae_settings(make_tiny_config(), beta)
    output = vae(IMAGES)
    terms = {"l1": (output.images - IMAGES).abs().mean(), "codebook": output.quantization.codebook_loss,
             "commitment": output.quantization.commitment_loss}  # fmt: skip
    return float(training_loss(terms, config.train)), terms


def test_without_beta_the_loss_is_the_reconstruction(vae):
    found, terms = loss(vae, 0.0)
    assert found == float(terms["l1"]) and float(terms["commitment"]) > 0


def test_with_beta_1_the_loss_is_the_negative_elbo_of_a_laplace_likelihood(vae):
    """Up to the constant log(2b) a value, and times b / 3HW."""
    found, _ = loss(vae, 1.0)
    torch.manual_seed(1)
    output = vae(IMAGES)
    likelihood = torch.distributions.Laplace(output.images, SCALE).log_prob(IMAGES).sum(dim=(1, 2, 3))
    values = IMAGES[0].numel()
    elbo = likelihood + values * math.log(2 * SCALE) - kl_divergence(*vae.posterior(IMAGES))
    assert found == pytest.approx(float(-elbo.mean()) * SCALE / values, rel=1e-4)


def test_beta_weighs_the_divergence_alone():
    usual, more = vae_settings(make_tiny_config()).train, beta_vae_settings(make_tiny_config()).train
    assert more.commitment_weight == pytest.approx(4 * usual.commitment_weight)
    assert more.codebook_weight == usual.codebook_weight == 0
    with pytest.raises(ValueError, match="beta"):
        vae_settings(make_tiny_config(), -1.0)


def test_draws_are_normal_and_stored_numbers_are_means(vae):
    z = vae.draw(4000, seed=0)
    assert z.shape == (4000, LATENTS)
    assert z.mean(dim=0).abs().max() < 0.08 and (z.std(dim=0) - 1).abs().max() < 0.06
    vae.eval()
    assert torch.equal(vae.encode(IMAGES), vae.posterior(IMAGES)[0])
    assert torch.equal(vae(IMAGES).images.clamp(0, 1), vae.reconstruct(IMAGES))
    vae.train()
    assert not torch.equal(vae(IMAGES).images, vae(IMAGES).images)


def test_ways_are_straight(vae):
    a, b = vae.draw(2, seed=1)
    path = vae.path(a, b, torch.tensor([0.0, 0.25, 1.0]), seed=0)
    assert torch.allclose(path, torch.stack([a, 0.75 * a + 0.25 * b, b]))


def test_it_is_not_discrete_and_takes_one_pass(vae):
    assert not is_discrete(vae.eval(), IMAGES) and vae.bits is None and count_passes(vae) == 1
