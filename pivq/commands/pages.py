"""The page of an executed notebook: one HTML file that needs no network, runs no script and fits a phone.

Formulas become MathML, which browsers typeset themselves. Progress bars are kept as their last line, figures get their
descriptions, and the code of the set-up is folded.
"""

import base64
import io
import re
from collections.abc import Callable, Iterator
from html import escape, unescape
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
from jinja2 import Environment
from markupsafe import Markup
from math_core import LatexError, LatexToMathML
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from PIL import Image, UnidentifiedImageError

from pivq.storage.writing import write_text

TEMPLATES = Path(__file__).with_name("templates")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"  # of every page, in its head: nothing runs
IMAGES = ("image/png", "image/jpeg")
# What a terminal is told: a line up, other things by an escape, to the line's start, a line down; and text.
WRITTEN = re.compile(r"\x1b\[A|\x1b\[[0-9;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+|\x1b")
# Sections that a page shows folded: from their heading to the next one of that level, or to the end.
FOLDED = re.compile(
    '(<h2 id="(?:exercises|references|provenance|the-model-to-show)">.*?</h2>)(.*?)(?=<h2 |</main>)', re.DOTALL
)
BAR = re.compile("<!--bar-->.*?<!--/bar-->", re.DOTALL)
# A link to another notebook: to its page, or, as long as there is none, to its source on GitHub.
TO_NOTEBOOK = re.compile(r'href="(?:https://github\.com/[^"]*/)?(\d\d_\w+|demo|explore|colab)\.(?:ipynb|html)"')
ON_COLAB = re.compile(r'href="https://colab\.research\.google\.com/github/([^"]*/notebooks/)\w+\.ipynb"')
_latex = LatexToMathML(fancy_error=False)


class Heading(NamedTuple):
    """A heading of a page: 1 is the title's level; `html` is its content."""

    level: int
    id: str
    html: str


class Renderer(IPythonRenderer):
    """Markdown as nbconvert renders it, but for a page alone in the world: no script, no picture from elsewhere.

    Without `html`, tags in the Markdown are text.
    """

    def __init__(self, html: bool = True):
        super().__init__(escape=False, allow_harmful_protocols=False, exclude_anchor_links=True)
        self.headings: list[Heading] = []
        self.html = html

    def block_html(self, html: str) -> str:
        """Return HTML that stands alone."""
        return super().block_html(html) if self.html else f"<p>{escape(html.strip())}</p>\n"

    def inline_html(self, html: str) -> str:
        """Return a tag within a text."""
        return super().inline_html(html) if self.html else escape(html)

    def heading(self, text: str, level: int, **attributes: Any) -> str:
        """Return a heading with an id made of its words, and keep it for the contents."""
        words = re.findall(r"\w+", plain_text(text).lower()) or ["part"]
        self.headings.append(Heading(level, "-".join(words), text))
        return f'<h{level} id="{self.headings[-1].id}">{text}</h{level}>\n'

    def table(self, text: str) -> str:
        """Return a table in a box that scrolls by itself."""
        return f'<div class="scroll"><table>\n{text}</table></div>\n'

    def image(self, text: str, url: str, title: str | None = None) -> str:
        """Return a picture that the page holds itself; of one from elsewhere, such as a badge, its text."""
        return super().image(text, url, title) if url.startswith(("data:image/", "attachment:")) else escape(text)

    def inline_math(self, body: str) -> str:
        """Return a formula as MathML."""
        return to_mathml(body)

    def block_math(self, body: str) -> str:
        """Return a displayed formula as MathML."""
        tagged = "\\tag" in body  # allowed in MathJax, and by TeX in an equation only
        return to_mathml(f"\\begin{{equation}}{body}\\end{{equation}}" if tagged else body, displayed=True)

    def latex_environment(self, name: str, body: str) -> str:
        """Return an environment such as `align*` as MathML."""
        return to_mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", displayed=True)


