"""Hours on paper: counted operations, and the document that shows them."""

import sys
from pathlib import Path

import pytest

from pivq.config import load_config

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import hours  # noqa: E402
from hours import LEAST, main, step_operations, table  # noqa: E402


def test_operations_of_a_convolution_and_more_steps():
    """Twice the batch is twice the operations, and each network counts: a multiply-add is two operations."""
    small, large = (load_config("celeba64_short", train__batch_size=size) for size in (8, 16))
    assert step_operations(large) == pytest.approx(2 * step_operations(small), rel=1e-6)
    # VGG16's multiply-adds at 64 × 64, by hand: sum over its convolutions of 9 · in · out · height · width.
    shapes = [(3, 64, 64), (64, 64, 64), (64, 128, 32), (128, 128, 32), (128, 256, 16), (256, 256, 16), (256, 256, 16)]
    shapes += [(256, 512, 8), (512, 512, 8), (512, 512, 8)] + 3 * [(512, 512, 4)]
    vgg = 16 * 2 * sum(9 * before * after * size**2 for before, after, size in shapes)
    assert step_operations(large) > 3 * vgg
    wide = load_config("celeba64_short", train__discriminator_width=128)
    assert step_operations(wide) > step_operations(large)


def test_both_models_of_the_short_profile_take_at_most_three_hours_on_a_t4():
    config = load_config("celeba64_short")
    assert 1 < hours.hours(config, "T4") <= 3
    fast = hours.hours(config, "H100")
    assert fast == pytest.approx(LEAST * 60_000 * 1.8 / 3600), "no step is faster than its kernels can be started"


@pytest.mark.parametrize("name", hours.DOCUMENTS)
def test_the_documents_have_the_counted_hours(name):
    text = (hours.DOCS / name).read_text(encoding="utf-8")
    assert text == hours.document(name), "run python benchmarks/hours.py --write"


def test_the_arithmetic_of_the_session_is_that_of_the_code():
    """docs/paper_scale.md writes out the hours of `celeba64_short` on a T4."""
    text, config = (hours.DOCS / "paper_scale.md").read_text(encoding="utf-8"), load_config("celeba64_short")
    operations, steps = step_operations(config), config.train.steps * 1.8
    share = hours.UTILISATION[64]
    seconds = operations / (share * hours.PEAK["T4"][1])
    assert f"{operations / 1e12:.3f} Tflop / ({share} × 65 Tflop/s)" in text
    assert f"{1000 * seconds:.0f} ms per step, × {steps:,.0f} steps = {hours.hours(config, 'T4'):.1f} hours" in text
    least = operations * steps / (3 * 3600) / hours.PEAK["T4"][1]
    assert f"To fit three hours, {least:.1%} of the peak would be enough" in text
    for _, peak in hours.PEAK.values():
        assert f"{peak / 1e12:.0f}" in text


def test_measured_hours_stand_beside_those_on_paper(monkeypatch):
    steps = {"celeba64_short fp16": {"seconds": 0.08}, "celeba64 fp16": {"missing": "out of memory"}}
    monkeypatch.setattr(hours, "kept", lambda: {"Tesla T4": {"auto": "fp16 with loss scaling", "steps": steps}})
    short, whole = (line for line in table().splitlines() if "celeba64_short" in line or "`celeba64`" in line)
    assert "measured 2.4" in short and "measured" not in whole


def test_money_is_hours_times_the_price_that_was_stated(capsys):
    assert main(["--price", "T4=2"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "celeba64_short" in line)
    assert float(row.split("|")[-2]) == pytest.approx(2 * hours.hours(load_config("celeba64_short"), "T4"), abs=0.05)
    for wrong in ("T4", "T4=x", "K80=1", "T4=-1"):
        with pytest.raises(SystemExit):
            main(["--price", wrong])
        assert "expected CARD=PRICE" in capsys.readouterr().err
