"""Digests of the code change with what decides a number, and with nothing else."""

import shutil
from pathlib import Path

import pytest

import pivq
from pivq.storage.source import (
    code_digest,
    features_digest,
    measures_digest,
    prior_digest,
    recipe_digest,
    rivals_digest,
)


@pytest.mark.parametrize("file, decides", [("model.py", True), ("losses.py", True), ("solvers/augmenting.py", True),
                                           ("metrics/new.py", True), ("runs/verdict/judging.py", False),
                                           ("runs/run.py", False), ("commands/cli.py", False),
                                           ("__init__.py", False)])  # fmt: skip
def test_the_code_s_digest_changes_with_what_decides_numbers(tmp_path, monkeypatch, file, decides):
    place = tmp_path / "pivq"
    shutil.copytree(Path(pivq.__file__).parent, place, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(pivq, "__file__", str(place / "__init__.py"))
    before = code_digest.__wrapped__()
    with open(place / file, "a") as source:
        source.write("\n# edited\n")
    assert (code_digest.__wrapped__() != before) == decides


@pytest.mark.parametrize("file, changed", [
    ("model.py", ["decoded"]), ("layers.py", ["decoded"]), ("inference.py", ["decoded", "measures"]),
    ("pretrained/features.py", ["decoded", "real"]), ("pretrained/efficientnet.py", ["decoded", "real"]),
    ("losses.py", []), ("rivals/set_prior.py", ["prior"]), ("rivals/any_order.py", ["prior"]),
    ("rivals/vae.py", ["rivals"]), ("rivals/training.py", ["rivals"]), ("rivals/recipe/trainer.py", ["recipe"]),
    ("runs/evaluation.py", ["measures"]), ("runs/recombination.py", ["measures"]), ("runs/beyond/rivals.py", []),
])  # fmt: skip
def test_what_is_kept_is_made_anew_after_an_edit_of_what_makes_it(tmp_path, monkeypatch, file, changed):
    place = tmp_path / "pivq"
    shutil.copytree(Path(pivq.__file__).parent, place, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(pivq, "__file__", str(place / "__init__.py"))
    features = features_digest.__wrapped__
    digests = {"decoded": lambda: features(True), "real": lambda: features(False),
               "prior": prior_digest.__wrapped__, "measures": measures_digest.__wrapped__,
               "rivals": rivals_digest.__wrapped__, "recipe": recipe_digest.__wrapped__}  # fmt: skip
    before = {name: digest() for name, digest in digests.items()}
    with open(place / file, "a") as source:
        source.write("\n# edited\n")
    assert sorted(name for name, digest in digests.items() if digest() != before[name]) == changed
