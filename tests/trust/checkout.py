"""Where the project and the tests' shared modules lie; imported first by what also runs as a script."""

import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[1:1] = [str(CHECKOUT), str(CHECKOUT / "tests"), str(CHECKOUT / "tests" / "trust")]
