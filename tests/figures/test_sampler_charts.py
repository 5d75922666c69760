"""The chart of samplers draws the rows it was given."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from pivq.figures.sampler_charts import plot_samplers
from pivq.figures.style import use_style


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        use_style()
        yield
    plt.close("all")


def test_distance_over_new_codes_by_exchange_with_the_control():
    rows = [{"sampler": "control", "new": 2.0, "distance": 40.0}]
    for exchange, shift in (("code by code", 0), ("group by group", -30)):
        for partners, new in ((0, 12.0), (20, 2.0)):
            rows += [{"sampler": exchange, "exchange": exchange, "partners": partners, "seed": seed,
                      "new": new + seed, "distance": 100 + 50 * new + shift} for seed in (0, 1)]  # fmt: skip
    frame = pd.DataFrame(rows)
    left, right = plot_samplers({"one": frame, "other": frame}, "FD").axes
    assert (left.get_title(), right.get_title(), left.get_ylabel()) == ("one", "other", "FD to reconstructions")
    by_code, by_group = left.lines
    assert by_code.get_xdata().tolist() == [2.5, 12.5] and by_code.get_ydata().tolist() == [200, 700]
    assert by_group.get_ydata().tolist() == [170, 670]
    assert [text.get_text() for text in left.texts] == ["20 near", "any"] * 2
    assert left.collections[-1].get_offsets().tolist() == [[2.0, 40.0]]
    assert [text.get_text() for text in left.figure.legends[0].get_texts()][:2] == ["code by code", "group by group"]
