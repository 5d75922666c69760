"""The training of the rivals: the same step as PI-VQ's, resumed bit for bit, and priors that learn."""

import copy
import math

import pytest
import torch
from conftest import make_tiny_config
from stand_ins import Perceptual, make_images

from pivq.model import PIVQ
from pivq.rivals.absorbing import AbsorbingPrior
from pivq.rivals.autoregressive import AutoregressivePrior
from pivq.rivals.tokenset import FixedSumDiffusion, TokenSet, tokenset_settings
from pivq.rivals.training import AutoencoderTrainer, PriorTrainer, prior_settings
from pivq.rivals.vae import VAE, vae_settings
from pivq.rivals.vqvae import VQVAE, vqvae_settings
from pivq.trainer import Trainer

KINDS = [(VAE, vae_settings), (VQVAE, vqvae_settings), (TokenSet, tokenset_settings)]
PRIORS = [AutoregressivePrior, AbsorbingPrior, FixedSumDiffusion]


def equal(a: dict, b: dict) -> bool:
    return all(torch.equal(value, b[name]) for name, value in a.items()) and a.keys() == b.keys()


def codes() -> torch.Tensor:
    return torch.randint(12, (24, 4), generator=torch.Generator().manual_seed(0))


def test_the_trainer_trains_pi_vq_as_pi_vq_s_own_does():
    """With PI-VQ in a rival's place, and its tokens, every weight comes out the same."""
    config = make_tiny_config()
    usual = Trainer(config, "nearest", make_images(), Perceptual())
    usual.fit()
    torch.manual_seed(config.seed)
    other = AutoencoderTrainer(config, lambda sizes: PIVQ(sizes, "nearest"), make_images(), Perceptual())
    start = Trainer(config, "nearest", make_images(), Perceptual())
    other.model.load_state_dict(start.model.state_dict())
    other.ema.load_state_dict(start.model.state_dict())
    torch.manual_seed(config.seed)
    Trainer(config, "nearest", make_images(), Perceptual())  # leaves the generator where it was for `usual`
    other.fit()
    assert equal(usual.ema.state_dict(), other.ema.state_dict())


@pytest.mark.parametrize(("build", "settings"), KINDS)
def test_a_resumed_training_is_the_straight_one(build, settings):
    config = settings(make_tiny_config())
    straight = AutoencoderTrainer(config, build, make_images(), Perceptual())
    straight.fit()
    first = AutoencoderTrainer(config, build, make_images(), Perceptual())
    first.fit(5)
    state = copy.deepcopy(first.state_dict())
    torch.manual_seed(99)
    second = AutoencoderTrainer(config, build, make_images(), Perceptual())
    second.load_state_dict(state)
    second.fit()
    assert second.step == straight.step == 8 and straight.skipped == 0
    assert equal(straight.ema.state_dict(), second.ema.state_dict())
    assert equal(straight.discriminator.state_dict(), second.discriminator.state_dict())


@pytest.mark.parametrize(("build", "settings"), KINDS)
def test_every_weight_is_trained(build, settings):
    config = settings(make_tiny_config())
    trainer = AutoencoderTrainer(config, build, make_images(), Perceptual())
    before = copy.deepcopy(trainer.model.state_dict())
    trainer.fit()
    assert [name for name, value in trainer.model.state_dict().items() if torch.equal(value, before[name])] == []


@pytest.mark.parametrize("build", PRIORS)
def test_a_prior_resumes_and_repeats_itself(build):
    config = prior_settings(make_tiny_config(train__steps=20))
    assert config.train.steps == 8
    straight = PriorTrainer(config, build, codes())
    straight.fit()
    first = PriorTrainer(config, build, codes())
    first.fit(3)
    second = PriorTrainer(config, build, codes())
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    torch.manual_seed(99)
    second.fit()
    assert second.step == 8 and equal(straight.ema.state_dict(), second.ema.state_dict())


def test_another_seed_is_another_prior():
    first, second = (
        PriorTrainer(prior_settings(make_tiny_config(seed=seed)), AbsorbingPrior, codes()) for seed in (0, 1)
    )
    assert not equal(first.model.state_dict(), second.model.state_dict())


@pytest.mark.parametrize("build", [AutoregressivePrior, AbsorbingPrior])
def test_a_prior_learns_which_codes_go_together(build):
    """Of four equally frequent images each needs two bits; with each place by itself it would be eight."""
    images = torch.tensor([[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11], [3, 3, 3, 3]]).repeat(6, 1)
    trainer = PriorTrainer(prior_settings(make_tiny_config(train__steps=300)), build, images)
    before = trainer.ema.bits(images, torch.Generator().manual_seed(0))
    trainer.fit()
    after = trainer.ema.bits(images, torch.Generator().manual_seed(0))
    assert before > 4 * math.log2(12) - 2 and 1.9 < after < 6
