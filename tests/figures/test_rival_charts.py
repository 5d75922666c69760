"""The chart of the rivals: a point for each seed, and PI-VQ in its own colour."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import to_hex

from pivq.figures.rival_charts import plot_rivals
from pivq.figures.style import VERMILLION


def test_each_seed_is_a_point_and_each_mean_a_line():
    frame = pd.DataFrame({"name": ["PI-VQ", "PI-VQ", "VAE"], "seed": [0, 1, 0], "psnr": [25.0, 27.0, 22.0],
                          "fd": [700.0, 800.0, None]})  # fmt: skip
    figure = plot_rivals(frame, {"psnr": "PSNR", "fd": "FD to real faces"}, "PI-VQ")
    left, right = figure.axes
    points = [sorted(dots.get_offsets()[:, 0]) for dots in left.collections]
    assert points == [[25.0, 27.0], [22.0]]
    assert [line.get_xdata()[0] for line in left.lines] == [26.0, 22.0]
    assert to_hex(left.collections[0].get_facecolor()[0]) == to_hex(VERMILLION)
    assert [label.get_text() for label in left.get_yticklabels()] == ["PI-VQ", "VAE"] and left.yaxis_inverted()
    assert (left.get_xscale(), right.get_xscale()) == ("linear", "log")
    assert len(right.collections[1].get_offsets()) == 0 and len(right.lines) == 1
    plt.close(figure)
