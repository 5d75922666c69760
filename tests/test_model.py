"""The autoencoder: shapes, permutation invariance, refusals, its digest."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch

from pivq.config import ModelConfig, load_config
from pivq.layers import AttentionBlock, Downsample, ResidualBlock, Upsample
from pivq.model import PIVQ, model_digest

BOTH = pytest.mark.parametrize("quantizer", ["matching", "nearest"])


@pytest.fixture
def make_model(tiny_config):
    """Return a maker of small untrained models."""

    def make(quantizer="matching", **sizes) -> PIVQ:
        torch.manual_seed(0)
        sizes = {"patch_size": 2, "channel_multipliers": (1, 2)} | sizes
        return PIVQ(tiny_config(**{f"model__{name}": size for name, size in sizes.items()}).model, quantizer)

    return make


@BOTH
def test_shapes_types_and_ranges(make_model, quantizer):
    model = make_model(quantizer)
    images = torch.rand(3, 3, 16, 16)
    codes = model.encode(images)
    assert codes.shape == (3, 4) and codes.dtype == torch.int64
    assert 0 <= int(codes.min()) <= int(codes.max()) < 12
    decoded = model.decode(codes)
    assert decoded.shape == images.shape and decoded.dtype == torch.float32
    assert 0 <= float(decoded.min()) <= float(decoded.max()) <= 1
    assert not decoded.requires_grad
    assert model.encoder(images).shape == (3, 4, 16)


@BOTH
def test_forward_is_encode_quantize_decode(make_model, quantizer):
    model = make_model(quantizer)
    images = torch.rand(3, 3, 16, 16)
    output = model(images)
    assert torch.equal(output.latents, model.encoder(images))
    assert torch.equal(output.quantization.codes, model.encode(images))
    torch.testing.assert_close(output.images.clamp(0, 1), model.decode(output.quantization.codes), rtol=0, atol=1e-5)


def test_without_quantizing_the_decoder_sees_the_latents(make_model):
    model = make_model()
    images = torch.rand(3, 3, 16, 16)
    output = model(images, quantize=False)
    assert output.quantization is None
    assert torch.equal(output.images, model.decoder(model.encoder(images)))


@BOTH
def test_any_order_of_the_codes_decodes_to_the_same_image(make_model, quantizer):
    model = make_model(quantizer)
    codes = model.encode(torch.rand(1, 3, 16, 16))
    orders = codes[0, torch.tensor(list(itertools.permutations(range(4))))]
    images = model.decode(orders)
    assert len(images) == 24
    torch.testing.assert_close(images, images[:1].expand_as(images), rtol=0, atol=1e-5)


def test_invariance_holds_at_the_default_sizes_too(make_model):
    model = make_model(image_size=64, dim=128, feedforward=512, codebook_size=256, num_codes=32, transformer_layers=2)
    codes = torch.stack([torch.randperm(256)[:32] for _ in range(2)])
    torch.testing.assert_close(model.decode(codes), model.decode(codes[:, torch.randperm(32)]), rtol=0, atol=1e-5)


def test_codes_decide_the_image(make_model):
    model = make_model()
    images = model.decode(torch.tensor([[0, 1, 2, 3], [0, 1, 2, 4], [0, 1, 2, 2], [0, 1, 1, 2]]))
    differences = [float((a - b).abs().max()) for a, b in itertools.combinations(images, 2)]
    assert min(differences) > 1e-3, "as sets and, for the nearest quantizer, with how often each occurs"


def test_positions_are_on_the_grid_alone(make_model):
    model = make_model()
    images = torch.rand(2, 3, 16, 16)
    latents = model.encoder(images)
    model.encoder.positions.data[3] += torch.linspace(-1, 1, 16)
    assert not torch.allclose(model.encoder(images), latents, atol=1e-3)
    assert model.encoder.positions.shape == (16, 16)  # 4 × 4 cells, d
    assert model.encoder.tokens.shape == (4, 16)
    assert model.decoder.outputs.shape == (16, 16)
    parameters = dict(model.decoder.named_parameters())
    assert [name for name in parameters if "." not in name] == ["outputs"], "the codes get no embedding of their own"


def test_latents_are_the_outputs_of_the_learned_tokens(make_model):
    model, order = make_model(), torch.tensor([2, 0, 3, 1])
    images = torch.rand(2, 3, 16, 16)
    latents = model.encoder(images)
    model.encoder.tokens.data = model.encoder.tokens.data[order]
    torch.testing.assert_close(model.encoder(images), latents[:, order], rtol=0, atol=1e-5)
    assert float((latents - latents[:, order]).detach().abs().max()) > 0.1


def test_an_image_does_not_depend_on_its_batch(make_model):
    model = make_model()
    images = torch.rand(4, 3, 16, 16)
    torch.testing.assert_close(model.encoder(images)[2:3], model.encoder(images[2:3]), rtol=0, atol=1e-5)
    codes = model.encode(images)
    torch.testing.assert_close(model.decode(codes)[2:3], model.decode(codes[2:3]), rtol=0, atol=1e-5)


@BOTH
def test_every_parameter_is_trained(make_model, quantizer):
    model = make_model(quantizer)
    images = torch.rand(3, 3, 16, 16)
    output = model(images)
    loss = (output.images - images).abs().mean() + sum(output.quantization[2:])
    loss.backward()
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert idle == []


def test_both_quantizers_start_from_the_same_weights(make_model):
    a, b = make_model("matching").state_dict(), make_model("nearest").state_dict()
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_papers_convolutional_path():
    # 256×256: multipliers 1, 1, 2, 2, 4, two residual blocks a level, attention at 16×16 after each, a middle block.
    config = ModelConfig(
        image_size=256, patch_size=1, width=128, channel_multipliers=(1, 1, 2, 2, 4), residual_blocks=2,
        attention_sizes=(16,), dim=256, feedforward=1024, transformer_layers=4, heads=8, query_key_gain=1.0,
        codebook_size=4096, num_codes=512,
    )  # fmt: skip
    with torch.device("meta"):
        model = PIVQ(config)
    for path, change in ((model.encoder.down, Downsample), (model.decoder.up, Upsample)):
        blocks = Counter(type(block) for block in path)
        assert (blocks[ResidualBlock], blocks[AttentionBlock], blocks[change]) == (5 * 2 + 2, 2 + 1, 4)
    assert config.grid_size == 16
    assert model.encoder.positions.shape == model.decoder.outputs.shape == (256, 256)
    assert len(model.encoder.transformer.layers) == len(model.decoder.transformer.layers) == 4
    assert model.encoder.down[0].weight.shape == (128, 3, 3, 3)
    assert model.decoder.conv_out.weight.shape == (3, 128, 3, 3)


@pytest.mark.parametrize(
    "sizes",
    [
        {"patch_size": 1, "channel_multipliers": (1, 1, 2)},
        {"patch_size": 4, "channel_multipliers": (2,), "attention_sizes": (4,), "residual_blocks": 2},
        {"num_codes": 1, "codebook_size": 8, "transformer_layers": 2},
        {"num_codes": 12},
    ],
)
def test_other_sizes(make_model, sizes):
    model = make_model(**sizes)
    images = torch.rand(2, 3, 16, 16)
    assert model.decode(model.encode(images)).shape == images.shape


def test_refused_when_built(make_model):
    with pytest.raises(ValueError, match="num_codes 3 > codebook_size 2"):
        make_model("matching", num_codes=3, codebook_size=2)
    assert make_model("nearest", num_codes=3, codebook_size=2).encode(torch.rand(1, 3, 16, 16)).shape == (1, 3)
    with pytest.raises(ValueError, match="unknown quantizer 'greedy': choose from matching, nearest"):
        make_model("greedy")
    with pytest.raises(ValueError, match=r"unknown quantizer \['nearest'\]: choose from"):
        make_model(["nearest"])
    for config in (None, load_config("smoke"), {"dim": 8}):
        with pytest.raises(TypeError, match="^config must be a ModelConfig, such as .*, got "):
            PIVQ(config)


@pytest.mark.parametrize("path", [None, 3, b"", b"x", [], "", " ", "a\0b"])
def test_paths_that_are_none_are_refused_by_name_before_anything_is_read(make_model, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for function in (PIVQ.from_pretrained, make_model().save_pretrained):
        with pytest.raises((TypeError, ValueError), match="^path must "):
            function(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "images", [torch.rand(1, 3, 8, 8), torch.rand(3, 16, 16), torch.rand(1, 1, 16, 16), torch.ones(1, 3, 16, 16).byte()]
)
def test_encode_refuses_what_are_no_images(make_model, images):
    with pytest.raises(ValueError, match=r"images must be floats \(B, 3, 16, 16\)"):
        make_model().encode(images)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1.002, -0.002])
def test_encode_names_an_image_with_a_value_outside(make_model, value):
    images = torch.rand(3, 3, 16, 16)
    images[1, 0, 0, 0] = value
    with pytest.raises(ValueError, match=r"images must lie in \[0, 1\], got values from .* in image 1 of the batch"):
        make_model().encode(images)


@pytest.mark.parametrize(
    "images, message",
    [
        (torch.full((1, 3, 16, 16), 255.0), r"from 255 to 255 in image 0 of the batch; divide by 255\?"),
        (torch.linspace(-1, 1, 768).view(1, 3, 16, 16), r"from -1 to 1 in .*; map \[-1, 1\] to \[0, 1\]\?"),
    ],
)
def test_encode_says_what_the_range_looks_like(make_model, images, message):
    with pytest.raises(ValueError, match=message):
        make_model().encode(images)


def test_encode_takes_values_a_little_outside(make_model):
    images = torch.rand(2, 3, 16, 16).clamp(0.01, 0.99)
    images[0, 0, 0, 0], images[1, 0, 0, 0] = 1.0009, -0.0009
    assert make_model().encode(images).shape == (2, 4)


@BOTH
def test_encode_names_an_image_whose_latents_are_not_finite(make_model, quantizer):
    model = make_model(quantizer)
    model.encoder.tokens.data[0] = float("nan")
    with pytest.raises(ValueError, match="latents of image 0 of the batch are not finite"):
        model.encode(torch.rand(3, 3, 16, 16))


def test_latents_are_the_encoders_output_without_gradients(make_model):
    model, images = make_model(), torch.rand(3, 3, 16, 16)
    latents = model.encode_latents(images)
    assert torch.equal(latents, model.encoder(images)) and latents.shape == (3, 4, 16)
    assert not latents.requires_grad and model.encoder(images).requires_grad
    with pytest.raises(ValueError, match=r"images must be floats \(B, 3, 16, 16\)"):
        model.encode_latents(images[0])


def test_decode_latents_takes_continuous_and_quantized_vectors(make_model):
    model, images = make_model(), torch.rand(2, 3, 16, 16)
    latents, codes = model.encode_latents(images), model.encode(images)
    decoded = model.decode_latents(latents)
    assert torch.equal(decoded, model(images, quantize=False).images.clamp(0, 1))
    assert not decoded.requires_grad
    assert torch.equal(model.decode_latents(model.quantizer.codebook[codes]), model.decode(codes))
    model.decoder.conv_out.bias.data += 10  # brighter than white
    assert float(model.decode_latents(latents).max()) == 1


@pytest.mark.parametrize(
    "latents, message",
    [
        (torch.rand(1, 4, 8), r"latents must be floats \(B, L, 16\), got torch.float32 \(1, 4, 8\)"),
        (torch.rand(4, 16), r"latents must be floats"),
        (torch.ones(1, 4, 16).long(), r"latents must be floats \(B, L, 16\), got torch.int64"),
        (torch.stack([torch.zeros(4, 16), torch.full((4, 16), float("inf"))]), "latents of image 1 .* not finite"),
    ],
)
def test_decode_latents_refuses_what_are_no_latents(make_model, latents, message):
    with pytest.raises(ValueError, match=message):
        make_model().decode_latents(latents)


@pytest.mark.parametrize(
    "codes, message",
    [
        (torch.tensor([[0, 1, 2, 12]]), "0 … 11, got 0 … 12"),
        (torch.tensor([[-1, 1, 2, 3]]), "0 … 11, got -1 … 3"),
        (torch.tensor([[0.0, 1.0]]), "whole numbers"),
        (torch.tensor([[True, False]]), "whole numbers"),
        (torch.tensor([0, 1, 2, 3]), r"whole numbers \(B, L\)"),
    ],
)
def test_decode_refuses_what_are_no_codes(make_model, codes, message):
    with pytest.raises(ValueError, match=message):
        make_model().decode(codes)


def test_decode_takes_small_integer_types(make_model):
    model, codes = make_model(), torch.tensor([[0, 5, 11, 2]])
    assert torch.equal(model.decode(codes.to(torch.uint8)), model.decode(codes))
    assert torch.equal(model.decode(codes.to(torch.int16)), model.decode(codes))


def test_a_digest_changes_with_any_weight(tiny_config):
    torch.manual_seed(0)
    model = PIVQ(tiny_config().model)
    before = model_digest(model)
    assert before == model_digest(model) and len(before) == 16
    for parameter in (model.quantizer.codebook, model.encoder.tokens):
        parameter.data[0, 0] += 1e-4
        assert model_digest(model) != before
        before = model_digest(model)


def test_floats_of_any_precision_are_encoded_and_none_give_none(make_model):
    model, images = make_model(), torch.rand(2, 3, 16, 16)
    codes = model.encode(images)
    assert torch.equal(model.encode(images.double()), codes)
    for kind in (torch.bfloat16, torch.float16):
        assert torch.equal(model.encode(images.to(kind)), model.encode(images.to(kind).float()))
    assert model.encode(images[:0]).shape == (0, 4) and model.encode_latents(images[:0]).shape == (0, 4, 16)
    assert model.decode(codes[:0]).shape == (0, 3, 16, 16)
    latents = model.encode_latents(images)
    assert torch.equal(model.decode_latents(latents.double()), model.decode_latents(latents))


def test_codes_of_any_integer_type_are_decoded(make_model):
    model, codes = make_model(), torch.tensor([[0, 5, 11, 2]])
    for kind in (torch.int32, torch.uint16, torch.uint32, torch.uint64):
        assert torch.equal(model.decode(codes.to(kind)), model.decode(codes))


@pytest.mark.parametrize("method", ["encode", "encode_latents", "decode", "decode_latents"])
@pytest.mark.parametrize("value", [np.zeros((1, 4)), [[1, 2, 3, 4]], None, "images", 3])
def test_anything_but_a_tensor_is_refused_by_name(make_model, method, value):
    name = {"encode": "images", "encode_latents": "images", "decode": "codes", "decode_latents": "latents"}[method]
    with pytest.raises(TypeError, match=f"{name} must be a tensor.*, got {type(value).__name__}"):
        getattr(make_model(), method)(value)


def test_another_number_of_codes_is_refused(make_model):
    for number in (0, 1, 3, 5, 12):
        with pytest.raises(ValueError, match="codes must be .*L"):
            make_model().decode(torch.zeros(2, number, dtype=torch.int64))
        with pytest.raises(ValueError, match="latents must be floats .*L is 4"):
            make_model().decode_latents(torch.zeros(2, number, 16))


def test_images_that_are_not_finite_are_never_returned(make_model):
    model = make_model()
    model.decoder.conv_out.bias.data[0] = float("nan")
    with pytest.raises(ValueError, match="decoded images are not finite"):
        model.decode(torch.tensor([[0, 5, 11, 2]]))
    model.encoder.tokens.data[1, 2] = float("inf")
    with pytest.raises(ValueError, match="latents of image 0 .* not finite"):
        model.encode(torch.rand(1, 3, 16, 16))
