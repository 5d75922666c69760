"""Rules that the repository as a whole keeps: layout, notebooks, versions, imports, what may stand in a file."""

import ast
import importlib.util
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import pivq
from pivq.commands.run_all import main
from pivq.figures.artefacts import ARTEFACTS

CHECKOUT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ["00_meet_the_faces", "01_architecture", "02_matching_quantization", "03_train", "04_capacity",
             "05_interpolation", "06_sample_quality", "07_probing", "08_verdict", "09_when_codes_compete",
             "10_from_scratch", "11_better_samples", "12_prior_over_sets", "13_rivals",
             "14_what_codes_mean", "15_other_data", "16_better_recipe"]  # fmt: skip
INTERACTIVE = ["colab", "demo", "explore"]  # not in the sequence that run_all.sh runs
PLAIN = "10_from_scratch"  # writes the method out, to compare it with the package
# Who may import whom: rooms (folders) and single files; "paper" are the files at the top.
MAY_IMPORT = {
    "solvers": [],
    "storage": [],
    "metrics": [],
    "profiles": [],
    "settings": ["profiles"],
    "config": ["profiles", "settings"],
    "data": ["config", "settings", "storage"],
    "paper": ["paper", "config", "profiles", "settings", "solvers"],
    "pretrained": ["losses", "config", "profiles", "settings", "data", "storage"],
    "figures": ["config", "settings", "data", "storage"],
    "rivals": ["paper", "config", "settings"],
    "runs": ["runs", "rivals", "paper", "config", "profiles", "settings", "data", "metrics", "pretrained", "storage"],
    "commands": ["runs", "rivals", "paper", "config", "profiles", "data", "metrics", "pretrained", "storage",
                 "figures"],
    "__main__": ["commands"],
}  # fmt: skip
MORE = {"storage.bounds": ["config"], "model": ["storage"], "inference": ["data"]}


def tracked() -> list[str]:
    """Return the files that are, or are about to be, under version control."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(command, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout.splitlines()
    return [file for file in files if (CHECKOUT / file).is_file()]


def project() -> dict:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]


def needs(*extras: str) -> list[Requirement]:
    """Return what the package needs, and what some of its extras need."""
    optional = project()["optional-dependencies"]
    lines = project()["dependencies"] + [line for extra in extras for line in optional[extra]]
    return [Requirement(line) for line in lines]


def requirements() -> dict[str, Requirement]:
    """Return the lines of the lock file by canonical name."""
    lines = (CHECKOUT / "requirements.lock").read_text().splitlines()
    parsed = [Requirement(line) for line in lines if not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in parsed}


def imports(tree: ast.AST) -> set[str]:
    """Return the full names of the modules that a syntax tree imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


# --- The package ------------------------------------------------------------------------------------------------------


def modules() -> dict[str, Path]:
    """Return the package's files by dotted name without `pivq.`; of a folder's `__init__` the folder's name."""
    files = {path: path.relative_to(CHECKOUT / "pivq").with_suffix("") for path in (CHECKOUT / "pivq").rglob("*.py")}
    names = {".".join(name.parts).removesuffix(".__init__"): path for path, name in files.items()}
    return {name: path for name, path in sorted(names.items()) if name != "__init__"}


def room(module: str) -> str:
    """Return the folder a module lies in; for a file at the top its own name, or "paper"."""
    folder = module.partition(".")[0]
    return folder if folder in MAY_IMPORT or (CHECKOUT / "pivq" / folder).is_dir() else "paper"


def used_modules(path: Path, known: dict[str, Path]) -> set[str]:
    """Return which of the package's own modules a file imports; names that a folder hands on count as the folder."""
    return {name.removeprefix("pivq.") for name in imports(ast.parse(path.read_text()))} & known.keys()


