"""The paper's numbers, as far as they can contradict each other."""

import pytest

from pivq import paper


def test_claims_have_names_of_their_own_and_numbers_have_units():
    ids = [claim.id for claim in paper.CLAIMS]
    assert len(set(ids)) == len(ids) > 30
    assert all(bool(claim.unit) == (claim.value is not None) for claim in paper.CLAIMS)


@pytest.mark.parametrize("metric", ["fid", "precision", "recall"])
def test_averages_under_table_3_follow_from_its_rows(metric):
    own = [getattr(row, metric) for row in paper.TABLE3 if row.method == "PI-VQ"]
    printed = getattr(paper.TABLE3_AVERAGES[1], metric)
    assert len(own) == 3
    assert sum(own) / 3 == pytest.approx(printed, abs=0.005 if metric != "fid" else 0.05)


def test_averages_of_density_and_coverage_leave_celeba_hq_out():
    own = {row.data: row for row in paper.TABLE3 if row.method == "PI-VQ" and "CelebA-HQ" not in row.data}
    assert len(own) == 2
    assert sum(row.density for row in own.values()) / 2 == pytest.approx(paper.TABLE3_AVERAGES[1].density, abs=0.005)
    assert sum(row.coverage for row in own.values()) / 2 == pytest.approx(paper.TABLE3_AVERAGES[1].coverage, abs=0.0051)
