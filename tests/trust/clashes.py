"""Start two or three trainings in one folder, at once or one soon after another: one trains, the others are refused.

    python tests/trust/clashes.py --many 40

What is left is what a training alone leaves. One that starts late may load finished runs and train the others.
"""

import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from trials import Trial, command_line, contents, differences, finish, start

PAUSE = 0.02  # seconds that each step takes longer, so that the trainings meet at any step


def trials(count: int, seed: int) -> Iterator[Trial]:
    """Yield the ends of `count` meetings of two trainings, every third of three."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        alone, begun = Path(folder) / "alone", time.monotonic()
        if (ended := finish(start(alone, pause=PAUSE)))["exit"] or ended["error"]:
            raise RuntimeError(f"the training that is left alone failed: {ended}")
        seconds, wanted = time.monotonic() - begun, contents(alone)
        for i in range(count):
            offsets = [0.0] * 2 if i < 2 else [chance.uniform(0, seconds) for _ in range(2)]
            yield _meeting(Path(folder) / f"{i}", offsets[: 1 + (i % 3 == 1)], wanted)


def _meeting(root: Path, offsets: list[float], wanted: dict[str, str]) -> Trial:
    """Start a training, and others some seconds after it; compare what all of them leave."""
    what, processes, begun = f"{1 + len(offsets)} at once", [start(root, pause=PAUSE)], time.monotonic()
    for offset in sorted(offsets):
        time.sleep(max(0.0, begun + offset - time.monotonic()))
        processes.append(start(root, pause=PAUSE))
    ends = [finish(process) for process in processes]
    refused = [end for end in ends if end["kind"] == "InUse" and "is being trained by process" in end["error"]]
    done = [end for end in ends if not end["exit"] and not end["error"]]
    where = f"{', '.join(f'{offset:.2f}' for offset in offsets)} s later"
    if not done or len(done) + len(refused) < len(ends):
        return Trial(what, "", f"{where}: {ends}")
    other = differences(wanted, contents(root))
    outcome = f"end alike ({len(refused) or 'none'} refused)"
    return Trial(what, outcome, f"{where}: {other} differ" if other else "")


if __name__ == "__main__":
    sys.exit(command_line(trials, 40, __doc__))
