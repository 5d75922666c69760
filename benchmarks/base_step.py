"""The training step as the base architecture's public code does it, written anew from its description: the peer.

Same networks, same losses, same optimisers as `pivq.trainer.Trainer`; what differs is how the work is done:

- the losses stay in one graph, so the perceptual network and the discriminator are run backward twice, once for the
  adaptive weight's gradients at the last convolution and once with everything else, weights of the discriminator
  included;
- that is done from the first step on, times 0 until the adversarial loss counts;
- distances are expanded squares, codes become one-hot rows that multiply the codebook, matching is a loop over scipy;
- attention multiplies out its matrix of weights, and swish is a product of two functions;
- batch norms and padding of the perceptual network are layers of their own (`plain_perceptual`);
- optimisers and EMA go through the parameters one at a time, and every loss goes to the host in every step.
"""

import copy
from unittest import mock

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from pivq.config import Config
from pivq.discriminator import PatchDiscriminator, diff_augment
from pivq.losses import FeatureDistance, PerceptualLoss
from pivq.model import PIVQ
from pivq.optimizers import _decay_groups, learning_rate_factor
from pivq.pretrained.efficientnet import efficientnet_lite0
from pivq.pretrained.perceptual import EfficientNetStages


class BaseStep:
    """Train as the base code does; for the arguments see `pivq.trainer.Trainer`."""

    def __init__(self, config: Config, quantizer: str, perceptual: PerceptualLoss):
        train = config.train
        torch.manual_seed(config.seed)
        self.config, self.matching, self.perceptual = config, quantizer == "matching", perceptual
        self.model = PIVQ(config.model, quantizer)
        self.discriminator = PatchDiscriminator(train.discriminator_width, train.discriminator_layers)
        self.ema = copy.deepcopy(self.model)
        groups = _decay_groups(self.model, train.weight_decay, [])
        self.optimizer = torch.optim.AdamW(groups, lr=train.learning_rate, betas=train.adam_betas, foreach=False)
        self.discriminator_optimizer = torch.optim.Adam(
            self.discriminator.parameters(), lr=train.discriminator_learning_rate, betas=train.discriminator_betas,
            foreach=False,
        )  # fmt: skip
        self.step = 0

    def train_step(self, images: Tensor) -> dict[str, float]:
        """Do one update of both networks on images `(B, 3, H, W)`; return the losses."""
        with mock.patch.multiple(F, scaled_dot_product_attention=attention, silu=lambda x: x * torch.sigmoid(x)):
            return self._train_step(images)

    def _train_step(self, images: Tensor) -> dict[str, float]:
        train, step = self.config.train, self.step
        for group in self.optimizer.param_groups:
            group["lr"] = train.learning_rate * learning_rate_factor(step, self.config)
        latents = self.model.encoder(images)
        losses, vq_loss = {}, 0.0
        if step >= train.quantize_from_step:
            codes, quantized = self._quantize(latents)
            losses["codebook"] = (quantized - latents.detach()).square().mean()
            losses["commitment"] = (quantized.detach() - latents).square().mean()
            vq_loss = train.codebook_weight * losses["codebook"] + train.commitment_weight * losses["commitment"]
            output = self.model.decoder(latents + (quantized - latents).detach())
        else:
            output = self.model.decoder(latents)
        losses["l1"] = (images - output).abs().mean()
        losses["perceptual"] = self.perceptual(output, images).mean()
        nll = train.reconstruction_weight * losses["l1"] + train.perceptual_weight * losses["perceptual"]
        judging = step >= train.discriminator_from_step
        augment = diff_augment if judging and train.discriminator_augmentation else nn.Identity()
        augmented = augment(output)
        adversarial = -self.discriminator(augmented).mean()
        last = self.model.decoder.conv_out.weight
        (at_last,) = torch.autograd.grad(nll, last, retain_graph=True)
        (adversarial_at_last,) = torch.autograd.grad(adversarial, last, retain_graph=True)
        weight = (at_last.norm() / (adversarial_at_last.norm() + 1e-4)).clamp(0, train.adversarial_limit).detach()
        weight = weight * (step >= train.adversarial_from_step)
        if step >= train.adversarial_from_step:
            losses |= {"adversarial": adversarial, "adaptive_weight": weight}
        loss = nll + weight * adversarial + vq_loss
        self.optimizer.zero_grad()
        loss.backward()
        if train.gradient_clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), train.gradient_clip, foreach=False)
        self.optimizer.step()
        if judging:
            real = self.discriminator(augment(images))
            fake = self.discriminator(augmented.detach())
            losses["discriminator"] = 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
            self.discriminator_optimizer.zero_grad()
            losses["discriminator"].backward()
            self.discriminator_optimizer.step()
        if (step + 1) % train.ema_every == 0:
            for average, now in zip(self.ema.parameters(), self.model.parameters(), strict=True):
                average.data = average.data * train.ema_decay + (1 - train.ema_decay) * now.data
        return {name: loss.item() for name, loss in losses.items()}

    def _quantize(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        codebook, flat = self.model.quantizer.codebook, latents.flatten(0, 1)
        squared = flat.square().sum(dim=1, keepdim=True) + codebook.square().sum(dim=1) - 2 * flat @ codebook.T
        if self.matching:
            distances = squared.detach().clamp(min=0).sqrt().unflatten(0, latents.shape[:2]).cpu().numpy()
            codes = torch.cat([torch.from_numpy(linear_sum_assignment(image)[1]) for image in distances])
        else:
            codes = squared.argmin(dim=1)
        one_hot = torch.zeros_like(squared).scatter_(1, codes[:, None], 1)
        return codes.view(latents.shape[:2]), (one_hot @ codebook).view_as(latents)


def plain_perceptual() -> FeatureDistance:
    """Return the perceptual network of `quick` layer by layer, as its package has it."""
    stages, network = EfficientNetStages(), efficientnet_lite0(64)[0].eval()
    stages.stem = nn.Sequential(network._conv_stem, network._bn0)
    stages.blocks = network._blocks[: len(stages.blocks)]
    return FeatureDistance(stages)


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return what `scaled_dot_product_attention` does, multiplied out."""
    return torch.softmax(q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5, dim=-1) @ v
