"""The judge of pictures reads each attribute where it is known; distances between faces by hand."""

import numpy as np
import pandas as pd
import pytest

from pivq.runs.beyond.picture_judge import Judge, compare_faces, judge_table


def test_the_judge_reads_each_attribute_where_it_is_known():
    generator = np.random.default_rng(4)
    features = generator.normal(size=(600, 6))
    labels = pd.DataFrame((features[:, :3] > 0).astype(int), columns=["a", "b", "c"]).astype("Int8")
    labels.loc[::3, "b"] = pd.NA
    labels["rare"] = [1] * 3 + [0] * 597
    judge = Judge(features[:500], labels[:500])
    assert judge.names == ["a", "b", "c"], "in the order of the columns, whatever is fitted together"
    truth = features[500:, :3] > 0
    assert (judge(features[500:]) == truth).mean() > 0.9
    accuracy = judge.accuracy(features[500:], labels[500:])
    known = labels["b"][500:].notna().to_numpy()
    shown = judge(features[500:])[:, 1]
    assert accuracy.loc["b", "with"] == shown[known & truth[:, 1]].mean()
    assert accuracy.loc["b", "without"] == 1 - shown[known & ~truth[:, 1]].mean()


def test_the_table_has_the_worst_reconstructions_last():
    features = np.random.default_rng(5).normal(size=(400, 4))
    labels = pd.DataFrame((features[:, :2] > 0).astype(int), columns=["lost", "kept"])
    judge, blurred = Judge(features, labels), features.copy()
    blurred[:, 0] = 0.01  # all reconstructions are alike in what makes the first attribute
    table = judge_table(judge, features, blurred, labels)
    assert table["attribute"].tolist() == ["kept", "lost"]
    again = table.set_index("attribute").loc["lost"]
    assert again["ceiling"] == pytest.approx((again["with, reconstructions"] + again["without, reconstructions"]) / 2)
    assert again["with, images"] > 0.9 and again["ceiling"] < 0.7


def test_two_faces_by_hand():
    found = compare_faces(np.array([[0.0, 0.0], [3.0, 4.0]]), np.array([[True, False], [True, True]]))
    assert found == {"distance": 5, "others": 1}
