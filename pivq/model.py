"""PI-VQ: the permutation-invariant autoencoder of Section 3.2."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pivq.config import ModelConfig
from pivq.layers import AttentionBlock, Downsample, ResidualBlock, Transformer, Upsample, group_norm
from pivq.quantizers import QUANTIZERS, Quantized, as_codes
from pivq.settings import check_dense, check_device, check_path, refusal
from pivq.storage import hub
from pivq.storage.checkpoint import SETTINGS, WEIGHTS, Stored, load_stored, save_export

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)  # of stored weights
TOLERANCE = 1e-3  # how far images may leave [0, 1], as resizing in floating point does


class Encoder(nn.Module):
    """Images to latents, Section 3.2 step 1: down path, grid tokens + positions, L learned tokens, transformer.

    The paper's tokens are learned. Ours may be drawn instead, anew for every image in training: then no latent has a
    name, and the latents are a set before they are quantized (`ModelConfig.tokens`).
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.patch_size = config.patch_size
        widths = [config.width * m for m in config.channel_multipliers]
        size, channels = config.image_size // config.patch_size, widths[0]
        path: list[nn.Module] = [nn.Conv2d(3 * config.patch_size**2, channels, 3, padding=1)]
        for level, width in enumerate(widths):
            for _ in range(config.residual_blocks):
                path.append(ResidualBlock(channels, width))
                channels = width
                if size in config.attention_sizes:
                    path.append(AttentionBlock(channels))
            if level < len(widths) - 1:
                path.append(Downsample(channels))
                size //= 2
        path += [ResidualBlock(channels, channels), AttentionBlock(channels), ResidualBlock(channels, channels)]
        path += [group_norm(channels), nn.Conv2d(channels, config.dim, 3, padding=1)]
        self.down = nn.Sequential(*path)
        self.kind, self.spread = config.tokens, config.token_spread
        self.positions = nn.Parameter(self.spread * torch.randn(size * size, config.dim))
        tokens = self.spread * torch.randn(config.num_codes, config.dim)
        if self.kind == "drawn":  # not learned; these are the draw that inference uses for every image
            self.register_buffer("tokens", tokens)
        else:
            self.tokens = nn.Parameter(tokens)
        self.transformer = Transformer(
            config.transformer_layers, config.dim, config.heads, config.feedforward, config.query_key_gain
        )

    def draw_tokens(self, images: int, generator: torch.Generator | None = None) -> Tensor:
        """Return the tokens `(B, L, d)` of a batch in training: the learned ones, drawn ones, or the sum of both.

        Args:
            images: B.
            generator: on the CPU; of the drawn tokens, N(0, `token_spread`²), which are other ones for every image.
        """
        learned = self.tokens.expand(images, -1, -1)
        if self.kind == "learned":
            return learned
        drawn = self.spread * torch.randn(learned.shape, generator=generator).to(learned.device)
        return drawn if self.kind == "drawn" else learned + drawn

    def forward(self, images: Tensor, tokens: Tensor | None = None) -> Tensor:
        """Return latents `(B, L, d)` of images `(B, 3, H, W)` in [0, 1], with the encoder's own tokens or others."""
        patches = F.pixel_unshuffle(2 * images - 1, self.patch_size)  # (B, 3 p², H / p, W / p) in [-1, 1]
        grid = self.down(patches)  # (B, d, h, w)
        cells = grid.flatten(2).transpose(1, 2) + self.positions  # (B, h w, d)
        tokens = self.tokens.expand(len(images), -1, -1) if tokens is None else tokens  # (B, L, d)
        sequence = torch.cat([cells, tokens], dim=1)  # (B, h w + L, d)
        return self.transformer(sequence, keep=slice(-self.tokens.shape[0], None))  # (B, L, d)


