"""Number formats: what `auto` picks, float16's loss scale and its overflows, checkpoints, compiled blocks, layouts."""

import copy
import os
import warnings

import pytest
import torch
from stand_ins import Perceptual, make_images

from pivq import precision
from pivq.model import PIVQ
from pivq.precision import Precision, channels_last, compile_blocks, compile_if_asked, pick_precision, use_precision
from pivq.storage.checkpoint import load_checkpoint, save_checkpoint
from pivq.trainer import Trainer, TrainingDiverged

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch):
    """No precision is chosen, and none stays chosen."""
    monkeypatch.setenv(precision.VARIABLE, "no")
    monkeypatch.delenv(precision.VARIABLE)
    monkeypatch.delenv(precision.COMPILE, raising=False)


@pytest.fixture
def card(monkeypatch):
    """Return a setter of the GPU's compute capability."""

    def put(*capability: int) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "Tesla T4")

    return put


@pytest.fixture
def make_trainer(tiny_config, monkeypatch):
    """Return a maker of trainers on the CPU; "fp16" has float32 networks with float16's loss scale."""

    def make(name="fp32", **train) -> Trainer:
        config = tiny_config(**{f"train__{setting}": value for setting, value in train.items()})
        trainer = Trainer(config, "matching", make_images(), Perceptual())
        if name == "fp16":
            trainer.precision = Precision(CPU, "fp16")
            trainer.precision._dtype = torch.bfloat16  # a CPU's float16 is slow, and its range does not matter here
        elif name != "fp32":
            trainer.precision = Precision(CPU, name)
        return trainer

    return make


def same(a, b) -> bool:
    """Say whether two states are equal bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def record(trainer: Trainer) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    trainer.callbacks.append(lambda trainer, losses: rows.append({k: float(v) for k, v in losses.items()}))
    return rows


# --- Which precision --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capability, name", [((8, 0), "bf16"), ((9, 0), "bf16"), ((7, 5), "fp16"), ((6, 1), "fp32")])
def test_auto_takes_what_the_card_has(card, capability, name):
    card(*capability)
    assert pick_precision(GPU) == name and pick_precision(CPU) == "fp32"


def test_a_choice_goes_before_auto_and_to_processes_started_from_here(card):
    card(8, 0)
    for name in ("fp32", "fp16", "bf16"):
        use_precision(name)
        assert pick_precision(GPU) == name
        assert os.environ["ACCELERATE_MIXED_PRECISION"] == ("no" if name == "fp32" else name), "as accelerate names it"
    use_precision("auto")
    assert "ACCELERATE_MIXED_PRECISION" not in os.environ


def test_what_a_device_lacks_is_refused(card, tiny_config):
    card(7, 5)
    use_precision("bf16")
    assert pick_precision(CPU) == "bf16"
    with pytest.raises(ValueError, match="Tesla T4 has no bfloat16: use --precision fp16 or fp32"):
        pick_precision(GPU)
    use_precision("fp16")
    with pytest.raises(ValueError, match="fp16 needs a GPU: on a CPU, use --precision fp32 or bf16"):
        Trainer(tiny_config(), "matching", make_images(), Perceptual())
    with pytest.raises(ValueError, match="unknown precision 'fp61'; did you mean fp16"):
        use_precision("fp61")


def test_products_in_tf32_are_allowed_on_cards_that_have_it_and_said(card, monkeypatch):
    chosen = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", chosen.append)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", torch.backends.cudnn.allow_tf32)
    monkeypatch.setattr(torch.amp, "GradScaler", lambda device, enabled: None)
    card(7, 5)
    assert str(Precision(GPU, "fp32")) == "fp32" and not chosen
    card(8, 0)
    assert str(Precision(GPU, "fp32")) == "fp32 with products in TF32" and chosen == ["high"]
    assert [str(Precision(GPU, name)) for name in ("bf16", "fp16")] == ["bf16", "fp16 with loss scaling"]


# --- Half precision against float32 -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bf16", "fp16"])
def test_losses_are_about_those_of_float32(make_trainer, name):
    """Before T_q; later the codes that are chosen may differ."""
    rows = {}
    for format in ("fp32", name):
        trainer = make_trainer(format, quantize_from_step=7, codebook_initialisations=1)
        rows[format] = record(trainer)
        trainer.fit(7)
    for step, (full, half) in enumerate(zip(rows["fp32"], rows[name], strict=True)):
        assert full["l1"] == pytest.approx(half["l1"], rel=0.05), step
        assert set(full) == set(half)
    assert rows["fp32"] != rows[name]


def test_a_scale_without_half_precision_changes_only_rounding(make_trainer):
    """Losses times a power of two, gradients divided by it: the same bits, adaptive weight and clipping included."""
    plain = make_trainer()
    rows = [record(plain)]
    plain.fit()
    scaled = make_trainer("fp16")
    scaled.precision.autocast = plain.precision.autocast
    rows.append(record(scaled))
    scaled.fit()
    assert rows[0] == rows[1] and scaled.overflows == scaled.skipped == 0
    assert same(plain.model.state_dict(), scaled.model.state_dict())
    assert same(plain.discriminator.state_dict(), scaled.discriminator.state_dict())


# --- Overflows --------------------------------------------------------------------------------------------------------


def overflow(trainer: Trainer, above: float) -> None:
    """Make a weight's gradient overflow, as float16 does, where the scale is above a number."""
    weight = trainer.model.decoder.conv_out.bias

    def check(gradient):
        return torch.full_like(gradient, torch.inf) if trainer.precision.scaler.get_scale() > above else gradient

    weight.register_hook(check)


