"""The page of all results: what it shows, in which order, and what it refuses to mix."""

import json
import re
import shutil
from html import escape
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
from PIL import Image

from pivq.commands.pages import POLICY
from pivq.commands.results import write_results
from pivq.config import load_config
from pivq.figures.artefacts import ARTEFACTS, save_figure, save_json, save_table
from pivq.runs.provenance import stamp
from pivq.runs.verdict.judging import (
    CONSTRUCTION,
    DIFFERS,
    MEASURED,
    NEEDS_SCALE,
    REPRODUCED,
    UNDECIDED,
    Judgement,
)
from pivq.storage.writing import read_sealed, seal, write_json

SMOKE = load_config("smoke")
EVIL = "<img src=x onerror=alert(1)>"
PAGE = f'<meta content="{POLICY}"><title>00 · Faces · PI-VQ</title><body><!--bar--><!--/bar-->'


def row(name: str, judgement: str, kind: str = MEASURED, where: str = "Fig. 4", paper: str = "49 codes") -> Judgement:
    return Judgement(name, where, f"claim {name}", kind, paper, f"ours {name}", "–", judgement, "–", f"why {name}")


def save_verdict(config, *rows: Judgement) -> None:
    numbers = {"judgements": [each._asdict() for each in rows], "counts": "measured: 1 of 2 seen"}
    summary = "- **Seen**: one.\n- **Not seen**: two."
    save_json(numbers | {"summary": summary} | stamp(config, 40), "verdict", config)


def save_parts(config, label: str = "bits") -> None:
    figure, axes = plt.subplots(figsize=(2, 1))
    axes.set(xlabel="L", ylabel=label)
    save_figure(figure, "fig4_capacity", config, "caption")
    save_figure(figure, "slots", config, "caption")
    plt.close(figure)
    save_table(pd.DataFrame({label: [2221]}), "table2_capacity", config, "caption")


