"""Training by a recipe: the paper's where nothing is changed, resumed bit for bit, and each change where it belongs."""

import copy

import pytest
import torch
from conftest import make_tiny_config
from stand_ins import Perceptual, make_images

from pivq.codebook_init import initialisation_steps
from pivq.rivals.recipe.settings import CHANGES, Recipe, together
from pivq.rivals.recipe.trainer import RecipeTrainer
from pivq.trainer import Trainer

ALL = together(["rotation trick", "later T_q", "projected codes", "distribution matching", "re-seeded codes",
                "drawn tokens", "recombined"])  # fmt: skip
PLAIN = {"train__discriminator_augmentation": False}  # which would draw random numbers


def make(recipe: Recipe, steps: int = 0, **settings) -> RecipeTrainer:
    """Return a trainer after so many steps."""
    trainer = RecipeTrainer(make_tiny_config(**settings), recipe, make_images(), Perceptual())
    trainer.fit(steps)
    return trainer


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(value, b[name]) for name, value in a.items())
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


@pytest.fixture(scope="module")
def usual() -> Trainer:
    """Return the paper's trainer at its end."""
    trainer = Trainer(make_tiny_config(), "matching", make_images(), Perceptual())
    trainer.fit()
    return trainer


@pytest.fixture(scope="module")
def longer() -> Trainer:
    """Return the paper's trainer at the end of 14 steps, of which the last ten quantize."""
    config = make_tiny_config(train__steps=14, train__quantize_from_step=4)
    trainer = Trainer(config, "matching", make_images(), Perceptual())
    trainer.fit()
    return trainer


def test_without_changes_it_is_the_paper_s_training_bit_for_bit(usual):
    state, expected = make(CHANGES["as trained"], steps=8).state_dict(), usual.state_dict()
    assert {name for name in state if name not in expected} == {"recipe", "reseeded"}
    assert same({name: state[name] for name in expected}, expected)


def test_with_everything_in_place_and_without_effect_it_is_so_too(usual):
    """A code that would have to be idle for 1,000 windows is never set anew; all else goes through the recipe."""
    trainer = make(Recipe(reseed_windows=1000), steps=8)
    expected = usual.state_dict()
    for part in ("model", "ema", "discriminator"):
        state = trainer.state_dict()[part]
        assert same({name: state[name] for name in expected[part]}, expected[part]), part
    assert torch.equal(trainer.state_dict()["rng"], expected["rng"]) and trainer.reseeded == 0


@pytest.mark.parametrize("name", [name for name in CHANGES if name != "as trained"])
def test_each_change_changes_the_model_and_trains_every_weight(name, longer):
    trainer = make(CHANGES[name], train__steps=14, train__quantize_from_step=4)
    before = {key: weight.detach().clone() for key, weight in trainer.model.named_parameters()}
    trainer.fit()
    after = dict(trainer.model.named_parameters())
    assert [key for key, weight in before.items() if torch.equal(weight, after[key])] == []
    assert trainer.skipped == 0
    same_end = torch.equal(longer.model.decoder.conv_out.weight, trainer.model.decoder.conv_out.weight)
    assert not same_end, "it has done nothing"


def test_a_resumed_training_is_the_straight_one():
    """With all changes; the state is taken in the middle, and the training goes on to its end first."""
    straight = make(ALL, steps=7, train__steps=12)
    state = copy.deepcopy(straight.state_dict())
    straight.fit()
    torch.manual_seed(99)
    second = make(ALL, train__steps=12)
    second.load_state_dict(state)
    second.fit()
    assert same(second.state_dict(), straight.state_dict()) and second.reseeded > 0


def test_a_checkpoint_of_another_recipe_is_refused():
    state = make(Recipe(rotation=True)).state_dict()
    with pytest.raises(ValueError, match="is of the recipe"):
        make(Recipe(rotation=True, warm_up=1.5)).load_state_dict(state)


def test_shared_weights_start_alike():
    plain, other = make(Recipe()).model.state_dict(), make(ALL).model.state_dict()
    drawn = {"encoder.tokens", "encoder.positions"}  # of another spread
    shared = [name for name in plain if name in other and plain[name].shape == other[name].shape]
    assert len(shared) > 20 and all(torch.equal(plain[name], other[name]) for name in set(shared) - drawn)


@pytest.mark.parametrize(("name", "steps"), [("earlier T_q", [2, 4]), ("as trained", [4, 6]), ("later T_q", [6, 8])])
def test_the_codebook_is_fitted_at_the_delay_of_the_recipe(name, steps):
    trainer = make(CHANGES[name], train__steps=10, train__quantize_from_step=4)
    assert initialisation_steps(trainer.config.train) == steps


# --- Recombined codes -------------------------------------------------------------------------------------------------


def gradients(weight: float) -> tuple[dict, dict, torch.Tensor]:
    """Return gradients, terms and logits of one step, at which the trainers of all weights are alike."""
    trainer = make(Recipe(recombined_weight=weight, reseed_windows=1000), **PLAIN)
    trainer.step = 6
    images = trainer.batch(6)
    output = trainer.model(images, True, trainer._tokens())
    terms, logits = trainer._backward(output, images)
    return {name: weight.grad.clone() for name, weight in trainer.model.named_parameters()}, terms, logits