def test_an_overflow_halves_the_scale_and_is_no_bad_step(make_trainer):
    trainer = make_trainer("fp16")
    overflow(trainer, above=2.0**14)
    before = copy.deepcopy(trainer.model.state_dict())
    trainer.fit(2)  # of the first scale, 2^16, and of 2^15
    assert (trainer.overflows, trainer.skipped, trainer.step) == (2, 0, 2)
    assert same(before, trainer.model.state_dict()) and same(before, trainer.ema.state_dict())
    assert not trainer.optimizers.adam.state and trainer.precision.scaler.get_scale() == 2.0**14
    trainer.fit(3)
    assert not same(before, trainer.model.state_dict()) and trainer.overflows == 2


def test_the_discriminator_s_overflow_stops_both_updates(make_trainer):
    trainer = make_trainer("fp16")
    trainer.fit(5)
    weight = next(trainer.discriminator.parameters())
    hook = weight.register_hook(lambda gradient: torch.full_like(gradient, torch.inf))
    before = [copy.deepcopy(network.state_dict()) for network in (trainer.model, trainer.discriminator)]
    trainer.train_step(trainer.batch(5))
    hook.remove()
    assert (trainer.overflows, trainer.skipped) == (1, 0)
    assert same(before, [network.state_dict() for network in (trainer.model, trainer.discriminator)])


def test_losses_that_are_not_finite_are_bad_steps_at_any_scale(make_trainer):
    trainer = make_trainer("fp16", nonfinite_limit=2)
    trainer.perceptual.factor = float("nan")
    with pytest.raises(TrainingDiverged, match="2 steps in a row"):
        trainer.fit()
    assert (trainer.overflows, trainer.skipped) == (0, 2)


def test_gradients_that_no_scale_helps_end_the_run(make_trainer):
    trainer = make_trainer("fp16", steps=40, nonfinite_limit=3, quantize_from_step=39)
    overflow(trainer, above=0.0)
    with pytest.raises(TrainingDiverged, match="3 steps in a row up to step 18"):
        trainer.fit()
    assert (trainer.overflows, trainer.skipped) == (16, 3)


def test_the_scale_grows_again(make_trainer):
    trainer = make_trainer("fp16")
    trainer.precision.scaler.set_growth_interval(2)
    trainer.fit(4)
    assert trainer.precision.scaler.get_scale() == 4 * 2.0**16


