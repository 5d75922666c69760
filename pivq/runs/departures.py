"""How a profile's training departs from the paper's, and from its base code where the paper says nothing."""

import pandas as pd

from pivq.config import Config, load_config
from pivq.profiles import DRAWN

NAMES = {"avatars": "faces that are drawn here", "celeba": "CelebA", "celebahq": "CelebA-HQ", "ffhq": "FFHQ",
         "folder": "a folder of images", "lpips_vgg": "LPIPS (VGG16)",
         "efficientnet_lite0": "EfficientNet-Lite0"}  # fmt: skip
THERE = "paper, or base code"


def departures(config: Config) -> pd.DataFrame:
    """Return the parts of the training that differ: there, here with learned tokens, and here with drawn ones.

    The paper's side is its profile of the same image size; at another size than 64, the configuration's own profile,
    which has no departures.
    """
    there = load_config("celeba64" if config.model.image_size == 64 else config.profile, data=config.data)
    here = {"here, learned tokens": config}
    if config.profile in DRAWN:
        here["here, drawn tokens (our variant)"] = config.drawn()
    columns = {THERE: _describe(there)} | {title: _describe(settings) for title, settings in here.items()}
    table = pd.DataFrame(columns)
    differing = table[table.nunique(axis=1) > 1]
    return differing.rename_axis("").reset_index()


def _describe(config: Config) -> dict[str, str]:
    """Return the parts of a training in words."""
    model, train = config.model, config.train
    if model.tokens == "learned":
        tokens = "learned, the same for every image"
    else:
        tokens = f"drawn from N(0, {model.token_spread:g}²) anew for every image"
    layers = f"{model.transformer_layers} layer" + "s" * (model.transformer_layers > 1)
    optimizer = f"{'AdamW' if train.weight_decay else 'Adam'}, learning rate {train.learning_rate:.2g}"
    if train.muon_learning_rate:
        optimizer += f"; on the transformers' matrices Muon, {train.muon_learning_rate:g} (torch's, in float32)"
    warmup = f"warm-up of {train.warmup_steps} steps, " if train.warmup_steps else ""
    curve = "constant" if train.decay_from >= 1 else f"cosine decay from {train.decay_from:.0%} of the steps on"
    if train.discriminator_from_step >= train.steps:
        discriminator = "none"
    else:
        augmented = "with" if train.discriminator_augmentation else "without"
        discriminator = (
            f"{train.discriminator_layers} layers, width {train.discriminator_width}, {augmented} DiffAug, from step "
            f"{train.discriminator_from_step:,} on; adaptive weight at most {train.adversarial_limit:g}"
        )
    return {
        "images": f"{NAMES[config.dataset]}, {model.image_size} × {model.image_size}",
        "tokens of the encoder": tokens,
        "L, K": f"{model.num_codes}, {model.codebook_size}",
        "convolutional paths": f"width {model.width}, patches of {model.patch_size} × {model.patch_size}",
        "transformers": f"{layers} in the encoder, {layers} in the decoder",
        "factor on the first query and key weights": f"{model.query_key_gain:g}",
        "optimizer": optimizer,
        "learning rate": warmup + curve,
        "length": f"{train.steps:,} steps of batch {train.batch_size}",
        "T_q, W, fits": f"{train.quantize_from_step:,}, {train.history_steps}, {train.codebook_initialisations}",
        "perceptual loss": f"{NAMES[train.perceptual_network]}, weight {train.perceptual_weight:g}",
        "discriminator": discriminator,
    }
