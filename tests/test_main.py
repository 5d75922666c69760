"""`python -m pivq` is the command `pivq`."""

import os
import subprocess
import sys
import tomllib


def test_the_package_runs_as_the_command(checkout):
    """Both print the same help; -S: without installed packages, so nothing but this checkout is run."""
    scripts = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts["pivq"].partition(":")
    ways = ["-m", "pivq"], ["-c", f"import sys; from {module} import {function}; sys.exit({function}())"]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    said = [
        subprocess.run([sys.executable, "-S", *way, *words], env=environment, capture_output=True, text=True)
        for words in (["--help"], ["trian"])
        for way in ways
    ]
    assert [done.returncode for done in said] == [0, 0, 2, 2]
    assert said[0].stdout == said[1].stdout and said[0].stdout.startswith("usage: pivq ")
    assert said[2].stderr == said[3].stderr and "did you mean train?" in said[2].stderr
