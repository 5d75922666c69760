"""Train the rivals in pieces that survive a stop: each in a folder of its own, with checkpoints and its seconds."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from tqdm import tqdm

from pivq.config import Config, load_config
from pivq.data import from_uint8
from pivq.pretrained.perceptual import load_perceptual
from pivq.processes import pick_device
from pivq.rivals.absorbing import AbsorbingPrior
from pivq.rivals.autoregressive import AutoregressivePrior
from pivq.rivals.priors import Prior
from pivq.rivals.rival import BATCH, Rival
from pivq.rivals.tokenset import FixedSumDiffusion, TokenSet, tokenset_settings
from pivq.rivals.training import AutoencoderTrainer, PriorTrainer, prior_settings
from pivq.rivals.vae import VAE, beta_vae_settings, vae_settings
from pivq.rivals.vqvae import VQVAE, vqvae_settings
from pivq.runs.beyond.pieces import finish, step_of
from pivq.runs.branching import make_trainer
from pivq.runs.run import arrays_digest, signature
from pivq.runs.splits import load_splits
from pivq.settings import suggestion
from pivq.storage.locking import locked
from pivq.storage.paths import results_dir
from pivq.storage.source import code_digest, rivals_digest
from pivq.storage.writing import read_sealed, seal, write_json

TIMED_STEPS = 5  # timed, after two that are not, to estimate how many steps fit the minutes of a training


class Kind(NamedTuple):
    """An autoencoder: how it is built, the settings that it needs, and the priors that can draw for it, by name."""

    build: Callable[..., nn.Module]
    settings: Callable[[Config], Config]
    priors: dict[str, type[Prior]]


KINDS = {
    "vae": Kind(VAE, vae_settings, {}),
    "beta-vae": Kind(VAE, beta_vae_settings, {}),
    "vq-vae": Kind(VQVAE, vqvae_settings, {"autoregressive": AutoregressivePrior, "absorbing": AbsorbingPrior}),
    "tokenset": Kind(TokenSet, tokenset_settings, {"fixed-sum": FixedSumDiffusion}),
}


class Trained(NamedTuple):
    """A trained rival, in evaluation mode, with its prior if it was asked for, and what is known of the training."""

    rival: nn.Module
    facts: dict[str, Any]


def rival_dir(config: Config, kind: str) -> Path:
    """Return the folder of a rival: `results/<profile>/rivals/<kind>-seed<k>-<digest>/`; `config` is the profile's.

    In it, the autoencoder and each of its priors has a folder of its name.
    """
    digest = KINDS[kind].settings(config).digest("nearest")
    return results_dir(config.profile) / "rivals" / f"{kind}-seed{config.seed}-{digest}"


def steps_left(config: Config, kind: str, prior: str = "") -> dict[Path, int]:
    """Return how many steps are still to be trained of a rival and of its prior, by the folder of its checkpoints."""
    whole = {"autoencoder": config.train.steps} | ({prior: prior_settings(config).train.steps} if prior else {})
    folder = rival_dir(config, kind)
    return {folder / name: steps - step_of(folder / name) for name, steps in whole.items()}


def train_rival(config: Config, kind: str, prior: str = "", device: str = "auto", bar: tqdm | None = None) -> Trained:
    """Train what is missing of a rival and of one of its priors, or load it.

    A checkpoint is saved every `evaluation.checkpoint_every` steps, and when Ctrl-C or SIGTERM asks to stop. The next
    call resumes, from the checkpoint before where the last one is damaged; on a CPU the result is that of training
    straight through, bit for bit.

    Args:
        config: the profile's settings; the rival's follow from them.
        kind: one of `KINDS`.
        prior: one of its priors, or "" for none.
        device: "auto", "cpu", "cuda", …
        bar: is advanced by each step; None shows none.

    Raises:
        ValueError: an unknown kind or prior, or a rival that was trained on other images.
        InUse: another process trains it.
        Stopped: it was asked to stop, and what is done is saved.

    Warns:
        UserWarning: it was trained, or begun, by other code; or a checkpoint is damaged: says from where it is trained
            again.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown rival {kind!r}{suggestion(str(kind), list(KINDS))}")
    build, settings, priors = KINDS[kind]
    if prior not in ["", *priors]:
        raise ValueError(f"unknown prior {prior!r} of {kind}{suggestion(str(prior), list(priors))}")
    own, folder, on, images = settings(config), rival_dir(config, kind), pick_device(device), _images(config)
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, "trained"):
        made_from = {"images": signature(load_splits(config)["train"]), "code": code_digest()}
        made_from["rivals_code"] = rivals_digest()
        trainer = AutoencoderTrainer(own, build, images, load_perceptual(own.train.perceptual_network).to(on), on)
        known = finish(trainer, folder / "autoencoder", made_from, bar, folder)
        rival = trainer.ema.eval()
        facts = {"steps": trainer.step, "seconds": known["seconds"], "parameters": count_weights(rival)}
        facts |= {name: known["made_from"][name] for name in ("code", "rivals_code")}
        if prior:
            made_from["autoencoder"] = _weights_digest(rival)
            prior_trainer = PriorTrainer(prior_settings(own), priors[prior], encode_levels(rival, images, on), on)
            facts["prior_seconds"] = finish(prior_trainer, folder / prior, made_from, bar, folder)["seconds"]
            facts |= {"prior_steps": prior_trainer.step, "prior_parameters": count_weights(prior_trainer.ema)}
            rival.prior = prior_trainer.ema.eval()
    return Trained(rival, facts)


