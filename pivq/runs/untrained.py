"""The untrained model: the control of every claim about what training does."""

import torch
from torch import Tensor

from pivq.codebook_init import fit_codebook
from pivq.config import Config
from pivq.inference import latents_in_batches
from pivq.model import PIVQ
from pivq.settings import check_device

FITTED_TO = 500  # images whose latents the codebook is fitted to, at most; source: assumption


def untrained_model(
    config: Config, images: Tensor, quantizer: str = "matching", device: str | torch.device = "cpu"
) -> PIVQ:
    """Return a model with its first random weights, and a codebook fitted to its latents as Section 3.7 fits it.

    Args:
        config: of the trained model that it is compared with; its seed draws the weights.
        images: training images `(N, 3, H, W)` uint8; the first `FITTED_TO` are encoded.
        quantizer: "matching" or "nearest"; the weights and the codebook are the same for both.
        device: where to put the model.

    Example:
        >>> from pivq.config import load_config
        >>> config = load_config("smoke", model__codebook_size=40)
        >>> noise = torch.randint(0, 256, (8, 3, 64, 64)).to(torch.uint8)
        >>> untrained_model(config, noise).quantizer.codebook.shape
        torch.Size([40, 32])
    """
    device = check_device(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = PIVQ(config.model, quantizer).to(device).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(config.seed)  # of tokens that are drawn anew for every image
    latents = torch.cat([batch.cpu() for batch in latents_in_batches(model, images[:FITTED_TO], generator=generator)])
    codebook = fit_codebook(latents.flatten(0, 1), config.model.codebook_size, config.seed)
    model.quantizer.codebook.copy_(codebook)
    return model
