"""Charts of the study draw the rows they were given."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from stand_ins import study_row

from pivq.figures.competition_charts import plot_codes_by_length, plot_codes_over_steps
from pivq.figures.style import VERMILLION, use_style
from pivq.runs.findings import study_frame


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        use_style()
        yield
    plt.close("all")


@pytest.fixture
def frame() -> pd.DataFrame:
    rows = [study_row(seed=seed, history={"801": 32.0 + seed, "2000": 16.0}) for seed in (0, 1)]
    rows += [study_row(variation="learned", tokens="learned", mean_codes_per_image=64.0, history={"801": 64.0})]
    rows += [study_row(L=128, K=2048, history={"801": 64.0, "2000": 32.0}, mean_codes_per_image=30.0)]
    rows += [study_row(quantizer="matching", mean_codes_per_image=64.0)]
    return study_frame(rows)


def entries(axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]


def test_steps_are_shares_of_l_by_tokens_and_by_length(frame):
    left, right = plot_codes_over_steps(frame).axes
    assert [line.get_ydata().tolist() for line in left.lines[:3]] == [[0.5, 0.25], [33 / 64, 0.25], [1.0]]
    assert entries(left) == ["drawn, 2 seeds", "learned"]
    assert left.get_legend().get_title().get_text() == "tokens; L = 64"
    assert entries(right) == ["L = 64, K = 512", "L = 128, K = 2,048"]
    assert right.lines[1].get_ydata().tolist() == [0.5, 0.25] and right.lines[1].get_linestyle() == "--"
    assert left.lines[-1].get_xdata() == [800, 800], "T_q is the step before the first count"


def test_lengths_show_means_the_most_and_the_paper(frame):
    figure = plot_codes_by_length(frame, (512, 49))
    (axes,) = figure.axes
    points = {part.get_label(): part.get_offsets().tolist() for part in axes.collections if len(part.get_offsets())}
    assert points["nearest, drawn tokens, K = 512"] == [[64, 20], [64, 20]]
    assert points["nearest, learned tokens (K = 512)"] == [[64, 64]]
    assert points["nearest, drawn tokens, larger K"] == [[128, 30]]
    assert points["the paper's nearest: the most, 49 of 512"] == [[512, 49]]
    assert axes.get_xlabel() == "L, codes of an image" and [text.get_text() for text in axes.texts] == ["K = 2,048"]
    assert to_hex(axes.texts[0].get_color()) == VERMILLION.lower()
    assert axes.get_xlim()[0] < 64 and axes.get_xlim()[1] > 512


def test_lengths_can_do_without_learned_or_larger_ones(frame):
    axes = plot_codes_by_length(frame[(frame["variation"] == "drawn") & (frame["K"] == 512)], (512, 49)).axes[0]
    assert not [text for text in entries(axes) if "learned" in text or "larger" in text]