def test_imports_go_one_way():
    known = modules()
    uses = {name: used_modules(path, known) for name, path in known.items()}
    for name, used in uses.items():
        allowed = {*MAY_IMPORT[room(name)], *MORE.get(name, [])}
        if known[name].parent != CHECKOUT / "pivq":  # a folder is one room
            allowed.add(room(name))
        wrong = [other for other in used if other not in allowed and room(other) not in allowed]
        assert not wrong, f"pivq.{name} imports {wrong}: {room(name)} may import {sorted(allowed)}"
    files = {name: {other for other in used if known[other].stem != "__init__"} for name, used in uses.items()}
    while files:
        free = [name for name, used in files.items() if not used & files.keys()]
        assert free, f"imports in a circle among {sorted(files)}"
        for name in free:
            del files[name]


def test_nothing_imports_a_command_but_the_command_line():
    clients = [*CHECKOUT.glob("benchmarks/*.py"), *CHECKOUT.glob("notebooks/py/*.py")]
    clients.remove(CHECKOUT / "notebooks" / "py" / "colab.py")  # a session in place of the command line
    for path in clients:
        used = used_modules(path, modules())
        assert not [name for name in used if room(name) == "commands"], path.name


def test_every_module_has_a_test_file_in_the_same_tree():
    for name, path in modules().items():
        if path.stem != "__init__":
            *folders, stem = name.split(".")
            assert (CHECKOUT / "tests").joinpath(*folders, f"test_{stem.strip('_')}.py").is_file(), name


def test_names_that_outside_code_relies_on():
    from pivq import capacity
    from pivq.data import from_uint8, load_dataset, to_uint8
    from pivq.matching import match
    from pivq.metrics import frechet_distance, frechet_from_moments, prdc
    from pivq.model import PIVQ
    from pivq.probing import probe
    from pivq.quantizers import MatchingQuantizer, NearestQuantizer
    from pivq.sampling import interpolate, smooth_path

    contract = {
        PIVQ.from_pretrained: ["path"],
        PIVQ.save_pretrained: ["self", "path"],
        PIVQ.encode: ["self", "images"],
        PIVQ.decode: ["self", "codes"],
        match: ["distances"],
        NearestQuantizer: ["codebook_size", "dim"],
        MatchingQuantizer: ["codebook_size", "dim", "num_codes"],
        interpolate: ["codes_a", "codes_b", "generator"],
        smooth_path: ["codes_a", "codes_b", "generator"],
        capacity.matching_bits: ["codes_in_use", "num_codes"],
        capacity.nearest_bits: ["codes_in_use", "codes_per_image", "num_codes"],
        capacity.multiset_bits: ["codebook_size", "num_codes"],
        capacity.positional_bits: ["codebook_size", "num_codes"],
        prdc: ["real", "fake", "k"],
        frechet_distance: ["real", "fake"],
        frechet_from_moments: ["mu_a", "cov_a", "mu_b", "cov_b"],
        load_dataset: ["name_or_dir", "split", "image_size"],
        to_uint8: ["images"],
        from_uint8: ["images"],
        probe: ["codes", "attributes", "codebook_size", "folds", "seed"],
    }
    for call, names in contract.items():
        assert list(inspect.signature(call).parameters)[: len(names)] == names, call


def test_light_modules_need_the_standard_library_alone():
    light = ["capacity", "config", "profiles", "storage.paths", "storage.writing", "pretrained.weights", "runs.ready"]
    light += ["commands.run_all_arguments", "commands.run_all", "commands.cli"]
    names = ["pivq", *(f"pivq.{name}" for name in light)]
    command = [sys.executable, "-S", "-c", f"import {', '.join(names)}"]  # -S: no installed packages
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(CHECKOUT)}, check=True)


def test_modules_can_be_read_in_one_sitting():
    for name, path in modules().items():
        text = path.read_text()
        assert len(text.splitlines()) <= 350, name
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
        long = [node.name for node in functions if node.end_lineno - node.lineno >= 60]
        assert not long, f"{name}: {long}"


def test_the_house_is_small_at_its_top():
    entries = [path for path in (CHECKOUT / "pivq").iterdir() if path.name != "__pycache__"]
    assert len([path for path in entries if path.suffix == ".py"]) <= 22
    assert len([path for path in entries if path.is_dir()]) <= 9  # the ninth: what is beyond the paper


