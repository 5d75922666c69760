"""The settings of every profile, each with its source (the paper, its base code, reference [5], or our assumption),
and the range of every setting."""

from typing import Any, NamedTuple

PAPER, BASE, ASSUMPTION = "paper", "base code", "assumption"
DATASETS = ["avatars", "celeba", "celebahq", "ffhq", "folder"]
LAYOUTS = ["celeba", "celebahq", "ffhq", "folder"]  # how the files of a folder of images are read
ON_ERROR = ["raise", "skip"]  # what to do with images that cannot be read
FEATURE_NETWORKS = ["efficientnet_lite0", "inception"]  # of the metrics; the first needs no download
TOKENS = ["learned", "drawn", "noisy"]  # given to the encoder's transformer
PRECISIONS = ["auto", "fp32", "bf16", "fp16"]  # of a training's steps: `pivq.precision`
PERCEPTUAL_NETWORKS = ["efficientnet_lite0", "lpips_vgg"]  # of the loss; likewise


_QUICK = {
    "dataset": ("avatars", ASSUMPTION),
    "model.image_size": (64, PAPER),
    "model.patch_size": (4, ASSUMPTION),
    "model.width": (16, ASSUMPTION),
    "model.channel_multipliers": ((3, 4), ASSUMPTION),
    "model.residual_blocks": (1, ASSUMPTION),
    "model.attention_sizes": ((), ASSUMPTION),
    "model.dim": (128, PAPER),
    "model.feedforward": (512, PAPER),
    "model.transformer_layers": (1, ASSUMPTION),
    "model.heads": (4, ASSUMPTION),
    "model.query_key_gain": (3.0, ASSUMPTION),
    "model.codebook_size": (512, PAPER),
    "model.num_codes": (32, PAPER),
    "model.tokens": ("learned", PAPER),
    "model.token_spread": (1.0, ASSUMPTION),
    "train.train_images": (8000, ASSUMPTION),
    "train.heldout_images": (2000, ASSUMPTION),
    "train.steps": (3400, ASSUMPTION),
    "train.batch_size": (8, ASSUMPTION),
    "train.learning_rate": (1.5e-3, ASSUMPTION),
    "train.adam_betas": ((0.9, 0.99), ASSUMPTION),
    "train.weight_decay": (0.01, ASSUMPTION),
    "train.gradient_clip": (1.0, ASSUMPTION),
    "train.warmup_steps": (100, ASSUMPTION),
    "train.decay_from": (0.5, ASSUMPTION),
    "train.ema_decay": (0.995, PAPER),
    "train.ema_every": (1, ASSUMPTION),
    "train.reconstruction_weight": (1.0, BASE),
    "train.perceptual_network": ("efficientnet_lite0", ASSUMPTION),
    "train.perceptual_weight": (0.1, ASSUMPTION),
    "train.codebook_weight": (0.25, BASE),
    "train.commitment_weight": (1.0, BASE),
    "train.quantize_from_step": (1200, ASSUMPTION),
    "train.history_steps": (100, ASSUMPTION),
    "train.codebook_initialisations": (4, ASSUMPTION),
    "train.discriminator_from_step": (1500, ASSUMPTION),
    "train.adversarial_from_step": (1501, ASSUMPTION),
    "train.adversarial_limit": (0.1, ASSUMPTION),
    "train.discriminator_width": (16, ASSUMPTION),
    "train.discriminator_layers": (2, ASSUMPTION),
    "train.discriminator_augmentation": (False, ASSUMPTION),  # with it, a network this small learns nothing in time
    "train.discriminator_learning_rate": (1e-3, ASSUMPTION),
    "train.discriminator_betas": ((0.5, 0.9), ASSUMPTION),
    "train.nonfinite_limit": (10, ASSUMPTION),
    "train.muon_learning_rate": (3e-3, ASSUMPTION),
    "evaluation.validate_every": (300, ASSUMPTION),
    "evaluation.checkpoint_every": (300, ASSUMPTION),
    "evaluation.samples": (2000, ASSUMPTION),
    "evaluation.features": ("efficientnet_lite0", ASSUMPTION),
    "evaluation.prdc_k": ((3, 5), ASSUMPTION),
    "evaluation.probe_folds": (5, PAPER),
    "evaluation.reference": ("train", ASSUMPTION),  # held-out faces are compared with them, not with themselves
}
# Every notebook in about two minutes, for the tests: a network too small and too briefly trained to show anything.
_SMOKE = _QUICK | {
    "model.channel_multipliers": ((1, 2), ASSUMPTION),
    "model.dim": (32, ASSUMPTION),
    "model.feedforward": (64, ASSUMPTION),
    "model.codebook_size": (64, ASSUMPTION),
    "model.num_codes": (8, ASSUMPTION),
    "train.train_images": (480, ASSUMPTION),
    "train.heldout_images": (120, ASSUMPTION),
    "train.steps": (40, ASSUMPTION),
    "train.warmup_steps": (5, ASSUMPTION),
    "train.quantize_from_step": (16, ASSUMPTION),
    "train.history_steps": (8, ASSUMPTION),
    "train.codebook_initialisations": (2, ASSUMPTION),
    "train.discriminator_from_step": (24, ASSUMPTION),
    "train.adversarial_from_step": (28, ASSUMPTION),
    "train.discriminator_width": (8, ASSUMPTION),
    "evaluation.validate_every": (20, ASSUMPTION),
    "evaluation.checkpoint_every": (20, ASSUMPTION),
    "evaluation.samples": (200, ASSUMPTION),
}
# The paper's experiments. Values that neither the paper nor its base code gives are equal in all three, unless stated.
_CELEBA64 = {
    "dataset": ("celeba", PAPER),
    "model.image_size": (64, PAPER),
    "model.patch_size": (1, BASE),
    "model.width": (128, ASSUMPTION),  # the base code's for 256 × 256; it has no faces of 64 × 64
    "model.channel_multipliers": ((1, 2, 2, 4), ASSUMPTION),  # an 8 × 8 grid
    "model.residual_blocks": (2, BASE),
    "model.attention_sizes": ((16,), ASSUMPTION),  # likewise
    "model.dim": (128, PAPER),
    "model.feedforward": (512, PAPER),
    "model.transformer_layers": (4, PAPER),
    "model.heads": (8, ASSUMPTION),
    "model.query_key_gain": (1.0, ASSUMPTION),
    "model.codebook_size": (512, PAPER),
    "model.num_codes": (32, PAPER),
    "model.tokens": ("learned", PAPER),
    "model.token_spread": (1.0, ASSUMPTION),
    "train.train_images": (0, ASSUMPTION),
    "train.heldout_images": (0, ASSUMPTION),
    "train.steps": (500_000, ASSUMPTION),
    "train.batch_size": (16, PAPER),
    "train.learning_rate": (16 * 4.5e-6, BASE),
    "train.adam_betas": ((0.9, 0.999), BASE),
    "train.weight_decay": (0.0, BASE),
    "train.gradient_clip": (0.0, BASE),
    "train.warmup_steps": (0, BASE),
    "train.decay_from": (1.0, BASE),
    "train.ema_decay": (0.995, PAPER),
    "train.ema_every": (10, BASE),
    "train.reconstruction_weight": (1.0, BASE),
    "train.perceptual_network": ("lpips_vgg", BASE),
    "train.perceptual_weight": (1.0, BASE),
    "train.codebook_weight": (0.25, BASE),
    "train.commitment_weight": (1.0, BASE),
    "train.quantize_from_step": (20_000, ASSUMPTION),
    "train.history_steps": (100, ASSUMPTION),
    "train.codebook_initialisations": (4, ASSUMPTION),
    "train.discriminator_from_step": (30_000, BASE),
    "train.adversarial_from_step": (30_001, ASSUMPTION),  # base code: 30,000, before the discriminator's first step
    "train.adversarial_limit": (1.0, BASE),
    "train.discriminator_width": (64, BASE),
    "train.discriminator_layers": (3, BASE),
    "train.discriminator_augmentation": (True, PAPER),
    "train.discriminator_learning_rate": (16 * 4.5e-6, BASE),
    "train.discriminator_betas": ((0.9, 0.999), BASE),
    "train.nonfinite_limit": (10, ASSUMPTION),
    "train.muon_learning_rate": (0.0, BASE),
    "evaluation.validate_every": (5_000, ASSUMPTION),
    "evaluation.checkpoint_every": (5_000, ASSUMPTION),
    "evaluation.samples": (50_000, PAPER),
    "evaluation.features": ("inception", PAPER),
    "evaluation.prdc_k": ((3, 5), ASSUMPTION),  # the base code has 3, the authors of density and coverage 5
    "evaluation.probe_folds": (5, PAPER),
    "evaluation.reference": ("all", BASE),
}
_FFHQ256 = _CELEBA64 | {
    "dataset": ("ffhq", PAPER),
    "model.image_size": (256, PAPER),
    "model.width": (128, BASE),
    "model.channel_multipliers": ((1, 1, 2, 2, 4), BASE),  # a 16 × 16 grid
    "model.attention_sizes": ((16,), BASE),
    "model.dim": (256, PAPER),
    "model.feedforward": (1024, PAPER),
    "model.codebook_size": (4096, PAPER),
    "model.num_codes": (512, PAPER),
    "train.steps": (1_400_000, BASE),
    "train.batch_size": (4, PAPER),
    "train.learning_rate": (4 * 4.5e-6, BASE),
    "train.discriminator_learning_rate": (4 * 4.5e-6, BASE),
}
# Steps of a schedule, of which a training of another length has as many in proportion (`pivq.config.at_length`).
SCHEDULE = ("train.warmup_steps", "train.quantize_from_step", "train.history_steps", "train.discriminator_from_step",
            "train.adversarial_from_step", "evaluation.validate_every", "evaluation.checkpoint_every")  # fmt: skip