class Decoder(nn.Module):
    """Quantized latents to images, Section 3.2 step 3: no positions on the codes, learned output embeddings."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.patch_size, self.grid_size = config.patch_size, config.grid_size
        widths = [config.width * m for m in config.channel_multipliers]
        self.outputs = nn.Parameter(torch.randn(config.grid_size**2, config.dim))
        self.transformer = Transformer(
            config.transformer_layers, config.dim, config.heads, config.feedforward, config.query_key_gain
        )
        size, channels = config.grid_size, widths[-1]
        path: list[nn.Module] = [nn.Conv2d(config.dim, channels, 3, padding=1)]
        path += [ResidualBlock(channels, channels), AttentionBlock(channels), ResidualBlock(channels, channels)]
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(config.residual_blocks):
                path.append(ResidualBlock(channels, width))
                channels = width
                if size in config.attention_sizes:
                    path.append(AttentionBlock(channels))
            if level > 0:
                path.append(Upsample(channels))
                size *= 2
        self.up = nn.Sequential(*path, group_norm(channels))
        self.conv_out = nn.Conv2d(channels, 3 * config.patch_size**2, 3, padding=1)

    def forward(self, quantized: Tensor) -> Tensor:
        """Return images `(B, 3, H, W)`, about [0, 1] but not clamped, of quantized latents `(B, L, d)` in any order."""
        outputs = self.outputs.expand(len(quantized), -1, -1)  # (B, h w, d)
        sequence = torch.cat([quantized, outputs], dim=1)  # (B, L + h w, d)
        cells = self.transformer(sequence, keep=slice(quantized.shape[1], None))  # (B, h w, d)
        grid = cells.transpose(1, 2).unflatten(2, (self.grid_size, self.grid_size))  # (B, d, h, w)
        patches = self.conv_out(self.up(grid))  # (B, 3 p², H / p, W / p)
        return (F.pixel_shuffle(patches, self.patch_size) + 1) / 2  # (B, 3, H, W)


class Reconstruction(NamedTuple):
    """One pass through PI-VQ.

    Attributes:
        images: x̂ `(B, 3, H, W)`, about [0, 1] but not clamped.
        latents: z_e `(B, L, d)`.
        quantization: what the quantizer made of the latents, or None before T_q.
    """

    images: Tensor
    latents: Tensor
    quantization: Quantized | None


class PIVQ(nn.Module):
    """The permutation-invariant vector-quantized autoencoder.

    Args:
        config: sizes; see `pivq.config.ModelConfig`.
        quantizer: "matching", Eq. (3), or "nearest", Eq. (1).

    Attributes:
        facts: of a loaded model, what is known of its run (see `pivq.storage.checkpoint.Stored`); else empty.

    Raises:
        TypeError: for sizes that are no `ModelConfig`.
        ValueError: for an unknown quantizer, or `num_codes > codebook_size` with matching.

    Example:
        >>> from pivq.config import load_config
        >>> model = PIVQ(load_config("smoke").model).eval()
        >>> codes = model.encode(torch.rand(2, 3, 64, 64))
        >>> torch.allclose(model.decode(codes), model.decode(codes.flip(1)), atol=1e-5)
        True
    """

    def __init__(self, config: ModelConfig, quantizer: str = "matching"):
        super().__init__()
        if not isinstance(config, ModelConfig):
            raise refusal("config", "a ModelConfig, such as load_config(…).model", config)
        if quantizer not in list(QUANTIZERS):
            raise ValueError(f"unknown quantizer {quantizer!r:.80}: choose from {', '.join(QUANTIZERS)}")
        self.config, self.quantizer_name = config, quantizer
        self.facts: dict[str, Any] = {}
        self.encoder = Encoder(config)
        self.quantizer = QUANTIZERS[quantizer](config.codebook_size, config.dim, config.num_codes)
        self.decoder = Decoder(config)

    @classmethod
    def from_pretrained(cls, path: str | os.PathLike, device: str | torch.device = "cpu") -> "PIVQ":
        """Return a trained model, the EMA weights, in evaluation mode and without gradients.

        Args:
            path: a run's folder, a checkpoint file, a folder that `save_pretrained` made, or a Hub id
                `owner/name`. There is no network access unless it is a Hub id and no file or folder here.
            device: where to put the model.

        Raises:
            TypeError, ValueError: a path that is neither text nor a path, or empty.
            FileNotFoundError, ValueError: see `pivq.storage.checkpoint.load_stored`.
            ConnectionError: for a Hub id, see `pivq.storage.hub.find`.
            ValueError: the sizes are impossible, the weights do not fit them, or are not finite; names the first.
            TypeError, ValueError: no such device.
        """
        check_path("path", path)
        device = check_device(device)
        stored = load_stored(hub.find(path))
        outline = _outline(stored)
        _check_fit(stored, outline.state_dict())
        check_finite(stored.weights, str(stored.source))
        model = cls(outline.config, stored.quantizer)
        model.load_state_dict(stored.weights)
        model.facts = dict(stored.facts)
        return model.to(device).eval().requires_grad_(False)

    def save_pretrained(self, path: str | os.PathLike) -> None:
        """Write the model as a folder to share: weights (safetensors), sizes and run (JSON), model card.

        Of a model in training this saves its own weights: those of a run are `from_pretrained(run.folder)`.

        Raises:
            TypeError, ValueError: a path that is neither text nor a path, or empty.
            FileExistsError: `path` is a file, or a folder with something else in it.
        """
        check_path("path", path)
        facts = self.facts | {"parameters": sum(parameter.numel() for parameter in self.parameters())}
        weights = {name: value.detach() for name, value in self.state_dict().items()}
        save_export(Path(path), Stored(Path(path), asdict(self.config), self.quantizer_name, weights, facts))

    def forward(self, images: Tensor, quantize: bool = True, tokens: Tensor | None = None) -> Reconstruction:
        """Encode, quantize and decode images `(B, 3, H, W)` in [0, 1]: steps 1, 2 and 3 of Section 3.2.

        With `quantize=False` the decoder sees the latents themselves, as before T_q (Section 3.7). `tokens` `(B, L, d)`
        take the place of the encoder's own.
        """
        latents = self.encoder(images, tokens)  # (B, L, d)
        quantization = self.quantizer(latents) if quantize else None
        decoded = self.decoder(quantization.quantized if quantize else latents)  # (B, 3, H, W)
        return Reconstruction(decoded, latents, quantization)

    @torch.no_grad()
    def encode_latents(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the encoder's output z_e `(B, L, d)`, not quantized, of images `(B, 3, H, W)`, floats in [0, 1].

        With a `generator` (on the CPU), tokens that are not learned are drawn anew for every image, as in training;
        without one, all images get the same tokens, so that equal images have equal latents.

        Raises:
            TypeError: for anything but a tensor.
            ValueError: for another shape or type, or values outside [0, 1], NaN among them.
        """
        size = self.config.image_size
        if not isinstance(images, Tensor):
            raise TypeError(f"images must be a tensor of floats (B, 3, {size}, {size}), got {type(images).__name__}")
        check_dense("images", images)
        if images.ndim != 4 or images.shape[1:] != (3, size, size) or not images.is_floating_point():
            raise ValueError(f"images must be floats (B, 3, {size}, {size}), got {images.dtype} {tuple(images.shape)}")
        inside = ((images >= -TOLERANCE) & (images <= 1 + TOLERANCE)).flatten(1).all(dim=1)  # false for NaN
        if not inside.all():
            image = int(inside.int().argmin())
            low, high = (bound.item() for bound in images[image].aminmax())
            hint = "; divide by 255?" if high > 2 else "; map [-1, 1] to [0, 1]?" if low >= -1 - TOLERANCE else ""
            raise ValueError(
                f"images must lie in [0, 1], got values from {low:g} to {high:g} in image {image} of the batch{hint}"
            )
        if not len(images):
            return self.encoder.tokens.new_zeros(0, *self.encoder.tokens.shape)
        tokens = self.encoder.draw_tokens(len(images), generator) if generator else None
        return self.encoder(images.to(self.encoder.positions.dtype), tokens)

    def encode(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return the codes `(B, L)` int64, in latent order, of images `(B, 3, H, W)` in [0, 1].

        For `generator` see `encode_latents`.

        Raises:
            TypeError, ValueError: see `encode_latents`; also latents that are not finite.
        """
        return self.quantizer.codes(self.encode_latents(images, generator))

    @torch.no_grad()
    def decode_latents(self, latents: Tensor) -> Tensor:
        """Return images `(B, 3, H, W)` in [0, 1] of latents `(B, L, d)`, quantized or not, in any order.

        Raises:
            TypeError: for anything but a tensor.
            ValueError: for another shape or type, or latents or images that are not finite.
        """
        expected = (self.config.num_codes, self.config.dim)
        if not isinstance(latents, Tensor):
            raise TypeError(f"latents must be a tensor of floats (B, L, d), got {type(latents).__name__}")
        check_dense("latents", latents)
        if latents.ndim != 3 or latents.shape[1:] != expected or not latents.is_floating_point():
            found = f"{latents.dtype} {tuple(latents.shape)}"
            raise ValueError(f"latents must be floats (B, L, {expected[1]}), got {found}; L is {expected[0]}")
        finite = latents.isfinite().flatten(1).all(dim=1)
        if not finite.all():
            raise ValueError(f"latents of image {int(finite.int().argmin())} of the batch are not finite")
        images = self.decoder(latents.to(self.decoder.outputs.dtype)).clamp(0, 1)
        if not images.isfinite().all():
            raise ValueError("the decoded images are not finite: the latents are too large, or the model is damaged")
        return images

    def decode(self, codes: Tensor) -> Tensor:
        """Return images `(B, 3, H, W)` in [0, 1] of codes `(B, L)`, any integers, on any device, in any order.

        Raises:
            TypeError: for anything but a tensor.
            ValueError: for another shape or type, or codes outside 0 … K − 1.
        """
        if not isinstance(codes, Tensor):
            raise TypeError(f"codes must be a tensor, got {type(codes).__name__}: use torch.as_tensor(codes)")
        codes, codebook = as_codes(codes, self.config.codebook_size), self.quantizer.codebook
        if codes.shape[1] != self.config.num_codes:
            raise ValueError(f"codes must be (B, L), got {tuple(codes.shape)}; L is {self.config.num_codes}")
        return self.decode_latents(F.embedding(codes.to(codebook.device), codebook))


def _outline(stored: Stored) -> PIVQ:
    """Return a model of the stored sizes that takes no memory; an error names the file that holds them."""
    source = stored.source.with_name(SETTINGS) if stored.source.name == WEIGHTS else stored.source
    if stored.quantizer not in list(QUANTIZERS):
        raise ValueError(f"{source}: unknown quantizer {stored.quantizer!r:.80}: choose from {', '.join(QUANTIZERS)}")
    sizes = {name: tuple(value) if isinstance(value, list) else value for name, value in stored.sizes.items()}
    try:
        with torch.device("meta"):
            return PIVQ(ModelConfig(**sizes), stored.quantizer)
    except (TypeError, ValueError) as error:  # Python names what is missing or unknown
        raise ValueError(f"{source}: bad model sizes: {str(error).removeprefix('ModelConfig.')}") from error


def check_finite(tensors: Mapping[str, Any], source: str) -> None:
    """Raise ValueError for tensors that hold NaN or infinite numbers, naming them; other values are passed over."""
    bad = [name for name, value in tensors.items() if isinstance(value, Tensor) and not value.isfinite().all()]
    if bad:
        more = f" and {len(bad) - 3} more" if len(bad) > 3 else ""
        raise ValueError(f"{source} holds numbers that are not finite, in {', '.join(bad[:3])}{more}: it is damaged")


def _check_fit(stored: Stored, expected: dict[str, Tensor]) -> None:
    """Check that the stored tensors are those of a model of the stored sizes, by name and shape."""
    found = stored.weights
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} is unknown" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        value, shape = found[name], tuple(expected[name].shape)
        if not isinstance(value, Tensor) or value.dtype not in FLOATS:
            problems.append(f"{name} is {getattr(value, 'dtype', type(value).__name__)}, expected floats {shape}")
        elif tuple(value.shape) != shape:
            problems.append(f"{name} is {tuple(value.shape)}, expected {shape}")
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ValueError(f"{stored.source} does not fit its model sizes: {'; '.join(problems[:3])}{more}")


def model_digest(model: PIVQ) -> str:
    """Return 16 hex digits that change with the weights of a model."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode())
        digest.update(value.cpu().contiguous().numpy())
    return digest.hexdigest()[:16]
