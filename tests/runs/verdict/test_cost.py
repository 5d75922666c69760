"""Times of made-up assignments: only their order of magnitude can be tested."""

import torch

from pivq.runs.verdict import cost
from pivq.storage.paths import CHECKOUT


def test_growth_finds_exponents(monkeypatch):
    """On a clock that runs with the work: nearest takes n², matching n³."""
    clock = [0.0]
    monkeypatch.setattr(cost.time, "process_time", lambda: clock[0])
    works = {"nearest": lambda d: clock.__setitem__(0, clock[0] + d.numel()), "match": lambda d: clock.__setitem__(
        0, clock[0] + d.numel() * d.shape[2])}  # fmt: skip
    monkeypatch.setattr(cost, "_nearest", works["nearest"])
    monkeypatch.setattr(cost, "match", works["match"])
    for row in cost.growth(sizes=(16, 32, 64), repeats=1):
        assert abs(row["nearest_exponent"] - 2) < 1e-6 and abs(row["matching_exponent"] - 3) < 1e-6
        assert row["ratio"] == 64


def test_the_crowded_case_is_crowded():
    for share, most in ((1.0, 64), (49 / 512, 6)):
        codebook, latents = cost._example(512, share, dim=32)
        assert codebook.shape == (512, 32) and latents.shape == (1, 64, 32)
        assert len(torch.cdist(latents, codebook).argmin(dim=2).unique()) == most


def test_stored_times_are_of_both_cases_and_those_of_the_verdict(monkeypatch, tmp_path):
    rows = cost.stored_growth()
    assert [row["latents"] for row in rows] == ["near codes of their own", "crowded on few codes"]
    verdict = (CHECKOUT / "figures" / "quick" / "verdict.md").read_text()
    assert all(f"{row['latents']}: n^{row['matching_exponent']:.1f}" in verdict for row in rows), "judged again"
    monkeypatch.setattr(cost, "STORED", tmp_path / "none.json")
    assert cost.stored_growth() is None