def to_mathml(latex: str, displayed: bool = False) -> str:
    """Return a formula as MathML; one that cannot be converted as code, so that it is seen and can be read.

    Example:
        >>> to_mathml("K < 2")
        '<math><mi>K</mi><mo>&lt;</mo><mn>2</mn></math>'
    """
    try:
        return _latex.convert_with_local_state(latex, displaystyle=displayed)
    except LatexError:
        return f"<code>{escape(latex)}</code>"


class _Exporter(HTMLExporter):
    """nbconvert's exporter with our renderer and our template."""

    def __init__(self):
        super().__init__(template_file=str(TEMPLATES / "notebook.html.j2"))

    def markdown2html(self, source: str) -> str:
        return render(source)[0]

    def default_filters(self) -> Iterator[tuple[str, Callable]]:
        yield from super().default_filters()
        yield "address", lambda encoded, kind: _address(encoded) or f"data:{kind};base64,{encoded}"


def render(source: str, html: bool = True) -> tuple[str, list[Heading]]:
    """Return Markdown as HTML, and its headings; without `html`, tags in it are text."""
    renderer = Renderer(html)
    return MarkdownWithMath(renderer=renderer).render(source), renderer.headings


def plain_text(html: str) -> str:
    """Return the text of HTML, without its tags.

    Example:
        >>> plain_text("<p>K &lt; <b>2</b></p>")
        'K < 2'
    """
    return unescape(re.sub("<[^>]*>", "", html))


def write_page(executed: Path, target: Path) -> None:
    """Write the page of an executed notebook next to `target`, which names it.

    The notebook itself is tidied too: one line of each progress bar, and a description with each figure.

    Raises:
        OSError: a file cannot be written.
    """
    notebook = nbformat.read(executed, as_version=4)
    tidy(notebook)
    headings = [part for cell in notebook.cells if cell.cell_type == "markdown" for part in render(cell.source)[1]]
    title = next((plain_text(part.html) for part in headings if part.level == 1), target.stem)
    page = {"title": title, "policy": POLICY, "contents": [part for part in headings if part.level == 2]}
    page |= {"set_up": (places := set_up(notebook.cells))}
    page |= {"set_up_shown": any(notebook.cells[place].get("outputs") for place in places)}
    html, _ = _Exporter().from_notebook_node(notebook, {"metadata": {"name": target.stem}, "page": page})
    folded = r'<details class="section"><summary>\1</summary>\2</details>'
    write_text(target.with_suffix(".html"), link_notebooks(FOLDED.sub(folded, html), target.parent))
    write_text(executed, nbformat.writes(notebook) + "\n")


def read_page(page: Path) -> str:
    """Return a page that `write_page` wrote; "" for one that is damaged, or lets scripts run and load."""
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""
    return text if POLICY in text.partition("<body")[0] else ""


def link_notebooks(html: str, folder: Path) -> str:
    """Return a page whose links to notebooks lead to their pages in `folder`, or else to GitHub.

    A browser shows no .ipynb. The badge of a page says where its project is; without one, the links stay as they are.
    """

    def address(link: re.Match) -> str:
        page = f"{link[1]}.html"
        return f'href="{page if (folder / page).is_file() else f"https://github.com/{badge[1]}{link[1]}.ipynb"}"'

    badge = ON_COLAB.search(html)
    return TO_NOTEBOOK.sub(address, html) if badge else html


def set_up(cells: list[NotebookNode]) -> range:
    """Return the places of the cells that only prepare: from the first cell's end to the last import before a part."""
    part = next((place for place, cell in enumerate(cells) if cell.source.startswith("## ")), 0)
    imports = [place for place in range(part) if cells[place].source.startswith(("import ", "from "))]
    return range(1, imports[-1] + 1) if imports else range(0)


