"""The chart of the rivals: a point for each seed, and PI-VQ in its own colour."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import to_hex

from pivq.figures.rival_charts import plot_rivals
from pivq.figures.style import VERMILLION


def test_each_seed_is_a_point_and_each_mean_a_line():
    frame = pd.DataFrame({"name": ["PI-VQ", "PI-VQ", "VAE"], "seed": [0, 1, 0], "psnr": [25.0, 27.0, 22.0],
                          "fd": [70.0, 80.0, None], "wide": [70.0, 700.0, 800.0]})  # fmt: skip
    panels = {"psnr": "PSNR", "fd": "FD to real faces", "wide": "FD to own reconstructions"}
    figure = plot_rivals(frame, panels, "PI-VQ")
    left, right, wide = figure.axes
    points = [sorted(dots.get_offsets()[:, 0]) for dots in left.collections]
    assert points == [[25.0, 27.0], [22.0]]
    assert [line.get_xdata()[0] for line in left.lines] == [26.0, 22.0]
    assert to_hex(left.collections[0].get_facecolor()[0]) == to_hex(VERMILLION)
    assert [label.get_text() for label in left.get_yticklabels()] == ["PI-VQ", "VAE"] and left.yaxis_inverted()
    assert [axes.get_xscale() for axes in (left, right, wide)] == ["linear", "linear", "log"], "over a decade: log"
    assert [axes.get_title(loc="left") for axes in figure.axes] == list(panels.values())
    assert len(right.collections[1].get_offsets()) == 0 and len(right.lines) == 1
    plt.close(figure)
