"""The page of an executed notebook."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pivq.commands import pages
from pivq.commands.pages import link_pages, plain_text, render, to_mathml, write_page

VOID = ("meta", "img", "input", "br", "hr")  # tags without an end
EVIL = "<img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    """All tags of a page with their attributes, and for each text the tags that it stands in."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.texts, self._open = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert tag in VOID or self._open.pop() == tag, "tags that do not match"

    def handle_data(self, data):
        if "style" not in self._open:
            self.texts.append((data, tuple(self._open)))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def inside(self, text: str) -> tuple[str, ...]:
        (found,) = [tags for data, tags in self.texts if text in data]
        return found


def png(comment: str = "") -> str:
    facts, file = PngInfo(), io.BytesIO()
    if comment:
        facts.add_text("Comment", comment)
    Image.new("RGB", (4, 2)).save(file, "PNG", pnginfo=facts)
    return base64.b64encode(file.getvalue()).decode()


def picture(encoded: str, **facts):
    return new_output("display_data", {"image/png": encoded}, metadata={"image/png": facts} if facts else {})


def page(folder: Path, *cells, name: str = "02_second") -> Tags:
    notebook = nbformat.v4.new_notebook(cells=list(cells))
    nbformat.write(notebook, folder / f"{name}.ipynb")
    write_page(folder / f"{name}.ipynb", folder / f"{name}.ipynb")
    return Tags((folder / f"{name}.html").read_text())


def test_formulas_become_mathml_and_what_cannot_stays_readable():
    assert to_mathml("e_0") == "<math><msub><mi>e</mi><mn>0</mn></msub></math>"
    assert to_mathml("e_0", displayed=True).startswith('<math display="block">')
    assert to_mathml(r"\nothing{a < b}") == r"<code>\nothing{a &lt; b}</code>"
    assert "<img" not in to_mathml(rf"\text{{{EVIL}}}")
    html, _ = render("costs \\$5 and \\$6, $a$\n\n$$b$$\n\n\\begin{align*}c\\end{align*}")
    assert html.startswith("<p>costs $5 and $6, <math><mi>a</mi></math></p>")
    assert html.count('<math display="block">') == 2


@pytest.mark.parametrize("path", sorted((Path(pages.__file__).parents[2] / "notebooks").glob("*.ipynb")), ids=str)
def test_every_formula_of_the_notebooks_can_be_converted(path, monkeypatch):
    convert = pages._latex.convert_with_local_state
    monkeypatch.setattr(pages, "to_mathml", lambda latex, displayed=False: convert(latex, displaystyle=displayed))
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "markdown":
            render("".join(cell["source"]))  # raises LatexError, which says what is wrong


def test_a_page_needs_nothing_from_elsewhere_and_runs_nothing(tmp_path):
    tags = page(
        tmp_path,
        new_markdown_cell("# Title\n\n[![badge](https://x.y/badge.svg)](https://x.y/colab) [z](javascript:alert(1))"),
        new_code_cell("1 < 2", outputs=[new_output("display_data", {"text/html": "<p>shown</p>", "text/plain": "no"})]),
    )
    html = (tmp_path / "02_second.html").read_text()
    assert not tags.all("script") and not tags.all("link") and "javascript:" not in html
    assert not [source for source in re.findall(r"""(?:src=|url\()["']?([^"') ]*)""", html) if source[:5] != "data:"]
    (policy,) = [meta["content"] for meta in tags.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';") and "script" not in policy
    assert tags.inside("badge")[-1] == "a" and tags.inside("shown")[-1] == "p"
    assert [meta["content"] for meta in tags.all("meta") if meta.get("name") == "viewport"]


WEAKER = ['</head><meta http-equiv="Content-Security-Policy" content="default-src *">', "<base href=//x.y>", "<!--",
          "</title></head><body>"]  # fmt: skip


@pytest.mark.parametrize("words", WEAKER)
@pytest.mark.parametrize("name", ["02_second", "02_second.failed", "demo"])
def test_every_page_has_the_policy_whatever_a_notebook_holds(tmp_path, words, name):
    shown = new_output("display_data", {"text/html": words, "text/plain": words})
    cells = [new_markdown_cell(f"# Title {words}\n\n{words}\n\n## Part {words}"),
             new_code_cell(words, outputs=[shown, new_output("stream", text=words)])]  # fmt: skip
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "made.ipynb")
    write_page(tmp_path / "made.ipynb", tmp_path / f"{name}.ipynb")
    html = (tmp_path / f"{name}.html").read_text()
    head = html[: html.index("</head>")]
    assert head.count("Content-Security-Policy") == 1
    assert 0 < head.index(pages.POLICY) < head.index("<title>") and pages.read_page(tmp_path / f"{name}.html") == html


