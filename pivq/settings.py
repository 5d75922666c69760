"""The settings of the three parts of an experiment: model, training, evaluation; how wrong values are refused.

Standard library only.
"""

import difflib
import operator
import os
from dataclasses import dataclass, fields
from typing import Any

from pivq.profiles import RANGES

MOST_WEIGHTS = 2_000_000_000  # of a model: 8 GB; the paper's have about 100 million


def check_ranges(settings: Any, prefix: str) -> None:
    """Raise ValueError for the first field whose value is out of its range, naming it, its range and the value."""
    for field in fields(settings):
        name, value = prefix + field.name, getattr(settings, field.name)
        allowed = RANGES.get(name)
        if allowed is None or allowed.holds(value):
            continue
        if isinstance(value, str) and allowed.names:
            raise ValueError(f"unknown {name} {value!r}{suggestion(value, list(allowed.names))}")
        shown = repr(value)
        raise ValueError(f"{name} must be {allowed}, got {shown if len(shown) < 80 else shown[:77] + '...'}")


def suggestion(name: str, known: list[str]) -> str:
    """Return "; did you mean …?" for a misspelt name, or the list of known ones when none is close."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"


def refusal(name: str, expected: str, value: Any) -> TypeError | ValueError:
    """Return the error for an argument that is not what is expected: TypeError for one that is no array, or no tensor.

    Example:
        >>> refusal("images", "a tensor of floats (N, 3, H, W)", "faces")
        TypeError("images must be a tensor of floats (N, 3, H, W), got str 'faces'")
    """
    array, kind, shown = hasattr(value, "dtype"), type(value), _shown(value)
    if array and ("tensor" not in expected or kind.__module__.startswith("torch")):
        return ValueError(f"{name} must be {expected}, got {shown}")
    return TypeError(f"{name} must be {expected}, got {kind.__name__ + ' ' if array else ''}{shown}")


def check_whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """Return a whole number of any integer type as an int; ValueError names the argument for anything else."""
    try:
        whole = None if "bool" in str(getattr(value, "dtype", type(value))) else operator.index(value)
    except TypeError:
        whole = None
    if whole is None or whole < least or most is not None and whole > most:
        allowed = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} must be a whole number {allowed}, got {_shown(value)}")
    return whole


def check_dense(name: str, value: Any) -> None:
    """Raise ValueError for a tensor that does not hold its numbers one by one: sparse, nested, on the device meta.

    So for an array in which numbers are masked: what lies behind the mask would count.
    """
    layout = str(getattr(value, "layout", "torch.strided")).removeprefix("torch.")
    if getattr(value, "is_meta", False) or getattr(value, "is_nested", False) or layout != "strided":
        kind = "one on the device meta" if value.is_meta else "a nested one" if value.is_nested else f"a {layout} one"
        raise ValueError(f"{name} must be a dense tensor that holds its numbers, got {kind}")
    if hasattr(value, "filled") and value.mask.any():
        raise ValueError(f"{name} must not have masked numbers, got {int(value.mask.sum())}: leave these out")


def check_path(name: str, value: Any) -> str:
    """Return the path of a file or folder as text; TypeError for another type, ValueError for an empty one."""
    if not isinstance(value, str | os.PathLike) or not isinstance(os.fspath(value), str):
        raise TypeError(f"{name} must be text or a path, got {_shown(value)}")
    path = os.fspath(value)
    if not path.strip() or "\0" in path:
        raise ValueError(f"{name} must name a file or folder, got {path!r:.80}")
    return path


def check_device(device: Any) -> Any:
    """Return the device, a `torch.device`, of a name: "cpu", "cuda", "cuda:1", or "auto", a GPU if there is one.

    Raises:
        TypeError: neither text nor a `torch.device`.
        ValueError: another kind of device, or a GPU that is not there; says which ones are.
    """
    import torch  # not needed for settings

    allowed = "auto, cpu or cuda"
    if not isinstance(device, str | torch.device):
        raise refusal("device", f"{allowed} (such as cuda:0)", device)
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"unknown device {str(device)!r:.80}: use {allowed}") from error
    if found.type not in ("cpu", "cuda"):
        raise ValueError(f"unknown device {str(device)!r:.80}: use {allowed}")
    if found.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {str(device)!r} asked for, but torch finds no GPU: use --device cpu")
    if found.type == "cuda" and found.index and found.index >= torch.cuda.device_count():
        known = ", ".join(f"cuda:{index}" for index in range(torch.cuda.device_count()))
        raise ValueError(f"device {str(device)!r} asked for, but torch finds {known} alone")
    return found


def _shown(value: Any) -> str:
    """Return type and shape of an array, the value of a number, and type and value of anything else."""
    if hasattr(value, "dtype") and getattr(value, "shape", ()) != ():
        return f"{value.dtype} {tuple(value.shape)}"
    return f"{value!r:.80}" if isinstance(value, int | float) else f"{type(value).__name__} {value!r:.80}"


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the autoencoder (Section 3.2, Section 4.1)."""

    image_size: int  # pixels per side
    patch_size: int  # pixel-unshuffle factor before the first convolution and after the last; 1 is none
    width: int  # channels of the first convolutional level
    channel_multipliers: tuple[int, ...]  # level widths, multiples of `width`; each level but the last halves the size
    residual_blocks: int  # per level
    attention_sizes: tuple[int, ...]  # feature-map sizes with self-attention after each residual block
    dim: int  # d
    feedforward: int  # hidden width of the transformers
    transformer_layers: int  # in the encoder, and again in the decoder
    heads: int
    query_key_gain: float  # factor on the initial query and key weights
    codebook_size: int  # K
    num_codes: int  # L
    tokens: str = "learned"  # as in the paper; "drawn" anew for every image in training; "noisy": learned plus drawn
    token_spread: float = 1.0  # standard deviation of new tokens and positions, and of drawn tokens

    def __post_init__(self):
        check_ranges(self, "model.")
        if self.dim % self.heads:
            raise ValueError(f"heads must divide dim, got {self.heads} heads for dim {self.dim}")
        shrink = self.patch_size * 2 ** (len(self.channel_multipliers) - 1)
        if self.image_size % shrink or self.image_size < shrink:
            raise ValueError(
                f"image_size must be a multiple of {shrink}, the factor by which patch_size and channel_multipliers "
                f"shrink it, got {self.image_size}"
            )
        sizes = [self.image_size // self.patch_size // 2**level for level in range(len(self.channel_multipliers))]
        if not {*self.attention_sizes} <= {*sizes}:
            raise ValueError(f"attention_sizes must be among the feature-map sizes {sizes}, got {self.attention_sizes}")
        if self.weights > MOST_WEIGHTS:
            raise ValueError(
                f"a model of these sizes has about {self.weights:,} weights, more than {MOST_WEIGHTS:,}: lower width, "
                "channel_multipliers, residual_blocks, dim, feedforward, transformer_layers or codebook_size"
            )

    @property
    def weights(self) -> int:
        """About how many weights a model of these sizes has."""
        channels = sum((self.width * multiplier) ** 2 for multiplier in self.channel_multipliers)
        convolutions = 36 * (self.residual_blocks + 1) * channels  # two of 3 × 3 a block, in encoder and decoder
        transformers = 2 * self.transformer_layers * (4 * self.dim**2 + 2 * self.dim * self.feedforward)
        return convolutions + transformers + self.dim * (self.codebook_size + self.num_codes + 2 * self.grid_size**2)

    @property
    def grid_size(self) -> int:
        """Cells per side of the latent grid."""
        return self.image_size // self.patch_size // 2 ** (len(self.channel_multipliers) - 1)


@dataclass(frozen=True)
class TrainConfig:
    """The optimisation (Sections 3.6 and 3.7); steps are generator updates."""

    train_images: int  # how many, from the start of the set; 0 is all
    heldout_images: int  # likewise
    steps: int
    batch_size: int
    learning_rate: float  # peak
    adam_betas: tuple[float, float]
    weight_decay: float  # on matrices of the autoencoder other than embeddings
    gradient_clip: float  # norm; 0 is none
    warmup_steps: int  # learning rate rises linearly from 0
    decay_from: float  # fraction of `steps` after which the learning rate falls to 0 by a cosine; 1 is never
    ema_decay: float
    ema_every: int  # steps
    reconstruction_weight: float  # L1
    perceptual_network: str
    perceptual_weight: float
    codebook_weight: float
    commitment_weight: float
    quantize_from_step: int  # T_q; 0 quantizes from the first step with a random codebook
    history_steps: int  # W
    codebook_initialisations: int  # at T_q, T_q + W, T_q + 2W, …
    discriminator_from_step: int
    adversarial_from_step: int  # first step whose generator loss has the adversarial term
    adversarial_limit: float  # greatest adaptive weight
    discriminator_width: int
    discriminator_layers: int  # of stride 2
    discriminator_augmentation: bool  # DiffAug on its input
    discriminator_learning_rate: float
    discriminator_betas: tuple[float, float]  # of its Adam
    nonfinite_limit: int  # steps in a row without a finite gradient before the run stops
    muon_learning_rate: float = 0.0  # peak, of Muon on the transformers' matrices; 0: Adam trains these too

    def __post_init__(self):
        check_ranges(self, "train.")
        if 0 < self.train_images < self.batch_size:
            raise ValueError(f"batch_size {self.batch_size} must be at most train_images {self.train_images}")


@dataclass(frozen=True)
class EvaluationConfig:
    """The protocol of validation, Table 3 and Fig. 5."""

    # When to validate and save changes no network, so it stands in this part, which `Config.digest` leaves out.
    validate_every: int  # steps
    checkpoint_every: int  # steps
    samples: int
    features: str
    prdc_k: tuple[int, ...]
    probe_folds: int
    reference: str = "train"  # real images of Table 3: "all", or the training split

    def __post_init__(self):
        check_ranges(self, "evaluation.")
        if len({*self.prdc_k}) < len(self.prdc_k):
            raise ValueError(f"prdc_k must be different numbers of neighbours, got {self.prdc_k}")
        if max(self.prdc_k) >= self.samples:
            raise ValueError(f"prdc_k {max(self.prdc_k)} must be less than samples {self.samples}")
