"""Stamps and captions say what made a number, and say the same when made again."""

import json
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch

from pivq.config import load_config
from pivq.runs.provenance import caption, commit, seed_everything, stamp, versions
from pivq.storage.source import code_digest


def test_stamp_holds_what_is_needed_to_make_it_again():
    config = load_config("smoke", seed=3)
    facts = stamp(config, steps=40, quantizer="matching", note="x")
    assert {"profile": "smoke", "dataset": "avatars", "image_size": 64, "seed": 3, "steps": 40}.items() <= facts.items()
    assert facts["quantizer"] == "matching" and facts["digest"] == config.digest("matching") and facts["note"] == "x"
    assert facts["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert facts["versions"]["numpy"] == np.__version__


def test_stamp_is_plain_and_equal_when_made_again():
    config = load_config("smoke")
    assert json.dumps(stamp(config)) == json.dumps(stamp(config))
    assert "steps" not in stamp(config) and "digest" not in stamp(config)


def test_versions_names_a_package_that_is_not_there(monkeypatch):
    monkeypatch.setattr("pivq.runs.provenance.PACKAGES", ("no-such-package",))
    assert versions()["no-such-package"] == "not installed"


def test_caption_reads_as_the_line_under_a_figure():
    config = load_config("quick", seed=1)
    assert caption(config, steps=2400) == "profile quick · avatars 64×64 · 2,400 steps · seed 1"
    assert caption(config) == "profile quick · avatars 64×64 · seed 1"
    assert caption(config, note="N = 5") == "profile quick · avatars 64×64 · seed 1 · N = 5"


def test_seeding_repeats_every_generator():
    draws = []
    for _ in range(2):
        seed_everything(7)
        draws.append((random.random(), np.random.rand(), torch.rand(1).item()))
    assert draws[0] == draws[1]
    seed_everything(8)
    assert draws[0] != (random.random(), np.random.rand(), torch.rand(1).item())


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seed_out_of_range_is_refused_with_its_value(seed):
    with pytest.raises(ValueError, match=str(seed)):
        seed_everything(seed)


def test_a_stamp_does_not_import_torch():
    code = "import sys; from pivq import config; from pivq.runs import provenance; "
    code += "provenance.stamp(config.load_config('smoke')); print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def git(folder, *words):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True).stdout


def test_the_commit_is_that_of_git_without_asking_it(tmp_path, monkeypatch):
    place = tmp_path / "checkout"
    place.mkdir()
    assert commit(place) is None
    git(place, "init")
    assert commit(place) is None  # no commit yet
    git(place, "commit", "--allow-empty", "-m", "one")
    first = git(place, "rev-parse", "HEAD").strip()
    git(place, "worktree", "add", "-b", "other", str(tmp_path / "tree"))
    git(tmp_path / "tree", "commit", "--allow-empty", "-m", "two")
    second = git(tmp_path / "tree", "rev-parse", "HEAD").strip()
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert (commit(place), commit(tmp_path / "tree")) == (first, second)
    monkeypatch.undo()
    git(place, "pack-refs", "--all")
    git(tmp_path / "tree", "checkout", "--detach")
    assert (commit(place), commit(tmp_path / "tree")) == (first, second)


@pytest.mark.parametrize("content", [b"", b"ref: refs/heads/main", b"\xff\xfe", b"<html>", b"ref: ../../../etc/passwd"])
def test_a_damaged_head_is_no_commit(tmp_path, content):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_bytes(content)
    assert commit(tmp_path) is None
    shutil.rmtree(tmp_path / ".git")
    (tmp_path / ".git").write_bytes(content)
    assert commit(tmp_path) is None


def test_a_stamp_says_code_device_and_threads():
    assert stamp(load_config("smoke"))["device"] == "cpu"
    assert stamp(load_config("smoke"))["code"] == code_digest()
    assert stamp(load_config("smoke"))["threads"] == torch.get_num_threads()