def link_pages(folder: Path, results: Path, name: str) -> None:
    """Give each notebook's page links to the pages before and after, to all results, and to pages that its text names.

    A page that is damaged, or not of this version, is left as it is, and out of the row.
    """
    found = sorted(folder.glob("[0-9][0-9]_*.html"))
    texts = {page: text for page in found if not page.stem.endswith(".failed") and (text := read_page(page))}
    pages = list(texts)
    titles = {page: _title(text, page.stem) for page, text in texts.items()}
    up = "index.html" if results.parent == folder else "../index.html"
    template = Environment(autoescape=True).from_string(
        '<!--bar--><nav class="bar" aria-label="Notebooks"><a href="{{ up }}">All results ({{ name }})</a>'
        '{% for arrow, page in links %}<a href="{{ page.name }}">{{ arrow[0] }}{{ titles[page] }}{{ arrow[1] }}</a>'
        "{% endfor %}</nav><!--/bar-->"
    )
    for place, page in enumerate(pages):
        links = [(("← ", ""), pages[place - 1])] if place else []
        links += [(("", " →"), pages[place + 1])] if place + 1 < len(pages) else []
        bar = template.render(up=up, name=name, links=links, titles=titles)
        linked = link_notebooks(BAR.sub(lambda _, bar=bar: bar, texts[page]), folder)
        if linked != texts[page]:
            write_text(page, linked)


def _title(html: str, otherwise: str) -> str:
    found = re.search(r"<title>(.*?) · PI-VQ</title>", html)
    return Markup(found[1]) if found else otherwise


def tidy(notebook: NotebookNode) -> None:
    """Keep the last line of each progress bar, and give each picture without a description one."""
    join_streams(notebook)
    before = ""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            before = cell.source
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":  # where progress is shown
                output.text = as_shown(output.text)
            for kind in IMAGES:
                if kind in output.get("data", {}):
                    described = output.metadata.setdefault(kind, NotebookNode())
                    described.setdefault("alt", _description(output.data[kind]) or _announced(before))


def join_streams(notebook: NotebookNode) -> None:
    """Join what a cell wrote to one stream piece by piece, as nbconvert does, but keep every control character."""
    for cell in notebook.cells:
        joined: list[NotebookNode] = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and joined and joined[-1].get("name") == output.name:
                joined[-1].text += output.text
            else:
                joined.append(output)
        if joined:
            cell.outputs = joined


def as_shown(text: str) -> str:
    """Return what a terminal shows in the end of a text with progress bars, also of two that share it; no empty lines.

    Example:
        >>> as_shown("\\r 0%\\n\\rb 0%\\x1b[A\\r50%\\n\\rb 9%\\x1b[A")
        '50%\\nb 9%\\n'
    """
    lines, row, column = [""], 0, 0
    for part in WRITTEN.findall(text):
        if part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row == len(lines))
        elif part == "\r":
            column = 0
        elif part == "\x1b[A":
            row = max(0, row - 1)
        elif not part.startswith("\x1b"):
            line = lines[row].ljust(column)
            lines[row] = line[:column] + part + line[column + len(part) :]
            column += len(part)
    return "".join(f"{line.rstrip()}\n" for line in lines if line.strip())


def _description(encoded: str) -> str:
    """Return the description that a PNG of `save_figure` carries, or ""."""
    try:
        return Image.open(io.BytesIO(base64.b64decode(encoded))).info.get("Comment", "")
    except (UnidentifiedImageError, ValueError, OSError):
        return ""


def _address(encoded: str) -> str:
    """Return a picture as an address that holds it, or "" for what is none."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
            return picture_address(image)
    except (UnidentifiedImageError, ValueError, OSError):
        return ""


def picture_address(image: Image.Image) -> str:
    """Return a picture as an address that holds it, as WebP: a fifth of a PNG's size."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "WEBP", quality=85)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def _announced(markdown: str) -> str:
    """Return the last paragraph of the text before a figure: each code cell is announced by a sentence."""
    paragraphs = re.findall("<p>(.*?)</p>", render(markdown)[0], re.DOTALL)
    return " ".join(plain_text(paragraphs[-1]).split()) if paragraphs else "A figure"
