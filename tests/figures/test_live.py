"""The figure of a training that runs."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from pivq.figures.live import plot_training
from pivq.figures.style import COLOURS

STRIP = np.zeros((16, 3, 8, 8), np.uint8)


@pytest.fixture
def log() -> pd.DataFrame:
    return pd.DataFrame([
        {"step": 20, "l1": 0.5}, {"step": 30, "heldout_psnr": 20.0}, {"step": 40, "l1": 0.4},
        {"step": 60, "heldout_psnr": 22.0, "codes_in_use": 7},
    ])  # fmt: skip


def test_curves_have_the_rows_of_validation(log):
    figure = plot_training({"drawn tokens, matching": log, "learned tokens, both quantizers": log}, {})
    psnr, codes = figure.axes
    assert [line.get_xydata().tolist() for line in psnr.lines] == [[[30, 20], [60, 22]]] * 2
    assert [line.get_xydata().tolist() for line in codes.lines] == [[[60, 7]]] * 2
    assert [line.get_color() for line in psnr.lines] == [COLOURS["matching"], COLOURS["one model"]]
    assert psnr.get_xlim()[1] > 60 and figure.get_label()
    assert not plt.get_fignums(), "a notebook would show it again at the end of its cell"


def test_before_t_q_no_codes_are_drawn(log):
    figure = plot_training({"learned tokens, before T_q": log.drop(columns="codes_in_use")}, {})
    codes = figure.axes[1]
    assert not codes.lines and [text.get_text() for text in codes.texts] == ["from $T_q$ on"]
    (legend,) = figure.legends
    assert legend.get_texts()[0].get_text() == "learned tokens, before $T_q$"


def test_reconstructions_stand_below_their_originals(log):
    pictures = STRIP.copy()
    pictures[:8, 0], pictures[8:, 1] = 200, 100
    pictures[9, 2] = 50  # the second reconstruction
    figure = plot_training({"a": log}, {"a, step 60": pictures, "b, step 60": STRIP})
    (shown,) = figure.axes[2].images
    pixels = shown.get_array()
    assert pixels.shape == (16, 64, 3)
    assert (pixels[:8] == [200, 0, 0]).all() and (pixels[8:, :8] == [0, 100, 0]).all()
    assert (pixels[8:, 8:16] == [0, 100, 50]).all()
    assert [axes.get_title(loc="left") for axes in figure.axes[2:]] == ["a, step 60", "b, step 60"]
    pictures = np.concatenate([pictures, STRIP[:8]])
    pictures[-1] = 250
    figure = plot_training({"a": log}, {"a, step 60": pictures, "b, step 20": STRIP})
    samples, other = figure.axes[2:]
    assert samples.images[0].get_array().shape == (24, 64, 3) and other.images[0].get_array().shape == (16, 64, 3)
    assert (samples.images[0].get_array()[16:, 56:] == 250).all() and not samples.images[0].get_array()[16:, :56].any()
    assert samples.get_title(loc="left") == "a, step 60 + samples"
    assert other.get_title(loc="left") == "b, step 20"
