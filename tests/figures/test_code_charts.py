"""Charts about codes draw the numbers they were given, and no label meets another."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from pivq.figures.code_charts import plot_capacity, plot_codebook_use, plot_slots, plot_traits
from pivq.figures.style import COLOURS, use_style


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        use_style()
        yield
    plt.close("all")


def legend_texts(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_capacity_draws_curves_labels_and_measured_points():
    lengths = [0, 256, 512]
    curves = {"positional VQ": [0, 3072, 6144], "PI-VQ, nearest": [0, 560, 611], "PI-VQ, matching": [0, 1300, 2221]}
    figure = plot_capacity(lengths, curves, [("our nearest model", 300, 900.4)])
    (axes,) = figure.axes
    assert [line.get_ydata().tolist() for line in axes.lines] == list(map(list, curves.values()))
    assert to_hex(axes.lines[1].get_color()) == COLOURS["nearest"].lower()
    assert axes.collections[0].get_offsets().tolist() == [[300, 900.4]]
    assert legend_texts(axes) == ["our nearest model: 900 bits"]
    assert axes.get_xlabel() == "representation length L" and axes.get_ylabel() == "capacity (bits)"
    assert not axes.child_axes


def test_capacity_labels_keep_apart_where_lines_end_close_together():
    figure = plot_capacity([0, 10], {"positional": [0, 100], "nearest": [0, 99], "matching": [0, 98]})
    boxes = [text.get_window_extent(figure.canvas.get_renderer()) for text in figure.axes[0].texts]
    assert len(boxes) == 3 and not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_capacity_enlarges_the_corner_of_a_small_model():
    curves = {"positional": [0, 384, 768, 6144], "matching": [0, 270, 470, 2221]}
    figure = plot_capacity([0, 32, 64, 512], curves, [("ours", 32, 135.0)])
    (inset,) = figure.axes[0].child_axes
    assert inset.get_xlim() == (0, 64) and 470 < inset.get_ylim()[1] < 600, "without the positional curve"
    assert inset.collections[0].get_offsets().tolist() == [[32, 135]]
    assert not len(figure.axes[0].collections[0].get_offsets()), "drawn once"


def test_capacity_draws_the_study_only_where_it_hides_nothing():
    study = [("study: nearest", [32, 64, 128], [100.0, 200.0, 300.0]), ("study: learned", [32], [90.0])]
    figure = plot_capacity([0, 64, 512], {"matching": [0, 470, 2221]}, [("ours", 32, 135.0)], small=study)
    (inset,) = figure.axes[0].child_axes
    assert len(inset.collections) == 1
    assert legend_texts(figure.axes[0]) == ["ours: 135 bits", "study: nearest"]
    assert figure.axes[0].collections[1].get_offsets().tolist() == [[64, 200], [128, 300]]


def test_capacity_tells_drawn_from_learned_and_what_is_counted_once():
    curves = {"nearest": [0, 200], "nearest, counted once": [0, 150]}
    points = [("learned, nearest", 32, 20.0), ("drawn, nearest", 64, 30.0)]
    study = [("study: drawn, matching", [128, 256], [50.0, 90.0])]
    (axes,) = plot_capacity([0, 256], curves, points, small=study).axes
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    twice, learned, drawn, some = axes.collections
    shaded = twice.get_paths()[0].vertices
    assert {tuple(point) for point in shaded} == {(0, 0), (256, 150), (256, 200)}, "between the two"
    assert to_hex(twice.get_facecolor()[0]) == COLOURS["nearest"].lower()
    assert to_hex(learned.get_facecolor()[0]) == to_hex(drawn.get_edgecolor()[0]) == COLOURS["nearest"].lower()
    assert to_hex(drawn.get_facecolor()[0]) == to_hex(some.get_facecolor()[0]) == "#ffffff"
    assert some.get_offsets().tolist() == [[128, 50], [256, 90]] and some.get_sizes() < learned.get_sizes()
    assert legend_texts(axes)[0].startswith("Eq. (2)") and legend_texts(axes)[3] == "study: drawn, matching"


def traits(attribute, gained, lost=0.5, both=40, sampler="Algorithm 1"):
    return {"sampler": sampler, "attribute": attribute, "gained": gained, "neither": 100, "lost": lost, "both": both,
            "false_alarms": 0.01, "misses": 0.02, "gained_low": gained - 0.1, "gained_high": gained + 0.2,
            "lost_low": lost, "lost_high": lost}  # fmt: skip


def test_traits_draw_every_sampler_beside_its_controls():
    rows = [traits("hat", 0.1), traits("beard", 0.6), traits("beard", 0.4, sampler="slot by slot")]
    other = [traits("beard", 0.2), traits("rare", 0.3, both=3)]
    figure = plot_traits({"learned": pd.DataFrame(rows), "drawn": pd.DataFrame(other)})
    first, lost, second, lost_drawn = figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["beard", "rare", "hat"]
    named = {marks.get_label(): marks.get_offsets().tolist() for marks in first.collections if len(marks.get_offsets())}
    assert named["their reconstructions"] == [[0.01, 2], [0.01, 0]], "control and samples are on one line"
    assert named["slot by slot"] == [[0.4, 0]] and named["Algorithm 1"] == [[0.1, 2], [0.6, 0]]
    (interval,) = [lines for lines in first.collections if type(lines).__name__ == "LineCollection"]
    (low, y), (high, _) = interval.get_segments()[1]
    assert y == 0 and (low, high) == pytest.approx((0.5, 0.8))
    drawn = next(marks for marks in lost_drawn.collections if marks.get_label() == "Algorithm 1")
    assert drawn.get_offsets().tolist() == [[0.5, 0]], "too few samples make no mark"
    assert [text.get_position()[1] for text in first.texts] == [1], "rare is not counted with learned tokens"
    assert first.get_title(loc="left") == "learned" and second.get_title(loc="left") == "drawn"
    assert "neither parent" in second.get_xlabel() and "both parents" in lost_drawn.get_xlabel()


def test_codebook_use_counts_codes_and_repeats():
    codes = {"matching": np.array([[0, 1], [2, 0]]), "nearest": np.array([[0, 0], [2, 1]])}
    left, right = plot_codebook_use(codes, {"matching": 4, "nearest": 8}).axes
    assert left.lines[0].get_ydata().tolist() == [1, 0.5, 0.5], "only codes in use, on a logarithmic scale"
    assert left.get_yscale() == "log"
    assert left.lines[-1].get_ydata()[0] == 1 and "in every image" in left.texts[0].get_text()
    assert [text.get_text() for text in left.figure.legends[0].get_texts()] == [
        "matching: 3 of 4 codes in use; always 2 per image",
        "nearest: 3 of 8 codes in use; on average 1.5 per image",
    ]
    assert right.lines[0].get_xdata()[0] == 2, "no histogram of one bar"
    assert [(bar.get_x() + 0.4, bar.get_height()) for bar in right.patches] == [(1, 0.5), (2, 0.5)]


def test_codebook_use_tells_two_models_of_one_quantizer_apart():
    codes = {name: np.array([[0, 1]]) for name in ("both quantizers (one model)", "learned, nearest", "drawn, nearest")}
    left, _ = plot_codebook_use(codes, dict.fromkeys(codes, 4)).axes
    assert to_hex(left.lines[0].get_color()) == COLOURS["one model"].lower()
    assert [line.get_linestyle() for line in left.lines[:3]] == ["-", "-", "--"]


def test_slots_are_sorted_by_their_main_token():
    # Code 2 is not in use, code 1 is token 0's, codes 0 and 3 are token 1's.
    counts = np.array([[0, 8, 0, 1], [5, 0, 0, 3]])
    axes = plot_slots(counts, "matching").axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[1, 0, 0.25], [0, 1, 0.75]])
    assert axes.get_title(loc="left") == "matching: 94.1% of all uses fall to their code's main token"
    assert axes.get_xlabel() == "the 3 codes in use"
