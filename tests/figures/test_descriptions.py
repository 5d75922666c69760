"""What a figure shows, in words."""

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

from pivq.config import load_config
from pivq.figures.artefacts import save_figure
from pivq.figures.descriptions import LONGEST, describe
from pivq.figures.pictures import plot_images


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_axes_legends_and_formulas_are_told_in_words():
    figure, (left, right) = plt.subplots(1, 2)
    left.plot([1, 2], label="matching")
    left.plot([1, 2], label=r"$T_q$ and more")
    left.set(title="codes in use", xlabel="step", ylabel=r"$K_\text{data}$")
    left.legend()
    right.set(xlabel=r"price in \$")
    figure.suptitle("two\nlines")
    assert describe(figure) == (
        "two lines. codes in use, K_data over step, legend: matching; T_q and more. price in $."
    )


def test_pictures_are_counted_and_their_labels_named_once():
    figure = plot_images(np.zeros((4, 3, 4, 4), np.uint8), columns=2, titles=["hat", "17", "hat", "no hat"])
    assert describe(figure) == "4 pictures, labels: hat; no hat."
    plain = plot_images(np.zeros((1, 3, 4, 4), np.uint8), columns=1)
    assert describe(plain) == "1 picture."


def test_a_long_description_is_cut_at_a_word():
    figure, axes = plt.subplots()
    axes.set_title("word " * LONGEST)
    assert len(describe(figure)) <= LONGEST and describe(figure).endswith("word …")


def test_a_saved_figure_carries_name_contents_and_caption(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    figure, axes = plt.subplots()
    axes.set(xlabel="L", ylabel="bits")
    png, pdf = save_figure(figure, "fig4_capacity", load_config("smoke"), "profile smoke · seed 0")
    assert Image.open(png).text["Comment"] == "fig4 capacity. bits over L. profile smoke · seed 0."
    assert b"/Subject" in pdf.read_bytes()


def test_a_notebook_shows_its_first_figure_sharp_and_described(monkeypatch):
    monkeypatch.delenv("MPLBACKEND")  # or figures would not show
    source = (
        "from pivq.figures.style import use_style\nuse_style()\nuse_style()",
        "import matplotlib.pyplot as plt\nplt.figure(figsize=(4, 2)).add_subplot(xlabel='step');",
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in source])
    NotebookClient(notebook, kernel_name="python3").execute()
    (shown,) = notebook.cells[1].outputs
    facts = shown.metadata["image/png"]
    assert facts["alt"] == "step." and abs(facts["width"] - 400) < 30, "half of the pixels: twice as sharp"
