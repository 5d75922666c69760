"""Several trainings at once, in real processes, on a few faces of 32 pixels."""

import pytest

from pivq.checkpoint import load_checkpoint
from pivq.experiment import find_run, train
from pivq.parallel import train_together

SMALL = {"model__image_size": 32, "train__train_images": 24, "train__heldout_images": 10}


@pytest.fixture(autouse=True)
def own_root(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))


def test_runs_side_by_side_are_those_of_one_after_the_other(tiny_config, tmp_path, monkeypatch):
    config = tiny_config(**SMALL)
    together = train_together([(config, "matching"), (config, "nearest")], device="cpu")
    assert [run.quantizer for run in together] == ["matching", "nearest"]
    assert all(run == find_run(config, run.quantizer) for run in together)
    states = [load_checkpoint(run.folder / "checkpoint.pt") for run in together]
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path / "alone"))
    for quantizer, state in zip(("matching", "nearest"), states, strict=True):
        alone = load_checkpoint(train(config, quantizer, "cpu").folder / "checkpoint.pt")
        assert alone["step"] == state["step"] == config.train.steps
        for name, value in alone["ema"].items():  # another number of threads adds up in another order
            assert (value - state["ema"][name]).abs().max() < 1e-4, (quantizer, name)


def test_failure_of_a_process_is_told_with_its_reason(tiny_config):
    config = tiny_config(
        **SMALL, train__perceptual_network="vgg", train__quantize_from_step=0, train__codebook_initialisations=0
    )
    with pytest.raises(RuntimeError, match="unknown perceptual network 'vgg'"):
        train_together([(config, "matching")], device="cpu")
    assert find_run(config, "matching") is None
