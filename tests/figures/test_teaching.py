"""Pictures that explain show the numbers they were given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex, to_rgba

from pivq.figures.style import BLUE, PALE, VERMILLION, use_style
from pivq.figures.teaching import draw_example, plot_attention, plot_cost_of_order, plot_latents_and_codes


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        use_style()
        yield
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()  # some faults show only then
    plt.close("all")


def test_example_shows_the_distances_and_totals_worked_by_hand():
    panels = {"nearest": [0, 0], "greedy": [0, 1], "matching": [1, 0]}
    figure = draw_example([0.0, 1.0], [0.9, -3.0], panels)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["nearest\n2 latents, 1 code, total 1.0", "greedy\n2 latents, 2 codes, total 4.9",
                      "matching\n2 latents, 2 codes, total 3.1"]  # fmt: skip
    shown = [[t.get_text() for t in axes.texts[:2]] for axes in figure.axes]
    assert shown == [["0.9", "0.1"], ["0.9", "4.0"], ["3.0", "0.1"]]
    assert "−3" in figure.axes[0].texts[-1].get_text()
    assert [line.get_color() for line in figure.axes[0].lines[:2]] == [VERMILLION] * 2
    assert [line.get_color() for line in figure.axes[2].lines[:2]] == [BLUE] * 2


def test_a_code_that_is_not_used_is_an_open_square():
    codes = draw_example([0], [3, 1], {"nearest": [1]}).axes[0].collections[0]
    assert [to_hex(face) for face in codes.get_facecolor()] == ["#ffffff", BLUE.lower()]


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
def test_example_in_a_plane_draws_both_numbers(kind):
    latents, codebook = kind([[0, 0], [1, 5]]), kind([[0, 3], [4, 1], [9, 9]])
    figure = draw_example(latents, codebook, {"matching": [0, 1], "nearest": [0, 0], "a": [1, 0], "b": [2, 0]})
    assert figure.axes[0].lines[1].get_xydata().tolist() == [[1, 5], [4, 1]]
    assert [t.get_text() for t in figure.axes[0].texts[:2]] == ["3.0", "5.0"]
    assert "total 8.0" in figure.axes[0].get_title(loc="left")
    assert [axes.axison for axes in figure.axes] == [True] * 4 + [False] * 2  # four panels in two rows


def test_example_refuses_what_cannot_be_drawn():
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        draw_example([[1, 2, 3]], [[1, 2, 3]], {"nearest": [0]})
    with pytest.raises(ValueError, match="nearest: expected 2 codes, one per latent"):
        draw_example([1, 2], [1, 2], {"nearest": [0]})


def test_cost_of_order_shows_bits_and_shares():
    figure = plot_cost_of_order({"ours": {"set": 60.0, "order": 38.0, "repeats": 2.0}})
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.6, 0.38, 0.02])
    assert [text.get_text() for text in axes.texts] == ["60 bits\n60%", "38 bits\n38%", "100 bits"]


def test_attention_lights_each_token_s_own_cells():
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    weights = np.zeros((2, 5, 2, 2))
    weights[0, 3, 1, 0], weights[1, 4] = 0.5, 0.1
    figure = plot_attention(images, weights, [3, 4])
    grid = np.array(figure.axes).reshape(2, 4)
    assert [axes.get_title() for axes in grid[0]] == ["image", "token 3", "token 4", "mean of 5"]
    assert grid[0, 1].images[1].get_array().tolist() == [[0, 0], [0.5, 0]]
    assert grid[1, 2].images[1].get_array().tolist() == [[0.1, 0.1], [0.1, 0.1]]
    assert grid[0, 3].images[1].get_array()[1, 0] == pytest.approx(0.1)
    assert grid[0, 1].images[1].get_extent() == grid[0, 1].images[0].get_extent()  # over the whole picture
    with pytest.raises(ValueError, match=r"weights \(2, L, h, w\)"):
        plot_attention(images, weights[:1], [0])


def test_codes_that_are_nearest_in_all_dimensions_are_filled():
    """The two latents vary in the first two dimensions; code 1 is near in the plane and far in the third."""
    latents = np.array([[[0.0, 0, 0], [4, 1, 0]], [[0, 0.5, 0], [4, 0, 0]]])
    codebook = np.array([[0.0, 2, 0], [0, 0, 9], [5, 0, 0]])
    figure = plot_latents_and_codes(latents, {"random": codebook, "fitted": latents.reshape(-1, 3)}, coloured=1)
    first, second = figure.axes
    assert first.get_title() == "random\n2 of 3 codes are nearest to a latent"
    assert second.get_title() == "fitted\n4 of 4 codes are nearest to a latent"
    assert [len(collection.get_offsets()) for collection in first.collections] == [1, 2, 2, 2]
    assert tuple(first.collections[3].get_facecolor()[0]) == to_rgba(PALE)
