"""The settings of an experiment: checked, frozen and with their sources. Standard library only."""

import hashlib
import json
import operator
import os
import shlex
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pivq.profiles import (
    ASSUMPTION,
    DRAWN,
    DRAWN_TOKENS,
    FEATURE_NETWORKS,
    LAYOUTS,
    NEVER,
    ON_ERROR,
    PROFILES,
    RANGES,
    SCHEDULE,
)
from pivq.settings import EvaluationConfig, ModelConfig, TrainConfig, check_ranges, check_whole, suggestion

_FROM_TQ = ("codebook_weight", "commitment_weight", "codebook_initialisations")  # settings that act only from T_q on


@dataclass(frozen=True)
class Config:
    """One experiment: a profile's settings and a seed."""

    profile: str
    dataset: str
    seed: int
    model: ModelConfig
    train: TrainConfig
    evaluation: EvaluationConfig
    data: str = ""  # folder of the data set; "" is its place in `data/` (`avatars` needs none)
    layout: str = ""  # how the set `folder` is read, one of `LAYOUTS`; "" recognises it
    on_error: str = "raise"  # what to do with images that cannot be read, one of `ON_ERROR`; changes no digest

    def __post_init__(self):
        train = self.train
        check_ranges(self, "")
        if not isinstance(self.data, str) or "\0" in self.data:
            raise ValueError(f"data must be the name of a folder, got {self.data!r}")
        for name, known in (("layout", LAYOUTS), ("on_error", ON_ERROR)):
            value = getattr(self, name)
            if value not in known and not (name == "layout" and value == ""):
                raise ValueError(f"unknown {name} {value!r}{suggestion(value, known)}")
        if self.layout and self.dataset != "folder":
            raise ValueError(f"layout {self.layout!r} is for the set folder, got the set {self.dataset!r}")
        if self.dataset == "folder" and not self.data:
            raise ValueError(f"profile {self.profile!r} needs a folder of images: --data DIR, or data = \"DIR\"")
        if train.adversarial_from_step <= train.discriminator_from_step:
            raise ValueError(
                f"adversarial_from_step {train.adversarial_from_step} must come after discriminator_from_step "
                f"{train.discriminator_from_step}: the generator would see an untrained discriminator"
            )
        if train.steps <= train.quantize_from_step:
            raise ValueError(
                f"steps {train.steps} must be more than quantize_from_step {train.quantize_from_step}: "
                "the run would end without a codebook"
            )
        if train.warmup_steps > train.steps:
            raise ValueError(
                f"warmup_steps must be from 0 to steps, {train.steps}, got {train.warmup_steps}: the peak learning "
                "rate would never be reached"
            )
        if 0 < train.train_images <= max(self.evaluation.prdc_k):
            raise ValueError(
                f"prdc_k {max(self.evaluation.prdc_k)} must be less than train_images {train.train_images}"
            )
        halvings = (self.model.image_size // 3).bit_length() - 1  # its last two convolutions take one pixel each
        if train.discriminator_layers > halvings:
            raise ValueError(
                f"discriminator_layers must be at most {halvings} for image_size {self.model.image_size}, each halves "
                f"the image, got {train.discriminator_layers}"
            )
        latents = train.batch_size * self.model.num_codes  # per step
        if train.history_steps * latents < self.model.codebook_size and train.codebook_initialisations:
            raise ValueError(
                f"history_steps {train.history_steps} (W), batch_size {train.batch_size} and num_codes "
                f"{self.model.num_codes} (L) give {train.history_steps * latents} latents, too few for codebook_size "
                f"{self.model.codebook_size} (K): history_steps must be at least "
                f"{-(-self.model.codebook_size // latents)}"
            )
        if train.quantize_from_step < train.history_steps and train.codebook_initialisations:
            raise ValueError(
                f"quantize_from_step {train.quantize_from_step} is less than history_steps {train.history_steps}, the "
                "steps of latents that the first codebook needs: raise quantize_from_step, lower history_steps, or set "
                "codebook_initialisations to 0"
            )

    def drawn(self) -> "Config":
        """Return the same experiment with our variant of the tokens, drawn anew for every image (`profiles.DRAWN`).

        It is trained in proportion if this one is longer or shorter than its profile.
        """
        if self.model.tokens == "drawn":
            return self
        parts: dict[str, dict[str, Any]] = {"model": {}, "train": {}}
        usual = PROFILES[self.profile]["train.steps"][0]
        for name, value in DRAWN.get(self.profile, DRAWN_TOKENS).items():
            if name in ("train.steps", "train.quantize_from_step"):
                value = round(value * self.train.steps / usual)
            part, setting = name.split(".")
            parts[part][setting] = value
        return replace(self, **{part: replace(getattr(self, part), **values) for part, values in parts.items()})

    @property
    def settings(self) -> dict[str, tuple[Any, str]]:
        """Value and source of every setting by its dotted name (`model.dim`); an overridden value is an assumption."""
        found = {}
        for name, (usual, source) in PROFILES[self.profile].items():
            value = operator.attrgetter(name)(self)
            found[name] = (value, source if value == usual else ASSUMPTION)
        return found

    @property
    def sources(self) -> dict[str, str]:
        """Source of every setting by its dotted name: "paper", "base code" or "assumption"."""
        return {name: source for name, (_, source) in self.settings.items()}

    def digest(self, run: str) -> str:
        """Return eight hex digits that change with every setting that changes a run's network.

        Args:
            run: "matching" or "nearest"; or a stage that several runs share: "shared", the steps that are equal for
                both quantizers, or "trunk", the steps before T_q. Settings that act only after T_q are left out of
                the digest of a trunk, so that runs that differ only in those share one trunk.
        """
        model, train = _without_defaults(self.model), _without_defaults(self.train)
        if run == "trunk":
            train = {name: value for name, value in train.items() if name not in _FROM_TQ}
            for name in ("discriminator_from_step", "adversarial_from_step"):
                train[name] = min(train[name], self.train.quantize_from_step)  # later steps are not part of it
        facts = {"dataset": self.dataset, "seed": self.seed, "run": run, "model": model, "train": train}
        if self.dataset == "folder":  # any other set is identified by its name alone
            facts["data"] = str(Path(self.data).resolve())
        if self.layout:
            facts["layout"] = self.layout
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]

    @property
    def options(self) -> str:
        """Return the options of a command that ask for this profile, seed and data, for messages that name commands."""
        words = ["--profile", self.profile, "--seed", str(self.seed)]
        if self.train.steps != PROFILES[self.profile]["train.steps"][0]:
            words += ["--steps", str(self.train.steps)]
        words += ["--data", self.data] if self.data else []
        words += ["--layout", self.layout] if self.layout else []
        words += ["--on-error", self.on_error] if self.on_error != "raise" else []
        return shlex.join(words)

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as plain types, as stored in `config.json`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Config":
        """Rebuild a configuration from `as_dict`, through JSON or not.

        Raises:
            ValueError: for unknown or missing keys, named.
        """
        parts = {"model": ModelConfig, "train": TrainConfig, "evaluation": EvaluationConfig}
        if isinstance(values, dict):
            values = values | {name: _build(part, values.get(name, {}), f"{name}.") for name, part in parts.items()}
        return _build(cls, values, "")


