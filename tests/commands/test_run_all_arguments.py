"""The command line: what it selects, and that everything wrong is refused with a suggestion."""

import json
import os
import re
import subprocess
import sys

import pytest

from pivq.commands.run_all_arguments import EPILOG, parse, requested_config

READING = 'data = ""\nlayout = ""\non_error = "raise"\n'


@pytest.fixture
def folder(write_notebook):
    write_notebook("00_first")
    usual = 'profile = "quick"\nseed = 0\nforce = False\n'
    write_notebook("04_capacity", parameters=usual + 'device = "auto"\nscale = 1.0')
    more = 'features = ""\nchosen = None\nsteps = 0\nprecision = "auto"'
    write_notebook("07_probing", parameters=usual + READING + more)
    write_notebook("11_beyond")
    write_notebook("demo")
    return write_notebook("explore")


def names(request):
    return [notebook.name for notebook in request.notebooks]


@pytest.fixture
def refused(folder, capsys):
    """Return a function that gives the message with which a command line is refused."""

    def message(*argv: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            parse(list(argv), folder)
        assert stopped.value.code == 2
        return capsys.readouterr().err.splitlines()[-1]

    return message


def test_everything_numbered_runs_in_order_by_default(folder):
    request = parse([], folder)
    assert names(request) == ["00_first", "04_capacity", "07_probing"]  # explore is interactive
    assert request.parameters == {"profile": "quick", "seed": 0}
    assert request.instead == ""


def test_the_demo_is_a_notebook_of_its_own(folder, refused):
    assert names(parse(["--demo"], folder)) == ["demo"]
    assert parse(["--demo", "--seed", "2"], folder).parameters == {"profile": "quick", "seed": 2}
    for more in (["--only", "04"], ["--profile", "smoke"]):
        assert "leave out --only and --profile" in refused("--demo", *more)


def test_notebooks_beyond_the_paper_run_when_asked_for(folder, refused):
    assert names(parse(["--extras"], folder)) == ["00_first", "04_capacity", "07_probing", "11_beyond"]
    assert names(parse(["--only", "11"], folder)) == ["11_beyond"]
    for more in (["--only", "04"], ["--demo"]):
        assert "leave out --only and --demo" in refused("--extras", *more)


@pytest.mark.parametrize(
    "only",
    [
        ["--only", "07,00"],
        ["--only", "7", "--only", "0"],
        ["--only=07_probing", "--only", "00_first.ipynb"],
        ["--only", "00, 07,00"],
        ["--only", "05-9", "--only", "0-3"],
        ["--only", "0 - 0,07-07"],
    ],
)
def test_only_takes_numbers_names_ranges_lists_and_repeats(folder, only):
    assert names(parse(only, folder)) == ["00_first", "07_probing"]


def test_options_become_parameters(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faces").mkdir()
    argv = ["--profile", "smoke", "--seed", "3", "--force", "--device", "cpu", "--data", "faces", "-p", "scale=2"]
    expected = {"profile": "smoke", "seed": 3, "force": True, "device": "cpu", "scale": 2}
    # The folder is made absolute: the kernels have another working directory.
    assert parse(argv, folder).parameters == expected | {"data": str(tmp_path / "faces")}


def test_length_and_precision_reach_the_notebooks(folder):
    request = parse(["--steps", "1700", "--precision", "bf16", "--only", "07"], folder)
    assert request.parameters == {"profile": "quick", "seed": 0, "steps": 1700, "precision": "bf16"}
    assert requested_config(request.parameters).train.quantize_from_step == 600
    assert parse(["--budget", "2h"], folder).budget == "2h"
    assert parse(["--compile"], folder).compile and not parse([], folder).compile


def test_how_images_are_read_reaches_the_notebooks_by_option_or_by_name(folder, tmp_path, checkout):
    place = ["--profile", "folder", "--data", str(tmp_path)]
    expected = {"profile": "folder", "seed": 0, "data": str(tmp_path), "layout": "celeba", "on_error": "skip"}
    assert parse([*place, "--layout", "celeba", "--on-error", "skip"], folder).parameters == expected
    assert parse([*place, "-p", "layout=celeba", "-p", "on_error=skip"], folder).parameters == expected
    request = parse([*place, "--layout", "celeba", "--on-error", "skip"], checkout / "notebooks")
    assert all({"layout", "on_error"} <= notebook.defaults.keys() for notebook in request.notebooks)
    config = requested_config(request.parameters)
    assert (config.layout, config.on_error, config.data) == ("celeba", "skip", str(tmp_path))


def test_parameters_by_name_are_literals_or_strings(folder):
    parameters = parse(["-p", "profile=smoke", "-p", "seed=5", "-p", "chosen=[1, 2]"], folder).parameters
    assert parameters == {"profile": "smoke", "seed": 5, "chosen": [1, 2]}


@pytest.mark.parametrize(
    "argv, said",
    [
        (["-p", "seedd=5"], "no selected notebook takes a parameter 'seedd'; did you mean seed?"),
        (["-p", "scal=2", "--only", "04"], "04_capacity takes no parameter 'scal'; did you mean scale?"),
        (["--device", "cpu", "--only", "00"], "00_first takes no parameter 'device'"),
        (["--rerun-ablations"], "no selected notebook takes a parameter 'rerun_ablations'"),
        (["--rerun-study"], "no selected notebook takes a parameter 'rerun_study'"),
        (["--retrain", "--only", "4"], "04_capacity takes no parameter 'retrain'"),
        (["--only", "4x"], "unknown notebook '4x'; did you mean 04?"),
        (["--only", "05"], "unknown notebook '05'"),
        (["--only", "04_capcity"], "unknown notebook '04_capcity'; did you mean 04_capacity?"),
        (["--only", "00,"], "unknown notebook ''"),
        (["--only", "explore"], "'explore' is interactive: open it in JupyterLab"),
        (["--profile", "quik"], "unknown profile 'quik'; did you mean quick?"),
        (["--features", "inceptoin"], "unknown evaluation.features 'inceptoin'; did you mean inception?"),
        (["--steps", "900", "--budget", "2h"], "--steps and --budget both say how long to train"),
        (["--budget", "2 fortnights"], "budget '2 fortnights' is no time: expected one such as 2h"),
        (["--steps", "30", "--only", "07"], "30 steps are too few"),
        (["--precision", "fp61", "--only", "07"], "unknown precision 'fp61'; did you mean fp16?"),
        (["--precision", "fp16", "--only", "00"], "00_first takes no parameter 'precision'"),
        (["--compile", "--only", "00,04"], "--compile is for a training, but no selected notebook trains"),
        (["--compile", "--demo"], "no selected notebook trains"),
        (["--compil"], "did you mean --compile?"),
        (["--device", "gpu", "--only", "04"], "unknown device 'gpu'; known: auto, cpu, cuda"),
        (["--seed", "-1"], "seed must be a whole number from 0 to 4294967295, got -1"),
        (["--seed", "4294967296"], "got 4294967296"),
        (["--seed", "1.5"], "expected a whole number, got '1.5'"),
        (["-p", "seed=1.5"], "seed=1.5: 00_first takes int, such as 0"),
        (["-p", "seed=True"], "seed=True: 00_first takes int"),
        (["-p", "force=1"], "force=1: 00_first takes bool"),
        (["-p", "seed"], "expected NAME=VALUE"),
        (["-p", "seed=1", "--seed", "1"], "'seed' is given twice"),
        (["--data", "nowhere"], "no such folder or zip: 'nowhere'"),
        (["--on-error", "skipp"], "unknown on_error 'skipp'; did you mean skip?"),
        (["--on-error", ""], "unknown on_error ''; known: raise, skip"),
        (["--layout", "celebA", "--profile", "celeba64"], "unknown layout 'celebA'; did you mean celeba?"),
        (["--layout", "folder"], "layout 'folder' is for a folder of images, but profile 'quick' draws its own faces"),
        (["--layout", "folder", "--only", "04"], "04_capacity takes no parameter 'layout'"),
        (["--data", "x" * 30000], "no such folder or zip: 'xxx"),
        (["--data", "~nobody-of-this-name/x"], "no such folder or zip: '~nobody"),
        (["--data", "a\0b"], "embedded null"),
        (["--only", "x" * 30000], "unknown notebook 'xxx"),
        (["--only", "a\0b"], "unknown notebook 'a"),
        (["-p", "data=" + "(" * 300], "no such folder or zip"),
        (["--profil", "smoke"], "unknown argument '--profil'; did you mean --profile?"),
        (["--only", "05-06"], "no notebooks in the range '05-06'; there are 00 to 11"),
        (["--only", "7-4"], "no notebooks in the range '7-4'"),
        (["--only", "4-"], "unknown notebook '4-'"),
        (["04"], "a notebook is named with --only 04"),
        (["4-6"], "a notebook is named with --only 4-6"),
        (["04_capacity"], "a notebook is named with --only 04_capacity"),
        (["quick"], "a profile is named with --profile quick"),
        (["celeba46"], "unknown argument 'celeba46'; did you mean --profile celeba64?"),
        (["help"], "unknown argument 'help'; did you mean --help?"),
        (["list"], "unknown argument 'list'; did you mean --list?"),
        (["--dryrun"], "unknown argument '--dryrun'; did you mean --dry-run?"),
        (["--versoin"], "unknown argument '--versoin'; did you mean --version?"),
    ],
)
def test_refused(refused, argv, said):
    assert said in refused(*argv)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"kernel": "julia-1.10"}, "02_odd.ipynb asks for the kernel 'julia-1.10'"),
        ({"parameters": "seed = 1 + 1j * 2"}, "may hold only lines `name = literal`"),
        ({"parameters": "import os"}, "may hold only lines `name = literal`"),
        ({"parameters": "seed = profile = 1"}, "may hold only lines `name = literal`"),
    ],
)
def test_a_notebook_that_cannot_run_is_refused(write_notebook, refused, change, said):
    write_notebook("02_odd", **change)
    assert said in refused()
    assert "unknown notebook" in refused("--only", "03")  # what was asked comes first