def test_every_template_of_a_page_has_the_policy_before_its_title():
    templates = sorted(pages.TEMPLATES.glob("*.html.j2"))
    assert [path.name for path in templates] == ["notebook.html.j2", "results.html.j2"]
    for path in templates:
        head = path.read_text().partition("<title>")[0]
        policy = r'<meta http-equiv="Content-Security-Policy" content="{{ \S*policy( \| safe)? }}">'
        assert re.search(policy, head), path
    assert pages.POLICY.startswith("default-src 'none'; ") and "script" not in pages.POLICY


def test_title_and_contents_come_from_the_headings(tmp_path):
    tags = page(tmp_path, new_markdown_cell("# 02 · Codes & $K_0$\n\n## A <b>part</b>\n\n### Below"),
                new_markdown_cell("## The end"))  # fmt: skip
    assert tags.inside("02 · Codes & K0 · PI-VQ") == ("html", "head", "title")
    inside = [a["href"] for a in tags.all("a")]
    assert inside == ["#a-part", "#the-end"]
    assert {heading["id"] for name, heading in tags.tags if name == "h2"} == {"a-part", "the-end"}


def test_code_that_draws_and_sections_for_the_reader_s_own_work_are_folded(tmp_path):
    cells = [new_markdown_cell("## Results"), new_code_cell("save_figure(1)"), new_code_cell("method = 2"),
             new_markdown_cell("## Exercises\n\nAsked"), new_code_cell("solved = 3"),
             new_markdown_cell("## Last\n\nSeen"), new_markdown_cell("## Provenance\n\nStamped")]  # fmt: skip
    tags = page(tmp_path, *cells)
    folded = {word: "details" in tags.inside(word)
              for word in ("save_figure", "method", "Asked", "solved", "Seen", "Stamped")}  # fmt: skip
    assert folded == {"save_figure": True, "method": False, "Asked": True, "solved": True, "Seen": False,
                      "Stamped": True}  # fmt: skip
    headings = [inside[-2:] for text, inside in tags.texts if text == "Exercises" and inside[-1] == "h2"]
    assert headings == [("summary", "h2")], "the heading stays in view"


def test_set_up_is_one_folded_part_unless_it_said_something(tmp_path):
    hidden = {"jupyter": {"source_hidden": True}}
    cells = [new_markdown_cell("# Title\n\nclaim"), new_markdown_cell("announced"), new_code_cell("seed = 0"),
             new_code_cell("import this", metadata=hidden), new_markdown_cell("loads"), new_code_cell("loaded = 1"),
             new_markdown_cell("## Part\n\nmethod"), new_code_cell("import late", metadata=hidden)]  # fmt: skip
    tags = page(tmp_path, *cells)
    words = "claim", "announced", "seed", "this", "loads", "loaded"
    depth = {word: tags.inside(word).count("details") for word in words}
    assert depth == {"claim": 0, "announced": 1, "seed": 1, "this": 1, "loads": 0, "loaded": 0}
    assert tags.inside("Set-up and parameters")[-1] == "summary" and tags.inside("late").count("details") == 1
    assert not [details for details in tags.all("details") if "open" in details]
    cells[2].outputs = [new_output("stream", text="a warning")]
    tags = page(tmp_path, *cells)
    assert [list(details) for details in tags.all("details")][0] == ["class", "open"], "what it said is seen"


def test_a_live_picture_is_folded(tmp_path):
    live = new_output("display_data", {"image/png": png()}, metadata={"image/png": {"alt": "curves"}, "live": True})
    tags = page(tmp_path, new_code_cell("train()", outputs=[live, picture(png(), alt="still")]))
    assert tags.inside("While it ran: curves")[-2:] == ("details", "summary")
    html = (tmp_path / "02_second.html").read_text()
    assert html.index('alt="curves"') < html.index("</details>") < html.index('alt="still"')


def test_long_code_is_folded_but_for_what_a_page_writes_out(tmp_path):
    lines = "\n".join(f"    x{i} = 1" for i in range(13))
    tags = page(tmp_path, new_code_cell(f"if data:\n{lines}"), new_code_cell(f"def written_out():\n{lines}"))
    assert [text for text, inside in tags.texts if inside[-1:] == ("summary",)] == ["Code, 14 lines"]
    assert "details" in tags.inside("data") and "details" not in tags.inside("written_out")