def _without_defaults(part: Any) -> dict[str, Any]:
    """Return the settings by name, without later ones at their default, which change no digest of earlier runs."""
    values = {field.name: (getattr(part, field.name), field.default) for field in fields(part)}
    return {name: value for name, (value, default) in values.items() if value != default}


def at_length(settings: dict[str, Any], steps: int) -> dict[str, Any]:
    """Return the settings of a training of so many steps, with its whole schedule in proportion.

    The window W keeps at least four latents per code, and no more steps than it has; T_q stays long enough for it.

    Args:
        settings: of a whole profile, values by dotted name.
        steps: of the new training.

    Raises:
        ValueError: they are too few for the schedule.
    """
    share, made = steps / settings["train.steps"], settings | {"train.steps": steps}
    for name in SCHEDULE:
        usual = settings[name]
        made[name] = usual if usual >= NEVER else max(min(1, usual), round(usual * share))
    lead = settings["train.adversarial_from_step"] - settings["train.discriminator_from_step"]
    made["train.adversarial_from_step"] = made["train.discriminator_from_step"] + max(1, round(lead * share))
    latents = settings["train.batch_size"] * settings["model.num_codes"]  # per step
    window = max(made["train.history_steps"], -(-4 * settings["model.codebook_size"] // latents))
    made["train.history_steps"] = window = window if share > 1 else min(window, settings["train.history_steps"])
    if settings["train.quantize_from_step"]:
        made["train.quantize_from_step"] = max(window, made["train.quantize_from_step"])
    fits = settings["train.codebook_initialisations"]
    if made["train.quantize_from_step"] + fits * window >= steps:
        raise ValueError(
            f"{steps:,} steps are too few: the codebook is fitted {fits} times, each to {window} steps, from step "
            f"{made['train.quantize_from_step']:,} on"
        )
    return made


def _build(kind: type, values: dict[str, Any], prefix: str):
    known = {field.name: field.default is MISSING for field in fields(kind)}  # whether it must be given
    if not isinstance(values, dict):
        raise ValueError(f"{prefix.removesuffix('.') or 'a configuration'} must be settings by name, got {values!r}")
    for name in values:
        if name not in known:
            raise ValueError(f"unknown setting {prefix}{name}{suggestion(name, list(known))}")
    missing = [prefix + name for name, required in known.items() if required and name not in values]
    if missing:
        raise ValueError(f"settings without a value: {', '.join(missing)}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def load_config(
    profile: str,
    seed: int = 0,
    data: str = "",
    features: str = "",
    layout: str = "",
    on_error: str = "raise",
    steps: int = 0,
    **overrides: Any,
) -> Config:
    """Return a profile's configuration.

    Args:
        profile: one of `PROFILES`.
        seed: of every random choice, at least 0.
        data: folder of the data set, `~` for the home folder; "" is its place in `data/`. With `smoke`, any folder of
            images, for a trial.
        features: feature network of the metrics; "" is the profile's.
        layout: how the files of `data` are read, one of `LAYOUTS`; "" is the profile's, or recognised. With another
            layout than the profile's own set has, the set is `folder`: any folder of images.
        on_error: "raise" an error that lists images that cannot be read, or "skip" them with a warning.
        steps: to train, with the profile's whole schedule in proportion; 0 is the profile's own length.
        **overrides: settings by their dotted name with `__` for the dot, such as `train__steps=100`.

    Raises:
        ValueError: for an unknown profile or setting (with a suggestion), a value out of its range
            (`pivq.profiles.RANGES`), or values that contradict each other.

    Example:
        >>> load_config("quick").model.num_codes
        32
    """
    if not isinstance(profile, str) or profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r:.80}{suggestion(str(profile)[:80], list(PROFILES))}")
    for name, value, known in (("features", features, FEATURE_NETWORKS), ("layout", layout, LAYOUTS)):
        if not isinstance(value, str):
            raise ValueError(f"unknown {name} {value!r:.80}{suggestion(str(value)[:80], list(known))}")
    values: dict[str, Any] = {"profile": profile, "seed": seed, "on_error": on_error}
    values["data"] = data = os.path.expanduser(data) if isinstance(data, str | Path) else data
    settings = {name: value for name, (value, _) in PROFILES[profile].items()}
    if data and settings["dataset"] == "avatars":
        if profile != "smoke":
            raise ValueError(f"profile {profile!r} draws its own faces; use profile 'folder' for the images in {data}")
        settings["dataset"] = "folder"
    if features:
        settings["evaluation.features"] = features
    if steps := check_whole("steps", steps, 0, RANGES["train.steps"].most):
        settings = at_length(settings, steps)
    settings |= {name.replace("__", "."): value for name, value in overrides.items()}
    if layout and settings["dataset"] == "avatars":
        raise ValueError(
            f"layout {layout!r} is for a folder of images, but profile {profile!r} draws its own faces: use profile "
            "'folder', with --data DIR"
        )
    if layout and (layout != settings["dataset"] or layout == "folder"):
        values["layout"], settings["dataset"] = layout, "folder"
    for name, value in settings.items():
        part, _, setting = name.rpartition(".")
        (values.setdefault(part, {}) if part else values)[setting] = value
    return Config.from_dict(values)