# --- Checkpoints ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bf16", "fp16"])
@pytest.mark.parametrize("cut", [2, 6])
def test_a_resumed_run_is_that_without_a_break(make_trainer, tmp_path, name, cut):
    states = []
    for stops in ((8,), (cut, 8)):
        trainer = make_trainer(name)
        trainer.precision.scaler.set_growth_interval(3)
        overflow(trainer, above=2.0**15)
        for stop in stops:
            if stop != stops[0]:
                save_checkpoint(tmp_path / "checkpoint.pt", trainer.state_dict())
                trainer = make_trainer(name)
                overflow(trainer, above=2.0**15)
                trainer.load_state_dict(load_checkpoint(tmp_path / "checkpoint.pt"))
            trainer.fit(stop)
        states.append(trainer.state_dict())
    assert states[0]["precision"] == name and same(*states)
    assert bool(states[0]["scaler"]) == (name == "fp16") and (states[0]["overflows"] > 0) == (name == "fp16")


def test_another_precision_is_said_and_older_checkpoints_are_read(make_trainer):
    trainer = make_trainer()
    trainer.fit(2)
    state = trainer.state_dict()
    with pytest.warns(UserWarning, match="precision: bf16, the checkpoint was made with fp32"):
        make_trainer("bf16").load_state_dict(state)
    older = {name: state[name] for name in state if name not in ("scaler", "overflows")} | {"precision": "no"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other = make_trainer()
        other.load_state_dict(older)
    assert other.overflows == 0 and same(other.state_dict(), state)


# --- Layout and compiled blocks ---------------------------------------------------------------------------------------


def test_channels_last_is_for_gpus_and_changes_no_file(tiny_config, tmp_path):
    torch.manual_seed(0)
    model = PIVQ(tiny_config().model)
    images = torch.rand(2, 3, 16, 16)
    expected = model(images).images
    weight = model.decoder.conv_out.weight
    assert channels_last(model, CPU).decoder.conv_out.weight.is_contiguous()
    channels_last(model, GPU)
    assert not weight.is_contiguous() and weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(model(images).images, expected, rtol=1e-4, atol=1e-5)
    model.save_pretrained(tmp_path / "model")
    assert same(PIVQ.from_pretrained(tmp_path / "model").state_dict(), model.state_dict())


def test_blocks_are_compiled_one_by_one_with_the_same_results(tiny_config):
    torch.manual_seed(0)
    model, images = PIVQ(tiny_config().model), torch.rand(2, 3, 16, 16)
    expected, names = model(images, quantize=False).images, list(model.state_dict())
    torch._dynamo.reset()
    assert compile_blocks(model, images, backend="eager")
    torch.testing.assert_close(model(images, quantize=False).images, expected)
    assert list(model.state_dict()) == names
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 2
    torch._dynamo.reset()


def test_what_cannot_be_compiled_trains_without(tiny_config):
    def broken(graph, inputs):
        raise RuntimeError("no compiler here")

    model, images = PIVQ(tiny_config().model), torch.rand(2, 3, 16, 16)
    said = "cannot be compiled .*no compiler here.*training continues with uncompiled blocks"
    with pytest.warns(UserWarning, match=said):
        assert not compile_blocks(model, images, backend=broken)
    assert model(images).images.isfinite().all()
    torch._dynamo.reset()


def test_on_a_cpu_nothing_is_compiled(make_trainer, monkeypatch):
    monkeypatch.setattr(precision, "compile_blocks", None)
    trainer = make_trainer()
    compile_if_asked(trainer.model, trainer.batch(0), trainer.precision)
    for off in ("", "0", "false", "No"):
        monkeypatch.setenv(precision.COMPILE, off)
        with warnings.catch_warnings(action="error"):
            compile_if_asked(trainer.model, trainer.batch(0), trainer.precision)
    monkeypatch.setenv(precision.COMPILE, "1")
    with pytest.warns(UserWarning, match="--compile changes nothing on a CPU"):
        compile_if_asked(trainer.model, trainer.batch(0), trainer.precision)
