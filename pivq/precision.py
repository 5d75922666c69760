"""How a training step computes: its number format, with the loss scaling that float16 needs, and compiled blocks.

| precision | convolutions and matrix products of model and discriminator | chosen by `auto` |
|---|---|---|
| `fp32` | float32; on GPUs that have it, TF32 | on a CPU, and on GPUs without tensor cores |
| `bf16` | bfloat16 | on GPUs of compute capability 8.0 (A100, L4) and newer |
| `fp16` | float16, losses scaled so that small gradients do not vanish | on older ones (T4, V100) |

Weights, optimizers, the perceptual network, distances, matching, losses and the adaptive weight are float32 or better
in all of them.
"""

import os
import warnings
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from pivq.config import suggestion
from pivq.layers import AttentionBlock, ResidualBlock, TransformerLayer
from pivq.profiles import PRECISIONS

VARIABLE = "ACCELERATE_MIXED_PRECISION"  # set by `accelerate launch --mixed_precision` for its processes, and by us
COMPILE = "PIVQ_COMPILE"  # set by `pivq train --compile` and `run_all.sh --compile`
BFLOAT16, TENSOR_CORES = (8, 0), (7, 0)  # the first compute capabilities that have them
SHAPES = 64  # of inputs that one kind of block is compiled for; the largest profile has about twenty
LEAST_SCALE = 1.0  # of losses, below which gradients overflow by themselves and not by their scale


def use_precision(name: str) -> None:
    """Choose the precision, one of `PRECISIONS`, for all trainings of this process and of those that it starts.

    Raises:
        ValueError: for an unknown name.
    """
    _check(name)
    os.environ.pop(VARIABLE, None)
    if name != "auto":
        os.environ[VARIABLE] = "no" if name == "fp32" else name


def _check(name: str) -> None:
    if name not in PRECISIONS:
        raise ValueError(f"unknown precision {name!r}{suggestion(name, PRECISIONS)}")


def suiting(capability: tuple[int, int]) -> str:
    """Return the precision that suits a GPU of a compute capability."""
    return "bf16" if capability >= BFLOAT16 else "fp16" if capability >= TENSOR_CORES else "fp32"


def pick_precision(device: torch.device) -> str:
    """Return the precision of trainings on a device, "fp32", "bf16" or "fp16": what was chosen, or what suits it.

    Raises:
        ValueError: the device does not have what was chosen, or the name is unknown.
    """
    name = os.environ.get(VARIABLE, "auto")
    name = "fp32" if name == "no" else name
    _check(name)
    if device.type != "cuda":
        if name == "fp16":
            raise ValueError("fp16 needs a GPU: on a CPU, use --precision fp32 or bf16")
        return "fp32" if name == "auto" else name
    capability = torch.cuda.get_device_capability(device)
    if name == "auto":
        return suiting(capability)
    if name == "bf16" and capability < BFLOAT16:
        card = torch.cuda.get_device_name(device)
        raise ValueError(f"{card} has no bfloat16: use --precision fp16 or fp32, or leave it to auto")
    return name


class Precision:
    """The number format of the steps on a device; float32 on a CPU is left exactly as it is.

    In float16, losses are multiplied by a large factor before they are differentiated and gradients divided by it. The
    factor is halved when a gradient overflows, and doubled after 2,000 steps without (`torch.amp.GradScaler`).

    Args:
        device: where the networks live.
        name: "fp32", "bf16" or "fp16"; None picks (`pick_precision`).

    Attributes:
        name: the precision.
        scaler: holds the factor; disabled but for fp16.
    """

    def __init__(self, device: torch.device, name: str | None = None):
        self.device, self.name = device, name or pick_precision(device)
        self._dtype = torch.float16 if self.name == "fp16" else torch.bfloat16
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.name == "fp16")
        self.tf32 = device.type == "cuda" and torch.cuda.get_device_capability(device) >= BFLOAT16
        if self.tf32:
            torch.set_float32_matmul_precision("high")
            torch.backends.cudnn.allow_tf32 = True

    def __str__(self) -> str:
        """Say it."""
        note = {"fp16": " with loss scaling", "fp32": " with products in TF32" if self.tf32 else ""}
        return self.name + note.get(self.name, "")

    def autocast(self) -> torch.autocast:
        """Return the context in which networks compute in this precision."""
        return torch.autocast(self.device.type, self._dtype, enabled=self.name != "fp32")

    def scale(self, value: Tensor) -> Tensor:
        """Return a loss, or a float32 gradient, times the factor."""
        return self.scaler.scale(value)

    def unscale(self, gradient: Tensor) -> Tensor:
        """Return a gradient of something scaled, in float32 and without the factor."""
        if not self.scaler.is_enabled():
            return gradient
        return gradient.float() / self.scaler.scale(torch.ones((), device=gradient.device))

    def unscale_all(self, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        """Divide the gradients of all weights by the factor, in place."""
        for optimizer in optimizers:
            self.scaler.unscale_(optimizer)

    def update(self) -> bool:
        """Adapt the factor after a step's gradients; return whether a gradient overflowed because of the factor."""
        if not self.scaler.is_enabled():
            return False
        before = self.scaler.get_scale()
        self.scaler.update()
        return self.scaler.get_scale() < before and before > LEAST_SCALE


def channels_last(network: nn.Module, device: torch.device) -> nn.Module:
    """Lay out a network's convolutions as GPUs compute them fastest, channels last; on a CPU leave it as it is."""
    return network.to(memory_format=torch.channels_last) if device.type == "cuda" else network


def compile_if_asked(network: nn.Module, example: Tensor, precision: Precision) -> None:
    """Compile the blocks of a network for batches like an example, if `COMPILE` is set and they are on a GPU."""
    if os.environ.get(COMPILE, "").lower() in ("", "0", "false", "no", "off"):
        return
    if precision.device.type != "cuda":
        warnings.warn("blocks are compiled for GPUs only: --compile changes nothing on a CPU", stacklevel=2)
        return
    with precision.autocast():
        compile_blocks(network, example)


def compile_blocks(network: nn.Module, example: Tensor, backend: str = "inductor") -> bool:
    """Compile the residual, attention and transformer blocks of a network, each kind once per size; say if it failed.

    Compiling blocks takes a fraction of the time that compiling the whole network takes, for nearly the same speed.
    Names and values of weights stay as they are.

    Args:
        network: on its device, in the precision of the context around.
        example: images like those to come; one forward and backward pass compiles everything now.
        backend: of `torch.compile`.

    Returns:
        Whether the blocks are compiled now. If not, they are as before.

    Warns:
        UserWarning: they cannot be compiled here; says why.
    """
    blocks = [part for part in network.modules() if isinstance(part, ResidualBlock | AttentionBlock | TransformerLayer)]
    try:
        with torch._dynamo.config.patch(recompile_limit=SHAPES):
            for block in blocks:
                block.compile(backend=backend, dynamic=False)
            network(example, quantize=False).images.float().sum().backward()
    except Exception as error:  # whatever the compiler, or the one that it calls, raises
        for block in blocks:
            block._compiled_call_impl = None
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        said = f"the blocks cannot be compiled ({reason:.200}): training continues with uncompiled blocks"
        warnings.warn(said, stacklevel=2)
    finally:
        network.zero_grad(set_to_none=True)
    return all(block._compiled_call_impl is not None for block in blocks)