def test_files_that_are_no_notebooks_are_named(folder, refused):
    odd = folder / "02_odd.ipynb"
    odd.write_text("<html>")
    assert "02_odd.ipynb is not a notebook" in refused()
    odd.write_text(json.dumps({"cells": [], "metadata": {"kernelspec": {"name": "python3"}}}))
    assert "02_odd.ipynb has 0 cells tagged 'parameters'" in refused()


def test_no_notebooks(tmp_path, capsys):
    with pytest.raises(SystemExit):
        parse([], tmp_path)
    assert f"no notebooks in {tmp_path}" in capsys.readouterr().err


def test_help_names_every_option(capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        parse(["--help"], tmp_path)
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    named = ("--profile", "--seed", "--only", "--force", "--data", "--device", "--rerun-ablations", "--rerun-study",
             "--retrain")  # fmt: skip
    for option in (*named, "--list", "--dry-run", "--version", "smoke", "examples:"):
        assert option in said


def test_the_documentation_says_which_options_of_a_training_are_also_here(checkout, capsys, tmp_path):
    text = (checkout / "docs" / "command_line.md").read_text()
    said = dict(re.findall(r"^\| `(--[a-z]+).*?` \| (yes|no) \|", text, re.M))
    with pytest.raises(SystemExit):
        parse(["--help"], tmp_path)
    options = set(re.findall(r"^  (--[\w-]+)", capsys.readouterr().out, re.M))
    assert len(said) == 4 and {name: "yes" if name in options else "no" for name in said} == said


def test_examples_of_the_help_are_accepted(folder, tmp_path, capsys):
    examples = re.findall(r"^  \./run_all\.sh(.*?)(?:  .*)?$", EPILOG, re.MULTILINE)
    assert len(examples) > 3
    for line in examples:
        words = [str(tmp_path) if word == "DIR" else word for word in line.split()]
        assert parse(words, folder).notebooks, line


@pytest.mark.parametrize("instead", ["list", "dry_run", "check_only"])
def test_what_is_asked_for_instead_of_a_run(folder, instead):
    request = parse([f"--{instead.replace('_', '-')}", "--seed", "2"], folder)
    assert (request.instead, request.parameters["seed"]) == (instead, 2)


def test_the_first_cell_says_what_a_notebook_is_about(checkout):
    about = {notebook.name: notebook.about for notebook in parse([], checkout / "notebooks").notebooks}
    assert about["08_verdict"]["title"] == "The verdict" and "notebooks 03 to 07" in about["08_verdict"]["needs"]
    assert all(found.keys() == {"title", "needs", "makes"} and "`" not in str(found) for found in about.values())


def test_arguments_are_checked_with_the_standard_library_alone(folder, checkout):
    program = "import pathlib, sys; from pivq.commands.run_all import main; "
    program += "main(sys.argv[2:], pathlib.Path(sys.argv[1]))"
    command = [sys.executable, "-S", "-c", program, str(folder), "--profile", "quik"]  # -S: no installed packages
    result = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(checkout)}, capture_output=True, text=True)
    assert result.returncode == 2
    assert "did you mean quick?" in result.stderr


@pytest.mark.parametrize("words", [["--data", ""], ["--data", " "], ["--data="], ["-p", "data="], ["-p", "data=''"]])
def test_an_empty_folder_name_is_not_the_current_folder(folder, refused, words):
    assert "the name of a folder or file is empty (a shell variable that is not set?), given as data" in refused(*words)


def test_odd_notebooks_are_refused_in_one_line(folder, refused):
    odd = folder / "02_odd.ipynb"
    for content in ("[]", "3", '{"cells": []}', '{"cells": [], "metadata": []}', '{"cells": {}, "metadata": {}}'):
        odd.write_text(content)
        assert "02_odd.ipynb" in refused()


@pytest.mark.parametrize("name", ["loop", "loop/below"])
def test_links_in_a_circle_are_no_data(folder, tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SystemExit) as ended:
        parse(["--profile", "folder", "--data", name], folder)
    assert ended.value.code == 2
    assert f"no such folder or zip: '{name}', given as data" in capsys.readouterr().err
