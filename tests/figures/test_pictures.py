"""Figures made of images show the images they were given, where they belong."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from pivq.figures.pictures import (
    as_pixels,
    plot_images,
    plot_nearest_neighbours,
    plot_paths,
    plot_reconstructions,
    plot_samples_with_parents,
)
from pivq.figures.style import BLUE, ORANGE, WIDTH, use_style


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        use_style()
        yield
    plt.close("all")


def flat(*levels: int) -> np.ndarray:
    """Return one-coloured uint8 images `(N, 3, 4, 4)`, told apart by their level."""
    return np.broadcast_to(np.array(levels, np.uint8)[:, None, None, None], (len(levels), 3, 4, 4))


def drawn(figure) -> list[tuple[int, float, float]]:
    """Return level, left and top edge in inches of each image, row by row."""
    axes = figure.axes[0]
    found = [(int(i.get_array()[0, 0, 0]), i.get_extent()[0], i.get_extent()[3]) for i in axes.images]
    return sorted(found, key=lambda item: (round(item[2], 3), item[1]))


def levels(figure) -> list[int]:
    return [level for level, _, _ in drawn(figure)]


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def left_of(figure, text: str) -> float:
    return next(t.get_position()[0] for t in figure.axes[0].texts if t.get_text() == text)


def assert_apart(figure) -> None:
    """No text overlaps another, nor leaves the page."""
    renderer = figure.canvas.get_renderer()
    boxes = [t.get_window_extent(renderer) for t in figure.axes[0].texts if t.get_text()]
    page = figure.bbox
    for i, box in enumerate(boxes):
        assert box.x0 >= page.x0 - 2 and box.x1 <= page.x1 + 2 and box.y0 >= -2 and box.y1 <= page.y1 + 2
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_pixels_of_floats_and_bytes_agree():
    images = np.array([0, 51, 255], np.uint8).reshape(1, 3, 1, 1)
    for given in (images, torch.from_numpy(images), images / 255, torch.from_numpy(images) / 255):
        assert as_pixels(given).tolist() == [[[[0, 51, 255]]]] and as_pixels(given).dtype == np.uint8


@pytest.mark.parametrize("images", [np.zeros((3, 4, 4)), np.zeros((2, 4, 4, 3)), torch.zeros(2, 1, 4, 4)])
def test_other_shapes_are_refused(images):
    with pytest.raises(ValueError, match="N, 3, H, W"):
        as_pixels(images)


def test_bytes_given_as_floats_are_refused():
    with pytest.raises(ValueError, match="255"):
        as_pixels(np.full((1, 3, 4, 4), 255.0))


def test_contact_sheet_goes_row_by_row():
    figure = plot_images(flat(*range(7)), columns=3, titles=list("abcdefg"), row_labels=["x", "y", "z"])
    assert levels(figure) == list(range(7))
    assert len({x for _, x, _ in drawn(figure)}) == 3
    assert sorted(texts(figure)) == sorted("abcdefgxyz")
    assert_apart(figure)
    assert figure.get_size_inches()[0] <= WIDTH + 0.01


def test_long_titles_are_wrapped_and_push_their_row_down():
    figure = plot_images(flat(*range(8)), columns=4, titles=["a rather long title of many words"] * 8)
    assert_apart(figure)
    tops = sorted({top for _, _, top in drawn(figure)})
    assert tops[1] - tops[0] > 1.4, "no room for the second row's titles"


@pytest.mark.parametrize(("name", "given"), [("titles", ["a"]), ("row_labels", ["a"] * 3), ("column_labels", ["a"])])
def test_labels_must_fit_in_number(name, given):
    with pytest.raises(ValueError, match=f"{name}: expected [0-9]+, got {len(given)}"):
        plot_images(flat(1, 2, 3, 4), columns=2, **{name: given})


def test_reconstructions_stand_under_their_originals():
    made = {"matching": flat(11, 12), "nearest": torch.from_numpy(flat(21, 22).copy())}
    figure = plot_reconstructions(flat(1, 2), made)
    assert levels(figure) == [1, 2, 11, 12, 21, 22]
    assert texts(figure) == ["original", "matching", "nearest"]
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        plot_reconstructions(flat(1, 2), {"matching": flat(1, 2, 3)})


def test_errors_stand_under_their_model_on_one_scale():
    made = {"good": flat(10, 20), "bad": flat(10, 220), "other": flat(1, 1)}
    figure = plot_reconstructions(flat(10, 20), made, errors_of=["good", "bad"])
    assert texts(figure) == ["original", "good", "its error", "bad", "its error", "other"]
    assert levels(figure) == [10, 20, 10, 20, 255, 255, 10, 220, 255, 0, 1, 1]


def test_paths_run_from_image_a_to_image_b_with_both_ends():
    paths = [flat(*range(start, start + 21)) for start in (0, 50, 100, 150)]
    figure = plot_paths(paths, flat(201, 202, 203, 204), ["first pair", "second pair"], frames=5)
    formulas = [text for text in figure.axes[0].texts if text.get_parse_math()]
    assert [text.get_text() for text in formulas] == ["first pair", "second pair"], "notebook 05 writes powers of ten"
    shown = drawn(figure)
    rows = [[level for level, _, top in shown if level // 50 == row and level < 200] for row in range(4)]
    assert rows == [[start + i for i in (0, 5, 10, 15, 20)] for start in (0, 50, 100, 150)]
    left = {level: x for level, x, _ in shown}
    assert left[201] < left[0] < left[20] < left[202] and left[203] < left[100] < left[120] < left[204]
    assert {"image b", "image a", "0%", "50%", "100%", "first pair", "second pair"} <= set(texts(figure))
    assert left_of(figure, "image a") < left_of(figure, "0%") < left_of(figure, "100%") < left_of(figure, "image b")
    framed = [matplotlib.colors.to_hex(box.get_edgecolor()).upper() for box in figure.axes[0].patches]
    assert (framed.count(ORANGE), framed.count(BLUE)) == (4, 8), "originals, and both ends of each path"
    assert_apart(figure)


@pytest.mark.parametrize(("paths", "sources", "titles"), [(3, 3, []), (2, 4, []), (2, 2, ["a", "b"])])
def test_paths_need_two_paths_and_two_sources_a_pair(paths, sources, titles):
    with pytest.raises(ValueError, match=f"{paths} paths, {sources} source images"):
        plot_paths([flat(1, 2)] * paths, flat(*range(sources)), titles)


def test_samples_stand_between_their_parents():
    figure = plot_samples_with_parents(flat(1, 2, 3), flat(11, 12, 13), flat(21, 22, 23))
    assert levels(figure) == [1, 11, 21, 2, 12, 22, 3, 13, 23]
    assert_apart(figure)
    several = np.stack([flat(11, 12, 13, 14, 15), flat(31, 32, 33, 34, 35)])
    figure = plot_samples_with_parents(flat(1, 2), several, flat(21, 22))
    assert sorted(levels(figure)[:7]) == [1, 11, 12, 13, 14, 15, 21]
    six = np.concatenate([several, several[:, :1]], axis=1)
    figure = plot_samples_with_parents(flat(1, 2), six, flat(21, 22), ["one", "two"])
    places = {text.get_text(): text.get_position()[0] for text in figure.axes[0].texts}
    middles = [np.mean(image.get_extent()[:2]) for image in figure.axes[0].images[2:8]]  # after the first parents
    assert places["one"] == pytest.approx(middles[1]) and places["two"] == pytest.approx(middles[4])
    assert places["parent a"] < middles[0] and middles[5] < places["parent b"]
    assert_apart(figure)
    with pytest.raises(ValueError, match="5 samples of each pair for 2 titles"):
        plot_samples_with_parents(flat(1, 2), several, flat(21, 22), ["one", "two"])
    with pytest.raises(ValueError, match="3 samples for 2"):
        plot_samples_with_parents(flat(1, 2), flat(1, 2, 3), flat(1, 2))


def test_neighbours_stand_beside_their_sample_and_its_parents_with_their_distance():
    neighbours, parents = np.stack([flat(11, 12), flat(21, 22)]), np.stack([flat(31, 32), flat(41, 42)])
    figure = plot_nearest_neighbours(flat(1, 2), parents, neighbours, np.array([[0.5, 1.0], [2.0, 3.25]]))
    assert levels(figure) == [31, 1, 32, 11, 12, 41, 2, 42, 21, 22]
    assert {"0.50", "1.00", "2.00", "3.25", "parent a", "sample", "parent b"} <= set(texts(figure))
    assert len(figure.axes[0].patches) == 2, "the samples are framed"
    assert_apart(figure)
    figure = plot_nearest_neighbours(flat(1, 2), parents, neighbours, np.array([[14.6, 20], [22.2, 30]]))
    assert {"15", "20", "22", "30"} <= set(texts(figure))
    with pytest.raises(ValueError, match="distances"):
        plot_nearest_neighbours(flat(1, 2), parents, neighbours, np.zeros((2, 3)))
    with pytest.raises(ValueError, match="parents"):
        plot_nearest_neighbours(flat(1, 2), parents[:1], neighbours, np.zeros((2, 2)))
