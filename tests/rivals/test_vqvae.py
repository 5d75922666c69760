"""The VQ-VAE: nearest codes with places, their bits, and the prior that draws them."""

import math
from dataclasses import replace

import pytest
import torch
from conftest import make_tiny_config

from pivq.inference import order_difference
from pivq.model import PIVQ
from pivq.rivals.rival import is_discrete, order_matters
from pivq.rivals.vqvae import VQVAE, vqvae_settings

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model() -> VQVAE:
    torch.manual_seed(0)
    return VQVAE(vqvae_settings(make_tiny_config()).model).eval()


def test_there_is_a_code_for_each_cell(model):
    sizes = model.config
    assert sizes.num_codes == sizes.grid_size**2 == 16
    with pytest.raises(ValueError, match="num_codes must be 16"):
        VQVAE(replace(sizes, num_codes=5))
    assert model.bits == pytest.approx(16 * math.log2(12))


def test_a_code_is_the_nearest_one_to_its_cell(model):
    grid = model.encoder(IMAGES)
    codes, codebook = model.encode(IMAGES), model.quantizer.codebook
    for image, row, column in ((0, 0, 0), (1, 2, 3), (3, 3, 1)):
        distances = (grid[image, :, row, column] - codebook).square().sum(dim=1)
        assert codes[image, 4 * row + column] == distances.argmin()


def test_training_and_storing_make_the_same_image(model):
    assert torch.allclose(model(IMAGES).images.clamp(0, 1), model.reconstruct(IMAGES), atol=1e-5)
    assert is_discrete(model, IMAGES)


def test_places_matter_as_they_do_not_to_pi_vq(model):
    assert order_matters(model, IMAGES) > 0.05
    ours = PIVQ(make_tiny_config().model).eval()
    assert order_difference(ours.decode, ours.encode(IMAGES), torch.Generator().manual_seed(0)) < 1e-5


def test_a_probe_sees_the_code_of_each_cell(model):
    codes = torch.tensor([[3] * 16, [0] * 15 + [11]])
    features = model.features(codes).toarray()
    assert features.shape == (2, 16 * 12) and (features.sum(axis=1) == 16).all()
    assert features[0, 3] and features[0, 12 * 5 + 3] and features[1, 12 * 15 + 11] and not features[1, 11]


def test_without_a_prior_nothing_is_drawn(model):
    with pytest.raises(RuntimeError, match="prior"):
        model.sample(2, 0)