# The paper's method and losses in one session of a free GPU: half the width, and a length at which both quantizers are
# trained in less than three hours on a T4 (the arithmetic: docs/paper_scale.md). So few steps need attention that is
# sharp from the start (`query_key_gain`, as in `quick`), and a larger learning rate that rises first and falls later.
_SHORT_STEPS = 60_000
_SHORT_SCHEDULE = {  # as fractions of the steps
    "train.warmup_steps": 0.01, "train.quantize_from_step": 0.2, "train.history_steps": 0.002,
    "train.discriminator_from_step": 0.3, "evaluation.validate_every": 1 / 30, "evaluation.checkpoint_every": 1 / 30,
}  # fmt: skip
_CELEBA64_SHORT = _CELEBA64 | {
    "model.width": (64, ASSUMPTION),
    "model.query_key_gain": (3.0, ASSUMPTION),
    "train.steps": (_SHORT_STEPS, ASSUMPTION),
    "train.learning_rate": (3e-4, ASSUMPTION),
    "train.adam_betas": ((0.9, 0.99), ASSUMPTION),
    "train.gradient_clip": (1.0, ASSUMPTION),
    "train.decay_from": (0.5, ASSUMPTION),
    **{name: (round(share * _SHORT_STEPS), ASSUMPTION) for name, share in _SHORT_SCHEDULE.items()},
    "train.adversarial_from_step": (round(0.3 * _SHORT_STEPS) + 1, ASSUMPTION),
    "train.discriminator_learning_rate": (1e-4, ASSUMPTION),
}
_CELEBAHQ256 = _FFHQ256 | {
    "dataset": ("celebahq", PAPER),
    "train.steps": (1_000_000, ASSUMPTION),
    "evaluation.samples": (30_000, PAPER),
}
# Any folder of aligned images, on any computer: the settings of `quick`, with all images of the folder.
_FOLDER = _QUICK | {
    "dataset": ("folder", ASSUMPTION),
    "train.train_images": (0, ASSUMPTION),
    "train.heldout_images": (0, ASSUMPTION),
}
# Our variant of a profile: tokens drawn anew for every image in training. Without names for the latents, an image needs
# more of them. No discriminator: these trainings are the longest already. All of it: assumption.
NEVER = 10**9  # steps
DRAWN_TOKENS: dict[str, Any] = {"model.tokens": "drawn", "model.token_spread": 0.3}
_WITHOUT_DISCRIMINATOR = {"train.discriminator_from_step": NEVER, "train.adversarial_from_step": NEVER + 1}
_DRAWN_QUICK = DRAWN_TOKENS | _WITHOUT_DISCRIMINATOR | {
    "model.num_codes": 64, "train.steps": 3400, "train.quantize_from_step": 1360,
}  # fmt: skip
DRAWN: dict[str, dict[str, Any]] = {
    "quick": _DRAWN_QUICK, "folder": _DRAWN_QUICK, "smoke": DRAWN_TOKENS | _WITHOUT_DISCRIMINATOR,
}  # fmt: skip
PROFILES: dict[str, dict[str, tuple[Any, str]]] = {
    "quick": _QUICK, "smoke": _SMOKE, "celeba64_short": _CELEBA64_SHORT, "celeba64": _CELEBA64,
    "celebahq256": _CELEBAHQ256, "ffhq256": _FFHQ256, "folder": _FOLDER,
}  # fmt: skip


