"""PI-VQ with a recipe inside: the same images where nothing is projected, codes of fewer numbers where they are."""

import pytest
import torch
from conftest import make_tiny_config

from pivq.model import PIVQ
from pivq.rivals.ours import Ours
from pivq.rivals.recipe.model import MEMORY_STEPS, RecipePIVQ
from pivq.rivals.recipe.settings import Recipe

PROJECTED = Recipe(projection=4)


def images() -> torch.Tensor:
    return torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def model(recipe: Recipe) -> RecipePIVQ:
    torch.manual_seed(0)
    return RecipePIVQ(make_tiny_config(), recipe)


def test_without_projection_it_is_pi_vq():
    config, other = make_tiny_config(), model(Recipe(rotation=True))
    usual = PIVQ(config.model, "matching")
    usual.load_state_dict(other.state_dict())
    with torch.no_grad():
        a, b = usual(images()), other(images())
    assert torch.equal(a.latents, b.latents)
    assert torch.allclose(a.images, b.images, atol=1e-5)  # straight through, codes are rounded
    assert torch.equal(usual.encode(images()), other.encode(images()))
    codes = other.encode(images())
    assert torch.equal(usual.decode(codes), other.decode(codes))


def test_projected_codes_have_fewer_numbers_and_all_ways_agree():
    other = model(PROJECTED).eval()
    found = other(images())
    assert found.latents.shape == (3, 4, 4) and other.quantizer.codebook.shape == (12, 4)
    codes = other.encode(images())
    assert torch.equal(codes, found.quantization.codes)
    assert torch.equal(found.latents, other.encode_latents(images()))
    expected = found.images.clamp(0, 1)
    assert torch.allclose(other.decode(codes), expected, atol=1e-6)
    assert torch.allclose(other.images_of(codes).clamp(0, 1), expected, atol=1e-6)
    assert torch.allclose(other.decode(codes.flip(1)), expected, atol=1e-5), "still a set"
    assert other(images(), quantize=False).images.shape == (3, 3, 16, 16)


def test_projection_keeps_the_size_of_what_is_quantized_and_decoded():
    """The encoder's outputs are normalised; a map of unit rows keeps their mean square, and so does the way back."""
    torch.manual_seed(0)
    other = RecipePIVQ(make_tiny_config(model__dim=64), Recipe(projection=4))
    with torch.no_grad():
        small = other.reduce(torch.randn(500, 64))
        back = other.expand(small)
    assert small.shape == (500, 16)
    assert float(small.square().mean()) == pytest.approx(1, abs=0.05)
    assert float(back.square().mean()) == pytest.approx(1, abs=0.05)


def test_images_of_codes_give_gradients_to_the_decoder_alone():
    other = model(PROJECTED)
    other.images_of(torch.tensor([[0, 1, 2, 3]])).sum().backward()
    moved = {name for name, weight in other.named_parameters() if weight.grad is not None}
    assert {name.partition(".")[0] for name in moved} == {"decoder", "expand"}


def test_memory_is_had_where_it_is_needed():
    sizes = {recipe: model(recipe).quantizer.memory for recipe in
             (Recipe(rotation=True), Recipe(reseed_windows=1), Recipe(distribution_weight=1.0))}  # fmt: skip
    assert list(sizes.values()) == [0, MEMORY_STEPS * 4 * 4, MEMORY_STEPS * 4 * 4]


def test_the_weight_of_the_distance_is_not_that_of_the_codebook_loss():
    """The trainer multiplies the codebook loss, of which the distance is a part, by 0.25."""
    assert model(Recipe(distribution_weight=0.5)).quantizer.distribution_weight * 0.25 == 0.5


def test_it_is_saved_as_a_plain_model(tmp_path):
    other = model(Recipe(rotation=True, reseed_windows=1)).eval().requires_grad_(False)
    other.save_pretrained(tmp_path / "model")
    again = PIVQ.from_pretrained(tmp_path / "model")
    codes = other.encode(images())
    assert torch.equal(again.encode(images()), codes) and torch.equal(again.decode(codes), other.decode(codes))
    with pytest.raises(ValueError, match="projected codes"):
        model(PROJECTED).save_pretrained(tmp_path / "other")


def test_it_is_measured_as_pi_vq_is():
    other = model(PROJECTED).eval()
    rival = Ours(other, lambda count, seed: torch.arange(4).repeat(count, 1))
    assert rival.sample(2, seed=0).shape == (2, 3, 16, 16)
