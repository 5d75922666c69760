"""The charts of the prior draw the numbers they were given."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from pivq.figures.prior_charts import plot_bits, plot_training
from pivq.figures.style import use_style


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        use_style()
        yield
    plt.close("all")


def test_curves_of_both_kinds_of_sets():
    log = [{"step": 10, "train": 90.0, "validation": 80.0}, {"step": 20, "train": 50.0, "validation": 60.0}]
    (axes,) = plot_training({"prior": log, "pairs": log[:1]}).axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[80, 60], [90, 50], [80], [90]]
    assert axes.lines[1].get_linestyle() == "--" and axes.lines[0].get_xdata().tolist() == [10, 20]
    assert axes.get_legend_handles_labels()[1][0] == "prior: sets kept apart"


def test_bars_are_the_bounds_with_the_capacity_first():
    rows = [{"predictor": "Eq. (4)", "split": "any", "bits": 168.0, "tightened": 168.0}]
    for name, bits in (("frequencies", 140.0), ("prior", 30.0)):
        rows += [{"predictor": name, "split": split, "bits": bits + 5, "error": 0.5, "tightened": bits + more}
                 for split, more in (("train", -2), ("heldout", 0))]  # fmt: skip
    (axes,) = plot_bits(pd.DataFrame(rows)).axes
    assert [patch.get_width() for patch in axes.patches] == [168, 140, 30, 138, 28]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["Eq. (4): any set", "frequencies", "prior"]
    assert {text.get_text().strip() for text in axes.texts} == {"168.0", "140.0", "30.0", "138.0", "28.0"}
