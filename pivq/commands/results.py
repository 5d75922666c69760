"""The page of all results of one profile and seed: verdict, figures, tables, times, what is missing.

Only parts that say they were made from these settings are shown; of the others the page says what they were made from.
"""

import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup, escape
from PIL import Image, UnidentifiedImageError

from pivq.commands.pages import POLICY, TEMPLATES, link_pages, picture_address, read_page, render
from pivq.commands.run_all_arguments import LAST, requested_config
from pivq.config import Config
from pivq.figures.artefacts import ARTEFACTS
from pivq.figures.tables import typeset
from pivq.runs.provenance import commit, stamp
from pivq.runs.verdict.judging import DIFFERS, KINDS, NEEDS_SCALE, REPRODUCED, UNDECIDED
from pivq.storage.origin import origin, other_line, other_origin
from pivq.storage.paths import figures_dir, notebooks_dir, results_page
from pivq.storage.writing import read_json, read_sealed, write_text

ORDER = (DIFFERS, UNDECIDED, REPRODUCED, NEEDS_SCALE)  # what contradicts the paper first
OF_THE_PAPER = re.compile(r"(fig|table)(\d)_")  # artefacts that stand for a figure or table of the paper
# Numbers that are stored with the project, since they take longer than a run; they keep the stamp they were made with.
STORED = ("ablations", "competition", "rivals", "other_data", "recipes")


@dataclass
class Part:
    """A figure or table of this run.

    Attributes:
        name: one of `ARTEFACTS`.
        title: what a reader calls it.
        notebook: which makes it.
        content: HTML of a table; of a figure its address, with the picture in it.
        alt: of a figure, what it shows.
        claims: the judgements about this figure or table of the paper.
    """

    name: str
    title: str
    notebook: str
    content: str
    alt: str = ""
    claims: list[dict[str, str]] = field(default_factory=list)

    @property
    def of_the_paper(self) -> bool:
        """Whether it is the figure or table of the same number in the paper."""
        return bool(OF_THE_PAPER.match(self.name))


@dataclass
class Chapter:
    """A notebook: its title, its page if there is one of this run, the minutes it took, and the page of a failure."""

    name: str
    title: str
    page: str
    minutes: float | None
    failed: str


def write_results(config: Config, notebooks: Path) -> Path:
    """Write `pivq.storage.paths.results_page` from what there is, link the notebooks' pages, and return its path.

    Args:
        config: figures, tables and notebooks of others are not shown.
        notebooks: folder of the notebooks' sources.

    Raises:
        OSError: a page cannot be written.
    """
    path = results_page(config.profile, config.seed)
    problems: list[str] = []
    chapters = _chapters(config, notebooks, path.parent, problems)
    verdict = _verdict(config, problems)
    claims = sorted(verdict.get("judgements", []), key=lambda row: (ORDER.index(row["judgement"]), _kind(row)))
    figures, tables = _parts(config, claims, problems)
    environment = Environment(loader=FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["thousands"] = "{:,}".format
    environment.filters["typeset"] = lambda text: Markup(typeset(escape(text)))
    html = environment.get_template("results.html.j2").render(
        config=config, policy=POLICY, chapters=chapters, problems=problems, claims=claims,
        figures=figures, tables=tables,
        counts=verdict.get("counts", ""), summary=_summary(verdict), judgements=ORDER, kinds=list(KINDS),
        stamp=_stamp(config, verdict), folder=_relative_figures(config, path.parent),
        total=sum(chapter.minutes or 0 for chapter in chapters), last=LAST, explorer=_explorer(config, path.parent),
    )  # fmt: skip
    write_text(path, html)
    link_pages(notebooks_dir(config.profile, config.seed), path, f"{config.profile}, seed {config.seed}")
    return path


def _kind(row: dict[str, str]) -> int:
    return list(KINDS).index(row["kind"])


def _chapters(config: Config, notebooks: Path, start: Path, problems: list[str]) -> list[Chapter]:
    """Return every notebook; note those on the paper that have no executed copy of these settings."""
    folder = notebooks_dir(config.profile, config.seed)
    try:
        seconds = read_json(folder / "timings.json")
    except (OSError, ValueError):
        seconds = {}
    chapters, missing = [], []
    for source in sorted(notebooks.glob("[0-9][0-9]_*.ipynb")):
        page, failed = folder / f"{source.stem}.html", folder / f"{source.stem}.failed.html"
        other = _other_settings(folder / source.name, config)
        if other:
            problems.append(f"The page of {source.stem} is of another run ({other}), so it is not linked.")
        shown = page.exists() and not other
        if shown and not read_page(page):
            again = f"({_command(config, source.stem)} makes it again)"
            problems.append(f"The page of {source.stem} is damaged or of an earlier version {again}.")
            shown = False
        if not page.exists() and source.stem[:2] <= LAST:
            missing.append(source.stem)
        if failed.exists():
            problems.append(f"{source.stem} failed when it was last run; an older page of it may still be linked.")
        took = seconds.get(source.stem) if shown else None
        chapters.append(Chapter(
            source.stem, _heading(source), page.relative_to(start).as_posix() if shown else "",
            took / 60 if isinstance(took, int | float) else None,
            failed.relative_to(start).as_posix() if failed.exists() else "",
        ))  # fmt: skip
    if missing and len(missing) == sum(chapter.name[:2] <= LAST for chapter in chapters):
        problems.append(f"No notebook has been run here ({_command(config)}).")
    elif missing:
        problems.append(f"Not run here: {', '.join(missing)} ({_command(config, *missing)}).")
    return chapters


def _other_settings(executed: Path, config: Config) -> str:
    """Return how the parameters of an executed notebook differ from these settings, "" if they do not."""
    try:
        given = json.loads(executed.read_text(encoding="utf-8"))["metadata"]["papermill"]["parameters"]
        made = requested_config(given)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):  # none, or its data is gone
        return ""
    return other_origin(origin(made), config)


