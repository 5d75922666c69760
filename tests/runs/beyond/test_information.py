"""Bits by hand, against scikit-learn, with missing labels; and what chance says."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_matrix
from sklearn.metrics import mutual_info_score

from pivq.runs.beyond.information import (
    code_information,
    entropy_bits,
    labels_of,
    largest_by_chance,
    shares_with_codes,
    unit_information,
)

BIT = np.log(2)


def made_up(count: int = 300) -> tuple[np.ndarray, pd.DataFrame]:
    """Return presence `(N, 5)` and two attributes, one of which follows the first code and misses some labels."""
    generator = np.random.default_rng(0)
    inputs = (generator.random((count, 5)) < (0.5, 0.3, 0.1, 0.0, 1.0)).astype(float)
    hat = pd.Series(np.where(generator.random(count) < 0.8, inputs[:, 0], 1 - inputs[:, 0]), dtype="Float64")
    hat[::7] = pd.NA
    return inputs, pd.DataFrame({"hat": hat.astype("Int8"), "beard": (generator.random(count) < 0.2).astype(int)})


def test_bits_of_codes_are_those_of_scikit_learn_over_known_labels():
    inputs, attributes = made_up()
    bits = code_information(csr_matrix(inputs), attributes)
    assert bits.shape == (5, 2)
    for j, (_, column) in enumerate(attributes.items()):
        known = column.notna().to_numpy()
        for code in range(5):
            expected = mutual_info_score(inputs[known, code], column[known].astype(int)) / BIT
            assert bits[code, j] == pytest.approx(expected, abs=1e-12)
    assert bits[0, 0] > 0.2 and np.all(bits[3:] == 0), "a code that none or all have says nothing"


def test_bits_of_units_are_those_of_scikit_learn_and_of_codes_where_units_are_codes():
    inputs, attributes = made_up()
    categories = np.random.default_rng(1).integers(-2, 3, (len(inputs), 3))
    bits = unit_information(categories, attributes)
    known = attributes["hat"].notna().to_numpy()
    for unit in range(3):
        expected = mutual_info_score(categories[known, unit], attributes["hat"][known].astype(int)) / BIT
        assert bits[unit, 0] == pytest.approx(expected, abs=1e-12)
    both = unit_information(inputs.astype(int), attributes), code_information(csr_matrix(inputs), attributes)
    np.testing.assert_allclose(*both, atol=1e-12)


def test_a_group_can_say_all_of_which_each_code_says_a_part():
    attributes = pd.DataFrame({"a": [0, 0, 1, 1], "b": [0, 1, 0, 1]})
    assert unit_information([[0], [1], [2], [3]], attributes).tolist() == [[1.0, 1.0]]
    alone = code_information(csr_matrix(np.eye(4)), attributes)
    third = -(np.log2(1 / 3) + 2 * np.log2(2 / 3)) / 3  # entropy of the label where the code is not there
    assert alone == pytest.approx(np.full((4, 2), 1 - 0.75 * third))


def test_entropy_and_shares_by_hand():
    attributes = pd.DataFrame({"a": pd.array([1, 0, 0, 0, None], "Int8"), "never": [0] * 5})
    assert entropy_bits(attributes) == pytest.approx([0.25 * 2 + 0.75 * np.log2(4 / 3), 0])
    having, lacking = shares_with_codes(csr_matrix([[1, 0], [1, 0], [0, 0], [0, 0], [1, 0]]), attributes)
    assert having[0].tolist() == [0.5, 0] and lacking[0].tolist() == [0, 0]
    assert np.isnan(having[1]).all() and lacking[1].tolist() == [0.25, 0]


def test_chance_is_far_below_a_real_finding_and_is_what_a_shuffle_leaves():
    inputs, attributes = made_up()
    inform = lambda labels: code_information(csr_matrix(inputs), labels)  # noqa: E731
    chance = largest_by_chance(inform, attributes, shuffles=10, seed=3)
    assert 0 < chance < 0.1 * inform(attributes).max()
    assert chance == largest_by_chance(inform, attributes, shuffles=10, seed=3)
    orders = np.random.default_rng(3)
    by_hand = [inform(attributes.iloc[orders.permutation(len(attributes))]).max() for _ in range(10)]
    assert chance == max(by_hand)


def test_what_are_no_labels_is_refused():
    for wrong in ([2, 0], ["1", "0"], [0.5, 1]):
        with pytest.raises(ValueError, match="labels must be 0, 1 or missing"):
            labels_of(pd.DataFrame({"a": wrong}), 2)
    with pytest.raises(ValueError, match="one per image"):
        labels_of(pd.DataFrame({"a": [0, 1]}), 3)
    with pytest.raises(TypeError, match="attributes must be a data frame"):
        labels_of(np.zeros((2, 1)), 2)
    with pytest.raises(ValueError, match="categories must be whole numbers"):
        unit_information([[0.5]], pd.DataFrame({"a": [0]}))
    with pytest.raises((TypeError, ValueError), match="inform must be a function"):
        largest_by_chance(None, pd.DataFrame({"a": [0]}))
