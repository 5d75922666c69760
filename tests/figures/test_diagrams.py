"""The drawn figures: true sizes, no text over another, and the codes they were given."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pytest

from pivq.config import load_config
from pivq.figures.diagrams import draw_architecture, draw_matching
from pivq.figures.style import BLUE, GREY, VERMILLION, use_style

PAPER = {"image_size": 256, "patch_size": 1, "width": 128, "channel_multipliers": (1, 1, 2, 2, 4), "dim": 256}
PAPER |= {"feedforward": 1024, "transformer_layers": 4, "heads": 8, "codebook_size": 4096, "num_codes": 512}


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        use_style()
        yield
    plt.close("all")


def configurations():
    return {"quick": load_config("quick").model, "smoke": load_config("smoke").model,
            "paper": replace(load_config("quick").model, **PAPER)}  # fmt: skip


def words(figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


@pytest.mark.parametrize("name", ["quick", "smoke", "paper"])
def test_no_text_of_the_architecture_meets_another(name):
    figure = draw_architecture(configurations()[name])
    renderer = figure.canvas.get_renderer()
    boxes = {text.get_text(): text.get_window_extent(renderer) for text in figure.axes[0].texts}
    texts = [(text.get_text(), text.get_window_extent(renderer)) for text in figure.axes[0].texts]
    assert len(boxes) > 20
    for i, (text, box) in enumerate(texts):
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1, text
        assert not [other for other, beside in texts[:i] if box.overlaps(beside)], text


def test_architecture_says_the_sizes_that_run():
    text = "\n".join(words(draw_architecture(configurations()["paper"])))
    phrases = ["256 grid tokens", "512 learned\ntokens", "4 layers\n8 heads\nd = 256\nfeed-forward 1,024", "16²\n×512"]
    phrases += ["codebook 4,096 × 256", "a set of 512 codes", "reshaped to 16×16", "image x\n256×256×3"]
    for phrase in phrases:
        assert phrase in text, phrase
    assert "pixels" not in text
    small = "\n".join(words(draw_architecture(replace(configurations()["smoke"], patch_size=2, transformer_layers=1))))
    assert "at first 2×2 pixels become channels" in small and "1 layer\n" in small


def test_only_what_has_a_place_is_numbered():
    """Grid tokens, learned tokens, latents, output embeddings and outputs are; code vectors are not: five columns."""
    config = replace(configurations()["quick"], num_codes=31)
    texts = words(draw_architecture(config))
    assert texts.count(str(config.grid_size**2)) == 3 and texts.count("31") == 2 and texts.count("1") == 5


def test_architecture_shows_the_codes_as_a_set_without_repeats():
    config = replace(configurations()["quick"], num_codes=5, codebook_size=1000)
    drawn = words(draw_architecture(config, seed=1))
    numbers = [n for n in drawn if n.isdigit() and int(n) > config.grid_size**2]
    assert 3 <= len(numbers) == len(set(numbers)) <= 5
    assert drawn == words(draw_architecture(config, seed=1)) != words(draw_architecture(config, seed=2))
    assert "…" not in words(draw_architecture(config)) and "…" in words(draw_architecture(configurations()["paper"]))


def test_architecture_shows_the_codes_it_is_given():
    drawn = words(draw_architecture(configurations()["quick"], codes=list(range(400, 432))))
    assert [text for text in drawn if text.startswith("4") and len(text) == 3] == [str(400 + i) for i in range(10)]


def test_architecture_shows_the_images_it_is_given():
    image = np.full((64, 64, 3), 7, np.uint8)
    figure = draw_architecture(configurations()["quick"], image, image + 1)
    assert [int(i.get_array()[0, 0, 0]) for i in figure.axes[0].images] == [7, 8]
    assert not draw_architecture(configurations()["quick"]).axes[0].images


def test_matching_draws_each_latent_to_its_code_and_counts_repeats():
    latents = np.array([[0.0, 0.1], [0.2, 0.0], [3.0, 3.0]])
    codebook = np.array([[0.0, 0.0], [1.0, 1.0], [3.0, 2.0], [4.0, 0.0]])
    figure = draw_matching(latents, codebook, {"nearest": [0, 0, 2], "matching": [0, 1, 2]})
    nearest, matching, _ = figure.axes
    assert [line.get_xydata().tolist() for line in nearest.lines] == [
        [[0.0, 0.1], [0, 0]], [[0.2, 0.0], [0, 0]], [[3, 3], [3, 2]],
    ]  # fmt: skip
    assert [line.get_color() for line in nearest.lines] == [VERMILLION, VERMILLION, BLUE]
    assert [text.get_text() for text in nearest.texts] == ["×2"] and not matching.texts
    assert [line.get_color() for line in matching.lines] == [GREY, BLUE, GREY], "what moved stands out"
    assert nearest.get_title(loc="left") == "nearest\n3 latents, 2 codes"
    assert matching.get_title(loc="left") == "matching\n3 latents, 3 codes"
    assert nearest.get_xlim() == matching.get_xlim() and nearest.get_ylim() == matching.get_ylim()


def test_matching_refuses_points_outside_a_plane_and_codes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"\(3, 4\)"):
        draw_matching(np.zeros((3, 4)), np.zeros((5, 2)), {"nearest": [0, 0, 0]})
    with pytest.raises(ValueError, match="nearest: expected 3 codes, one per latent"):
        draw_matching(np.zeros((3, 2)), np.zeros((5, 2)), {"nearest": [0, 0]})


def test_the_number_of_latents_stands_nearer_its_own_code_than_another():
    latents = np.array([[0.0, 0.0], [0.2, 0.0], [5.0, 5.0]])
    codebook = np.array([[0.1, 0.1], [0.1, 0.8], [5.0, 5.1], [-5.0, -5.0]])  # one above, where the old rule would write
    axes = draw_matching(latents, codebook, {"nearest": [0, 0, 2]}).axes[0]
    axes.figure.draw_without_rendering()
    (label,) = axes.texts
    box = label.get_window_extent()
    middle = np.array([(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2])
    gaps = np.linalg.norm(axes.transData.transform(codebook) - middle, axis=1)
    assert gaps.argmin() == 0
