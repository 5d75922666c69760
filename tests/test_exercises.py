"""Exercises: every answer in the notebooks is right by its own check, and the student version has none."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from pivq.runs.teaching.checking import EMPTY, RIGHT, WRONG

CHECKOUT = Path(__file__).resolve().parent.parent
NOTEBOOKS = sorted(path.stem for path in (CHECKOUT / "notebooks").glob("[0-9]*.ipynb"))


def cells(folder: Path, name: str, tag: str = "") -> list[str]:
    """Return the sources of a notebook's code cells, or of those with a tag."""
    content = json.loads((folder / f"{name}.ipynb").read_text())["cells"]
    chosen = [cell for cell in content if cell["cell_type"] == "code"]
    return ["".join(cell["source"]) for cell in chosen if not tag or tag in cell["metadata"].get("tags", [])]


def text(folder: Path, name: str) -> str:
    content = json.loads((folder / f"{name}.ipynb").read_text())["cells"]
    return "\n".join("".join(cell["source"]) for cell in content if cell["cell_type"] == "markdown")


def imports_of(folder: Path, name: str) -> str:
    """Return the imports of a notebook, without those that fetch the project."""
    kinds = (ast.Import, ast.ImportFrom)
    found = [node for source in cells(folder, name)[1:] for node in ast.parse(source).body if isinstance(node, kinds)]
    return "\n".join(map(ast.unparse, found))


def verdicts(folder: Path, name: str) -> list[str]:
    """Run a notebook's answers and checks alone, and return what the checks say.

    What an answer shows is left out: it may use the notebook's models.
    """
    said: list[str] = []
    names = {}
    exec(imports_of(folder, name), names)
    names |= {"display": said.append, "Markdown": str}
    for source in cells(folder, name):
        tags = [tag for tag in ("answer", "check") if source in cells(folder, name, tag)]
        if tags == ["answer"]:
            kept = [node for node in ast.parse(source).body
                    if isinstance(node, ast.FunctionDef | ast.Import | ast.ImportFrom)
                    or isinstance(node, ast.Assign | ast.While) and not uses_data(node)]  # fmt: skip
            exec(compile(ast.Module(kept, []), name, "exec"), names)
        elif tags == ["check"]:
            exec(source, names)
    return said


def uses_data(node: ast.AST) -> bool:
    """Say whether a statement is about what the notebook loaded: the limits of exercise 7.2."""
    return any(isinstance(part, ast.Name) and part.id in ("attributes", "limits") for part in ast.walk(node))