class Range(NamedTuple):
    """The values that a setting may have: finite numbers, never a truth value in place of a number."""

    kind: type  # int, float (whole numbers are taken too), bool or str
    least: float = 0
    most: float = 1
    open: str = ""  # "least" or "most", where that value itself is too much
    length: tuple[int, int] | None = None  # of a tuple of such values, least and most
    names: tuple[str, ...] = ()  # of a str

    def __str__(self) -> str:
        """Return the range in words, as in "a number from 0 to below 1"."""
        if self.kind is not int and self.kind is not float:
            return f"one of {', '.join(self.names or ('True', 'False'))}"
        low = f"{'above' if self.open == 'least' else 'from'} {self.least}"
        high = f"{'below ' if self.open == 'most' else ''}{self.most}"
        whole = "whole number" if self.kind is int else "number"
        if self.length is None:
            return f"a {whole} {low} to {high}"
        least, most = self.length
        return f"{least if least == most else f'{least} to {most}'} {whole}s {low} to {high}"

    def holds(self, value: Any) -> bool:
        """Say whether a setting may have this value."""
        if self.length is not None:
            fits = isinstance(value, tuple) and self.length[0] <= len(value) <= self.length[1]
            return fits and all(self._replace(length=None).holds(item) for item in value)
        if isinstance(value, bool) or self.kind is bool or self.kind is str:
            return type(value) is self.kind and (self.kind is bool or value in self.names)
        if not isinstance(value, (int, float) if self.kind is float else int):
            return False
        if str(value) == "-0.0":  # another digest than 0
            return False
        above = self.least < value if self.open == "least" else self.least <= value
        return above and (value < self.most if self.open == "most" else value <= self.most)  # false for NaN


