"""The writers: known names, whole files, equal bytes."""

import ast
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pivq.config import load_config
from pivq.figures.artefacts import ARTEFACTS, save_animation, save_figure, save_json, save_table
from pivq.figures.charts import plot_attributes, plot_probing
from pivq.figures.pictures import plot_images
from pivq.figures.style import use_style
from pivq.storage.origin import OtherData, computed_on, origin, origin_text
from pivq.storage.writing import read_sealed

SMOKE = load_config("smoke")


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """Send figures to an empty folder, in the style of all figures."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    with plt.rc_context():
        use_style()
        yield tmp_path
    plt.close("all")


def some_figure():
    figure, axes = plt.subplots(figsize=(4, 2))
    axes.plot([0, 1], [0, 1])
    return figure


def test_figure_is_written_as_png_and_pdf(root):
    paths = save_figure(some_figure(), "fig4_capacity", SMOKE, "caption")
    assert paths == tuple(root / "figures" / "smoke" / f"fig4_capacity.{kind}" for kind in ("png", "pdf"))
    assert paths[1].read_bytes().startswith(b"%PDF")
    assert Image.open(paths[0]).size[0] > 600
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["fig4_capacity.pdf", "fig4_capacity.png"]


def test_equal_figures_give_equal_bytes_without_a_date(root):
    first, second = (
        [path.read_bytes() for path in save_figure(some_figure(), "fig4_capacity", SMOKE, "caption")] for _ in range(2)
    )
    assert first == second
    assert b"CreationDate" not in first[1]


def test_caption_stands_once_under_the_figure(root):
    figure = some_figure()
    save_figure(figure, "fig4_capacity", SMOKE, "an older caption")
    path, _ = save_figure(figure, "fig4_capacity", SMOKE, "profile smoke · seed 0")
    assert [text.get_text() for text in figure.texts] == ["profile smoke · seed 0"]
    assert figure.texts[0].get_window_extent().y1 <= 0, "inside the figure, where it can meet the plot"
    with_caption = Image.open(path).size[1]
    path, _ = save_figure(some_figure(), "fig4_capacity", SMOKE, "")
    assert with_caption > Image.open(path).size[1], "the caption is cut off"


def test_long_caption_is_wrapped_to_the_width_of_the_figure(root):
    figure = some_figure()
    save_figure(figure, "fig4_capacity", SMOKE, "some words " * 30)
    assert figure.texts[0].get_window_extent().width < 1.1 * figure.get_window_extent().width


def test_each_file_says_what_it_was_made_from_and_another_seed_has_its_own_folder(root):
    seed1 = load_config("smoke", seed=1)
    saved, on = {}, computed_on()
    for config in (SMOKE, seed1):
        png, pdf = save_figure(some_figure(), "fig4_capacity", config, "caption")
        _, md = save_table(pd.DataFrame({"a": [1]}), "table2_capacity", config, "caption")
        saved[config.seed] = made_from = origin_text(config, "fig4_capacity")
        assert made_from.startswith("fig4_capacity: profile smoke; ")
        assert Image.open(png).text["Description"] == made_from and made_from.encode() in pdf.read_bytes()
        assert origin_text(config, "table2_capacity") in md.read_text()
        made = read_sealed(save_json({"profile": "other"}, "verdict", config))
        assert made == {"artefact": "verdict"} | origin(config) | on
    assert SMOKE.digest("matching") in saved[0] and "seed 1" in saved[1] and saved[0] != saved[1]
    names = sorted(path.name for path in (root / "figures" / "smoke").iterdir())
    assert sorted(path.name for path in (root / "figures").iterdir()) == ["smoke", "smoke-seed1"]
    assert names == sorted(path.name for path in (root / "figures" / "smoke-seed1").iterdir()) and len(names) == 5


def test_a_figure_table_or_number_of_other_images_replaces_nothing(root):
    """Notebooks can be run by hand, without run_all.sh."""
    a, b = (load_config("folder", data=str(root / name)) for name in "ab")
    frame = pd.DataFrame({"a": [1]})
    save_figure(some_figure(), "faces", a, "of a"), save_table(frame, "attributes", a, ""), save_json({}, "capacity", a)
    before = {path: path.read_bytes() for path in (root / "figures" / "folder").iterdir()}
    for save in (
        lambda: save_figure(some_figure(), "faces", b, "of b"),
        lambda: save_table(frame, "attributes", b, ""),
        lambda: save_json({}, "capacity", b),
    ):
        with pytest.raises(OtherData, match=f"folder holds figures of {root / 'a'}, not of {root / 'b'}: to"):
            save()
    assert {path: path.read_bytes() for path in (root / "figures" / "folder").iterdir()} == before


@pytest.mark.parametrize("name", ["Ba$$in", "a$x$b", r"$\nonsense{$", "<b>", "a_b*c"])
def test_words_of_users_are_no_markup(root, name):
    figure = some_figure()
    path, _ = save_figure(figure, "fig3_matching", SMOKE, f"the face {name}")
    assert figure.texts[0].get_text() == f"the face {name}"
    plot_attributes(pd.DataFrame({name: [0, 1]})).canvas.draw()
    plot_probing(pd.DataFrame({"attribute": [name], "accuracy": [0.9], "std": [0.1], "baseline": [0.5]})).canvas.draw()
    plot_images(torch.zeros(1, 3, 8, 8), columns=1, row_labels=[name]).canvas.draw()
    _, md = save_table(pd.DataFrame({name: [name]}), "table2_capacity", SMOKE, f"of {name}")
    assert "<b>" not in md.read_text() and "$$" not in md.read_text()


@pytest.mark.parametrize("save", [save_figure, save_table])
def test_unknown_name_is_refused_with_a_suggestion(root, save):
    thing = some_figure() if save is save_figure else pd.DataFrame({"a": [1]})
    with pytest.raises(ValueError, match="fig4_capacty.*fig4_capacity"):
        save(thing, "fig4_capacty", SMOKE, "")
    assert not (root / "figures").exists()


def test_failure_leaves_the_old_file_and_nothing_else(root, monkeypatch):
    path = save_json({"a": 1}, "verdict", SMOKE)
    monkeypatch.setattr(Path, "write_text", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError):
        save_json({"a": 2}, "verdict", SMOKE)
    assert json.loads(path.read_bytes())["a"] == 1 and len(list(path.parent.iterdir())) == 1


def test_what_stands_before_a_table_is_markdown(root):
    text = save_table(pd.DataFrame({"a": [1]}), "verdict", SMOKE, "caption", "**1 of 2** hold")[1].read_text()
    assert text.startswith("**1 of 2** hold\n\n| a |\n|---:|\n| 1 |\n\n*caption*\n")


def test_table_is_written_plain_and_formatted(root):
    frame = pd.DataFrame({"method": ["nearest", "matching"], "bits": [611.2836, 2220.7104], "codes": [49, 512]}, [7, 8])
    csv, md = save_table(frame, "table2_capacity", SMOKE, "the caption")
    assert csv.read_text() == "method,bits,codes\nnearest,611.2836,49\nmatching,2220.7104,512\n"
    table = "| method | bits | codes |\n|---|---:|---:|\n| nearest | 611 | 49 |\n| matching | 2,221 | 512 |\n"
    assert md.read_text() == table + f"\n*the caption*\n\n<!-- {origin_text(SMOKE, 'table2_capacity')} -->\n"
    pd.testing.assert_frame_equal(pd.read_csv(csv), frame.reset_index(drop=True))


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t=", "\r=", "\n=", "＝"])
def test_words_in_a_csv_table_start_no_formula_and_numbers_stay(root, begin):
    words = f"{begin}1+cmd|' /C calc'!A0"
    frame = pd.DataFrame({words: [-1.5, 2.0], "b": [words, "-2.5"], "c": [-1, 7], "d": ["plain", None]})
    frame["e"] = pd.Categorical([words, "plain"])
    csv, _ = save_table(frame, "table2_capacity", SMOKE, "caption")
    read = pd.read_csv(csv, dtype=str)
    cells = [*read.columns, *read.to_numpy().ravel().tolist()]
    assert cells.count(f"'{words}".replace("\r", "\n")) == 3 and words not in cells
    assert read.iloc[:, 0].tolist() == ["-1.5", "2"] and read["b"][1] == "-2.5" and read["c"].tolist() == ["-1", "7"]
    assert frame.columns[0] == words and frame["b"][0] == words, "the frame is left alone"


def test_json_takes_numpy_and_refuses_what_json_cannot_hold(root):
    path = save_json({"a": np.float32(0.5), "b": np.arange(2), "c": "×"}, "verdict", SMOKE)
    expected = {"a": 0.5, "b": [0, 1], "c": "×", "artefact": "verdict"} | origin(SMOKE) | computed_on()
    assert read_sealed(path) == expected and "×" in path.read_text(encoding="utf-8")
    path.write_text(path.read_text(encoding="utf-8").replace("0.5", "0.4"), encoding="utf-8")
    with pytest.raises(ValueError, match="verdict.json is damaged or was changed: its checksum does not match"):
        read_sealed(path)
    save_json({"a": 0.5}, "verdict", SMOKE)
    for value, error in ((float("nan"), ValueError), (np.float64("inf"), ValueError), ({1, 2}, TypeError)):
        with pytest.raises(error):
            save_json({"value": value}, "verdict", SMOKE)
    assert json.loads(path.read_text(encoding="utf-8"))["a"] == 0.5


def test_an_animation_is_stamped_and_repeats(root):
    frames = torch.randint(0, 256, (3, 3, 8, 20), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    path = save_animation(frames, "fig1_path", SMOKE, seconds=0.2)
    assert path == root / "figures" / "smoke" / "fig1_path.webp"
    with Image.open(path) as animation:
        assert (animation.n_frames, animation.info["loop"], animation.size) == (4, 0, (60, 24))
        assert animation.getexif()[0x010E] == origin_text(SMOKE, "fig1_path")
    before = path.read_bytes()
    assert save_animation(frames, "fig1_path", SMOKE, seconds=0.2).read_bytes() == before
    with pytest.raises(ValueError, match="did you mean fig1_path"):
        save_animation(frames, "fig1_paths", SMOKE, seconds=0.2)


def test_every_artefact_is_saved_by_the_notebook_that_the_map_names(checkout):
    """Both ways: a saved name is mapped to its notebook, and a mapped name is saved there."""
    saved, writers = {}, "save_(figure|animation|table|json)"
    for path in sorted((checkout / "notebooks" / "py").glob("[0-9]*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and re.fullmatch(writers, ast.unparse(node.func)):
                name = next((word.value for word in node.keywords if word.arg == "name"), *node.args[1:2])
                saved.setdefault(ast.literal_eval(name), set()).add(path.stem)
    assert saved == {name: {notebook} for name, notebook in ARTEFACTS.items()}


def test_all_figures_of_the_paper_have_their_place():
    names = ["fig1_interpolation", "fig2_architecture", "fig3_matching", "fig4_capacity", "fig5_probing"]
    names += ["table1_capabilities", "table2_capacity", "table3_metrics", "verdict"]
    assert set(names) <= set(ARTEFACTS)
