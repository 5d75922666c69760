"""The lean training step against the plain one that the benchmarks compare it with: the same losses."""

import sys
from pathlib import Path

import pytest
import torch
from stand_ins import Stages, make_images

from pivq.losses import FeatureDistance
from pivq.pretrained.perceptual import load_perceptual
from pivq.trainer import Trainer

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from base_step import BaseStep, plain_perceptual  # noqa: E402


@pytest.mark.parametrize("quantizer, augmentation", [("matching", True), ("nearest", False)])
def test_fifty_steps_give_the_losses_of_the_plain_step(tiny_config, quantizer, augmentation):
    config = tiny_config(
        train__steps=60, train__quantize_from_step=10, train__codebook_initialisations=0,
        train__discriminator_from_step=20, train__adversarial_from_step=30, train__ema_every=3,
        train__discriminator_augmentation=augmentation, train__muon_learning_rate=0.0,
        train__learning_rate=1e-5, train__discriminator_learning_rate=1e-5,  # Adam blows rounding up at larger ones
    )  # fmt: skip
    perceptual = FeatureDistance(Stages()).double()
    lean, plain = Trainer(config, quantizer, make_images(), perceptual), BaseStep(config, quantizer, perceptual)
    for network in (lean.model, lean.ema, lean.discriminator, plain.model, plain.ema, plain.discriminator):
        network.double()
    rows = []
    for trainer in (lean, plain):
        torch.manual_seed(1)
        rows.append([])
        for step in range(50):
            trainer.step = step
            losses = trainer.train_step(lean.batch(step).double())
            rows[-1].append({name: float(value) for name, value in losses.items()})
    for ours, theirs in zip(*rows, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    assert rows[0][49].keys() == {
        "l1", "perceptual", "codebook", "commitment", "adversarial", "adaptive_weight", "discriminator"
    }  # fmt: skip
    for name in ("model", "ema", "discriminator"):
        for ours, theirs in zip(getattr(lean, name).parameters(), getattr(plain, name).parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_the_perceptual_network_is_the_plain_one():
    lean, plain = load_perceptual("efficientnet_lite0"), plain_perceptual()
    images, targets = torch.rand(2, 4, 3, 64, 64, generator=torch.Generator().manual_seed(0)).unbind()
    images.requires_grad_()
    expected = plain(images, targets)
    torch.testing.assert_close(lean(images, targets), expected, rtol=1e-4, atol=1e-5)
    gradients = [torch.autograd.grad(network(images, targets).sum(), images)[0] for network in (lean, plain)]
    assert float((gradients[0] - gradients[1]).norm() / gradients[1].norm()) < 1e-3
