"""Write each notebook from its source, `notebooks/py/NN_name.py` → `notebooks/NN_name.ipynb`, and blocks of README.md.

Edit the percent-format source, then run `python notebooks/sync.py`. The same source always gives the same bytes,
without outputs. Cells that begin with an import are the set-up: JupyterLab and the HTML pages show them folded, Colab
without their code. A source says REPOSITORY where the notebook gets the project's `owner/name` on GitHub, which stands
in `pyproject.toml` alone. With `--check` nothing is written: the notebooks that differ from their source are listed,
and the exit status is 1 if there are any. To keep an edit made in JupyterLab, bring it to the source first:
`jupytext --to py:percent --output notebooks/py/NN_name.py notebooks/NN_name.ipynb`, and put REPOSITORY back.

Of README.md it writes what stands between `<!-- name -->` and `<!-- /name -->`: badges and address, and the results of
the default run, from `figures/quick/`; in the map of notebooks, the links to files there. Of docs/findings.md it writes
each number that a comment follows, such as `25.03<!-- results rows/seed=0/psnr .2f -->`: a file of `figures/quick/`,
the keys that lead to the number, of a list what its element has (`a=1&b=2`; `seed=*`: the mean over all seeds), and how
Python formats it.

`--student DIR` writes notebooks for a class to DIR instead: the answers of the exercises are left out. Of a code cell
tagged `answer`, names, signatures and docstrings stay, and dots stand for the rest; of a text, what is folded
under "Answer" is left out. Keep DIR next to `notebooks/`, so that the first cell finds the project.
"""

import argparse
import ast
import json
import re
import sys
import tomllib
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import jupytext
import nbformat

FOLDER = Path(__file__).resolve().parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
FOLDED = {"jupyter": {"source_hidden": True}, "cellView": "form"}


def repository() -> str:
    """Return the project's repository on GitHub, `owner/name`."""
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project["urls"]["Repository"].removeprefix("https://github.com/")


def stub(answer: str) -> str:
    """Return the code of an answer without what answers: functions without body, assignments without value."""
    lines, kept = answer.splitlines(), []
    for node in ast.parse(answer).body:
        if isinstance(node, ast.FunctionDef):
            head = lines[node.lineno - 1 : node.body[0].end_lineno]  # up to its docstring
            kept.append("\n".join([*head, "    ..."]))
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            kept.append(f"{node.targets[0].id} = ...")
    return "\n\n".join(kept)


def without_answers(notebook: nbformat.NotebookNode) -> None:
    """Take the answers of the exercises out of a notebook."""
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            folded = r"<details><summary>Answer</summary>.*?</details>"
            cell.source = re.sub(folded, "*Your answer:*", cell.source, flags=re.DOTALL)
        elif "answer" in cell.metadata.get("tags", []):
            cell.source = stub(cell.source)
            cell.metadata = nbformat.from_dict({"tags": cell.metadata["tags"]})  # not folded


def to_notebook(source: Path, answers: bool = True) -> str:
    """Return the notebook of a percent-format source as the text of its file, with or without `answers`."""
    text = source.read_text(encoding="utf-8").replace("REPOSITORY", repository())
    notebook = jupytext.reads(text, fmt="py:percent")
    notebook.metadata = nbformat.from_dict(METADATA)
    for index, cell in enumerate(notebook.cells):
        cell.metadata.pop("lines_to_next_cell", None)  # jupytext's note of blank lines in the source
        cell.id = f"cell-{index:02d}"  # not random, so that an unchanged source makes no difference
        if cell.cell_type == "code" and cell.source.startswith(("import ", "from ")):
            cell.metadata |= nbformat.from_dict(FOLDED)
    if not answers:
        without_answers(notebook)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def blocks() -> dict[str, str]:
    """Return the blocks of README.md by name."""
    address, results = f"https://github.com/{repository()}", FOLDER.parent / "figures" / "quick"
    verdict = json.loads((results / "verdict.json").read_text(encoding="utf-8"))
    table = (results / "results.md").read_text(encoding="utf-8").splitlines()
    shields = "https://img.shields.io/badge"
    demo = f"https://colab.research.google.com/github/{repository()}/blob/main/notebooks/demo.ipynb"
    badges = [
        f"[![Tests]({address}/actions/workflows/tests.yml/badge.svg)]({address}/actions/workflows/tests.yml)",
        f"[![arXiv]({shields}/arXiv-2604.01843-b31b1b)](https://arxiv.org/abs/2604.01843)",
        f"[![Python 3.11 to 3.14]({shields}/Python-3.11_to_3.14-3776ab)](pyproject.toml)",
        f"[![Licence: MIT]({shields}/licence-MIT-green)](LICENSE)",
        f"[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]({demo})",
    ]
    return {
        "badges": "\n".join(badges),
        "clone": f"```bash\ngit clone {address}\ncd {address.rpartition('/')[2]}\n```",
        "glance": f"{verdict['counts'][0].upper()}{verdict['counts'][1:]}.\n\n{verdict['summary']}",
        "results": "\n".join(merged([line for line in table if line.startswith("|")])),
        "short": in_short(verdict["counts"], verdict["summary"]),
    }


def in_short(counts: str, summary: str) -> str:
    """Return one paragraph that says how many measured claims hold, and names those that do not.

    Args:
        counts: of `verdict.json`: `…; measured with a control: 1 of 2 seen, …`
        summary: of the same file: lines such as `- **Seen**: one; two.`
    """
    seen, decided = re.search(r"measured with a control: (\d+) of (\d+) seen", counts).groups()
    lines = re.findall(r"^- \*\*(.+?)\*\*: (.+)\.$", summary, re.MULTILINE)
    said = {judgement: names.split("; ") for judgement, names in lines}
    unseen, undecided = (said.get(name, []) for name in ("Not seen", "Not decided by this run"))
    variant = [name for name in unseen if name in said.get("Seen only with drawn tokens, our variant", [])]
    text = f"**Of {decided} claims that the default run measures and decides, {seen} hold.**"
    for words, names in {
        "Not seen": [name for name in unseen if name not in variant],
        "Seen only with a variant of ours (drawn tokens)": variant,
        "Not decided": undecided,
    }.items():
        text += f" {words}: {'; '.join(names)}." if names else ""
    return text