def encode_levels(rival: Rival, images: Tensor, device: str | torch.device) -> Tensor:
    """Return all that a rival stores of images `(N, 3, H, W)` uint8, in batches, on the CPU."""
    return torch.cat([rival.encode(from_uint8(batch.to(device))).cpu() for batch in images.split(BATCH)])


def _images(config: Config) -> Tensor:
    return load_splits(config)["train"].images


def count_weights(network: nn.Module) -> int:
    """Return the number of a network's parameters."""
    return sum(weight.numel() for weight in network.parameters())


def _weights_digest(network: nn.Module) -> str:
    return arrays_digest({name: value.cpu().numpy() for name, value in network.state_dict().items()})


def settings_for_minutes(config: Config, kind: str, minutes: float, device: str = "auto") -> Config:
    """Return the profile's settings with as many steps as train an autoencoder for about `minutes`.

    The steps are estimated once, from a few with all losses, and kept in `results/<profile>/rivals/minutes.json`: a
    resumed training has the same number. A prior has its share of them in addition.

    Raises:
        ValueError: minutes that are no number above 0, or too few for the schedule (`pivq.config.at_length`); or the
            file is damaged.
    """
    if not minutes > 0:
        raise ValueError(f"minutes must be a number above 0, got {minutes!r}")
    path = results_dir(config.profile) / "rivals" / "minutes.json"
    known = _minutes(path)
    key = json.dumps([kind, minutes, replace(config, seed=0).digest("nearest"), rivals_digest()])  # one for all seeds
    if key not in known:
        known[key] = max(1, int(60 * minutes / _seconds_per_step(config, kind, device)))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, seal(known))
    return load_config(config.profile, config.seed, config.data, config.evaluation.features, layout=config.layout,
                       on_error=config.on_error, steps=known[key])  # fmt: skip


def _minutes(path: Path) -> dict[str, int]:
    try:
        return read_sealed(path)
    except FileNotFoundError:
        return {}
    except ValueError as error:  # an estimate made again would differ, and begin other trainings
        raise ValueError(f"{error}; delete it to estimate the steps again") from error


def _seconds_per_step(config: Config, kind: str, device: str) -> float:
    """Return the median seconds of a step with all losses."""
    if kind == "pi-vq":
        own, trainer = config, make_trainer(config, "matching", _images(config), device)
    else:
        own, on, perceptual = KINDS[kind].settings(config), pick_device(device), config.train.perceptual_network
        trainer = AutoencoderTrainer(own, KINDS[kind].build, _images(config), load_perceptual(perceptual).to(on), on)
    first = max(own.train.adversarial_from_step, own.train.quantize_from_step)
    trainer.step = first if first < own.train.steps else own.train.quantize_from_step
    seconds = []
    for _ in range(TIMED_STEPS + 2):
        started = time.perf_counter()
        trainer.train_step(trainer.batch(trainer.step))
        seconds.append(time.perf_counter() - started)
    return sorted(seconds[2:])[TIMED_STEPS // 2]
