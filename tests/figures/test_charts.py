"""Charts draw the numbers they were given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from pivq.figures.charts import (
    plot_ablations,
    plot_attributes,
    plot_capacity,
    plot_codebook_use,
    plot_curves,
    plot_probing,
    plot_slots,
    plot_totals,
)
from pivq.figures.style import COLOURS, use_style


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        use_style()
        yield
    plt.close("all")


def legend_texts(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_attributes_leave_out_the_missing():
    frame = pd.DataFrame({"rare": [0, 0, 1, 0], "seen_twice": [1, pd.NA, 0, pd.NA], "always": [1] * 4}, dtype="Int8")
    axes = plot_attributes(frame, frame[:2]).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [1.0, 0.5, 0.25]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["always", "seen twice", "rare"]
    assert axes.collections[0].get_offsets()[:, 0].tolist() == [1.0, 1.0, 0.0]


def test_curves_join_their_points_and_mark_the_starts():
    missing = np.nan
    log = pd.DataFrame({"step": [20, 40, 40, 60], "l1": [3.0, 2.0, missing, 1.0]})
    log["heldout_l1"] = [missing, missing, 5.0, missing]
    figure = plot_curves({"matching": log, "nearest": log[:2]}, {"T_q": 30, "again": [40, 50]})
    training, heldout, legend = figure.axes
    assert training.get_title(loc="left") == "training L1 ↓"
    assert training.lines[0].get_xydata().tolist() == [[20, 3], [40, 2], [60, 1]]
    assert to_hex(training.lines[0].get_color()) == COLOURS["matching"].lower()
    assert sorted(line.get_xdata()[0] for line in heldout.lines[2:]) == [30, 40, 50]
    assert legend_texts(legend) == ["matching", "nearest", "T_q", "again"]


def test_curves_take_the_columns_asked_for_and_refuse_a_log_without_losses():
    log = pd.DataFrame({"step": [1, 2], "l1": [1.0, 2.0], "own_measure": [1.0, 2.0]})
    figure = plot_curves({"a": log}, columns=["own_measure"])
    assert figure.axes[0].get_title(loc="left") == "own measure"
    with pytest.raises(ValueError, match="no log has"):
        plot_curves({"a": log[["step"]]})


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
    figure = plot_capacity([0, 32, 64, 512], {"matching": [0, 270, 470, 2221]}, [("ours", 32, 135.0)])
    (inset,) = figure.axes[0].child_axes
    assert inset.get_xlim() == (0, 64) and 470 < inset.get_ylim()[1] < 600
    assert inset.collections[0].get_offsets().tolist() == [[32, 135]]


def test_codebook_use_counts_codes_and_repeats():
    codes = {"matching": np.array([[0, 1], [2, 0]]), "nearest": np.array([[0, 0], [2, 1]])}
    left, right = plot_codebook_use(codes, codebook_size=4).axes
    assert left.lines[0].get_ydata().tolist() == [1, 0.5, 0.5, 0]
    assert legend_texts(left) == ["matching: 3 of 4 codes in use", "nearest: 3 of 4 codes in use"]
    assert legend_texts(right) == ["matching: 2.00 on average", "nearest: 1.50 on average"]
    assert [bar.get_height() for bar in right.patches] == [1.0, 0.5, 0.5]


def test_slots_are_sorted_by_their_main_token():
    # Code 2 is not in use, code 1 is token 0's, codes 0 and 3 are token 1's.
    counts = np.array([[0, 8, 0, 1], [5, 0, 0, 3]])
    axes = plot_slots(counts, "matching").axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[1, 0, 0.25], [0, 1, 0.75]])
    assert axes.get_title(loc="left") == "matching: 94.1% of all uses fall to their code's main token"
    assert axes.get_xlabel() == "the 3 codes in use"


def test_probing_shows_which_bars_are_clear_of_the_baseline():
    frame = pd.DataFrame(
        {"attribute": ["dark_skin", "bald"], "accuracy": [0.99, 0.91], "std": [0.01, 0.02], "baseline": [0.6, 0.9]}
    )
    axes = plot_probing(frame).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["dark skin", "bald"]
    points = {c.get_label(): c.get_offsets().tolist() for c in axes.collections if c.get_label()[0] != "_"}
    assert points == {
        "always the majority class": [[0.6, 0], [0.9, 1]],
        "probe, ± 1 s.d. over folds": [[0.99, 0]],
        "probe, not clear of it": [[0.91, 1]],
    }


def test_ablations_write_each_value_beside_its_dot():
    frame = pd.DataFrame({"run": ["full", "no delay"], "perceptual": [0.036, 0.11], "codes in use": [254, np.nan]})
    first, second = plot_ablations(frame, highlight="full").axes
    assert [text.get_text() for text in first.texts] == ["0.036", "0.110"]
    assert [text.get_text() for text in second.texts] == ["254"]
    titles = [axes.get_title(loc="left") for axes in (first, second)]
    assert titles == ["perceptual", "codes in use"], "not those of training curves"
    assert [label.get_text() for label in first.get_yticklabels()] == ["full", "no delay"]


def test_ablations_draw_a_measure_that_never_changes():
    frame = pd.DataFrame({"run": ["a", "b"], "codes in use": [0.0, 0.0]})
    low, high = plot_ablations(frame).axes[0].get_xlim()
    assert low < 0 < high


def test_totals_say_how_much_more_is_paid():
    figure = plot_totals(np.array([1.0, 2.0]), {"greedy": np.array([1.5, 2.0])})
    assert legend_texts(figure.axes[0]) == ["greedy: 25.0% more on average"]
    plot_totals(np.array([1.0]), {"greedy": np.array([1.0])})