@pytest.fixture
def notebooks(tmp_path, monkeypatch) -> Path:
    """Return a folder of two sources; results go to `tmp_path`, where the first is executed and has its page."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    sources, done = tmp_path / "sources", tmp_path / "results" / "smoke" / "notebooks"
    sources.mkdir(), done.mkdir(parents=True)
    for name, title in (("00_faces", "# 00 · Faces"), ("04_capacity", "# 04 · Capacity & more")):
        cells = [nbformat.v4.new_markdown_cell(f"{title}\n\ntext")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells), sources / f"{name}.ipynb")
    execute(done / "00_faces.ipynb")
    (done / "timings.json").write_text(json.dumps({"00_faces": 90.0}))
    return sources


def execute(path: Path, **parameters) -> None:
    given = {"parameters": {"profile": "smoke", "seed": 0} | parameters}
    nbformat.write(nbformat.v4.new_notebook(metadata={"papermill": given}), path)
    path.with_suffix(".html").write_text(PAGE)


def written(notebooks, config=SMOKE) -> str:
    return write_results(config, notebooks).read_text()


def text(html: str) -> str:
    return " ".join(re.sub("<style>.*?</style>|<[^>]*>", " ", html, flags=re.DOTALL).split())


def test_what_contradicts_the_paper_comes_first_and_each_judgement_has_its_switch(notebooks):
    rows = [row("a", REPRODUCED), row("b", DIFFERS, CONSTRUCTION), row("c", NEEDS_SCALE), row("d", DIFFERS),
            row("e", UNDECIDED)]  # fmt: skip
    save_verdict(SMOKE, *rows)
    html = written(notebooks)
    claims = re.findall(r'<article class="claim (\w+) kind-(\w+)">\s*<p><span[^>]*>[^<]*</span> claim (\w)', html)
    assert claims == [
        ("differs", "measured", "d"), ("differs", "by", "b"), ("not", "measured", "e"), ("reproduced", "measured", "a"),
        ("needs", "measured", "c"),
    ]  # fmt: skip
    shown = re.findall(r'id="show-(\w+)"( checked)?> ([^(<]*?) \((\d)\)', html)
    assert shown == [
        ("differs", " checked", DIFFERS, "2"), ("not", " checked", UNDECIDED, "1"),
        ("reproduced", " checked", REPRODUCED, "1"), ("needs", "", NEEDS_SCALE, "1"),
    ]  # fmt: skip
    assert text(html).index("Not seen") < text(html).index("Seen :")


def test_figures_stand_beside_the_numbers_of_the_paper_with_tables_times_and_stamp(notebooks):
    save_parts(SMOKE)
    save_verdict(SMOKE, row("a", REPRODUCED), row("b", DIFFERS, where="Table 2"), row("c", DIFFERS, where="Fig. 44"))
    html = written(notebooks)
    figures = re.findall(r'<img alt="([^"]*)" src="data:image/webp;base64,', html)
    assert figures == ["fig4 capacity. bits over L. caption.", "slots. bits over L. caption."]
    beside = text(html[html.index("Figure 4: capacity") : html.index("Table 2: capacity")])
    assert "claim a 49 codes ours a reproduced" in beside and "claim c" not in beside
    table = text(html[html.index("<summary>Table 2: capacity") : html.index('id="more"')])
    assert "bits 2,221" in table and "claim b 49 codes ours b differs" in table
    made = text(html[html.index('id="made-from"') :])
    for fact in ("seed 0", SMOKE.digest("matching"), stamp(SMOKE)["code"], "./run_all.sh --profile smoke", "numpy"):
        assert fact in made
    assert "00 · Faces 1.5 04 · Capacity &amp; more (not run here) –" in text(html)


def test_symbols_are_typeset_in_claims_and_tables(notebooks):
    save_parts(SMOKE, label="K_img (max)")
    save_verdict(SMOKE, row("K_img <", DIFFERS, paper="K_data = 49"))
    html = written(notebooks)
    for shown in ("claim <i>K</i><sub>img</sub> &lt;", "<i>K</i><sub>data</sub> = 49", "<mtext>img</mtext>"):
        assert shown in html
    assert "K_" not in text(html)


def test_links_lead_to_what_is_there(notebooks, tmp_path):
    save_parts(SMOKE)
    page = write_results(SMOKE, notebooks)
    assert page == tmp_path / "results" / "smoke" / "index.html"
    inside = [link for link in re.findall('href="([^"]*)"', page.read_text()) if link[:4] not in ("http",)]
    files = [link for link in inside if link[0] != "#"]
    assert "notebooks/00_faces.html" in files and "../../figures/smoke/fig4_capacity.pdf" in files
    assert [link for link in files if not (page.parent / link).exists()] == []
    anchors = {link[1:] for link in inside if link[0] == "#"}
    assert anchors <= set(re.findall('id="([^"]*)"', page.read_text())) and len(anchors) > 3
    assert "../index.html" in (page.parent / "notebooks" / "00_faces.html").read_text()


def test_the_explorer_is_linked_where_it_was_built(notebooks, tmp_path):
    page = tmp_path / "results" / "smoke" / "explorer.html"
    assert "explorer" not in written(notebooks).lower()
    page.write_text("<title>Explorer</title>")
    html = written(notebooks)
    assert html.count('href="explorer.html"') == 1 and html.count('href="#explorer"') == 1
    (tmp_path / "results" / "smoke" / "notebooks-seed3").mkdir()
    assert "explorer.html" not in written(notebooks, load_config("smoke", seed=3)), "it has the first seed's model"


def test_parts_of_another_run_are_named_and_not_shown(notebooks, tmp_path):
    other = load_config("smoke", seed=3)
    save_parts(other, "foreign"), save_verdict(other, row("a", DIFFERS))
    (tmp_path / "figures" / "smoke-seed3").rename(tmp_path / "figures" / "smoke")
    execute(tmp_path / "results" / "smoke" / "notebooks" / "04_capacity.ipynb", seed=3)
    html = written(notebooks)
    assert "foreign" not in html and "claim a" not in html and "data:image/webp" not in html
    told = text(html[html.index("This page is not complete") : html.index("<h2")])
    assert "fig4_capacity.png was made as fig4_capacity: profile smoke; dataset avatars; seed 3;" in told
    assert "./run_all.sh --profile smoke --seed 0 --only 04" in told
    assert "table2_capacity.md was made as" in told and "The verdict was made from seed 3" in told
    assert "The page of 04_capacity is of another run (seed 3" in told and 'href="notebooks/04' not in html


RENAMED = [("slots.png", "fig4_capacity.png"), ("fig4_capacity.png", "slots.png"),
           ("fig4_capacity.png", "training.png"), ("table2_capacity.md", "results.md")]  # fmt: skip


@pytest.mark.parametrize(("made", "shown"), RENAMED)
def test_a_figure_or_table_is_not_shown_under_the_name_of_another(notebooks, tmp_path, made, shown):
    save_parts(SMOKE), save_verdict(SMOKE, row("a", DIFFERS))
    figures = tmp_path / "figures" / "smoke"
    shutil.copy(figures / made, figures / shown)
    html, (made, name) = written(notebooks), (made.partition(".")[0], shown.partition(".")[0])
    assert f"{shown} was made as {made}: profile smoke; dataset avatars; seed 0; " in html
    files = [name for name, ending in re.findall(r"figures/smoke/(\w+)\.(pdf|csv)\"", html)]
    assert name not in files and made in files
    assert f"run notebook {ARTEFACTS[name]} (" in html


def test_what_is_missing_or_damaged_is_said_with_the_command_that_makes_it(notebooks, tmp_path):
    save_parts(SMOKE), save_verdict(SMOKE, row("a", DIFFERS))
    figures, done = tmp_path / "figures" / "smoke", tmp_path / "results" / "smoke" / "notebooks"
    (figures / "fig4_capacity.png").write_bytes(b"\x89PNG cut off")
    save_json({"judgements": [{"judgement": "unheard of"}]} | stamp(SMOKE), "verdict", SMOKE)
    (done / "04_capacity.failed.html").write_text("")
    html = written(notebooks)
    told = text(html[html.index("This page is not complete") : html.index("<h2")])
    assert "Not run here: 04_capacity (./run_all.sh --profile smoke --seed 0 --only 04)" in told
    assert "fig4_capacity.png is damaged: run notebook 04_capacity" in told
    assert "The verdict was made by another version" in told and "04_capacity failed when it was last run" in told
    assert 'href="notebooks/04_capacity.failed.html"' in html and "slots. bits over L" in html
    (figures / "verdict.json").unlink()
    (done / "00_faces.html").unlink()
    told = text(written(notebooks))
    assert "There is no verdict yet" in told and "No notebook has been run here" in told


@pytest.mark.parametrize(
    "change",
    [
        {"judgements": "none"}, {"judgements": {"a": 1}}, {"judgements": [1]}, {"summary": 3}, {"counts": ["1"]},
        {"judgements": [row("a", DIFFERS)._asdict() | {"where": None}]}, {"versions": [1]}, {"steps": "40"},
        {"judgements": [row("a", DIFFERS)._asdict() | {"judgement": ["differs"]}]},
    ],
)  # fmt: skip
def test_a_verdict_with_other_parts_never_stops_the_page(notebooks, tmp_path, change):
    save_verdict(SMOKE, row("a", DIFFERS))
    path = tmp_path / "figures" / "smoke" / "verdict.json"
    values = json.loads(path.read_text()) | change
    values.pop("sha256")
    write_json(path, seal(values))
    assert "The verdict was made by another version" in written(notebooks)


WITHOUT_POLICY = [b"<title>00</title><body>", PAGE.replace("'none'", "*").encode(),
                  b"<body>" + PAGE.replace("<body>", "").encode()]  # fmt: skip


@pytest.mark.parametrize("content", [b"\xff\xfe", b"<title>\x80", b"", *WITHOUT_POLICY])
def test_a_damaged_page_is_named_and_not_linked(notebooks, tmp_path, content):
    page = tmp_path / "results" / "smoke" / "notebooks" / "00_faces.html"
    page.write_bytes(content)
    html = written(notebooks)
    told = "is damaged or of an earlier version (./run_all.sh --profile smoke --seed 0 --only 00 makes it again)"
    assert f"The page of 00_faces {told}" in html
    assert 'href="notebooks/00_faces.html"' not in html and page.read_bytes() == content


@pytest.mark.parametrize("content", ["[" * 100_000, "[1]", '{"metadata": []}', '{"metadata": {"papermill": "x"}}'])
def test_a_damaged_notebook_never_stops_the_page(notebooks, tmp_path, content):
    (tmp_path / "results" / "smoke" / "notebooks" / "00_faces.ipynb").write_text(content)
    assert "</html>" in written(notebooks)


def test_a_figure_of_too_many_pixels_is_damaged(notebooks, tmp_path, monkeypatch):
    save_parts(SMOKE)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    assert "slots.png is damaged: run notebook 04" in written(notebooks)


def test_numbers_of_other_code_are_not_passed_over(notebooks):
    save_verdict(SMOKE, row("a", DIFFERS))
    save_json({"bits": 1} | stamp(SMOKE), "capacity", SMOKE)
    save_json({"rows": [], "code": "older"}, "ablations", SMOKE)  # stored, with a stamp of its own
    assert "different code" not in written(notebooks)
    save_json({"bits": 1} | stamp(SMOKE) | {"code": "older"}, "capacity", SMOKE)
    assert "The verdict and capacity were made with different code" in written(notebooks)


def test_a_complete_run_has_no_warning(notebooks, tmp_path):
    save_parts(SMOKE), save_verdict(SMOKE, row("a", REPRODUCED))
    execute(tmp_path / "results" / "smoke" / "notebooks" / "04_capacity.ipynb")
    assert "not complete" not in written(notebooks)
    shutil.copy(notebooks / "00_faces.ipynb", notebooks / "11_extra.ipynb")
    html = written(notebooks)
    assert "not complete" not in html, "a run without extras is complete"
    assert text(html).count("(not run here: goes beyond the paper, --extras runs it)") == 1


def test_another_seed_has_a_page_of_its_own(notebooks, tmp_path):
    other = load_config("smoke", seed=3)
    done = tmp_path / "results" / "smoke" / "notebooks-seed3"
    done.mkdir()
    execute(done / "00_faces.ipynb", seed=3)
    save_parts(other)
    page = write_results(other, notebooks)
    assert page == done / "index.html" and not (done.parent / "index.html").exists()
    assert 'href="00_faces.html"' in page.read_text() and "../../../figures/smoke-seed3/slots.pdf" in page.read_text()
    assert 'href="index.html"' in (done / "00_faces.html").read_text()


def test_the_page_can_be_sent_it_names_no_folder_of_this_machine(notebooks, tmp_path):
    images = tmp_path / "private"
    images.mkdir()
    config = load_config("folder", data=str(images))
    save_parts(config)
    (tmp_path / "figures" / "folder" / "verdict.json").write_text("{")
    html = written(notebooks, config)
    assert "--data DIR" in html and "verdict.json is damaged or was changed" in html
    assert str(tmp_path) not in html and str(Path.home()) not in html


def test_foreign_words_are_text(notebooks):
    save_verdict(SMOKE, row(EVIL, DIFFERS, paper=EVIL)._replace(where=f"Fig. 4 {EVIL}", why=EVIL))
    save_parts(SMOKE, EVIL)
    html = written(notebooks)
    assert "<img src=x" not in html and "<script" not in html and "img-src data:" in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") > 5


@pytest.mark.parametrize("tag", [EVIL, "<style>*{display:none}</style>", "<form action=//x.y>", "<b>", "<!-- x -->"])
def test_tags_put_by_hand_into_a_table_or_the_verdict_are_text(notebooks, tmp_path, tag):
    save_verdict(SMOKE, row("a", DIFFERS))
    save_parts(SMOKE)
    tags = re.compile("<(?:img|style|form|b)\\b")
    plain = tags.findall(written(notebooks))
    figures = tmp_path / "figures" / "smoke"
    values = read_sealed(figures / "verdict.json")
    write_json(figures / "verdict.json", seal(values | {"summary": f"- **Seen** {tag}\n\n{tag}"}))
    table = figures / "table2_capacity.md"
    table.write_text(f"{tag}\n\n" + table.read_text().replace("bits", f"bits {tag}"))
    html = written(notebooks)
    assert html.count(escape(tag)) == 4, "as text, in a block and in a line of both"
    assert tags.findall(html) == plain


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_it_fits_filters_without_a_script_and_asks_no_network(notebooks, browser, width):
    save_parts(SMOKE)
    rows = [row("a", REPRODUCED), row("b", DIFFERS, CONSTRUCTION), row("c", NEEDS_SCALE), row("w" * 300, DIFFERS)]
    save_verdict(SMOKE, *rows)
    page = browser(write_results(SMOKE, notebooks), width)
    assert page.execute_script("return document.documentElement.scrollWidth") == width

    def shown() -> list[str]:
        found = page.find_elements("css selector", ".all .claim")
        return [claim.find_element("css selector", "p").text for claim in found if claim.is_displayed()]

    assert [claim[:18] for claim in shown()] == ["differs claim wwww", "differs claim b", "reproduced claim a"]
    page.find_element("id", "show-differs").click()
    assert shown() == ["reproduced claim a"]
    page.find_element("id", "show-needs").click()
    page.find_element("id", "show-differs").click()
    page.find_element("id", "show-measured").click()
    assert shown() == ["differs claim b"]
    assert page.asked() == []


@pytest.mark.browser
def test_in_a_browser_a_figure_shows_and_grows_when_tapped(notebooks, browser):
    save_parts(SMOKE)
    page = browser(write_results(SMOKE, notebooks), 200)
    image = page.find_element("css selector", "figure img")
    small = image.size["width"]
    assert page.execute_script("return arguments[0].naturalWidth", image) > small
    image.click()
    assert image.size["width"] > small
    assert page.execute_script("return document.documentElement.scrollWidth") == 200
