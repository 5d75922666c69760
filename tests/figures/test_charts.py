"""Charts draw the numbers they were given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from pivq.figures.charts import (
    plot_ablations,
    plot_attributes,
    plot_curves,
    plot_memorisation,
    plot_probing,
    plot_smoothness,
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


def test_curves_join_their_points_and_the_legend_names_the_starts():
    missing = np.nan
    log = pd.DataFrame({"step": [20, 40, 40, 60], "heldout_l1": [3.0, 2.0, missing, 1.0]})
    log["heldout_psnr"] = [missing, missing, 5.0, missing]
    figure = plot_curves({"matching": log, "nearest": log[:2]}, {"T_q": 30, "again": [40, 50], "end": 55, "never": []})
    first, second = figure.axes
    assert first.get_title(loc="left") == "held-out L1 ↓"
    assert first.lines[0].get_xydata().tolist() == [[20, 3], [40, 2], [60, 1]]
    assert to_hex(first.lines[0].get_color()) == COLOURS["matching"].lower()
    for axes in (first, second):
        assert sorted(line.get_xdata()[0] for line in axes.lines[2:]) == [30, 40, 50, 55]
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["matching", "nearest", "T_q", "again", "end"]
    styles = [line.get_linestyle() for line in legend.get_lines()[2:]]
    assert styles == ["-", ":", "--"] == [first.lines[at].get_linestyle() for at in (2, 3, 5)], "a key to the lines"


def test_a_t_q_of_its_own_has_the_colours_of_its_curves():
    log = pd.DataFrame({"step": [0, 40], "heldout_l1": [2.0, 1.0]})
    names = ["one model", "drawn, matching", "drawn, nearest"]
    axes = plot_curves(dict.fromkeys(names, log), {"T_q": 10}, own=dict.fromkeys(names[1:], 20)).axes[0]
    common, *own = axes.lines[3:]
    assert common.get_xdata()[0] == 10 and [line.get_xdata()[0] for line in own] == [20, 20]
    colours = [to_hex(line.get_color()) for line in own]
    assert colours == [to_hex(line.get_color()) for line in axes.lines[1:3]] and colours[0] != colours[1]
    texts = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert texts == [*names, "T_q", "$T_q$, drawn"]
    single = plot_curves({"drawn, nearest": log}, own={"drawn, nearest": 20})
    assert [text.get_text() for text in single.legends[0].get_texts()][1:] == ["$T_q$, drawn, nearest"]


def test_the_weight_of_the_adversarial_loss_has_its_own_scale():
    log = pd.DataFrame({"step": [1, 2], "adversarial": [2.0, 3.0], "adaptive_weight": [0.1, 0.01]})
    loss, weight = plot_curves({"a": log}).axes
    assert loss.lines[0].get_ydata().tolist() == [2, 3] and weight.lines[0].get_ydata().tolist() == [0.1, 0.01]
    assert weight.lines[0].get_linestyle() == ":" and "dotted" in weight.get_ylabel()


def test_curves_take_the_columns_asked_for_and_refuse_a_log_without_losses():
    log = pd.DataFrame({"step": [1, 2], "heldout_l1": [1.0, 2.0], "own_measure": [1.0, 2.0]})
    figure = plot_curves({"a": log}, columns=["own_measure"])
    assert figure.axes[0].get_title(loc="left") == "own measure"
    with pytest.raises(ValueError, match="no log has"):
        plot_curves({"a": log[["step"]]})


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


def test_probing_shows_the_control_and_the_variant_below_each_dot():
    frame = pd.DataFrame({"attribute": ["hat", "bald"], "accuracy": [0.99, 0.91], "std": [0.01, 0.02],
                          "baseline": [0.6, 0.9], "significant": [True, False], "untrained": [0.9, 0.95],
                          "untrained_std": [0.01, 0.01], "drawn": [0.8, 0.4], "drawn_std": [0.01, 0.01]})  # fmt: skip
    axes = plot_probing(frame).axes[0]
    lines = {c.get_label(): c.lines[0].get_xydata().tolist() for c in axes.containers if c.get_label()[0] != "_"}
    assert lines == {"untrained encoder (control)": [[0.9, 0.26], [0.95, 1.26]],
                     "drawn tokens (our variant)": [[0.8, 0.46], [0.4, 1.46]]}  # fmt: skip
    assert "learned tokens, ± 1 s.d. over folds" in legend_texts(axes)
    assert axes.get_xlim()[0] < 0.39, "all of it can be seen"


def test_ablations_write_each_value_beside_its_dot():
    frame = pd.DataFrame({"run": ["full", "no delay"], "perceptual": [0.036, 0.11], "codes in use": [254, np.nan]})
    first, second = plot_ablations(frame, highlight="full").axes
    assert [text.get_text() for text in first.texts] == ["0.036", "0.110"]
    assert [text.get_text() for text in second.texts] == ["254"]
    titles = [axes.get_title(loc="left") for axes in (first, second)]
    assert titles == ["perceptual ↓", "codes in use ↑"], "not those of training curves; arrows for what is better"
    assert [label.get_text() for label in first.get_yticklabels()] == ["full", "no delay"]


def test_ablations_draw_every_seed_and_write_their_mean():
    frame = pd.DataFrame({"run": ["full", "full", "L1", "full"], "dB": [1.0, 3, 7, 2], "codes": [4, 5, 9, 5]})
    first, second = plot_ablations(frame, highlight="full").axes
    assert [label.get_text() for label in first.get_yticklabels()] == ["full", "L1"]
    assert first.collections[0].get_offsets().tolist() == [[1, 0], [3, 0], [7, 1], [2, 0]]
    assert [text.get_text() for text in first.texts] == ["2", "7"]
    assert first.collections[1].get_offsets().tolist() == [[2, 0], [7, 1]], "the means are marked"
    figure = first.figure
    figure.draw_without_rendering()
    for text in first.texts:  # in a column of their own, which no dot reaches
        assert text.get_window_extent().x0 > first.transData.transform((7, 0))[0]
    assert [text.get_text() for text in second.texts] == ["5", "9"], "whole, as they are"


def test_ablations_draw_a_measure_that_never_changes():
    frame = pd.DataFrame({"run": ["a", "b"], "codes in use": [0.0, 0.0]})
    low, high = plot_ablations(frame).axes[0].get_xlim()
    assert low < 0 < high


def test_totals_say_how_much_more_is_paid():
    figure = plot_totals(np.array([1.0, 2.0]), {"greedy": np.array([1.5, 2.0])})
    assert legend_texts(figure.axes[0]) == ["greedy: 25.0% more on average"]
    plot_totals(np.array([1.0]), {"greedy": np.array([1.0])})


def test_smoothness_compares_each_pair_with_its_own_cross_fade():
    straight = np.array([[0, 0.5, 1], [0, 0.5, 1]])
    details = (np.array([[1.2, 1.1, 0.8], [0.6, 0.9, 1.4]]), np.array([[1.2, 0.8, 0.8], [0.6, 0.6, 1.4]]))
    left, right = plot_smoothness(straight**2, straight, details, title="learned").axes
    assert [line.get_ydata().tolist() for line in left.lines] == [[0, 0.25, 1], [0, 0.5, 1]]
    np.testing.assert_allclose(right.lines[0].get_ydata(), [0, 0.3, 0], atol=1e-12)
    assert left.get_ylabel() == "distance from image a" and left.get_xlabel() == "share of the way from a to b"
    none = np.zeros((0, 3))
    assert not plot_smoothness(none, none, (none, none)).axes[0].lines, "no pair has a path"


def test_memorisation_shows_distances_and_shared_codes():
    overlaps = {"samples": np.array([3, 4, 4, 2]), "held-out": np.array([4, 4, 4, 4])}
    left, right = plot_memorisation({"samples": np.array([3.0, 1.0])}, "distance", overlaps, 4).axes
    assert left.lines[0].get_xydata().tolist() == [[1, 0.5], [3, 1]]
    assert legend_texts(left) == ["samples: median 2.0"]
    assert legend_texts(right) == ["samples: mean 3.2", "held-out: mean 4.0"]
    heights = [bar.get_height() for bar in right.patches]
    assert heights == [0.25, 0.25, 0.5, 1.0]
    assert [round(bar.get_x() + bar.get_width() / 2, 6) for bar in right.patches] == [1.8, 2.8, 3.8, 4.2]
    assert right.get_xlim()[1] > 4.6 and "of 4" in right.get_xlabel()


def test_memorisation_draws_two_equal_curves_once():
    values = np.arange(1000.0)
    nearly, other = np.concatenate([values[5:], values[-5:]]), np.concatenate([values[20:], values[-20:]])
    groups = {"samples": values, "samples, parents left out": nearly, "others": other}
    left, _ = plot_memorisation(groups, "distance", {"samples": np.array([3])}, 4).axes
    same = "samples: median 499.5\n(parents left out: the same within 1%)"
    assert legend_texts(left) == [same, "others: median 519.5"], "2% apart is another curve"
    assert len(left.lines) == 2


def test_shares_are_written_as_they_are():
    overlaps = {"samples": np.repeat(np.arange(20, 30), [1, 4, 9, 16, 20, 19, 15, 10, 5, 1])}
    _, right = plot_memorisation({"samples": np.array([3.0, 1.0])}, "distance", overlaps, 32).axes
    right.figure.draw_without_rendering()
    written = [text.get_text() for text in right.get_yticklabels()]
    assert [float(text[:-1]) / 100 for text in written] == pytest.approx(right.get_yticks())