def _heading(source: Path) -> str:
    """Return the title in the first cell of a notebook, or the file's name."""
    first = "".join(json.loads(source.read_text(encoding="utf-8"))["cells"][0]["source"])
    return first.splitlines()[0].removeprefix("# ") if first.startswith("# ") else source.stem


def _verdict(config: Config, problems: list[str]) -> dict[str, Any]:
    """Return the verdict of these settings, or an empty one and a note why."""
    folder = figures_dir(config.profile, config.seed)
    try:
        verdict = read_sealed(folder / "verdict.json")
    except FileNotFoundError:
        problems.append(f"There is no verdict yet: notebook 08 makes it ({_command(config, '08_verdict')}).")
        return {}
    except ValueError:
        again = f"run notebook 08 again ({_command(config, '08_verdict')})"
        problems.append(f"verdict.json is damaged or was changed: {again}.")
        return {}
    if other := other_origin(verdict, config):
        problems.append(f"The verdict was made from {other}. It is not shown ({_command(config, '08_verdict')}).")
        return {}
    if not _has_its_parts(verdict):
        problems.append(f"The verdict was made by another version of the code ({_command(config, '08_verdict')}).")
        return {}
    codes = {name: _code(folder / f"{name}.json") for name in ARTEFACTS if name not in STORED}
    if older := [name for name, code in codes.items() if code not in (None, verdict.get("code"))]:
        problems.append(f"The verdict and {', '.join(older)} were made with different code: run the notebooks again.")
    return verdict


def _has_its_parts(verdict: dict[str, Any]) -> bool:
    """Tell whether a verdict has what the page shows, each part of its kind; its checksum may be left out."""
    rows, steps = verdict.get("judgements"), verdict.get("steps")
    named = all(isinstance(verdict.get(name, ""), str) for name in ("counts", "summary"))
    if not named or not isinstance(verdict.get("versions", {}), dict) or not isinstance(steps, int | None):
        return False
    return bool(rows) and isinstance(rows, list) and all(_is_judgement(row) for row in rows)


def _is_judgement(row: Any) -> bool:
    words = isinstance(row, dict) and all(isinstance(row.get(name), str) for name in ("claim", "where"))
    return words and row.get("judgement") in ORDER and row.get("kind") in list(KINDS)


def _summary(verdict: dict[str, Any]) -> str:
    """Return the verdict's summary as HTML, what contradicts the paper first."""
    lines = sorted(verdict.get("summary", "").splitlines(), key=lambda line: not line.startswith("- **Not seen**"))
    return Markup(render("\n".join(lines), html=False)[0])


def _code(path: Path) -> str | None:
    try:
        return read_json(path).get("code")
    except (OSError, ValueError):
        return None


