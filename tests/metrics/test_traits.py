"""Traits are read from features whose meaning is known, and counted by hand."""

import numpy as np
import pandas as pd
import pytest

from pivq.metrics.traits import LEAST, TraitClassifier, count_traits


def faces(count=200, seed=0):
    """Return features whose first two columns are the attributes, the rest noise."""
    rng = np.random.default_rng(seed)
    labels = pd.DataFrame({"beard": rng.integers(0, 2, count), "hat": rng.random(count) < 0.2}).astype("Int64")
    return np.hstack([labels.to_numpy(float) + rng.normal(0, 0.1, (count, 2)), rng.normal(size=(count, 5))]), labels


def test_what_features_say_is_read():
    features, labels = faces()
    read = TraitClassifier(features, labels)
    others, truth = faces(seed=1)
    assert read.names == ["beard", "hat"]
    assert (read(others) == truth.to_numpy(bool)).mean() > 0.99


def test_one_attribute_is_read_too():
    features, labels = faces()
    assert TraitClassifier(features, labels[["hat"]])(features).shape == (200, 1)


def test_rare_and_unknown_attributes_are_left_out():
    features, labels = faces()
    rare = pd.Series([1] * (LEAST - 1) + [0] * (201 - LEAST), dtype="Int64")
    frame = labels.assign(rare=rare, common=1 - rare, hidden=labels["beard"].mask(labels.index == 5))
    assert TraitClassifier(features, frame).names == ["beard", "hat"]
    with pytest.raises(ValueError, match=f"no attribute has {LEAST} images with it and {LEAST} without"):
        TraitClassifier(features, frame[["rare", "hidden"]])
    with pytest.raises(ValueError, match="199 rows of features, but 200 of attributes"):
        TraitClassifier(features[1:], labels)


def test_counts_by_hand():
    """Images 0 and 1 are bare, 2 and 3 bearded; image 4 is bare but read as bearded, so its pairs do not count."""
    labels = np.array([[0], [0], [1], [1], [0]], dtype=bool)
    shown = np.array([[0], [0], [1], [1], [1]], dtype=bool)
    parents = np.array([[0, 1], [1, 0], [2, 3], [3, 2], [0, 2], [0, 4]])
    samples = np.array([[1], [0], [1], [0], [1], [1]], dtype=bool)
    counts = {name: values[:, 0].tolist() for name, values in count_traits(samples, parents, shown, labels).items()}
    assert counts == {
        "neither": [True, True, False, False, False, False],
        "both": [False, False, True, True, False, False],
        "gained": [True, False, False, False, False, False],
        "lost": [False, False, False, True, False, False],
    }
