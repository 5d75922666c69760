"""Kill a training at many moments, start it again: the end is bit for bit that of one that was left alone.

    python tests/trust/kills.py --many 200

Two thirds of the kills come at a moment of writing, before a change of any file or within a write of a checkpoint,
log, codes or summary; the others after any time. Every third training is killed more than once.
"""

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from trials import Trial, command_line, contents, differences, finish, start


def trials(count: int, seed: int) -> Iterator[Trial]:
    """Yield the ends of `count` trainings that were killed and started again."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "alone"
        begun = time.monotonic()
        ended = finish(start(alone, act="kill"))
        seconds, moments = time.monotonic() - begun, ended["moments"]
        if ended["error"] or ended["exit"]:
            raise RuntimeError(f"the training that is left alone failed: {ended}")
        wanted = contents(alone)
        for i in range(count):
            yield _killed(Path(folder) / f"{i}", i, chance, moments, seconds, wanted)


def _killed(root: Path, i: int, chance: random.Random, moments: int, seconds: float, wanted: dict[str, str]) -> Trial:
    """Kill a training once or more, let another one end it, and compare."""
    what, killed = ("after any time" if i % 3 == 2 else "while it writes"), []
    for _ in range(chance.choice((2, 3)) if i % 3 == 1 else 1):
        if i % 3 == 2:
            process, at = start(root), round(chance.uniform(0, 1.1 * seconds), 3)
            process.join(at)
            process.kill()
        else:
            at = chance.randint(1, moments)
            process = start(root, at, "kill")
        finish(process)
        killed.append(at)
    ended = finish(start(root))
    if ended["exit"] or ended["error"]:
        return Trial(what, "", f"killed at {killed}, then: {ended}")
    other = differences(wanted, contents(root))
    return Trial(what, "ends alike", f"killed at {killed}: {other} differ" if other else "")


if __name__ == "__main__":
    sys.exit(command_line(trials, 200, __doc__))