def _command(config: Config, *notebooks: str) -> str:
    """Return the command that makes these results, or runs some notebooks; DIR stands for a folder of images, since the
    page may be sent to others."""
    only = f" --only {','.join(name[:2] for name in notebooks)}" if notebooks else ""
    return f"./run_all.sh {replace(config, data='DIR' if config.data else '').options}{only}"


def _parts(config: Config, claims: list[dict], problems: list[str]) -> tuple[list[Part], list[Part]]:
    """Return the figures and the tables of these settings; note those that are damaged or of others."""
    folder, figures, tables = figures_dir(config.profile, config.seed), [], []
    for name, notebook in ARTEFACTS.items():
        for suffix, read, parts in ((".png", _read_figure, figures), (".md", _read_table, tables)):
            path = folder / f"{name}{suffix}"
            if not path.exists() or name == "verdict":
                continue
            try:
                noted, content, alt = read(path)
            except (OSError, ValueError, UnidentifiedImageError, Image.DecompressionBombError):
                problems.append(f"{path.name} is damaged: run notebook {notebook} ({_command(config, notebook)}).")
                continue
            if other := other_line(noted, config, name):
                problems.append(
                    f"{path.name} was made as {other}. It is not shown: run notebook {notebook} "
                    f"({_command(config, notebook)})."
                )
                continue
            title = _words(name)
            parts.append(Part(name, title, notebook, content, alt or f"{title}, from notebook {notebook}"))
            parts[-1].claims = _claims_about(name, claims)
    for parts in (figures, tables):  # those of the paper by number, then the others in the order of the notebooks
        parts.sort(key=lambda part: (0, part.name) if part.of_the_paper else (1, ""))
    return figures, tables


def _read_figure(path: Path) -> tuple[str, str, str]:
    """Return what a figure was made from, itself as an address, and what it shows."""
    with Image.open(path) as image:
        return image.info.get("Description", ""), picture_address(image), image.info.get("Comment", "")


def _read_table(path: Path) -> tuple[str, str, str]:
    """Return what a table was made from, itself as HTML, and ""."""
    text, _, noted = path.read_text(encoding="utf-8").rpartition("<!-- ")
    return noted.partition(" -->")[0], Markup(render(typeset(text, markdown=True), html=False)[0]), ""


def _words(name: str) -> str:
    """Return an artefact's name as a title.

    Example:
        >>> _words("fig1_interpolation"), _words("samples_with_parents")
        ('Figure 1: interpolation', 'Samples with parents')
    """
    found = OF_THE_PAPER.match(name)
    rest = name[found.end() if found else 0 :].replace("_", " ")
    return f"{'Figure' if found[1] == 'fig' else 'Table'} {found[2]}: {rest}" if found else rest.capitalize()


def _claims_about(name: str, claims: list[dict]) -> list[dict]:
    """Return the judgements about the paper's figure or table that an artefact stands for, decided or not."""
    if not (found := OF_THE_PAPER.match(name)):
        return []
    place = re.compile(rf"{'Fig.' if found[1] == 'fig' else 'Table'} {found[2]}\b")
    return [row for row in claims if place.search(row["where"]) and row["judgement"] != NEEDS_SCALE]


def _stamp(config: Config, verdict: dict[str, Any]) -> dict[str, str]:
    """Return what the results were made from, in words; of the verdict's stamp, or of these settings without one."""
    facts = verdict if "versions" in verdict else stamp(config)
    named = {"profile": config.profile, "data set": facts["dataset"], "seed": str(config.seed)}
    named |= {f"run, {quantizer}": digest for quantizer, digest in origin(config)["runs"].items()}
    named |= {name: f"{facts[name]:,}" for name in ("steps",) if facts.get(name)}
    named |= {name: str(facts[name]) for name in ("device", "threads", "code") if facts.get(name) is not None}
    named |= {"commit": commit() or "not known", "command": _command(config)}
    return named | {"versions": ", ".join(f"{name} {version}" for name, version in facts["versions"].items())}


def _explorer(config: Config, start: Path) -> str:
    """Return the address of the explorer from the page, "" if it was not built: `docs/explorer/make_page.py` does it.

    That place is the first seed's, so the pages of other seeds do not link it.
    """
    page = results_page(config.profile).with_name("explorer.html")
    return page.relative_to(start).as_posix() if config.seed == 0 and page.is_file() else ""


def _relative_figures(config: Config, start: Path) -> str:
    """Return the folder of the figures' files as an address from the page."""
    return quote(Path(os.path.relpath(figures_dir(config.profile, config.seed), start)).as_posix())