def test_every_import_is_a_declared_dependency():
    """The package needs no extra; the notebooks and the command that runs them need `notebooks`, tests also `test`."""
    owners = packages_distributions()
    sources = {path: ast.parse(path.read_text()) for path in [*modules().values(), *(CHECKOUT / "tests").rglob("*.py")]}
    sources |= {path: ast.parse("\n".join(code_cells(path))) for path in (CHECKOUT / "notebooks").glob("*.ipynb")}
    folders = ("tests", "tests/trust", "benchmarks", "docs/explorer")
    names = ("commands.run_all", "commands.lab", "commands.pages", "commands.results", "figures.explorer_panel")
    of_notebooks = [modules()[name] for name in names]
    ours = {"pivq", *(path.stem for folder in folders for path in CHECKOUT.glob(f"{folder}/*.py"))}
    for path, tree in sources.items():
        extras = ["notebooks"] if path.suffix == ".ipynb" or path in of_notebooks else []
        extras = ["notebooks", "test", "browser"] if CHECKOUT / "tests" in path.parents else extras
        allowed = {canonicalize_name(need.name) for need in needs(*extras)}
        there = {"google"} if path.stem == "colab" else set()  # on Colab alone
        for name in {module.split(".")[0] for module in imports(tree)} - set(sys.stdlib_module_names) - ours - there:
            owner = {canonicalize_name(owner) for owner in owners.get(name, [name])}
            assert owner & allowed, f"{path.name} imports {name}, of {owner}: not in pyproject.toml"


def test_ruff_finds_nothing():
    result = subprocess.run([sys.executable, "-m", "ruff", "check", CHECKOUT], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


# --- Versions ---------------------------------------------------------------------------------------------------------


def test_lock_pins_exact_versions_from_no_particular_place():
    for name, requirement in requirements().items():
        (specifier,) = requirement.specifier
        assert specifier.operator == "==" and "*" not in specifier.version and not requirement.url, name
    assert requirements()["torch"].specifier == Requirement("torch==2.14.1").specifier
    assert requirements()["torchvision"].specifier == Requirement("torchvision==0.29.1").specifier


def test_lock_satisfies_the_lower_bounds():
    for need in needs("notebooks", "test"):
        (pin,) = requirements()[canonicalize_name(need.name)].specifier
        assert need.specifier.contains(pin.version), f"{need}: {pin}"
        assert all(specifier.operator == ">=" for specifier in need.specifier), f"{need}: a lower bound, and no other"


def test_lock_is_closed():
    """Whatever a pinned package needs is pinned, in a version that it accepts; all run on any Python 3.11."""
    locked = requirements()
    for pinned in locked.values():
        if not pinned.marker or pinned.marker.evaluate():
            try:
                installed = distribution(pinned.name)
            except PackageNotFoundError:
                continue
            if not pinned.specifier.contains(installed.version):
                continue  # another environment than .venv
            python = SpecifierSet(installed.metadata["Requires-Python"] or "")
            assert python.contains("3.11.0"), f"{pinned} needs Python {python}"
            for need in map(Requirement, installed.requires or []):
                if not need.marker or need.marker.evaluate({"extra": ""}):
                    assert canonicalize_name(need.name) in locked, f"{pinned.name} needs {need}"
                    (pin,) = locked[canonicalize_name(need.name)].specifier
                    assert need.specifier.contains(pin.version), f"{pinned.name} needs {need}: {pin}"


def test_metadata_agrees():
    citation = (CHECKOUT / "CITATION.cff").read_text()
    assert f"version: {pivq.__version__}\n" in citation and "arXiv:2604.01843" in citation
    assert "license: MIT" in citation and project()["license"] == "MIT"
    assert (CHECKOUT / "LICENSE").read_text().startswith("MIT License")
    environment = (CHECKOUT / "environment.yml").read_text()
    assert "-r requirements.lock" in environment and "python=3.11" in environment
    assert project()["requires-python"] == ">=3.11"
    named = {line.rpartition(" ")[2] for line in project()["classifiers"] if "Python :: 3." in line}
    recipe = (CHECKOUT / ".github" / "workflows" / "tests.yml").read_text()
    assert set(re.findall(r'python: "(.*?)"', recipe)) == named and min(named) == "3.11"
    assert "-m pip install -e .[notebooks,test]" in recipe and "-m pytest" in recipe and "windows-latest" in recipe


# --- Notebooks --------------------------------------------------------------------------------------------------------


def code_cells(path: Path) -> list[str]:
    cells = json.loads(path.read_text())["cells"]
    return ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]


