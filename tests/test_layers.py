"""Building blocks against literal formulas."""

import math

import pytest
import torch
from torch import nn

from pivq.layers import AttentionBlock, Downsample, ResidualBlock, Transformer, TransformerLayer, Upsample, group_norm


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("channels, groups", [(128, 32), (32, 32), (48, 16), (8, 8), (5, 1)])
def test_group_norm_has_the_base_codes_groups_where_they_fit(channels, groups):
    norm = group_norm(channels)
    assert (norm.num_groups, norm.eps) == (groups, 1e-6)


@pytest.mark.parametrize("out_channels", [8, 12])
def test_residual_block_follows_the_formula(out_channels):
    block = ResidualBlock(8, out_channels)
    x = torch.randn(2, 8, 5, 6)

    def swish(y):
        return y / (1 + (-y).exp())

    y = block.conv2(swish(block.norm2(block.conv1(swish(block.norm1(x))))))
    skip = x if out_channels == 8 else block.skip(x)
    torch.testing.assert_close(block(x), skip + y)
    assert isinstance(block.skip, nn.Identity) == (out_channels == 8)


def test_attention_block_follows_the_formula():
    block = AttentionBlock(8)
    x = torch.randn(2, 8, 3, 4)
    q, k, v = block.qkv(block.norm(x)).flatten(2).split(8, dim=1)  # (B, C, cells)
    weights = torch.softmax(torch.einsum("bci,bcj->bij", q, k) / math.sqrt(8), dim=2)
    y = torch.einsum("bij,bcj->bci", weights, v).reshape(2, 8, 3, 4)
    torch.testing.assert_close(block(x), x + block.out(y))


@pytest.mark.parametrize("tap, expected", [((0, 0), [[0, 2], [8, 10]]), ((2, 2), [[10, 0], [0, 0]])])
def test_downsample_pads_right_and_below_only(tap, expected):
    layer = Downsample(1)
    nn.init.zeros_(layer.conv.weight)
    nn.init.zeros_(layer.conv.bias)
    layer.conv.weight.data[0, 0, tap[0], tap[1]] = 1.0
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    assert layer(x)[0, 0].tolist() == expected


def test_upsample_doubles_the_nearest_pixel():
    layer = Upsample(1)
    nn.init.zeros_(layer.conv.weight)
    nn.init.zeros_(layer.conv.bias)
    layer.conv.weight.data[0, 0, 1, 1] = 1.0
    assert layer(torch.tensor([[[[1.0, 2.0]]]]))[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


def literal_layer(layer: TransformerLayer, tokens: torch.Tensor) -> torch.Tensor:
    """Return a pre-norm transformer layer's output, head by head."""
    dim = tokens.shape[2]
    normed = layer.norm1(tokens)
    key, value = layer.key_value(normed).split(dim, dim=2)
    heads = []
    for q, k, v in zip(
        *(x.split(dim // layer.heads, dim=2) for x in (layer.query(normed), key, value)), strict=True
    ):
        weights = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(dim // layer.heads), dim=2)
        heads.append(weights @ v)
    tokens = tokens + layer.out(torch.cat(heads, dim=2))
    hidden = layer.feedforward[0](layer.norm2(tokens))
    gelu = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    return tokens + layer.feedforward[2](gelu)


def test_transformer_layer_follows_the_formula():
    layer = TransformerLayer(dim=12, heads=3, feedforward=20, query_key_gain=3.0)
    tokens = torch.randn(2, 7, 12)
    torch.testing.assert_close(layer(tokens), literal_layer(layer, tokens))


def test_transformer_is_its_layers_and_a_norm():
    transformer = Transformer(layers=3, dim=12, heads=3, feedforward=20, query_key_gain=1.0)
    tokens = torch.randn(2, 7, 12)
    expected = tokens
    for layer in transformer.layers:
        expected = literal_layer(layer, expected)
    torch.testing.assert_close(transformer(tokens, slice(None)), transformer.norm(expected))


@pytest.mark.parametrize("keep", [slice(-3, None), slice(4, None), slice(0, 2)])
def test_kept_outputs_are_those_of_the_whole(keep):
    transformer = Transformer(layers=2, dim=12, heads=3, feedforward=20, query_key_gain=3.0)
    tokens = torch.randn(2, 7, 12)
    torch.testing.assert_close(transformer(tokens, keep), transformer(tokens, slice(None))[:, keep])


def test_transformer_commutes_with_permutations():
    transformer = Transformer(layers=2, dim=12, heads=3, feedforward=20, query_key_gain=3.0)
    tokens, order = torch.randn(2, 7, 12), torch.randperm(7)
    whole = slice(None)
    torch.testing.assert_close(transformer(tokens[:, order], whole), transformer(tokens, whole)[:, order])


def test_gain_scales_the_initial_queries_and_keys_alone():
    layers = []
    for gain in (1.0, 3.0):
        torch.manual_seed(1)
        layers.append(TransformerLayer(dim=12, heads=3, feedforward=20, query_key_gain=gain))
    plain, enlarged = layers
    torch.testing.assert_close(enlarged.query.weight, 3 * plain.query.weight)
    torch.testing.assert_close(enlarged.key_value.weight[:12], 3 * plain.key_value.weight[:12])
    assert torch.equal(enlarged.key_value.weight[12:], plain.key_value.weight[12:])
    assert torch.equal(enlarged.out.weight, plain.out.weight)
