"""Scores of representations whose scores are known; the rest by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_tiny_config
from scipy.sparse import csr_matrix

from pivq.rivals.rival import Rival
from pivq.rivals.vqvae import VQVAE, vqvae_settings
from pivq.runs.beyond import disentanglement as module
from pivq.runs.beyond.disentanglement import (
    CODE,
    EXACT,
    SHUFFLED,
    TOKEN,
    Representation,
    categories_of,
    dci,
    importances,
    in_words,
    mutual_information_gap,
    of_rival,
    of_sets,
    score,
    score_all,
)

GROUPS = np.arange(8) // 2


@pytest.fixture
def sets() -> tuple[Representation, pd.DataFrame, pd.DataFrame]:
    """Return sets of four codes, the first three of which each are one attribute; and attributes of both splits."""
    bits = np.random.default_rng(0).integers(0, 2, (600, 4))
    codes, attributes = bits + 2 * np.arange(4), pd.DataFrame(bits[:, :3], columns=list("abc"))
    return of_sets("sets", codes[:400], codes[400:], 8, GROUPS), attributes[:400], attributes[400:]


def test_dci_by_hand():
    assert dci(np.eye(3)) == (1, 1) and dci(np.ones((3, 3))) == (0, 0)
    assert dci(np.eye(4)[:, :3]) == (1, 1), "a unit that nothing uses costs nothing"
    assert dci([[1, 1]] + [[0, 0]] * 3) == (0, 1), "one unit for both attributes"
    disentangled, complete = dci([[1, 0], [1, 0], [0, 1], [0, 1]])
    assert disentangled == 1 and complete == pytest.approx(0.5), "two of four units for each attribute"
    assert dci([[5, 0, 0], [0, 1, 0], [0, 0, 0]]) == (1, pytest.approx(2 / 3)), "nothing reads the third"
    # Columns are divided by their sums first: the first unit has shares 1 of a and 1/4 of b, the second 3/4 of b.
    entropy = -(0.8 * np.log2(0.8) + 0.2 * np.log2(0.2))
    assert dci([[8, 1], [0, 3]])[0] == pytest.approx((1.25 * (1 - entropy) + 0.75) / 2)
    for wrong in ([[-1.0]], [[np.nan]], [1.0]):
        with pytest.raises(ValueError, match="importance must be"):
            dci(wrong)


def test_gap_by_hand():
    bits = np.array([[1.0, 0.4, 0.0], [0.0, 0.4, 0.0], [0.0, 0.1, 0.0]])
    assert mutual_information_gap(bits, np.array([1.0, 0.8, 0.0])) == 0.5
    assert mutual_information_gap(bits[:1], np.array([2.0, 0.8, 1.0])) == pytest.approx((0.5 + 0.5 + 0) / 3)


def test_values_of_units():
    counts = csr_matrix([[1.0, 0, 1, 0], [0, 1, 1, 0], [1, 0, 1, 0], [2, 0, 0, 0], [1, 1, 0, 0]])
    first, second = categories_of(counts, np.array([0, 0, 1, 1])).T
    assert first[0] == first[2] and len(set(first.tolist())) == 4, "which codes, and how often"
    assert second.tolist() == [second[0]] * 3 + [0, 0]
    numbers = np.array([[0.0, 3.0], [0.049, 3.0], [0.051, 3.0], [1.0, 3.0]])
    assert categories_of(numbers, np.array([1, 0])).T.tolist() == [[0] * 4, [0, 0, 1, 19]]
    with pytest.raises(ValueError, match="one column each"):
        categories_of(numbers, np.array([0, 0]))


def test_one_group_an_attribute_is_disentangled_and_complete_and_shuffled_labels_are_not(sets):
    code, group = score(*sets)
    assert (group["unit"], group["units"], code["unit"], code["units"]) == (TOKEN, 4, CODE, 8)
    for name in ("disentanglement", "completeness", "mig", "disentanglement_bits", "completeness_bits"):
        assert group[name] > 0.95
    assert group["informativeness"] > 0.4 and code["mig"] == pytest.approx(0, abs=1e-9), "both codes of a group say it"
    (_, chance) = score(*sets, shuffled=1)
    assert chance["labels"] == SHUFFLED and chance["mig"] < 0.05 and abs(chance["informativeness"]) < 0.1
    assert chance["completeness"] < 0.7 and chance["disentanglement_bits"] < group["disentanglement_bits"]


def test_importances_follow_the_columns_that_matter(sets):
    representation, attributes, tested = sets
    weights, gains, names = importances(representation.train, attributes, representation.heldout, tested)
    assert names == ["a", "b", "c"] and weights.shape == (8, 3) and (weights >= 0).all()
    by_group = np.add.reduceat(weights, [0, 2, 4, 6])
    assert by_group.argmax(axis=0).tolist() == [0, 1, 2] and (gains > 0.4).all()
    rare = attributes.assign(a=0, b=attributes["b"].astype("Int8").mask(np.arange(400) % 2 == 0))
    assert importances(representation.train, rare, representation.heldout, tested)[2] == ["b", "c"]


def test_numbers_that_are_attributes_are_disentangled_and_mixed_ones_are_not():
    generator = np.random.default_rng(2)
    hidden = generator.normal(size=(1200, 3))
    attributes = pd.DataFrame((hidden > 0).astype(int), columns=list("abc"))
    turned = hidden @ np.linalg.qr(generator.normal(size=(3, 3)))[0]
    units = {"dimension": np.arange(3)}
    apart, mixed = (score(Representation("vae", rows[:800], rows[800:], units), attributes[:800], attributes[800:])[0]
                    for rows in (hidden, turned))  # fmt: skip
    assert apart["disentanglement"] > 0.9 and apart["completeness"] > 0.9 and apart["mig"] > 0.6
    assert mixed["disentanglement"] < 0.6 and mixed["mig"] < 0.4 and mixed["informativeness"] > 0.35


def test_the_first_model_has_a_control_and_nothing_to_score_is_said(sets):
    frame = score_all([sets[0], sets[0]._replace(name="other")], *sets[1:])
    assert frame[["model", "labels"]].values.tolist() == [["sets", EXACT]] * 2 + [["other", EXACT]] * 2 + [
        ["sets", SHUFFLED]] * 2  # fmt: skip
    told = in_words(frame)
    assert told[0].startswith("**Against chance**, by token: completeness")
    assert told[1].startswith("**Against other** (4 tokens): dis") and "score higher in 0 of 6: none" in told[1]
    row = {"model": "sets", "labels": EXACT, "unit": TOKEN, "units": 4} | dict.fromkeys(module.SCORES, 0.5)
    chance = row | {"labels": SHUFFLED, "disentanglement": 0.6}
    weak = in_words(pd.DataFrame([row | {"unit": CODE}, row, chance, chance | {"unit": CODE}]))
    assert "Alone it says nothing" in weak[0] and len(weak) == 1
    empty = score_all([sets[0]], sets[1] * 0, sets[2])
    assert (empty["attributes"] == 0).all() and "Nothing could be scored" in in_words(empty)[0]


class Pixels(Rival):
    """Stores the first row of the first channel, as numbers."""

    def encode(self, images):
        return images[:, 0, 0]

    def features(self, stored):
        return stored.numpy()


def test_units_of_rivals(monkeypatch):
    monkeypatch.setattr(module, "SCORED", 4)
    images = torch.randint(0, 256, (6, 3, 16, 16), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    found = of_rival("pixels", Pixels(), images, images[:2], "cpu")
    assert found.train.shape == (4, 16) and found.heldout.shape == (2, 16)
    assert {unit: columns.tolist() for unit, columns in found.units.items()} == {"dimension": list(range(16))}
    config = vqvae_settings(make_tiny_config())
    cells = of_rival("vq-vae", VQVAE(config.model).eval(), images, images[:2], "cpu")
    size = config.model.codebook_size
    assert list(cells.units) == ["cell"] and cells.units["cell"].tolist() == np.repeat(range(16), size).tolist()
    assert (categories_of(cells.train, cells.units["cell"]) > 0).all(), "every cell has a code"