def test_set_up_is_folded_and_all_other_code_is_not(tmp_path):
    hidden = {"jupyter": {"source_hidden": True}}
    answer = new_code_cell("solution", metadata=hidden | {"tags": ["answer"]})
    set_up, other = new_code_cell("import plumbing\n2", metadata=hidden), new_code_cell("3", metadata=hidden)
    tags = page(tmp_path, set_up, new_code_cell("method = 2"), answer, other)
    assert "details" in tags.inside("plumbing") and "details" not in tags.inside("method")
    assert [text for text, inside in tags.texts if inside[-1:] == ("summary",)] == [
        "Set-up, 2 lines", "Answer, 1 line", "Code, 1 line",
    ]  # fmt: skip
    assert not [details for details in tags.all("details") if "open" in details]


def test_a_bar_ends_as_its_last_line_in_page_and_notebook(tmp_path):
    bar = [new_output("stream", name="stderr", text=f"\r{text}") for text in ("fit: 0%", "fit: 50%", "fit: 100%")]
    below = "\n", "\rinner", "\x1b[A", "\n", "\r     \r", "\x1b[A"  # a bar under it, which is removed in the end
    nested = [new_output("stream", name="stderr", text=text) for text in below]
    out = [new_output("stream", name="stdout", text="first\n\n"), new_output("stream", name="stdout", text="last")]
    tags = page(tmp_path, new_code_cell("train()", outputs=[*bar, *nested, *out]))
    kept = json.loads((tmp_path / "02_second.ipynb").read_text())["cells"][0]["outputs"]
    assert [("".join(output["text"]), output["name"]) for output in kept] == [
        ("fit: 100%\n", "stderr"), ("first\n\nlast", "stdout"),
    ]  # fmt: skip
    shown = [data for data, inside in tags.texts if inside[-1:] == ("pre",) and inside.count("div") == 1]  # no code
    assert shown == ["fit: 100%", "first\n\nlast"]


def test_every_figure_is_described_by_itself_its_file_or_the_sentence_before_it(tmp_path):
    tags = page(
        tmp_path,
        new_markdown_cell("## Heading\n\nNot this.\n\nThe *two* codes < $L$:"),
        new_code_cell("a", outputs=[picture(png(), alt='its "own"', width=2), picture(png("the file's"))]),
        new_code_cell("b", outputs=[picture(png()), new_output("display_data", {"image/jpeg": "not a picture"})]),
    )
    images = tags.all("img")
    assert [image["alt"] for image in images] == ['its "own"', "the file's", *2 * ["The two codes < L:"]]
    assert images[0]["width"] == "2" and "width" not in images[1]
    shown = base64.b64decode(images[0]["src"].removeprefix("data:image/webp;base64,"))
    assert Image.open(io.BytesIO(shown)).size == (4, 2), "smaller than the PNG, which the notebook keeps"
    assert images[3]["src"] == "data:image/jpeg;base64,not a picture"
    kept = json.loads((tmp_path / "02_second.ipynb").read_text())["cells"][1]["outputs"][1]
    assert kept["metadata"]["image/png"]["alt"] == "the file's" and list(kept["data"]) == ["image/png"]


def test_foreign_words_are_text(tmp_path):
    outputs = [
        new_output("stream", name="stdout", text=EVIL), new_output("stream", name="stderr", text=EVIL),
        new_output("display_data", {"text/plain": EVIL}), picture(png(), alt=f'"{EVIL}'),
        new_output("error", ename=EVIL, evalue=EVIL, traceback=[EVIL]),
        new_output("execute_result", {"text/plain": EVIL}),
    ]  # fmt: skip
    tags = page(tmp_path, new_markdown_cell(f"# a {EVIL[1:]} `{EVIL}`"), new_code_cell(EVIL, outputs=outputs),
                name=f"02_{'x' * 5}")  # fmt: skip
    assert [image["src"][:16] for image in tags.all("img")] == ["data:image/webp;"]
    assert len([data for data, _ in tags.texts if EVIL in data]) >= 6


def test_an_error_is_one_line_above_its_folded_traceback(tmp_path):
    output = new_output("error", ename="ValueError", evalue="3 is odd", traceback=["\x1b[31mline 1\x1b[0m", "line 2"])
    tags = page(tmp_path, new_code_cell("raise", outputs=[output]), name="03_third.failed")
    assert tags.inside("ValueError: 3 is odd")[-1] == "pre" and "details" not in tags.inside("ValueError: 3 is odd")
    assert "details" in tags.inside("line 2")


def test_tables_scroll_in_boxes_of_their_own():
    html, _ = render("| a |\n|---|\n| b |")
    assert html.startswith('<div class="scroll"><table>') and plain_text(html).split() == ["a", "b"]