_STEPS, _FROM_STEP = Range(int, 1, 10**10), Range(int, 0, 10**10)
_WEIGHT, _RATE = Range(float, 0, 10**9), Range(float, 0, 1, open="least")
_BETAS = Range(float, 0, 1, open="most", length=(2, 2))
RANGES: dict[str, Range] = {
    "model.image_size": Range(int, 8, 4096),
    "model.patch_size": Range(int, 1, 64),
    "model.width": Range(int, 1, 4096),
    "model.channel_multipliers": Range(int, 1, 64, length=(1, 10)),
    "model.residual_blocks": Range(int, 1, 64),
    "model.attention_sizes": Range(int, 1, 4096, length=(0, 10)),
    "model.dim": Range(int, 1, 16_384),
    "model.feedforward": Range(int, 1, 65_536),
    "model.transformer_layers": Range(int, 1, 64),
    "model.heads": Range(int, 1, 1024),
    "model.query_key_gain": Range(float, 0, 1000),
    "model.codebook_size": Range(int, 2, 1_000_000),
    "model.num_codes": Range(int, 1, 65_536),
    "model.tokens": Range(str, names=tuple(TOKENS)),
    "model.token_spread": Range(float, 0, 1000, open="least"),
    "train.train_images": Range(int, 0, 10**9),
    "train.heldout_images": Range(int, 0, 10**9),
    "train.steps": _STEPS,
    "train.batch_size": Range(int, 1, 65_536),
    "train.learning_rate": _RATE,
    "train.adam_betas": _BETAS,
    "train.weight_decay": Range(float, 0, 100),
    "train.gradient_clip": Range(float, 0, 10**6),
    "train.warmup_steps": _FROM_STEP,
    "train.decay_from": Range(float, 0, 1),
    "train.ema_decay": Range(float, 0, 1, open="most"),
    "train.ema_every": Range(int, 1, 10**6),
    "train.reconstruction_weight": _WEIGHT,
    "train.perceptual_network": Range(str, names=tuple(PERCEPTUAL_NETWORKS)),
    "train.perceptual_weight": _WEIGHT,
    "train.codebook_weight": _WEIGHT,
    "train.commitment_weight": _WEIGHT,
    "train.quantize_from_step": _FROM_STEP,
    "train.history_steps": Range(int, 1, 10_000),
    "train.codebook_initialisations": Range(int, 0, 1000),
    "train.discriminator_from_step": _FROM_STEP,
    "train.adversarial_from_step": _FROM_STEP,
    "train.adversarial_limit": _WEIGHT,
    "train.discriminator_width": Range(int, 1, 512),
    "train.discriminator_layers": Range(int, 1, 10),
    "train.discriminator_augmentation": Range(bool),
    "train.discriminator_learning_rate": _RATE,
    "train.discriminator_betas": _BETAS,
    "train.nonfinite_limit": Range(int, 1, 10**6),
    "train.muon_learning_rate": Range(float, 0, 1),
    "evaluation.validate_every": _STEPS,
    "evaluation.checkpoint_every": _STEPS,
    "evaluation.samples": Range(int, 2, 10**7),
    "evaluation.features": Range(str, names=tuple(FEATURE_NETWORKS)),
    "evaluation.prdc_k": Range(int, 1, 1000, length=(1, 10)),
    "evaluation.probe_folds": Range(int, 2, 100),
    "evaluation.reference": Range(str, names=("all", "train")),
    "dataset": Range(str, names=tuple(DATASETS)),
    "profile": Range(str, names=tuple(PROFILES)),
    "seed": Range(int, 0, 2**32 - 1),
}
