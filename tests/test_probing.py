"""Probing: attributes that the codes hold, hold in part, and do not hold; labels that are missing or too few."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from pivq import probing
from pivq.probing import correlate_codes, pixel_statistics, probe, top_attributes

N, L, K = 200, 6, 20


@pytest.fixture(scope="module")
def codes():
    rng = np.random.default_rng(0)
    return np.stack([rng.permutation(K)[:L] for _ in range(N)])


@pytest.fixture(scope="module")
def attributes(codes):
    """Return attributes known in truth, indexed by ids that sort in another order than the rows."""
    rng = np.random.default_rng(1)
    held = (codes == 3).any(axis=1)
    frame = pd.DataFrame(
        {
            "held": held,
            "either": (codes == 3).any(axis=1) | (codes == 4).any(axis=1),
            "noisy": np.where(rng.random(N) < 0.8, held, rng.random(N) < 0.5),
            "unrelated": rng.random(N) < 0.3,
            "rare": np.arange(N) < 3,
            "nearly always": np.arange(N) >= 2,
            "never": np.zeros(N),
            "always": np.ones(N),
        },
        index=[f"{N - i:03d}" for i in range(N)],
    )
    return frame.astype("Int8")


@pytest.fixture(scope="module")
def frame(codes, attributes):
    return probe(codes, attributes, K).set_index("attribute")


# Accuracies


def test_columns_and_order(codes, attributes):
    frame = probe(codes, attributes, K)
    assert list(frame.columns) == [
        "attribute", "accuracy", "std", "baseline", "baseline_std", "positives", "used", "significant", "note",
    ]  # fmt: skip
    assert frame["attribute"].tolist() == list(attributes.columns)


def test_an_attribute_that_one_code_holds_is_predicted_without_error(frame, codes):
    assert frame.loc["held", ["accuracy", "std"]].tolist() == [1.0, 0.0]
    assert frame.loc["held", "positives"] == (codes == 3).any(axis=1).sum()
    assert frame.loc["held", "used"] == N
    assert frame.loc["held", "significant"] and frame.loc["held", "note"] == ""


def test_attributes_in_part_and_not_at_all(frame):
    assert frame.loc["either", "accuracy"] == 1.0  # a union of two codes is linearly separable
    assert frame.loc["noisy", "baseline"] + 0.05 < frame.loc["noisy", "accuracy"] < 1.0
    assert frame.loc["unrelated", "accuracy"] < frame.loc["unrelated", "baseline"] + 0.02
    assert not frame.loc["unrelated", "significant"]


def test_baseline_is_the_share_of_the_majority_class(frame, attributes):
    for name in ("held", "noisy", "unrelated"):
        share = attributes[name].mean()
        # Stratified folds hold the classes in equal parts, up to one image of 40 a fold.
        assert frame.loc[name, "baseline"] == pytest.approx(max(share, 1 - share), abs=0.005)
        assert frame.loc[name, "baseline_std"] < 0.02


def test_scores_are_those_of_scikit_learn_fold_by_fold(codes, attributes):
    row = probe(codes, attributes[["noisy"]], K, folds=4, seed=3).iloc[0]
    dense = np.zeros((N, K))
    for i, image in enumerate(codes):
        dense[i, image] = 1
    labels = attributes["noisy"].to_numpy(int)
    accuracies, baselines = [], []
    for train, test in StratifiedKFold(4, shuffle=True, random_state=3).split(dense, labels):
        model = LogisticRegression(solver="liblinear").fit(dense[train], labels[train])
        accuracies.append((model.predict(dense[test]) == labels[test]).mean())
        baselines.append((labels[test] == np.bincount(labels[train]).argmax()).mean())
    assert row["accuracy"] == pytest.approx(np.mean(accuracies), abs=1e-12)
    assert row["std"] == pytest.approx(np.std(accuracies, ddof=1), abs=1e-12)
    assert row["baseline"] == pytest.approx(np.mean(baselines), abs=1e-12)
    assert row["baseline_std"] == pytest.approx(np.std(baselines, ddof=1), abs=1e-12)


def test_significance_means_error_bars_apart(frame):
    scored = frame.dropna(subset="accuracy")
    apart = scored["accuracy"] - scored["std"] > scored["baseline"] + scored["baseline_std"]
    assert (scored["significant"] == apart).all()
    assert apart.any() and not apart.all()


def test_folds_follow_the_seed(codes, attributes):
    noisy = attributes[["noisy"]]
    pd.testing.assert_frame_equal(probe(codes, noisy, K, seed=1), probe(codes, noisy, K, seed=1))
    assert probe(codes, noisy, K, seed=1)["std"][0] != probe(codes, noisy, K, seed=2)["std"][0]


def test_an_attribute_is_probed_as_if_alone(codes, attributes, frame):
    alone = probe(codes, attributes[["noisy"]], K).set_index("attribute")
    pd.testing.assert_frame_equal(alone, frame.loc[["noisy"]])


# Labels that are missing or too few


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("rare", "too few positives: 3 for 5 folds"),
        ("nearly always", "too few negatives: 2 for 5 folds"),
        ("never", "too few positives: 0 for 5 folds"),
        ("always", "too few negatives: 0 for 5 folds"),
    ],
)
def test_too_few_of_a_class_are_reported(frame, name, note):
    row = frame.loc[name]
    assert row["note"] == note
    assert row[["accuracy", "std", "baseline", "baseline_std"]].isna().all()
    assert row["used"] == N and not row["significant"]


def test_as_many_of_a_class_as_folds_are_enough(codes):
    labels = pd.DataFrame({"rare": (np.arange(N) < 5).astype(int)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        row = probe(codes, labels, K).iloc[0]
    assert row["baseline"] == pytest.approx(0.975) and row["note"] == ""


def test_missing_labels_leave_their_images_out(codes, attributes):
    known = np.arange(N) % 4 != 0
    partial = attributes[["noisy"]].copy()
    partial.loc[~known, "noisy"] = pd.NA
    row = probe(codes, partial, K).iloc[0]
    expected = probe(codes[known], attributes.loc[known, ["noisy"]], K).iloc[0]
    assert row["used"] == known.sum()
    pd.testing.assert_series_equal(row, expected)


def test_an_attribute_without_any_label_is_reported(codes):
    row = probe(codes, pd.DataFrame({"unknown": pd.array([pd.NA] * N, dtype="Int8")}), K).iloc[0]
    assert (row["positives"], row["used"], row["note"]) == (0, 0, "too few positives: 0 for 5 folds")


@pytest.mark.parametrize("dtype", ["bool", "int64", "float64", "Int8", "boolean", "object"])
def test_labels_of_any_type_are_taken_alike(codes, attributes, frame, dtype):
    row = probe(codes, attributes[["noisy"]].astype(dtype), K).set_index("attribute")
    pd.testing.assert_frame_equal(row, frame.loc[["noisy"]])


def test_the_frame_is_left_alone(codes, attributes):
    before = attributes.copy()
    probe(codes, attributes[["held", "rare"]], K)
    pd.testing.assert_frame_equal(attributes, before)


@pytest.mark.parametrize(
    ("rows", "value", "folds", "message"),
    [
        (N, 2, 5, "attribute 'held' holds 2: labels must be 0, 1 or missing"),
        (N, -1, 5, "attribute 'held' holds -1: labels must be 0, 1 or missing"),
        (N - 1, 1, 5, "200 rows of codes, but 199 of attributes"),
        (N, 1, 1, "folds must be a whole number of at least 2, got 1"),
    ],
)
def test_bad_attributes_are_refused(codes, attributes, rows, value, folds, message):
    bad = attributes[["held"]].iloc[:rows].copy()
    bad.iloc[0, 0] = value
    with pytest.raises(ValueError, match=message):
        probe(codes, bad, K, folds=folds)


def test_a_data_set_without_attributes_is_refused(codes):
    with pytest.raises(ValueError, match="no attributes"):
        probe(codes, None, K)


# The most predictable


def test_top_attributes_by_gain_over_the_baseline():
    frame = pd.DataFrame(
        {
            "attribute": ["common", "missing", "rare", "best", "tied"],
            "accuracy": [0.75, np.nan, 0.99, 0.9, 0.875],
            "baseline": [0.625, np.nan, 0.98, 0.5, 0.75],
        }
    )
    assert top_attributes(frame, 3)["attribute"].tolist() == ["best", "common", "tied"]
    assert top_attributes(frame)["attribute"].tolist() == ["best", "common", "tied", "rare"]
    assert top_attributes(frame, 2).index.tolist() == [0, 1]


# Codes and one attribute


def test_correlations_by_hand():
    codes = [[0, 1], [0, 2], [1, 2], [0, 3], [2, 3]]
    frame = correlate_codes(codes, pd.Series([1, 1, 0, 0, pd.NA], dtype="Int8"), codebook_size=5)  # the last left out
    assert frame.columns.tolist() == ["share", "correlation", "with_code", "without_code"]
    assert frame.index.tolist() == [0, 1, 2, 3, 4]
    assert frame["share"].tolist() == [0.75, 0.5, 0.5, 0.25, 0]
    assert frame["with_code"].tolist()[:4] == pytest.approx([2 / 3, 0.5, 0.5, 0])
    assert frame["without_code"].tolist() == pytest.approx([0, 0.5, 0.5, 2 / 3, 0.5])
    # phi = (n11 n00 - n10 n01) / sqrt(product of the four margins)
    phi = (2 * 1 - 0 * 1) / np.sqrt(2 * 2 * 3 * 1)
    assert frame["correlation"].tolist() == pytest.approx([phi, 0, 0, -phi, 0])
    assert np.isnan(frame.loc[4, "with_code"])


def test_correlations_are_numpy_s_and_do_not_depend_on_blocks(codes, attributes, monkeypatch):
    labels = attributes["noisy"]
    expected = correlate_codes(codes, labels, K)
    for code in range(K):
        has = (codes == code).any(axis=1)
        assert expected.loc[code, "correlation"] == pytest.approx(np.corrcoef(has, labels.astype(int))[0, 1])
        assert expected.loc[code, "with_code"] == pytest.approx(labels[has].mean())
        assert expected.loc[code, "without_code"] == pytest.approx(labels[~has].mean())
    monkeypatch.setattr(probing, "BLOCK_CODES", 7)
    pd.testing.assert_frame_equal(correlate_codes(codes, labels, K), expected)


def test_an_attribute_that_never_varies_correlates_with_nothing(codes, attributes):
    frame = correlate_codes(codes, attributes["always"], K)
    assert (frame["correlation"] == 0).all() and (frame["with_code"] == 1).all()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (pd.Series([1, 0], name="hat"), "1 rows of codes, but 2 labels: rows must correspond"),
        (pd.Series([2], name="hat"), "attribute 'hat' holds 2: labels must be 0, 1 or missing"),
        (pd.Series([pd.NA], name="hat", dtype="Int8"), "attribute 'hat' has no known label"),
    ],
)
def test_correlations_refuse_bad_labels(labels, message):
    with pytest.raises(ValueError, match=message):
        correlate_codes([[0, 1]], labels, codebook_size=2)


# Pixels


def test_pixel_statistics_by_hand():
    images = np.zeros((1002, 3, 8, 8), np.uint8)
    images[0, 0] = 255  # red
    images[1, :, :, :4] = 255  # left half white
    images[1001, :, 2:6, 2:6] = 255  # a white square in the middle
    frame = pixel_statistics(images, [f"{i}" for i in range(1002)])
    red, left, square = frame.loc["0"], frame.loc["1"], frame.loc["1001"]
    assert red[["bright", "reddish", "bluish"]].tolist() == pytest.approx([1 / 3, 2 / 3, -1 / 3])
    assert red["high_contrast"] == pytest.approx(0, abs=1e-6)
    assert left[["bright", "high_contrast", "brighter_left_than_right"]].tolist() == pytest.approx([0.5, 0.5, 1])
    assert left["brighter_top_than_bottom"] == 0
    assert square[["bright", "bright_middle"]].tolist() == pytest.approx([0.25, 0.75])
    assert len(frame) == 1002 and not frame.loc["500"].any()


def test_arguments_that_cannot_be_are_refused_by_name():
    codes, labels = np.arange(40)[:, None] % 9, pd.DataFrame({"a": np.arange(40) % 2})
    for settings, message in (
        ({"folds": 2.5}, "folds must be a whole number of at least 2, got 2.5"),
        ({"folds": "5"}, "folds must be a whole number of at least 2, got str '5'"),
        ({"seed": -1}, "seed must be a whole number from 0 to 4294967295, got -1"),
        ({"seed": 2**33}, "seed must be"),
        ({"seed": 1.5}, "seed must be"),
    ):
        with pytest.raises(ValueError, match=message):
            probe(codes, labels, 9, **settings)
    for attributes, error, message in (
        (labels.to_numpy(), TypeError, "attributes must be a data frame, got ndarray"),
        (labels["a"], TypeError, "attributes must be a data frame, got Series"),
        (labels[[]], ValueError, "attributes must have columns of distinct names"),
        (pd.concat([labels, labels], axis=1), ValueError, "distinct names, got .'a', 'a'."),
        (labels.replace({0: "no", 1: "yes"}), ValueError, "attribute 'a' holds 'no': labels must be 0, 1 or missing"),
        (labels.astype(str), ValueError, "attribute 'a' holds '0'"),
    ):
        with pytest.raises(error, match=message):
            probe(codes, attributes, 9)
    for count in (0, -1):
        with pytest.raises(ValueError, match="count must be a whole number of at least 1"):
            top_attributes(probe(codes, labels, 9), count)


@pytest.mark.parametrize(
    "images, ids, message",
    [
        (np.random.rand(2, 3, 8, 8), 2, "images must be uint8 .* got float64"),
        (np.zeros((1, 8, 8, 3), np.uint8), 1, r"images must be uint8 \(N, 3, H, W\) .* got uint8 \(1, 8, 8, 3\)"),
        (np.zeros((1, 3, 3, 3), np.uint8), 1, "4 pixels a side"),
        (np.zeros((1, 3, 8, 8), np.uint8), 2, "ids must be one per image, at least one, got 2 for 1 images"),
        (np.zeros((0, 3, 8, 8), np.uint8), 0, "ids must be one per image, at least one, got 0 for 0 images"),
    ],
)
def test_pixel_statistics_refuse_what_are_no_images(images, ids, message):
    with pytest.raises(ValueError, match=message):
        pixel_statistics(images, ["a"] * ids)
