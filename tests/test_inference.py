"""Encoding and decoding in batches is encoding and decoding at once."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from stand_ins import make_images, make_split

from pivq import inference
from pivq.data import to_uint8
from pivq.inference import (
    decode_in_batches,
    decode_levels,
    encode_images,
    latents_in_batches,
    order_difference,
    reconstruction_errors,
    token_attention,
)
from pivq.model import PIVQ


def test_encoding_does_not_depend_on_the_batch_size(finished, tiny_config):
    model, images = finished[0]["matching"].model(), make_split(tiny_config(), "train").images
    assert np.array_equal(encode_images(model, images, batch_size=5), encode_images(model, images))


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(0)
    return PIVQ(tiny_config().model).eval()


def test_latents_come_in_batches_of_so_many_pixels(model, monkeypatch):
    monkeypatch.setattr(inference, "ENCODED_PIXELS", 10 * 16**2)
    batches = list(latents_in_batches(model, make_images()))
    assert [len(batch) for batch in batches] == [10, 10, 4]
    torch.testing.assert_close(torch.cat(batches), model.encode_latents(make_images() / 255))


def test_decoded_levels_are_the_images_that_a_file_would_hold(model, monkeypatch):
    monkeypatch.setattr(inference, "BATCH", 10)
    codes = model.encode(make_images() / 255)
    batches = list(decode_levels(model, codes))
    assert [len(batch) for batch in batches] == [10, 10, 4]
    levels = torch.cat(batches)
    assert levels.dtype == torch.uint8
    assert (levels.int() - to_uint8(model.decode(codes)).int()).abs().max() <= 1, "up to rounding, for any batch"


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_decoding_in_batches_equals_decoding_at_once(batch_size):
    weight = torch.nn.Parameter(torch.ones(1))
    sizes = []

    def decode(codes):
        sizes.append(len(codes))
        return weight * codes.sum(dim=1).float()[:, None, None, None].expand(-1, 3, 2, 2)

    codes = torch.randint(9, (7, 4), generator=torch.Generator().manual_seed(0))
    images = decode_in_batches(decode, codes, batch_size)
    assert torch.equal(images[:, 0, 0, 0], codes.sum(dim=1).float())
    assert images.shape == (7, 3, 2, 2) and not images.requires_grad
    assert max(sizes) <= batch_size and sum(sizes) == 7


def test_levels_are_decoded_one_batch_at_a_time(monkeypatch):
    monkeypatch.setattr(inference, "BATCH", 2)
    calls = []
    model = SimpleNamespace(decode=lambda codes: calls.append(len(codes)) or codes / 10)
    next(decode_levels(model, torch.arange(6)[:, None]))
    assert calls == [2]


def test_decoding_needs_a_positive_batch_size():
    with pytest.raises(ValueError, match="batch_size must be a whole number of at least 1, got 0"):
        decode_in_batches(lambda codes: codes, torch.zeros(2, 2, dtype=torch.long), 0)


def test_the_order_of_codes_does_not_matter_to_pivq(model):
    codes = model.encode(make_images() / 255)
    assert order_difference(model.decode, codes, torch.Generator().manual_seed(0)) < 1e-5


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_order_difference_finds_a_decoder_that_minds(batch_size):
    """The first code decides all pixels: the greatest difference is that of the image where it moved most."""
    codes = torch.tensor([[0, 1, 2], [5, 5, 5], [0, 7, 1]])
    shuffled, expected = torch.Generator().manual_seed(3), []
    for row in codes:
        expected.append(abs(int(row[torch.randperm(3, generator=shuffled)[0]] - row[0])))

    def decode(rows):
        return rows[:, :1, None, None].float().expand(-1, 3, 2, 2)

    assert max(expected) > 0
    assert order_difference(decode, codes, torch.Generator().manual_seed(3), batch_size) == max(expected)


def test_attention_of_the_tokens_is_what_the_last_layer_computes(model):
    """Each token's share of the cells is the layer's own: its values are set to 1 at the cells, 0 at the tokens."""
    images = torch.rand(2, 3, model.config.image_size, model.config.image_size)
    weights = token_attention(model, images)
    count, grid = model.config.num_codes, model.config.grid_size
    assert weights.shape == (2, count, grid, grid)
    shares = weights.sum(dim=(2, 3))
    assert ((shares > 0) & (shares < 1)).all()

    last = model.encoder.transformer.layers[-1]
    with torch.no_grad():
        last.key_value.register_forward_hook(lambda module, given, out: _ones_at_cells(out, grid**2))
        seen = []
        last.out.register_forward_hook(lambda module, given, out: seen.append(given[0]))
        model.encode_latents(images)
    heads = seen[0].unflatten(2, (last.heads, -1)).mean(dim=(2, 3))  # (B, L)
    torch.testing.assert_close(heads, shares, rtol=1e-4, atol=1e-5)


def _ones_at_cells(keys_values, cells):
    keys, values = keys_values.chunk(2, dim=2)
    values = torch.zeros_like(values)
    values[:, :cells] = 1
    return torch.cat([keys, values], dim=2)


def test_attention_leaves_no_hook_behind(model):
    images = torch.rand(1, 3, model.config.image_size, model.config.image_size)
    before = model.encode(images)
    token_attention(model, images)
    assert not model.encoder.transformer.layers[-1]._forward_pre_hooks
    assert torch.equal(model.encode(images), before)


@pytest.mark.parametrize("error", [
    lambda made, originals: (made - originals).abs().mean() + 1,
    lambda made, originals: (made - originals).abs() + 1,
    lambda made, originals: (made - originals)[:1, 0, 0, 0],
    lambda made, originals: 1.0,
])  # fmt: skip
def test_errors_that_are_not_one_per_image_are_refused(error):
    """A mean of the batch came out as a half of itself, with two images in a batch."""
    images = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8)
    with pytest.raises((TypeError, ValueError), match=r"errors of more must be a tensor \(2,\), one per image, got"):
        reconstruction_errors(lambda originals: originals, images, 2, "cpu", [error])
    found = reconstruction_errors(lambda originals: originals, images, 3, "cpu", [lambda a, b: (a - b)[:, 0, 0, 0] + 1])
    assert found == [0, 100, 1]


def test_the_mean_error_of_no_images_is_none():
    with pytest.raises(ValueError, match="images must be at least one image"):
        reconstruction_errors(lambda originals: originals, torch.zeros(0, 3, 8, 8, dtype=torch.uint8), 2, "cpu")