def test_notebooks_are_all_there():
    assert sorted(path.stem for path in (CHECKOUT / "notebooks").glob("[0-9]*.ipynb")) == NOTEBOOKS


def test_notebooks_are_in_step_with_their_sources():
    command = [sys.executable, CHECKOUT / "notebooks" / "sync.py", "--check"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, f"{result.stderr}Run python notebooks/sync.py, or bring an edit to the source first."


@pytest.mark.parametrize("name", [*NOTEBOOKS, *INTERACTIVE])
def test_notebook_keeps_the_rules(name):
    content = json.loads((CHECKOUT / "notebooks" / f"{name}.ipynb").read_text())
    cells = content["cells"]
    assert content["metadata"]["kernelspec"]["name"] == "python3"
    first = "".join(cells[0]["source"])
    assert cells[0]["cell_type"] == "markdown" and first.startswith("# "), "the first cell holds the title"
    assert "| needs |" in first and "| makes |" in first, "the first cell says what the notebook needs and makes"

    before = cells[0]
    for cell in cells:
        source = "".join(cell["source"])
        assert "../" not in source, f"a path relative to the notebook: {source}"
        if cell["cell_type"] == "code":
            assert source.strip(), "an empty cell"
            assert cell["outputs"] == [] and cell["execution_count"] is None, "outputs are not committed"
            assert before["cell_type"] == "markdown", f"no sentence announces the cell: {source}"
            set_up, folded = source.startswith(("import ", "from ")), cell["metadata"].get("jupyter", {})
            assert not set_up or folded.get("source_hidden"), f"plumbing in plain view: {source}"
            assert all(len(line) <= 100 for line in source.splitlines()), f"wider than the cell: {source}"
            tree = ast.parse(source)  # no magics either
            exercise = "answer" in cell["metadata"].get("tags", [])
            for node in ast.walk(tree):
                defines = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                assert exercise or name == PLAIN or not defines, "belongs in pivq"
                called = isinstance(node, ast.Call) and ast.unparse(node.func)
                assert called not in ("exit", "quit", "sys.exit", "os._exit"), "a notebook runs to its end"
        before = cell

    (tagged,) = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    lines = "".join(tagged["source"]).splitlines()
    defaults = {}
    for line in lines:
        code = line.split("#")[0].strip()
        assert re.fullmatch(r"\w+ = [^=]+", code), f"one assignment of a literal a line: {line!r}"
        target, _, value = code.partition(" = ")
        defaults[target] = ast.literal_eval(value)
    profile = "celeba64_short" if name == "colab" else "quick"
    assert {"profile": profile, "seed": 0, "force": False}.items() <= defaults.items()
    assert len(defaults) <= 11  # of 03, which trains; four of them say which images, and how long to train


def test_notebooks_begin_alike_and_their_badges_open_themselves():
    """The cell that finds or fetches the project has to stand in each notebook; it must not differ between them."""
    cells = {name: json.loads((CHECKOUT / "notebooks" / f"{name}.ipynb").read_text())["cells"]
             for name in [*NOTEBOOKS, *INTERACTIVE]}  # fmt: skip
    first, address = cells[NOTEBOOKS[0]], project()["urls"]["Repository"]
    assert f'"git clone --depth 1 {address} companion"' in "".join(first[2]["source"])
    linked = re.search(rf"{re.escape(address)}/blob/main/(docs/colab\.md)", "".join(first[1]["source"]))
    assert linked and (CHECKOUT / linked[1]).is_file()
    for name, content in cells.items():
        assert [cell["source"] for cell in content[1:3]] == [cell["source"] for cell in first[1:3]], name
        repository = address.removeprefix("https://github.com/")
        target = f"https://colab.research.google.com/github/{repository}/blob/main/notebooks/{name}.ipynb"
        assert f"({target})" in "".join(content[0]["source"])


def test_the_repository_s_address_stands_in_one_place():
    address = project()["urls"]["Repository"].removeprefix("https://")
    holders = []
    for file in tracked():
        try:
            text = (CHECKOUT / file).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        if address in text:
            holders.append(file)
    written = ["README.md", *(f"notebooks/{name}.ipynb" for name in [*NOTEBOOKS, *INTERACTIVE])]
    assert sorted(holders) == [*written, "pyproject.toml"], "notebooks/sync.py writes it into the others"


def test_sync_writes_the_same_bytes_and_notices_a_difference(tmp_path):
    folder = tmp_path / "notebooks"
    (folder / "py").mkdir(parents=True)
    script = folder / "sync.py"
    script.write_text((CHECKOUT / "notebooks" / "sync.py").read_text())
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://github.com/some/where"\n')
    source = folder / "py" / "00_first.py"
    title = "# %% [markdown]\n# # Title\n# (https://github.com/REPOSITORY/blob)\n\n"
    source.write_text(f'{title}# %% tags=["parameters"]\nseed = 0\n\n# %%\nseed + 1\n')

    results, readme = tmp_path / "figures" / "quick", tmp_path / "README.md"
    results.mkdir(parents=True)
    found = {"Seen": "one", "Not seen": "two; three", "Not decided by this run": "four",
             "Seen only with drawn tokens, our variant": "three"}  # fmt: skip
    summary = "\n".join(f"- **{name}**: {claims}." for name, claims in found.items())
    counts = "by construction: 5 of 6 hold; measured with a control: 1 of 3 seen, 1 not decided by this run"
    (results / "verdict.json").write_text(json.dumps({"counts": counts, "summary": summary}))
    head = "| tokens | quantizer | FD | bits |\n|---|---|---|---:|\n"
    two = "| b | matching | 1 | 3 |\n| b | nearest | 4 | 3 |\n"
    table = f"{head}| a | matching | 1 | 2 |\n| a | nearest | 1 | 3 |\n{two}"
    (results / "results.md").write_text(f"Introduction\n\n{table}\n*caption*\n")
    (results / "faces.png").touch(), (results / "faces.md").touch(), (results / "table.md").touch()
    names = ("badges", "clone", "glance", "short", "results")
    old = "".join(f"Of {name}: <!-- {name} -->\nold\n<!-- /{name} --> end.\n" for name in names)
    row = "| [`00_first`](notebooks/00_first.ipynb) | `seed` | {}, `gone` | 1 | 2 GB |\n"
    readme.write_text(f"{old}<!-- map -->\n{row.format('`faces`, [`table`](old.png)')}<!-- /map -->\n")
    rows = [{"method": "a, b", "fd": 12.34, "seed": 0}, {"method": "a, b", "fd": 0.5678, "seed": 1}]
    (results / "found.json").write_text(json.dumps({"rows": rows}))
    (tmp_path / "docs").mkdir()
    findings = tmp_path / "docs" / "findings.md"
    fd, share = "<!-- found rows/method=a, b&seed=0/fd .1f -->", "<!-- found rows/seed=1/fd .0% -->"
    mean = "<!-- found rows/method=a, b&seed=*/fd .2f -->"
    findings.write_text(f"FD −9,999{fd}, 1%{share}, 0{mean}, 3.\n")

    def sync(*options: str) -> int:
        return subprocess.run([sys.executable, script, *options], capture_output=True).returncode

    made = folder / "00_first.ipynb"
    assert sync("--check") == 1 and not made.exists()
    assert sync() == 0
    cells = json.loads(made.read_text())["cells"]
    assert [(cell["cell_type"], "".join(cell["source"])) for cell in cells] == [
        ("markdown", "# Title\n(https://github.com/some/where/blob)"),
        ("code", "seed = 0"),
        ("code", "seed + 1"),
    ]
    assert cells[1]["metadata"]["tags"] == ["parameters"]
    before = made.read_bytes()
    made.unlink()
    assert sync() == 0 and made.read_bytes() == before and sync("--check") == 0
    said = f"FD 12.3{fd}, 57%{share}, 6.45{mean}, 3.\n"
    assert findings.read_text() == said
    findings.write_text(said.replace("seed=1/", ""))
    assert sync() == 1, "two rows: which?"
    findings.write_text(said.replace("method=a, b&seed=*", "method=a, b"))
    assert sync() == 1, "two rows: which?"
    findings.write_text(said)
    source.write_text(source.read_text().replace("+ 1", "+ 2"))
    assert sync("--check") == 1 and made.read_bytes() == before
    source.unlink()
    assert sync("--check") == 1  # a notebook without a source
    made.unlink()
    text = readme.read_text()
    assert sync("--check") == 0 and "\nold\n" not in text and "old.png" not in text
    assert "git clone https://github.com/some/where\ncd where" in text
    assert "<!-- glance -->\nBy construction: 5 of 6 hold; measured" in text and "\n\n- **Seen**: one.\n- **Not" in text
    short = ("**Of 3 claims that the default run measures and decides, 1 hold.** Not seen: two. "
             "Seen only with a variant of ours (drawn tokens): three. Not decided: four.")  # fmt: skip
    assert f"<!-- short -->\n{short}\n<!-- /short -->" in text
    assert f"<!-- results -->\n{head}| a | matching / nearest | 1 | 2 / 3 |\n{two}<!-- /results -->" in text
    links = "[`faces`](figures/quick/faces.png), [`table`](figures/quick/table.md)"
    assert f"<!-- map -->\n{row.format(links)}<!-- /map -->" in text
    readme.write_text(text.replace("| 2 / 3 |", "| 2 / 4 |"))
    assert sync("--check") == 1, "a typed number"


# --- Files ------------------------------------------------------------------------------------------------------------


def test_scripts_are_executable_and_well_formed():
    for name in ("run_all.sh", "run_lab.sh", "run_tests.sh", ".ci/run"):
        assert os.access(CHECKOUT / name, os.X_OK), f"{name} has no execute permission"
    for name in ("run_all.sh", "run_lab.sh", "run_tests.sh", "setup_env.sh", ".ci/run"):
        subprocess.run(["bash", "-n", CHECKOUT / name], check=True)
    for name in ("run_all.sh", "run_lab.sh", "run_tests.sh"):
        assert "setup_env.sh" in (CHECKOUT / name).read_text(), "there is one set-up"
    assert "./run_tests.sh" in (CHECKOUT / ".ci" / "run").read_text()


def test_no_file_holds_a_path_of_one_machine():
    # In pieces, so that this file does not hold them either.
    places = ["/" + "work/", "/" + "tmp/", "/" + "root/", "/" + "home/", "/" + "Users/", ".." + "/shared"]
    pattern = re.compile(rf"(?<![\w./])(?:{'|'.join(map(re.escape, places))})")
    for file in tracked():
        try:
            text = (CHECKOUT / file).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found = pattern.search(text)
        assert not found, f"{file}: {text[max(found.start() - 40, 0) : found.end() + 40]!r}"


def test_tracked_files_are_small_and_none_is_a_product():
    for file in tracked():
        most = 3_000_000 if file == "figures/quick/model/model.safetensors" else 1_500_000
        assert (CHECKOUT / file).stat().st_size < most, file
        assert not file.startswith((".venv/", "results/")), file
        assert not file.startswith("data/") or file == "data/README.md", file
        assert not file.startswith("figures/") or file.startswith("figures/quick/"), file


def readme_commands() -> list[str]:
    blocks = re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", (CHECKOUT / "README.md").read_text(), re.M | re.S)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line.removeprefix("$ ") for line in lines if line and not line.startswith("#")]


def test_every_command_of_the_readme_works(tmp_path):
    """`run_all.sh` with these arguments is accepted; this suite is `run_tests.sh`; other programs are installed."""
    commands = [part.strip() for line in readme_commands() for part in line.split("&&")]
    assert "./run_all.sh" in commands and "./run_tests.sh" in commands
    for command in commands:
        words = [str(tmp_path) if word == "DIR" else word for word in shlex.split(command)]
        if words[0] == "./run_all.sh":
            assert main(["--check-only", *words[1:]]) == 0, command
        elif words[0] == "./run_lab.sh":
            assert all((CHECKOUT / word).is_file() for word in words[1:]), command
        elif words[0] == "./run_lab.sh":
            assert all((CHECKOUT / word).is_file() for word in words[1:]), command
        elif words[0] == "./run_tests.sh":
            assert all((CHECKOUT / word).exists() for word in words[1:] if word.startswith("tests/")), command
        elif words[0] in ("python", ".venv/bin/python") and words[1] == "-m":
            assert importlib.util.find_spec(words[2]), command
        elif words[0] in ("python", ".venv/bin/python"):
            assert (CHECKOUT / words[1]).is_file(), command
        elif words[:3] == ["conda", "env", "create"]:
            assert (CHECKOUT / words[-1]).is_file(), command
        else:
            assert words[0] in ("git", "cd", "source", "conda"), f"nothing runs {command!r}"


def test_readme_shows_the_committed_results():
    """The tables of the README are those that the default run left: nobody typed a number."""
    readme = (CHECKOUT / "README.md").read_text()
    table = [line for line in (CHECKOUT / "figures/quick/results.md").read_text().splitlines() if line.startswith("|")]
    shown = re.search("<!-- results -->\n(.*?)\n<!-- /results -->", readme, re.DOTALL)[1].splitlines()
    cells = [[cell.strip().split(" / ") for cell in line.split("|")] for line in shown]
    assert len(table) == 7 and shown[:2] == table[:2] and len(shown) in (6, 7)
    for line in table[2:]:  # two rows of one model may be one, with both bits in a cell
        values = [cell.strip() for cell in line.split("|")]
        of = [row for row in cells[2:] if row[1] == [values[1]] and values[2] in row[2]]
        assert len(of) == 1 and all(value in cell for value, cell in zip(values, of[0], strict=True)), line
    verdict = json.loads((CHECKOUT / "figures/quick/verdict.json").read_text())
    assert verdict["counts"][1:] in readme and verdict["summary"] in readme
    short = re.search("<!-- short -->\n(.*)\n<!-- /short -->", readme)[1]
    first = readme[: readme.index("## ")]
    rows = [row for row in verdict["judgements"] if row["kind"] == "measured with a control"]
    held, failed = (sum(row["judgement"] == judgement for row in rows) for judgement in ("reproduced", "differs"))
    assert short in first and f"Of {held + failed} claims" in short and f", {held} hold." in short
    not_seen = re.search(r"\*\*Not seen\*\*: (.*)\.", verdict["summary"])[1].split("; ")
    assert len(not_seen) == failed and all(claim in short for claim in not_seen)


def test_times_of_the_paper_s_sizes_are_those_that_were_measured():
    """`paper_scale.md` and `performance.md` have the same seconds and memory of one step."""
    measured, said = ((CHECKOUT / "docs" / name).read_text() for name in ("performance.md", "paper_scale.md"))
    for profile in ("celeba64", "ffhq256"):
        row = re.search(rf"^\| `{profile}` \| [\d,]+ \| \d+ \| ([\d.]+) \| ([\d.]+) \|$", measured, re.M)
        assert row and f"{row[1]} s, {row[2]} GB at the peak" in said, profile


def test_readme_maps_every_artefact_to_its_notebook():
    rows = [line for line in (CHECKOUT / "README.md").read_text().splitlines() if re.match(r"\| \[`\d", line)]
    mapped = {name: row.split("`")[1] for row in rows for name in re.findall(r"`(\w+)`", row)[1:]}
    assert mapped == ARTEFACTS
