"""The measurements on a GPU: what is left out for want of time, the tables, and the whole script at tiny sizes."""

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import gpu  # noqa: E402
from gpu import NOT_YET, SECONDS, WAYS, Clock, main, precisions, tables  # noqa: E402

STEP = {"precision": "fp16", "seconds": 0.0641, "images_per_second": 249.6, "peak_gb": 3.21, "matching_share": 0.052,
        "seconds_to_compile": None, "skipped": 0, "overflows": 1}  # fmt: skip


def test_without_a_gpu_one_line_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "finds no GPU" in said.err


@pytest.mark.parametrize("argv, said", [(["--device", "cpu"], "--quick"), (["--quick", "--write"], "makes none")])
def test_nothing_is_measured_that_would_mean_nothing(argv, said, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(SystemExit) as end:
        main(argv)
    assert end.value.code == 2 and said in capsys.readouterr().err


def test_a_measurement_that_would_overrun_is_left_out(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(gpu.time, "monotonic", lambda: now[0])

    def job(seconds):
        now[0] += seconds
        return {"seconds": seconds}

    clock = Clock(100)
    assert clock.measure(lambda: job(30)) == {"seconds": 30}
    assert clock.measure(lambda: job(30), expected=71) == {"missing": "no time left"}
    assert clock.measure(lambda: job(45), expected=70) == {"seconds": 45}
    assert clock.measure(lambda: job(1)) == {"missing": "no time left"}, "25 seconds are left, 45 may be needed"
    assert sum(SECONDS.values()) <= 8 * 60


def test_a_card_with_too_little_memory_loses_a_row_only():
    def job():
        raise torch.OutOfMemoryError("CUDA out of memory")

    clock = Clock(100)
    assert clock.measure(job) == {"missing": "out of memory"}
    assert clock.measure(lambda: {"seconds": 1}) == {"seconds": 1}


@pytest.mark.parametrize(
    "capability, offered", [((7, 5), "fp32 fp16"), ((8, 9), "fp32 bf16 fp16"), ((6, 1), "fp32")]
)
def test_precisions_of_a_card(monkeypatch, capability, offered):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    found = precisions(torch.device("cuda"))
    assert set(found) == {*offered.split(), "auto"}
    assert found["auto"] == {"fp32 fp16": "fp16", "fp32 bf16 fp16": "bf16", "fp32": "fp32"}[offered]


def test_tables_show_what_each_card_measured_and_what_none_has():
    text = tables({"Tesla T4": {"steps": {"celeba64_short fp16": STEP, "ffhq256 fp32": {"missing": "out of memory"}}}})
    assert "| Tesla T4 | celeba64_short fp16 | 64.1 | 250 | 3.2 | 5.2% | – |" in text
    assert "| Tesla T4 | ffhq256 fp32 | out of memory | – | – | – | – |" in text
    assert text.count(NOT_YET) == 3, "parity, metrics and training"
    assert tables({}).count(NOT_YET) == 4


def test_the_document_has_the_tables_of_what_was_measured():
    assert gpu.DOCUMENT.read_text(encoding="utf-8") == gpu.document(), "run python benchmarks/gpu.py --write"


def test_all_of_it_at_tiny_sizes(tmp_path, monkeypatch, capsys):
    """Every row is measured or says why not; the numbers are kept as they come."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    out = tmp_path / "gpu.json"
    assert main(["--device", "cpu", "--quick", "--out", str(out), "--parts", "steps", "parity", "metrics"]) == 0
    (found,) = json.loads(out.read_text(encoding="utf-8")).values()
    missing = {row: numbers["missing"] for row, numbers in found["steps"].items() if "missing" in numbers}
    assert len(found["steps"]) == len(WAYS) * len(gpu.PROFILES)
    assert set(missing.values()) == {"not on this device", "for GPUs only"}  # half precision, compiled
    for row, numbers in found["steps"].items():
        if row not in missing:
            assert 0 < numbers["matching_share"] < 1 and numbers["skipped"] == 0, row
            assert row.split()[1] == numbers["precision"]
    assert found["parity"]["fp32"]["l1"] == 0, "the CPU against itself"
    assert found["parity"]["bf16"] == found["parity"]["fp16"] == {"missing": "not on this device"}
    assert {row: numbers["samples"] for row, numbers in found["metrics"].items()} == {
        "PRDC, 200": 200, "PRDC, 400": 400, "Fréchet distance, 200": 200, "Fréchet distance, 400": 400,
    }  # fmt: skip
    assert tables({"CPU, tiny sizes": found}) in capsys.readouterr().out


@pytest.mark.gpu
def test_a_gpu_computes_the_losses_of_the_cpu():
    found = dict(gpu.measure_parity(torch.device("cuda"), True, Clock(600)))
    assert found["fp32"]["l1"] < 1e-2  # products in TF32
    assert all(numbers["l1"] < 0.1 for numbers in found.values() if "missing" not in numbers)


@pytest.mark.gpu
def test_matching_is_a_small_part_of_a_step_on_a_gpu():
    found = dict(gpu.measure_steps(torch.device("cuda"), False, Clock(60)))
    measured = {row: numbers["matching_share"] for row, numbers in found.items() if "missing" not in numbers}
    assert measured and all(share <= gpu.SHARE for share in measured.values()), measured
