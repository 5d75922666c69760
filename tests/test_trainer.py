"""The training step against plain autograd, the phases of a run, skipped steps, EMA, codebook resets, resuming."""

import copy
from types import SimpleNamespace

import pytest
import torch
from stand_ins import Perceptual, Stages, make_images
from torch import nn

from pivq.codebook_init import fit_codebook
from pivq.discriminator import diff_augment
from pivq.losses import FeatureDistance, training_loss
from pivq.optimizers import learning_rate_factor
from pivq.storage.checkpoint import load_checkpoint, save_checkpoint
from pivq.trainer import Trainer, TrainingDiverged, epoch_order


@pytest.fixture
def make_trainer(tiny_config):
    """Return a maker of trainers; keyword arguments are training settings."""

    def make(quantizer="matching", perceptual=None, seed=0, **train) -> Trainer:
        config = tiny_config(seed=seed, **{f"train__{name}": value for name, value in train.items()})
        return Trainer(config, quantizer, make_images(), perceptual or Perceptual())

    return make


def same(a, b) -> bool:
    """Say whether two states are equal bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def learned(trainer: Trainer) -> dict:
    """Return a copy of everything that a step may change but for counters, learning rate and random numbers."""
    state = copy.deepcopy(trainer.state_dict())
    for name in ("optimizer", "discriminator_optimizer"):
        state[name] = state[name]["state"]
    return {name: state[name] for name in state if name not in ("step", "skipped", "skipped_in_a_row", "rng", "config")}


def record(trainer: Trainer) -> list[dict[str, float]]:
    """Return a list that gets the losses of each step to come."""
    rows: list[dict[str, float]] = []
    trainer.callbacks.append(lambda trainer, losses: rows.append({k: float(v) for k, v in losses.items()}))
    return rows


# --- Batches and learning rate ----------------------------------------------------------------------------------------


def test_epoch_order_is_a_permutation_by_seed_and_epoch():
    orders = [epoch_order(50, seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(order.tolist()) == list(range(50)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 4
    torch.manual_seed(99)
    assert torch.equal(epoch_order(50, 1, 1), orders[3])


def test_an_epoch_shows_each_image_once(make_trainer):
    trainer, images = make_trainer(), make_images()
    for epoch in range(2):
        seen = torch.cat([trainer.batch(step) for step in range(6 * epoch, 6 * epoch + 6)])
        assert seen.dtype == torch.float32
        assert sorted((255 * seen).round().long().flatten(1).tolist()) == sorted(images.long().flatten(1).tolist())
    assert not torch.equal(trainer.batch(0), trainer.batch(6))


def test_a_batch_depends_on_step_and_seed_alone(make_trainer):
    trainer, other = make_trainer(), make_trainer(quantizer="nearest")
    trainer.fit(1)
    assert all(torch.equal(trainer.batch(step), other.batch(step)) for step in (0, 7, 11))
    assert not torch.equal(make_trainer(seed=1).batch(0), other.batch(0))


def test_images_over_from_the_last_full_batch_wait_for_another_epoch(tiny_config):
    trainer = Trainer(tiny_config(), "matching", make_images()[:22], Perceptual())
    seen = torch.cat([trainer.batch(step) for step in range(5)]).flatten(1)
    assert len(seen.unique(dim=0)) == 20


def test_fewer_images_than_a_batch_are_refused(tiny_config):
    with pytest.raises(ValueError, match="3 training images are fewer than one batch of 4"):
        Trainer(tiny_config(), "matching", make_images()[:3], Perceptual())


def test_processes_without_images_are_refused(make_trainer, monkeypatch):
    stand_in = SimpleNamespace(num_processes=5, process_index=0, device="cpu")
    monkeypatch.setattr("pivq.processes.Accelerator", lambda **_: stand_in)
    with pytest.raises(ValueError, match="5 processes cannot share a batch of 4: .* at most 4"):
        make_trainer()


def test_learning_rate_factor_by_hand(tiny_config):
    factors = [learning_rate_factor(step, tiny_config()) for step in range(8)]
    assert factors == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 0.5 + 0.5**1.5, 0.5, 0.5 - 0.5**1.5])
    never = tiny_config(train__decay_from=1.0, train__warmup_steps=0)
    assert [learning_rate_factor(step, never) for step in range(8)] == [1.0] * 8


def test_the_step_uses_its_learning_rate(make_trainer):
    trainer = make_trainer()
    rates = []
    trainer.callbacks.append(lambda t, losses: rates.append([g["lr"] for g in t.optimizers.adam.param_groups]))
    trainer.fit()
    assert rates == [[1e-3 * learning_rate_factor(step, trainer.config)] * 2 for step in range(8)]
    assert {group["lr"] for group in trainer.discriminator_optimizer.param_groups} == {1e-3}


def test_weight_decay_is_on_weight_matrices_alone(make_trainer):
    trainer = make_trainer(muon_learning_rate=0.0)
    names = {parameter: name for name, parameter in trainer.model.named_parameters()}
    decayed, free = ({names[p] for p in group["params"]} for group in trainer.optimizers.adam.param_groups)
    assert [group["weight_decay"] for group in trainer.optimizers.adam.param_groups] == [0.01, 0.0]
    assert decayed | free == set(names.values()) and not decayed & free
    embeddings = {"encoder.positions", "encoder.tokens", "decoder.outputs", "quantizer.codebook"}
    assert free == {name for name in free if name.endswith("bias") or "norm" in name or ".up." in name or
                    ".down." in name} | embeddings  # fmt: skip
    assert all(name.endswith("weight") for name in decayed)
    assert {"decoder.conv_out.weight", "encoder.transformer.layers.0.query.weight"} <= decayed


# --- One step against plain autograd ----------------------------------------------------------------------------------


@pytest.mark.parametrize("quantizer", ["matching", "nearest"])
@pytest.mark.parametrize("limit", [1e9, 1e-3])
def test_gradients_are_those_of_the_papers_loss(make_trainer, quantizer, limit):
    weights = {"adversarial_limit": limit, "perceptual_weight": 0.3, "reconstruction_weight": 2.0}
    trainer = make_trainer(quantizer, perceptual=FeatureDistance(Stages()), gradient_clip=0.0, **weights)
    trainer.fit(6)
    for network in (trainer.model, trainer.ema, trainer.discriminator, trainer.perceptual):
        network.double()
    trainer.optimizers.step = trainer.discriminator_optimizer.step = lambda *_: None
    batch = trainer.batch(6).double()

    # The oracle: whole losses, differentiated with respect to the parameters by autograd, nothing shared.
    torch.manual_seed(1)
    parameters = list(trainer.model.parameters())
    output = trainer.model(batch)
    quantization, l1 = output.quantization, (output.images - batch).abs().mean()
    perceptual = trainer.perceptual(output.images, batch).mean()
    nll = 2.0 * l1 + 0.3 * perceptual
    augmented = diff_augment(output.images)  # once: the discriminator's own loss is of the same fakes
    adversarial = -trainer.discriminator(augmented).mean()
    last = trainer.model.decoder.conv_out.weight
    norms = [torch.autograd.grad(loss, last, retain_graph=True)[0].norm() for loss in (nll, adversarial)]
    weight = min(float(norms[0] / (norms[1] + 1e-4)), limit)
    loss = nll + weight * adversarial + 0.25 * quantization.codebook_loss + 1.0 * quantization.commitment_loss
    terms = {"l1": l1, "perceptual": perceptual, "adversarial": adversarial, "adaptive_weight": torch.tensor(weight)}
    terms |= {"codebook": quantization.codebook_loss, "commitment": quantization.commitment_loss}
    torch.testing.assert_close(training_loss(terms, trainer.config.train), loss)
    expected = torch.autograd.grad(loss, parameters, retain_graph=True)

    real, fake = (trainer.discriminator(x) for x in (diff_augment(batch), augmented.detach()))
    hinge = 0.5 * ((1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean())
    discriminators = list(trainer.discriminator.parameters())
    expected_discriminator = torch.autograd.grad(hinge, discriminators)

    torch.manual_seed(1)
    losses = trainer.train_step(batch)
    assert float(losses["adaptive_weight"]) == pytest.approx(weight, rel=1e-6)
    assert (weight < limit) == (limit > 1), "both sides of the limit are tried"
    assert float(losses["discriminator"]) == pytest.approx(float(hinge.detach()))
    for parameter, gradient in zip(parameters + discriminators, expected + expected_discriminator, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-5, atol=1e-8)


def test_reported_losses_are_unweighted(make_trainer):
    trainer = make_trainer(perceptual_weight=0.3)
    trainer.fit(3)
    batch = trainer.batch(3)
    output = trainer.model(batch)
    expected = {
        "l1": (output.images - batch).abs().mean(),
        "perceptual": (output.images - batch).square().mean(),
        "codebook": output.quantization.codebook_loss,
        "commitment": output.quantization.commitment_loss,
    }
    losses = trainer.train_step(batch)
    assert losses.keys() == expected.keys()
    assert not any(loss.requires_grad for loss in losses.values())
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value.detach())


def test_gradient_is_clipped_to_its_norm(make_trainer):
    trainer = make_trainer(gradient_clip=1e-3)
    trainer.fit(1)
    norm = torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None]).norm()
    assert float(norm) == pytest.approx(1e-3, rel=1e-3)


def test_neither_network_leaves_gradients_on_the_other(make_trainer):
    trainer = make_trainer()
    trainer.fit(5)
    batch = trainer.batch(5)
    for network in (trainer.model, trainer.discriminator):
        network.zero_grad(set_to_none=True)
    output = trainer.model(batch)
    _, fake_logits = trainer._backward(output, batch)
    assert all(parameter.grad is None for parameter in trainer.discriminator.parameters())
    gradients = [p.grad.clone() for p in trainer.model.parameters()]
    trainer._backward_discriminator(batch, fake_logits)
    assert all(map(torch.equal, gradients, [p.grad for p in trainer.model.parameters()]))
    assert all(parameter.grad is not None for parameter in trainer.discriminator.parameters())


def test_the_perceptual_network_is_asked_only_if_it_counts(make_trainer):
    def forbidden(images, targets):
        raise AssertionError("asked")

    trainer = make_trainer(perceptual=forbidden, perceptual_weight=0.0)
    rows = record(trainer)
    trainer.fit(2)
    assert [set(row) for row in rows] == [{"l1"}] * 2


# --- The phases of a run ----------------------------------------------------------------------------------------------


def test_terms_appear_when_their_time_has_come(make_trainer):
    trainer = make_trainer()
    rows = record(trainer)
    trainer.fit()
    plain = {"l1", "perceptual"}
    quantized = plain | {"codebook", "commitment"}
    judged = quantized | {"discriminator"}
    assert [set(row) for row in rows] == (
        [plain] * 3 + [quantized] + [judged] + [judged | {"adversarial", "adaptive_weight"}] * 3
    )
    assert all(0 <= row["adaptive_weight"] <= 0.5 for row in rows[5:])


def test_the_discriminator_trains_before_the_generator_first_sees_it(make_trainer):
    trainer = make_trainer()
    before = copy.deepcopy(trainer.discriminator.state_dict())
    trainer.fit(4)
    assert same(before, trainer.discriminator.state_dict())
    trainer.fit(5)
    assert not same(before, trainer.discriminator.state_dict()), "step 4 trains it, step 5 shows it to the generator"


@pytest.mark.parametrize("quantizer", ["matching", "nearest"])
def test_quantizing_says_whether_the_last_step_did(make_trainer, quantizer):
    trainer = make_trainer(quantizer)
    flags = []
    trainer.callbacks.append(lambda trainer, losses: flags.append((trainer.quantizing, "codebook" in losses)))
    assert not trainer.quantizing
    trainer.fit()
    assert flags == [(False, False)] * 3 + [(True, True)] * 5


def test_quantizing_from_the_first_step(make_trainer):
    trainer = make_trainer(quantize_from_step=0, codebook_initialisations=0)
    rows = record(trainer)
    codebook = trainer.model.quantizer.codebook.detach().clone()
    trainer.fit(1)
    assert "codebook" in rows[0] and trainer.quantizing
    moved = (trainer.model.quantizer.codebook.detach() - codebook).abs().amax()
    assert 0 < float(moved) < 1e-2, "a random codebook, changed by a gradient step alone"


def test_both_quantizers_share_every_bit_before_quantization(make_trainer):
    states = []
    for quantizer in ("matching", "nearest"):
        trainer = make_trainer(quantizer)
        trainer.fit(3)
        state = trainer.state_dict()
        assert state.pop("quantizer") == quantizer
        states.append(state)
    assert same(*states)
    other = make_trainer(seed=1)
    other.fit(3)
    assert not same(states[0]["model"], other.state_dict()["model"])


def test_history_holds_the_encoder_outputs_of_the_window(make_trainer):
    trainer = make_trainer()
    trainer.fit(1)
    expected = []
    for step in (1, 2):
        with torch.no_grad():
            expected.append(trainer.model.encoder(trainer.batch(step)).flatten(0, 1))
        trainer.fit(step + 1)
    assert torch.equal(trainer.history.gather(), torch.cat(expected))


@pytest.mark.parametrize("quantizer", ["matching", "nearest"])
def test_each_initialisation_resets_codebook_average_and_moments(make_trainer, quantizer):
    trainer = make_trainer(quantizer)
    codebook, average = trainer.model.quantizer.codebook, trainer.ema.quantizer.codebook
    for step in (3, 5):
        trainer.fit(step)
        assert (codebook in trainer.optimizers.adam.state) == (step > 3)
        others = {p: copy.deepcopy(s) for p, s in trainer.optimizers.adam.state.items() if p is not codebook}
        weights = copy.deepcopy(trainer.model.encoder.state_dict())
        expected = fit_codebook(trainer.history.gather(), 12, seed=step)
        trainer.initialise_codebook()
        assert torch.equal(codebook, expected) and torch.equal(average, expected)
        assert codebook not in trainer.optimizers.adam.state
        assert same(others, {p: s for p, s in trainer.optimizers.adam.state.items() if p is not codebook})
        assert same(weights, trainer.model.encoder.state_dict())
        trainer.fit(step + 1)  # initialises once more, from the same latents, and takes a step
        assert float(trainer.optimizers.adam.state[codebook]["step"]) == 1
        torch.testing.assert_close(codebook, expected, rtol=0, atol=5e-3)


def test_too_few_distinct_latents_are_refused_with_what_would_be_enough(make_trainer):
    trainer = make_trainer()
    trainer.fit(3)
    trainer.history.latents[0][:] = trainer.history.latents[1][:] = torch.arange(16.0)[:, None] // 2  # 8 distinct
    with pytest.raises(ValueError, match="step 3: W = 2 steps of 4 images with L = 4 latents gave 32 latents, of which "
                       "8 are distinct, cannot give 12 codes; at this rate history_steps .* at least 3"):  # fmt: skip
        trainer.initialise_codebook()


def test_initialisations_happen_at_their_steps_and_no_other(make_trainer, monkeypatch):
    trainer = make_trainer()
    steps = []
    real = trainer.initialise_codebook
    monkeypatch.setattr(trainer, "initialise_codebook", lambda: (steps.append(trainer.step), real()))
    trainer.fit()
    assert steps == [3, 5]


@pytest.mark.parametrize("every", [1, 2])
def test_the_average_by_hand(make_trainer, every):
    trainer = make_trainer(ema_every=every)
    assert same(dict(trainer.ema.named_parameters()), dict(trainer.model.named_parameters()))
    expected = {name: p.detach().double().clone() for name, p in trainer.model.named_parameters()}
    for step in range(3):
        trainer.fit(step + 1)
        if (step + 1) % every == 0:
            for name, parameter in trainer.model.named_parameters():
                expected[name] = 0.9 * expected[name] + 0.1 * parameter.detach().double()
        for name, average in trainer.ema.named_parameters():
            torch.testing.assert_close(average, expected[name].float(), rtol=1e-5, atol=1e-6)
    assert not any(parameter.requires_grad for parameter in trainer.ema.parameters())


# --- Steps without a finite gradient ----------------------------------------------------------------------------------


# Before T_q, quantizing, with the discriminator, with everything.
@pytest.mark.parametrize("step, bad", [(1, float("nan")), (3, float("inf")), (4, float("nan")), (6, float("nan"))])
def test_a_step_without_a_finite_gradient_changes_nothing_and_is_counted(make_trainer, step, bad):
    perceptual = Perceptual()
    trainer = make_trainer(perceptual=perceptual)
    trainer.fit(step)
    before = learned(trainer)
    perceptual.factor = bad
    losses = trainer.train_step(trainer.batch(step))
    assert not torch.isfinite(losses["perceptual"])
    assert not any(loss.requires_grad for loss in losses.values())
    assert same(before, learned(trainer))
    assert trainer.skipped == 1
    perceptual.factor = 1.0
    trainer.train_step(trainer.batch(step))
    assert not same(before, learned(trainer))
    assert trainer.skipped == 1


def test_a_bad_discriminator_gradient_stops_both_updates(make_trainer):
    trainer = make_trainer()
    trainer.fit(4)
    next(trainer.discriminator.parameters()).data[0] = float("inf")
    before = learned(trainer)
    trainer.train_step(trainer.batch(4))
    assert trainer.skipped == 1
    assert same({**before, "discriminator": 0}, {**learned(trainer), "discriminator": 0})


def test_only_bad_steps_in_a_row_stop_the_run(make_trainer):
    perceptual = Perceptual()
    trainer = make_trainer(perceptual=perceptual, nonfinite_limit=2)
    good = {2, 4}

    def choose(trainer, losses):
        perceptual.factor = 1.0 if trainer.step in good else float("nan")

    trainer.callbacks.append(choose)
    before = learned(trainer)
    with pytest.raises(TrainingDiverged, match="2 steps in a row up to step 6 .* not finite"):
        trainer.fit()
    assert trainer.skipped == 1 + 1 + 2  # step 1, step 3, steps 5 and 6
    assert trainer.step == 6
    assert not same(before, learned(trainer))


@pytest.mark.parametrize("quantizer", ["matching", "nearest"])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_latents_that_are_not_finite_stop_the_step_naming_the_image(make_trainer, quantizer, bad):
    trainer = make_trainer(quantizer)
    trainer.fit(4)
    before = learned(trainer)
    batch = trainer.batch(4)
    batch[1, 0, 3, 3] = bad
    with pytest.raises(ValueError, match="latents of image 1 of the batch are not finite"):
        trainer.train_step(batch)
    assert same(before, learned(trainer))
    assert (trainer.step, trainer.skipped) == (4, 0)


def test_before_quantization_bad_latents_are_a_skipped_step_and_never_reach_the_history(make_trainer):
    trainer = make_trainer()
    trainer.fit(2)
    before = learned(trainer)
    batch = trainer.batch(2)
    batch[1, 0, 3, 3] = float("nan")
    trainer.train_step(batch)
    assert trainer.skipped == 1
    assert same(before, learned(trainer))


def test_exact_reconstructions_give_finite_gradients(make_trainer):
    trainer = make_trainer(perceptual=FeatureDistance(Stages()))
    trainer.fit(6)
    batch = trainer.batch(6)
    with torch.no_grad():  # the batch is what the model makes of itself: x̂ = x
        nn.init.zeros_(trainer.model.decoder.conv_out.weight)
        trainer.model.decoder.conv_out.bias.zero_()
        batch.fill_(0.5)
    losses = trainer.train_step(batch)
    assert float(losses["l1"]) == 0.0 and float(losses["perceptual"]) < 1e-12
    assert trainer.skipped == 0
    assert float(losses["adaptive_weight"]) <= 0.5


# --- Resuming ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def straight_runs(tiny_config, tmp_path_factory):
    """Return runs of all eight steps by quantizer: folder of a checkpoint a step, losses by step, last state."""
    runs = {}
    for quantizer in ("matching", "nearest"):
        folder = tmp_path_factory.mktemp(quantizer)
        trainer = Trainer(tiny_config(), quantizer, make_images(), Perceptual())
        rows = record(trainer)
        trainer.callbacks.append(
            lambda trainer, losses, folder=folder: save_checkpoint(folder / f"{trainer.step}.pt", trainer.state_dict())
        )
        trainer.fit()
        runs[quantizer] = (folder, rows, trainer.state_dict())
    return runs


# Cut early, in a window of latents, at T_q, between two codebooks, with everything on; mid-epoch but for 6.
@pytest.mark.parametrize("quantizer, cut", [("matching", cut) for cut in (1, 2, 3, 4, 6)] + [("nearest", 4)])
def test_resuming_is_bit_for_bit_the_straight_run(make_trainer, straight_runs, quantizer, cut):
    folder, rows, last = straight_runs[quantizer]
    trainer = make_trainer(quantizer)
    torch.manual_seed(12345)  # another process has other random numbers
    trainer.load_state_dict(load_checkpoint(folder / f"{cut}.pt"))
    assert trainer.step == cut
    again = record(trainer)
    trainer.fit()
    assert again == rows[cut:]
    assert same(trainer.state_dict(), last)


def test_a_run_with_checkpoints_is_the_run_without(make_trainer, straight_runs):
    trainer = make_trainer()
    trainer.fit()
    assert same(trainer.state_dict(), straight_runs["matching"][2])


def test_resuming_counts_bad_steps_in_a_row_across_the_cut(make_trainer):
    perceptual = Perceptual()
    trainer = make_trainer(perceptual=perceptual)
    perceptual.factor = float("nan")
    trainer.fit(2)
    again = make_trainer(perceptual=perceptual)
    again.load_state_dict(trainer.state_dict())
    assert (again.step, again.skipped) == (2, 2)
    with pytest.raises(TrainingDiverged, match="3 steps in a row"):
        again.fit(3)


def test_resuming_with_another_batch_size_warns_with_both_values(make_trainer, recwarn):
    state = make_trainer().state_dict()
    make_trainer().load_state_dict(state)
    assert not recwarn.list
    with pytest.warns(UserWarning, match="train.batch_size is 8, the checkpoint was made with 4"):
        make_trainer(batch_size=8).load_state_dict(state)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["model", "ema", "discriminator", "optimizer", "discriminator_optimizer", "history"])
def test_a_checkpoint_that_is_not_finite_is_refused_by_name_and_changes_nothing(make_trainer, place, bad):
    trainer = make_trainer("nearest")
    trainer.fit(6)
    state, step = copy.deepcopy(trainer.state_dict()), trainer.step
    before = copy.deepcopy(trainer.model.state_dict())
    if place == "history":
        damaged = torch.zeros(4, 16)
        state["history"] = [damaged]
    elif place.endswith("optimizer"):
        damaged = state[place]["state"][0]["exp_avg"]
    else:
        damaged = next(iter(state[place].values()))
    damaged.flatten()[0] = bad
    state["step"] = 2
    with pytest.raises(ValueError, match="the checkpoint's (latent )?" + place + ".* not finite, in .*it is damaged"):
        trainer.load_state_dict(state)
    assert trainer.step == step
    assert all(torch.equal(value, before[name]) for name, value in trainer.model.state_dict().items())