def merged(table: list[str]) -> list[str]:
    """Return the rows of a table, with those of one model under two quantizers as one.

    Rows that follow each other become one if they differ in nothing but the quantizer and the bits. Their bits stand in
    the order of the quantizers.
    """
    names = [cell.strip() for cell in table[0].split("|")]
    free = {place for place, name in enumerate(names) if name == "quantizer" or name.startswith("bits")}
    made = table[:1]
    for line in table[1:]:
        both = list(zip(*([cell.strip() for cell in row.split("|")] for row in (made[-1], line)), strict=True))
        if all(one == other or place in free for place, (one, other) in enumerate(both)):
            cells = [one if one == other else f"{one} / {other}" for one, other in both]
            made[-1] = " | ".join(cells).strip()
        else:
            made.append(line)
    return made


def linked(rows: str) -> str:
    """Return the rows of the map of notebooks with the name of each artefact linked to its file, if there is one."""

    def link(found: re.Match) -> str:
        for suffix in ("png", "webp", "md", "json"):
            file = f"figures/quick/{found[1]}.{suffix}"
            if (FOLDER.parent / file).is_file():
                return f"[`{found[1]}`]({file})"
        return f"`{found[1]}`"

    lines = []
    for line in rows.splitlines():
        head, files, *rest = line.rsplit(" | ", 3) if line.startswith("| [`") else (line, "")
        lines.append(" | ".join([head, re.sub(r"\[?`(\w+)`(?:\]\([^)]*\))?", link, files), *rest]) if rest else line)
    return "\n".join(lines)


def readme() -> str:
    """Return README.md with its blocks as they should be."""
    text = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
    for name, block in blocks().items():
        before, _, rest = text.partition(f"<!-- {name} -->")
        _, end, after = rest.partition(f"<!-- /{name} -->")
        if not end:
            raise ValueError(f"README.md has no <!-- {name} --> and <!-- /{name} -->")
        text = f"{before}<!-- {name} -->\n{block}\n{end}{after}"
    return re.sub(r"(?<=<!-- map -->\n).*?(?=\n<!-- /map -->)", lambda rows: linked(rows[0]), text, flags=re.DOTALL)


def number(place: str) -> str:
    """Return a number of docs/findings.md, from a comment's text: file, keys, format."""
    *words, form = place.split()
    name, keys = words[0], " ".join(words[1:])
    found = json.loads((FOLDER.parent / "figures" / "quick" / f"{name}.json").read_text(encoding="utf-8"))
    try:
        return format(_reached(found, keys.split("/")), form)
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"docs/findings.md, {name}.json, {keys}: {error}") from error


def _reached(found: Any, keys: list[str]) -> Any:
    """Return what some keys lead to; where one is such as `seed=*`, the mean over the rows that it allows."""
    if not keys:
        return found
    if not isinstance(found, list):
        return _reached(found[keys[0]], keys[1:])
    wanted = dict(pair.split("=") for pair in keys[0].split("&"))
    rows = [row for row in found if all(value in ("*", str(row.get(name))) for name, value in wanted.items())]
    if not rows or len(rows) > 1 and "*" not in wanted.values():
        raise LookupError(f"{len(rows)} rows are {keys[0]}")
    values = [_reached(row, keys[1:]) for row in rows]
    return fmean(values) if "*" in wanted.values() else values[0]


def findings() -> str:
    """Return docs/findings.md with its numbers as they should be."""
    text = (FOLDER.parent / "docs" / "findings.md").read_text(encoding="utf-8")
    return re.sub(r"[\w.,%−-]+<!-- (.+?) -->", lambda found: f"{number(found[1])}<!-- {found[1]} -->", text)


def main() -> int:
    """Write the notebooks, or check them, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a notebook differs")
    parser.add_argument("--student", metavar="DIR", type=Path, help="write notebooks without answers to DIR")
    arguments = parser.parse_args()
    sources = {path.stem: path for path in sorted((FOLDER / "py").glob("*.py"))}
    if arguments.student:
        arguments.student.mkdir(parents=True, exist_ok=True)
        for name, source in sources.items():
            (arguments.student / f"{name}.ipynb").write_text(to_notebook(source, answers=False), encoding="utf-8")
        print(f"wrote {len(sources)} notebooks without answers to {arguments.student}")
        return 0
    check = arguments.check
    differing = [path.stem for path in sorted(FOLDER.glob("*.ipynb")) if path.stem not in sources]
    for name in differing:
        print(f"{name}.ipynb has no source py/{name}.py", file=sys.stderr)
    wanted = {FOLDER / f"{name}.ipynb": (partial(to_notebook, source), f"py/{name}.py")
              for name, source in sources.items()}  # fmt: skip
    wanted[FOLDER.parent / "README.md"] = readme, "figures/quick/ and pyproject.toml"
    wanted[FOLDER.parent / "docs" / "findings.md"] = findings, "figures/quick/"
    for target, (make, origin) in wanted.items():
        text = make()
        if target.is_file() and target.read_text(encoding="utf-8") == text:
            continue
        if check:
            differing.append(target.name)
            print(f"{target.name} differs from {origin}", file=sys.stderr)
        else:
            target.write_text(text, encoding="utf-8")
            print(f"wrote {target.name}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
