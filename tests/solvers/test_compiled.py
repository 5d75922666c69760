"""Compiled functions on disk: damaged ones are compiled again, and a full disk stops no matching."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pivq
from pivq.solvers.compiled import compiled

DAMAGES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "zeroed": lambda content: bytes(len(content)),
    "flipped": lambda content: content[:-50] + bytes([content[-50] ^ 1]) + content[-49:],
}
MODULE = """
from pivq.solvers.compiled import compiled

@compiled
def double(x):
    return 2 * x

print(double(21), sum(double.stats.cache_hits.values()))
"""


def run_compiled(folder) -> str:
    environment = os.environ | {"PYTHONPATH": str(Path(pivq.__file__).parent.parent)}
    environment.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run([sys.executable, "module.py"], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Return the folder of a module with a cached function, and the cache's files with their contents."""
    folder = tmp_path_factory.mktemp("compiled")
    (folder / "module.py").write_text(MODULE)
    assert (run_compiled(folder), run_compiled(folder)) == ("42 0", "42 1")
    return folder, {path: path.read_bytes() for path in (folder / "__pycache__").glob("*.nb*")}


@pytest.mark.parametrize(
    "ending, damage", [(".nbi", "empty"), (".nbi", "cut"), (".nbc", "zeroed"), (".nbc", "flipped")]
)
def test_a_damaged_cache_of_compiled_functions_is_made_again(kept, ending, damage):
    folder, files = kept
    for path, content in files.items():
        path.write_bytes(DAMAGES[damage](content) if path.suffix == ending else content)
    assert run_compiled(folder) == "42 0"
    assert run_compiled(folder) == "42 1"


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    function = compiled(lambda x: 2 * x)
    monkeypatch.setattr(type(function._cache._cache_file), "save", full)
    assert function(21) == 42