@pytest.fixture(scope="module")
def student(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("class")
    command = [sys.executable, CHECKOUT / "notebooks" / "sync.py", "--student", folder]
    subprocess.run(command, check=True, capture_output=True)
    assert {*NOTEBOOKS} <= {path.stem for path in folder.glob("*.ipynb")}
    return folder


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_answers_are_right_and_stubs_are_told_to_be_empty(name, student):
    right, empty = verdicts(CHECKOUT / "notebooks", name), verdicts(student, name)
    checks = len(cells(CHECKOUT / "notebooks", name, "check"))
    assert len(right) == len(empty) == checks
    for said in right:
        assert WRONG not in said and said.startswith(RIGHT), said
    for said in empty:
        assert RIGHT not in said and said.startswith(f"{WRONG} {EMPTY}"), said


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_student_version_differs_in_its_answers_alone(name, student):
    nbformat.validate(nbformat.read(student / f"{name}.ipynb", as_version=4))
    assert "<summary>Answer</summary>" not in text(student, name)
    answers = cells(CHECKOUT / "notebooks", name, "answer")
    stubs = cells(student, name, "answer")
    assert len(answers) == len(stubs)
    for answer, stub in zip(answers, stubs, strict=True):
        assert "return" not in stub and "..." in stub
        kept = [node for node in ast.walk(ast.parse(answer)) if isinstance(node, ast.FunctionDef)]
        assert re.findall(r"def (\w+\(.*\)):", stub) == [f"{node.name}({ast.unparse(node.args)})" for node in kept]
        assert all(ast.get_docstring(node) in stub for node in kept)
    same = [source for source in cells(CHECKOUT / "notebooks", name) if source not in answers]
    assert same == [source for source in cells(student, name) if source not in stubs]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_each_notebook_teaches(name):
    """Goals at the head, the paper is linked; a summary, what comes next, and references at the end."""
    said, number = text(CHECKOUT / "notebooks", name), str(int(name[:2]))
    head = said.partition("| needs |")[0]
    assert "**Afterwards you can**" in head and "https://arxiv.org/abs/2604.01843" in head
    parts = ["Summary", *["Exercises"] * (name < "10"), "References", "Provenance"]
    order = [said.index(f"\n## {title}\n") for title in parts]
    assert order == sorted(order)
    assert re.search(r"^Next: \[", said[order[0] : order[1]], re.M)
    assert not re.findall(r"\[\d+\](?!\()", said), "a reference by the paper's number"
    if name < "10":
        numbered_exercises(name, said, number)


def numbered_exercises(name: str, said: str, number: str) -> None:
    """Check that a notebook's exercises are numbered, and have an answer each."""
    exercises = re.findall(r"^### Exercise (\d+)\.(\d+): ", said, re.M)
    assert exercises == [(number, str(i)) for i in range(1, len(exercises) + 1)] and 3 <= len(exercises) <= 4
    folded = said.count("<summary>Answer</summary>")
    assert folded + len(cells(CHECKOUT / "notebooks", name, "answer")) == len(exercises)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_other_notebooks_are_linked(name):
    said = text(CHECKOUT / "notebooks", name)
    assert not re.findall(r"(?<!\[)\b[Nn]otebooks? \d\d\b", said)
    assert {target for target in re.findall(r"\]\((\w+)\.ipynb\)", said)} <= set(NOTEBOOKS)


def test_every_exercise_is_in_the_marking_guide():
    guide = (CHECKOUT / "docs" / "teaching.md").read_text()
    marked = guide.partition("## Expected answers and marking")[2]
    rows = {number for row in re.findall(r"^\| ([\d., ]+) \|", marked, re.M) for number in row.split(", ")}
    asked = {
        f"{a}.{b}"
        for name in NOTEBOOKS
        for a, b in re.findall(r"^### Exercise (\d+)\.(\d+): ", text(CHECKOUT / "notebooks", name), re.M)
    }
    assert rows == asked


def test_points_of_the_lab_are_those_of_its_exercises():
    guide = (CHECKOUT / "docs" / "teaching.md").read_text()
    lab, marking = guide.partition("## Lab")[2].split("## Expected answers and marking")
    points = {}
    for numbers, expected, marks in re.findall(r"^\| ([\d., ]+) \| (.+) \| (.+) \|$", marking, re.M):
        exercises = numbers.split(", ")
        mark = sum(map(int, re.findall(r"\d", marks.partition("; ")[0])))  # what follows is for half an answer
        each = len(expected.split("; ")) if "each" in marks and len(exercises) == 1 else 1
        points |= dict.fromkeys(exercises, mark * each)
    rows = re.findall(r"^\| \d+ \| (.+) \| [\d, ]+ \| (\d+) \|$", lab, re.M)
    said = {asked: int(total) for asked, total in rows}
    assert len(said) == 7
    assert said == {asked: sum(points[number] for number in re.findall(r"\d\.\d", asked)) for asked in said}


# --- The example of notebook 02, with other numbers -------------------------------------------------------------------


def section(name: str, title: str, until: str) -> list[str]:
    """Return the code cells of a notebook between two headings."""
    content = json.loads((CHECKOUT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
    sources = ["".join(cell["source"]) for cell in content]
    start = next(i for i, source in enumerate(sources) if f"## {title}" in source)
    end = next(i for i, source in enumerate(sources) if f"## {until}" in source)
    return [sources[i] for i in range(start, end) if content[i]["cell_type"] == "code"]


@pytest.mark.parametrize(
    ("latents", "codebook", "words"),
    [
        ("[0.0, 1.0]", "[0.9, -3.0]", "make"),
        ("[0.0, 1.0]", "[0.9, -3, 2]", "Greedy found the same"),  # a third code; greedy equals matching
        ("[0, 1, 1]", "[5, 1, 0, 2]", "total distance"),  # whole numbers
        ("[[0, 0], [1, 1]]", "[[0, 1], [4, 4], [1, 0]]", "total distance"),  # a plane
        ("[3]", "[1, 2]", "total distance"),
        ("[0, 1, 2]", "[0.9, -3]", None),  # more latents than codes
    ],
)
def test_the_example_takes_other_numbers(latents, codebook, words):
    name, shown, figures = "02_matching_quantization", [], []
    first, *others = section(name, "An example to follow by hand", "Eq. (3), and its shapes")
    last = section(name, "The gradient goes straight through", "Real vectors in a plane")
    names = {}
    exec(imports_of(CHECKOUT / "notebooks", name), names)
    names |= {"display": lambda *things: shown.extend(map(str, things)), "Markdown": str, "config": None}
    names |= {"save_figure": lambda figure, *_: figures.append(figure)}
    first = re.sub(r"latents = .*", f"latents = {latents}", first, count=1)
    first = re.sub(r"codebook = .*", f"codebook = {codebook}", first, count=1)
    if words is None:
        with pytest.raises(ValueError, match="add at least 1 to the codebook"):
            exec(first, names)
        assert not shown
        return
    for source in [first, *others, *last]:
        exec(source, names)
    assert len(figures) == 1 and words in "".join(shown)
