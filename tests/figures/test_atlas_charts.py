"""The figures of notebook 14 draw what they were given."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from pivq.figures.atlas_charts import plot_atlas, plot_code_bits, plot_edits, plot_success, signed_colours
from pivq.figures.style import use_style


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        use_style()
        yield
    plt.close("all")


def pictures(count: int, level: int = 0) -> np.ndarray:
    return np.full((count, 3, 8, 8), level, np.uint8)


def test_bits_are_shares_of_the_entropy_and_attributes_without_any_are_left_out():
    bits = {"group": [0.5, 0.2, 0.0], "code": [0.25, 0.1, 0.0], "chance": [0.05, 0.05, 0.05]}
    (axes,) = plot_code_bits(bits, ["a_hat", "hair", "never"], [1.0, 0.25, 0.0]).axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a hat", "hair"]
    first, second = (points.get_offsets()[:, 0].tolist() for points in axes.collections[-2:])
    assert first == [0.5, 0.8] and second == [0.25, 0.4]
    assert axes.lines[0].get_xdata().tolist() == [0.05, 0.2]


def test_changes_are_blue_below_zero_white_at_zero_and_red_above():
    darker, same, brighter = signed_colours([[-0.2, 0.0, 0.2]], 0.2)[0]
    assert darker[2] > darker[0] and brighter[0] > brighter[2] and same.min() > 240
    assert (signed_colours([[0.1]], 0.1) == signed_colours([[0.3]], 0.3)).all(), "the limit is the darkest colour"


def test_a_row_of_the_atlas_has_every_picture_and_one_scale_of_changes():
    full = SimpleNamespace(having=pictures(4), before=pictures(3), after=pictures(3, 9), change=np.full((8, 8), 0.1))
    poor = SimpleNamespace(having=pictures(1), before=pictures(0), after=pictures(0), change=np.full((8, 8), -0.2))
    (axes,) = plot_atlas([full, poor], ["code 1\nhat", "code 2"]).axes
    assert len(axes.images) == 4 + 3 + 3 + 1 + 1 + 1 + 1, "with the colour bar"
    shown = [image.get_array()[0, 0] for image in axes.images if image.get_array().shape[:2] == (8, 8)]
    assert (shown[10] == signed_colours([[0.1]], 0.15)[0, 0]).all()
    texts = [text.get_text() for text in axes.texts]
    assert {"code 1\nhat", "code 2", "−15% or less", "+15% or more", "the code put in"} <= set(texts)
    with pytest.raises(ValueError, match="labels: expected 1, got 2"):
        plot_atlas([full], ["a", "b"])


def test_edits_are_framed_by_what_the_judge_sees():
    rows = [[pictures(2), pictures(2, 9), pictures(2, 5)]]
    (axes,) = plot_edits(rows, [([True, False], [False, False])], ["add hat"]).axes
    assert len(axes.images) == 6 and len(axes.patches) == 4, "what was before has no frame"
    edges = [patch.get_edgecolor() for patch in axes.patches]
    assert edges[0] != edges[1] and edges[1] == edges[2] == edges[3]
    with pytest.raises(ValueError, match="1 rows, 1 verdicts and 2 labels"):
        plot_edits(rows, [([True], [True])], ["a", "b"])


def test_success_beside_control_and_ceiling():
    frame = pd.DataFrame({"attribute": ["hat", "hat", "hair"], "edit": ["add", "remove", "add"],
                          "success": [0.9, 0.8, 0.2], "control": [0.1, 0.2, 0.1], "ceiling": [1.0, 0.9, 0.7],
                          "readable": [True, True, False]})  # fmt: skip
    figure = plot_success(frame)
    add, remove = figure.axes
    assert add.get_title(loc="left") == "add" and [text.get_text() for text in add.get_yticklabels()] == ["hair", "hat"]
    points = add.collections[1].get_offsets()
    assert points.tolist() == [[0.9, 1], [0.2, 0]] and add.collections[1].get_alpha().tolist() == [1, 0.25]
    assert remove.collections[1].get_offsets().tolist() == [[0.8, 1]]
    assert figure.legends[0].get_texts()[-1].get_text() == "pale: the judge reads it too badly"
    assert [handle.get_alpha() for handle in figure.legends[0].legend_handles] == [1, 1, 1, 0.25]
    readable = plot_success(frame[frame["readable"]]).legends[0].get_texts()
    assert [text.get_text() for text in readable][-1] == "the judge on reconstructions"