def test_recombined_codes_move_the_decoder_alone_and_as_much_as_their_weight_says():
    (none, usual_terms, usual), (once, terms, both), (twice, _, _) = map(gradients, (0.0, 1.0, 2.0))
    for name in none:
        first, second = once[name] - none[name], twice[name] - none[name]
        if name.startswith("decoder"):
            assert first.abs().max() > 0, name
            assert torch.allclose(second, 2 * first, rtol=1e-2, atol=1e-4 * float(first.abs().max())), name
        else:
            assert torch.equal(once[name], none[name]), name
    assert len(both) == 2 * len(usual) == 8 and torch.equal(both[:4], usual)
    assert "recombined" not in usual_terms and torch.isclose(terms["recombined"], -both[4:].mean())


def test_the_gradient_is_that_of_the_adversarial_loss_of_decoded_samples():
    trainer = make(Recipe(recombined_weight=0.5), **PLAIN)
    trainer.step = 6
    images = trainer.batch(6)
    output = trainer.model(images, True, trainer._tokens())
    terms, _ = trainer._backward(output, images)
    found = trainer.model.decoder.conv_out.weight.grad.clone()
    other = make(Recipe(reseed_windows=1000), **PLAIN)  # the same weights, without recombination
    other.step = 6
    again = other.model(images, True, other._tokens())
    other._backward(again, images)
    mixed = other.model.images_of(trainer._recombined(output.quantization.codes))
    loss = -0.5 * terms["adaptive_weight"] * other.discriminator(mixed).mean()
    (expected,) = torch.autograd.grad(loss, other.model.decoder.conv_out.weight)
    assert torch.allclose(found - other.model.decoder.conv_out.weight.grad, expected, rtol=1e-3, atol=1e-7)


def test_samples_are_those_of_algorithm_1_of_pairs_of_the_batch():
    trainer = make(Recipe(recombined_weight=1.0))
    codes = torch.stack([torch.randperm(12, generator=torch.Generator().manual_seed(i))[:4] for i in range(6)])
    trainer.step = 5
    mixed, again = trainer._recombined(codes), trainer._recombined(codes)
    assert torch.equal(mixed, again)
    sets, parents = [set(row) for row in codes.tolist()], []
    for row in mixed.tolist():
        assert len(set(row)) == 4
        parents.append([(a, b) for a in range(6) for b in range(6)
                        if a != b and sets[a] & sets[b] <= set(row) <= sets[a] | sets[b]])  # fmt: skip
    assert all(parents)
    trainer.step = 6
    assert not torch.equal(trainer._recombined(codes), mixed)


def test_nothing_is_recombined_before_there_are_codes_and_an_adversarial_loss():
    seen = []
    settings = {"train__quantize_from_step": 6, "train__steps": 10} | PLAIN
    trainer = make(Recipe(recombined_weight=1.0), **settings)
    trainer.callbacks = [lambda trainer, losses: seen.append("recombined" in losses)]
    trainer.fit()
    assert seen == [False] * 6 + [True] * 4  # steps 0 … 5 have no codes; the adversarial loss begins with step 5


# --- Re-seeded codes --------------------------------------------------------------------------------------------------


def test_idle_codes_become_recent_latents_and_others_stay():
    trainer = make(Recipe(reseed_windows=3), steps=7, train__steps=20)
    quantizer = trainer.model.quantizer
    quantizer.unused[:] = torch.tensor([6, 5, 9] + [0] * 9)  # W = 2: from 6 steps on
    book, ema = quantizer.codebook.detach().clone(), trainer.ema.quantizer.codebook.clone()
    moments = {name: value.clone() for name, value in trainer.optimizers.adam.state[quantizer.codebook].items()}
    before = trainer.reseeded
    trainer._reseed()
    changed = (quantizer.codebook != book).any(dim=1).nonzero()[:, 0].tolist()
    assert changed == [0, 2] and trainer.reseeded - before == 2
    latents = [tuple(row) for row in quantizer.remembered().tolist()]
    assert all(tuple(quantizer.codebook[i].tolist()) in latents for i in changed)
    assert not torch.equal(quantizer.codebook[0], quantizer.codebook[2])
    assert torch.equal(trainer.ema.quantizer.codebook[changed], quantizer.codebook[changed])
    assert torch.equal(trainer.ema.quantizer.codebook[1], ema[1])
    for name in ("exp_avg", "exp_avg_sq"):
        now = trainer.optimizers.adam.state[quantizer.codebook][name]
        assert not now[changed].any() and torch.equal(now[[1, *range(3, 12)]], moments[name][[1, *range(3, 12)]])
    assert quantizer.unused[:3].tolist() == [0, 5, 0]


def test_a_fitted_codebook_has_no_idle_codes():
    trainer = make(Recipe(reseed_windows=3), steps=3, train__steps=20)
    trainer.model.quantizer.unused[:] = 5
    trainer.initialise_codebook()
    assert not trainer.model.quantizer.unused.any()


def test_codes_that_no_latent_takes_come_into_use():
    """Half of the codes are put far away: left alone they stay there, re-seeded they do not."""
    left = {}
    for name, windows in (("left alone", 1000), ("re-seeded", 1)):
        trainer = make(Recipe(reseed_windows=windows), steps=6, train__steps=10)
        with torch.no_grad():
            trainer.model.quantizer.codebook[6:] += 100
        trainer.fit()
        left[name] = int((trainer.model.quantizer.codebook.abs().amax(dim=1) > 50).sum())
    assert left == {"left alone": 6, "re-seeded": 0}