def test_pages_are_linked_in_order_and_again_when_one_is_added(tmp_path):
    for name in ("00_a", "02_c", "03_d.failed"):
        page(tmp_path, new_markdown_cell(f"# Title <of> {name}"), name=name)

    def links(name):
        tags = Tags((tmp_path / f"{name}.html").read_text())
        return [(a["href"], data) for a, (data, _) in zip(
            tags.all("a"), [text for text in tags.texts if text[1][-2:] == ("nav", "a")], strict=True)]  # fmt: skip

    link_pages(tmp_path, tmp_path.parent / "index.html", "smoke, seed 0")
    up = ("../index.html", "All results (smoke, seed 0)")
    assert links("00_a") == 2 * [up, ("02_c.html", "Title  02_c →")]
    assert links("02_c") == 2 * [up, ("00_a.html", "← Title  00_a")]
    before = (tmp_path / "00_a.html").stat().st_mtime_ns
    page(tmp_path, new_markdown_cell("# B & more"), name="01_b")
    link_pages(tmp_path, tmp_path / "index.html", "smoke, seed 3")
    assert links("00_a")[:2] == [("index.html", "All results (smoke, seed 3)"), ("01_b.html", "B & more →")]
    assert [target for target, _ in links("01_b")[:3]] == ["index.html", "00_a.html", "02_c.html"]
    before = (tmp_path / "00_a.html").stat().st_mtime_ns
    link_pages(tmp_path, tmp_path / "index.html", "smoke, seed 3")
    assert (tmp_path / "00_a.html").stat().st_mtime_ns == before, "nothing changed, so nothing is written"


def test_a_notebook_that_a_page_names_is_opened_as_a_page_or_on_github(tmp_path):
    colab, github = "https://colab.research.google.com/github/o/p/blob/main", "https://github.com/o/p/blob/main"
    text = f"[badge]({colab}/notebooks/01_b.ipynb) [c](02_c.ipynb) [d](03_d.ipynb) [e]({github}/docs/colab.md)"
    elsewhere = [f"{colab}/notebooks/01_b.ipynb", f"{github}/docs/colab.md"]

    def targets():
        html = (tmp_path / "01_b.html").read_text().partition("<main>")[2].partition("</main>")[0]
        return re.findall('href="([^"]*)"', html)

    page(tmp_path, new_markdown_cell(text), name="01_b")
    on_github = [f"{github}/notebooks/{name}.ipynb" for name in ("02_c", "03_d")]
    assert targets() == [elsewhere[0], *on_github, elsewhere[1]], "a notebook as it is stored is no page"
    page(tmp_path, new_markdown_cell("# C"), name="02_c")
    for _ in range(2):
        link_pages(tmp_path, tmp_path / "index.html", "smoke, seed 0")
        assert targets() == [elsewhere[0], "02_c.html", on_github[1], elsewhere[1]]
    (tmp_path / "02_c.html").unlink()
    link_pages(tmp_path, tmp_path / "index.html", "smoke, seed 0")
    assert targets() == [elsewhere[0], *on_github, elsewhere[1]]


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser_what_is_wide_scrolls_in_its_own_box(tmp_path, browser, width):
    table = f"| {' | '.join(f'column {number}' for number in range(60))} |"
    wide = new_output("display_data", {"text/html": f"<table><tr>{'<td>some words</td>' * 60}</tr></table>"})
    page(
        tmp_path,
        new_markdown_cell(f"# A title\n\n![a badge](https://x.y/b.svg)\n\n{table}\n|{'---|' * 60}\n\n{'word' * 99}"),
        new_markdown_cell("$$" + "+".join(["K_0"] * 200) + r"\tag{3}$$ and $\frac{K}{L}$"),
        new_code_cell("a = " + "1 + " * 200 + "1", outputs=[wide, new_output("stream", text="out " * 200)]),
        new_code_cell("import folded", metadata={"jupyter": {"source_hidden": True}}),
    )
    opened = browser(tmp_path / "02_second.html", width)
    assert opened.execute_script("return document.documentElement.scrollWidth") == width
    boxes = opened.find_elements("css selector", ".scroll, main > .highlight pre, pre.stream")
    assert len(boxes) == 4
    assert all(opened.execute_script("return arguments[0].scrollWidth > innerWidth", box) for box in boxes)
    assert opened.find_element("css selector", "mfrac").size["height"] > 10, "typeset, not a line of text"
    assert not opened.find_element("css selector", "details pre").is_displayed()
    opened.find_element("css selector", "summary").click()
    assert opened.find_element("css selector", "details pre").is_displayed()
    assert opened.asked() == []
