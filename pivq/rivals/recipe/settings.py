"""What a recipe changes in the training of PI-VQ, with the source of each change; all of it is ours, not the paper's.

`CHANGES` has one change each, for an ablation; `improved()` has those of `IMPROVED` together.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields, replace
from numbers import Real
from typing import Any

from pivq.config import Config
from pivq.settings import check_whole, refusal, suggestion

TOKENS = ("", "learned", "drawn", "noisy")  # "" leaves the configuration's
MOST = 1e3  # of weights and factors: larger ones are mistakes


@dataclass(frozen=True)
class Recipe:
    """Changes of the training; each default leaves it as the paper has it.

    Attributes:
        rotation: gradients go back through the quantizer by the rotation and rescaling that take a latent to its code,
            in place of straight through. Source: Fifty et al., arXiv:2410.06424.
        warm_up: factor on T_q, the steps before quantization starts (Section 3.7). Source of the idea: Zhao et al.,
            arXiv:2605.06870, who find that the length of this phase decides the codebook's effective dimension; of the
            factors: assumption.
        projection: codes have d / `projection` numbers. Latents are projected to as many before they are quantized, and
            codes back to d before they are decoded. Source: the factorized codes of Yu et al. [51], arXiv:2110.04627,
            whose codes have 32 numbers, as ours with d = 128 and a factor of 4; without their l2 normalisation:
            assumption.
        distribution_weight: weight γ of the distance between the Gaussians that have the moments of recent latents and
            of the codebook, which moves the codebook. Source: Fang et al., arXiv:2506.15078; their code has 0.5.
        reseed_windows: a code that no latent took in so many windows of W steps becomes a recent latent; 0 never.
            Source of the idea: Williams et al., arXiv:2002.08111; of the number: assumption.
        tokens: of the encoder, "learned", "drawn" or "noisy" (`pivq.settings.ModelConfig.tokens`); "" leaves them.
            Learned tokens are not shuffled: neither their order nor that of the codes means anything to the model.
        token_spread: with `tokens`; 0 leaves it. Source: assumption, as `pivq.profiles.DRAWN_TOKENS`.
        recombined_weight: weight of the adversarial loss of *recombined* codes (Algorithm 1, of pairs in the batch), as
            a factor on the adaptive weight of that of reconstructions; 0 is none. The discriminator judges both, and
            the gradient moves the decoder alone. Source: assumption.
    """

    rotation: bool = False
    warm_up: float = 1.0
    projection: int = 1
    distribution_weight: float = 0.0
    reseed_windows: int = 0
    tokens: str = ""
    token_spread: float = 0.0
    recombined_weight: float = 0.0

    def __post_init__(self):
        if not isinstance(self.rotation, bool):
            raise TypeError(f"rotation must be True or False, got {self.rotation!r:.80}")
        for name, above in (("warm_up", True), ("distribution_weight", False), ("token_spread", False),
                            ("recombined_weight", False)):  # fmt: skip
            _check_number(name, getattr(self, name), above)
        check_whole("projection", self.projection)
        check_whole("reseed_windows", self.reseed_windows, 0)
        if self.tokens not in TOKENS:
            raise ValueError(f"unknown tokens {self.tokens!r:.80}{suggestion(str(self.tokens), list(TOKENS))}")

    @property
    def changes(self) -> dict[str, Any]:
        """Return the fields that differ from the paper's training, by name."""
        return {field.name: value for field in fields(self) if (value := getattr(self, field.name)) != field.default}

    @property
    def inside(self) -> bool:
        """Whether more is changed than settings of the configuration."""
        return bool(self.changes.keys() - {"warm_up", "tokens", "token_spread"})

    @property
    def digest(self) -> str:
        """Return eight hex digits that change with the recipe."""
        return hashlib.sha256(json.dumps(self.changes, sort_keys=True).encode()).hexdigest()[:8]

    def settings(self, config: Config) -> Config:
        """Return the configuration with what the recipe changes in it: T_q, no earlier than W, and the tokens.

        Raises:
            TypeError: the settings are none.
            ValueError: the recipe and the configuration do not fit each other; says why.
        """
        if not isinstance(config, Config):
            raise refusal("config", "settings, such as of `load_config`", config)
        train, model = config.train, config.model
        if model.dim % self.projection:
            raise ValueError(f"projection must divide dim {model.dim}, got {self.projection}")
        if self.distribution_weight and not train.codebook_weight:
            raise ValueError("distribution_weight needs a codebook_weight above 0: it moves the codebook")
        if self.recombined_weight and train.batch_size < 2:
            raise ValueError("recombined_weight needs a batch_size of at least 2: codes of pairs are recombined")
        if self.warm_up != 1:
            start = max(train.history_steps, round(self.warm_up * train.quantize_from_step))
            train = replace(train, quantize_from_step=start)
        if self.tokens:
            model = replace(model, tokens=self.tokens, token_spread=self.token_spread or model.token_spread)
        return replace(config, model=model, train=train)


