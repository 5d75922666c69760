"""A few trials of each campaign of this folder; `report.py` runs many. And its document is what they left."""

import bombs
import clashes
import damage
import full_disk
import kills
import oracles
import pytest
import report
from mutants import MUTANTS
from trials import tally


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.mark.parametrize("campaign, count", [(kills, 3), (clashes, 2), (full_disk, 3), (bombs, 1), (oracles, 50)])
def test_a_few_of_each(campaign, count):
    assert tally(campaign.trials(count, 0))["faults"] == []


def test_each_kept_file_is_damaged_in_one_way():
    assert tally(damage.trials(0, 0))["faults"] == []


def test_the_document_is_what_the_harness_left():
    text = report.DOCUMENT.read_text(encoding="utf-8")
    assert text == report.render(report.read()), "python tests/trust/report.py --only '' writes it"


def test_the_document_lists_all_deliberate_faults():
    listed = [row[:2] for row in report.read()["mutants"]]
    assert listed == [[what, file] for what, file, *_ in MUTANTS], "python tests/trust/report.py --only mutants"
