"""Numbers of the paper, computed again."""

import pytest

from pivq.runs.verdict.judging import DIFFERS, RECOMPUTED, REPRODUCED


@pytest.mark.parametrize(
    "name, judgement, ours",
    [
        ("matching_bits", REPRODUCED, "2,220.7 bits"),
        ("nearest_bits", DIFFERS, "611.3 bits"),
        ("capacity_ratio", REPRODUCED, "3.63×"),
        ("maximum_bits", REPRODUCED, "2,313.1 bits"),
        ("vqgan_bits", REPRODUCED, "2,560.0 bits"),
        ("similar_capacity", REPRODUCED, "2,221 of 2,560 bits, 87%"),
        ("positional_above", REPRODUCED, "for every L from 2 to 512"),
        ("matching_above", DIFFERS, "from L = 67 on"),
        ("average_fid", REPRODUCED, "39.8"),
        ("average_precision", REPRODUCED, "0.707"),
        ("average_recall", REPRODUCED, "0.173"),
        ("average_density", REPRODUCED, "0.81"),
        ("average_coverage", REPRODUCED, "0.495"),
        ("best_averages", REPRODUCED, "2.3, 0.817, 0.56, 1.18, 0.65"),
        ("neither_best_nor_worst", DIFFERS, "FFHQ 5 of 5, CelebA 2 of 5, CelebA-HQ 0 of 3"),
        ("path_count", REPRODUCED, "36 for |R| = 3"),
    ],
)
def test_arithmetic_of_the_paper(facts, by_id, name, judgement, ours):
    found = by_id(facts)[name]
    assert (found.kind, found.judgement, found.ours) == (RECOMPUTED, judgement, ours)


def test_it_needs_nothing_measured(facts, by_id):
    alone = by_id({"config": facts["config"], "interpolation": facts["interpolation"]})
    for name, found in by_id(facts).items():
        if found.kind == RECOMPUTED:
            assert (found.judgement, found.ours) == (alone[name].judgement, alone[name].ours), name


def test_the_ratio_measured_here_stands_beside_the_papers(facts, by_id):
    assert "Measured here: 1.70× with learned tokens (1.70× with each set counted once)." in by_id(facts)[
        "capacity_ratio"].why  # fmt: skip
    facts["capacity"]["drawn"] = {"L": 64, "nearest": {"bits": 100.0}, "matching": {"bits": 250.0}}
    facts["capacity"]["drawn"]["nearest"] |= {"max_codes_per_image": 9, "mean_codes_per_image": 8.0}
    facts["capacity"]["drawn"]["matching"] |= {"max_codes_per_image": 64, "mean_codes_per_image": 64.0}
    for quantizer in ("nearest", "matching"):
        facts["capacity"]["drawn"][quantizer]["bits_counted_once"] = 1.0
    assert by_id(facts)["capacity_ratio"].why.endswith(", 2.50× with drawn ones.")


def test_where_614_may_come_from(facts, by_id):
    """C(L + K_img − 1, K_img) in place of C(L + K_img − 1, K_img − 1), as the reason says."""
    from math import comb, log2

    bits = {k: log2(comb(k, 49) * comb(512 + 49 - 1, 49)) for k in (4029, 4030, 4086, 4087, 4096)}
    assert f"{bits[4096]:.1f}" == "614.7" and [round(bits[k]) for k in (4029, 4030, 4086, 4087)] == [613, 614, 614, 615]
    assert "614.7, so 614 for 4,030 to 4,086" in by_id(facts)["nearest_bits"].why