def _check_number(name: str, value: Any, above: bool) -> None:
    """Raise an error that names a field that is no number from 0 (or above it) to `MOST`."""
    allowed = f"{name} must be a number {'above' if above else 'from'} 0 to {MOST:g}"
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{allowed}, got {value!r:.80}")
    if not (0 < value if above else 0 <= value) or not value <= MOST:
        raise ValueError(f"{allowed}, got {value!r:.80}")


# One change each.
CHANGES = {
    "as trained": Recipe(),
    "rotation trick": Recipe(rotation=True),
    "earlier T_q": Recipe(warm_up=0.5),
    "later T_q": Recipe(warm_up=1.5),
    "projected codes": Recipe(projection=4),
    "distribution matching": Recipe(distribution_weight=0.5),
    "re-seeded codes": Recipe(reseed_windows=1),
    "noisy tokens": Recipe(tokens="noisy"),
    "drawn tokens": Recipe(tokens="drawn", token_spread=0.3),
    "recombined": Recipe(recombined_weight=1.0),
}
# What is together in the recipe "improved". By the rows (`pivq.runs.beyond.recipe_findings.helping`) no change helps
# the samples of Algorithm 1, so these are the two with which nearly every code stays in use, at no cost that shows.
IMPROVED = ("later T_q", "re-seeded codes")


def together(names: Iterable[str]) -> Recipe:
    """Return the recipe of some of `CHANGES` together.

    Raises:
        ValueError: an unknown name, or two that give one field different values.

    Example:
        >>> together(["rotation trick", "later T_q"]).changes
        {'rotation': True, 'warm_up': 1.5}
    """
    merged: dict[str, Any] = {}
    for name in names:
        if name not in CHANGES:
            raise ValueError(f"unknown change {name!r:.80}{suggestion(str(name), list(CHANGES))}")
        for field, value in CHANGES[name].changes.items():
            if merged.setdefault(field, value) != value:
                raise ValueError(f"{name!r} and another change give {field} different values: choose one of them")
    return Recipe(**merged)


def improved() -> Recipe:
    """Return the recipe with the changes of `IMPROVED` together."""
    return together(IMPROVED)


def as_recipe(recipe: "Recipe | str") -> Recipe:
    """Return a recipe, or the one of a name: "improved", or one of `CHANGES`.

    Raises:
        TypeError: neither a recipe nor a name.
        ValueError: an unknown name.
    """
    if isinstance(recipe, Recipe):
        return recipe
    if not isinstance(recipe, str):
        raise TypeError(f"recipe must be a Recipe or the name of one, got {type(recipe).__name__}")
    if recipe == "improved":
        return improved()
    if recipe not in CHANGES:
        raise ValueError(f"unknown recipe {recipe!r:.80}{suggestion(recipe, ['improved', *CHANGES])}")
    return CHANGES[recipe]


def described(recipe: Recipe) -> dict[str, Any]:
    """Return all fields of a recipe in plain types, as checkpoints and rows have them."""
    return asdict(recipe)
