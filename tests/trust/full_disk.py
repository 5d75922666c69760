"""Fill the disk at any write of a training: one line says so, and with room the training goes on to the same end.

    python tests/trust/full_disk.py --many 200

Writes, renames, links and syncs get the error of a full disk; from 100 on, and for who may mount file systems (root, or
`unshare -Urm`), also on small ones that do fill up. What was there before stays whole: the next training uses it.
"""

import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from trials import Trial, command_line, contents, differences, finish, is_plain, start

SIZES = (200, 600, 1000, 1500, 2000, 2500, 3000, 3500, 4000, 4500, 5000, 5500)  # KiB; all needs about 6000


def trials(count: int, seed: int) -> Iterator[Trial]:
    """Yield the ends of `count` trainings whose disk fills up at a moment; the last moments are always among them."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "alone"
        if (ended := finish(start(alone, act="fill")))["exit"] or ended["error"]:
            raise RuntimeError(f"the training that is left alone failed: {ended}")
        wanted, moments = contents(alone), ended["moments"]
        last = [moments - i for i in range(min(4, count // 2))]
        for i, at in enumerate(last + [chance.randint(1, moments) for _ in range(count - len(last))]):
            yield _filled(Path(folder) / f"{i}", at, "the last writes" if i < len(last) else "any write", wanted)
        if count >= 100:
            yield from real(Path(folder), wanted)


def _filled(root: Path, at: int, what: str, wanted: dict[str, str]) -> Trial:
    """Let the disk fill up at a moment, then go on with room, and compare."""
    first = finish(start(root, at, "fill"))
    return _judged(root, f"full from moment {at} on", what, first, wanted)


def _judged(root: Path, where: str, what: str, first: dict, wanted: dict[str, str]) -> Trial:
    said = first["error"].lower()
    if first["exit"] or said and not ("space" in said and is_plain(first["error"], first["kind"])):
        return Trial(what, "", f"{where}: {first}")
    again = finish(start(root))
    if again["exit"] or again["error"]:
        return Trial(what, "", f"{where}, said {said!r}; with room: {again}")
    other = differences(wanted, contents(root))
    outcome = "said, then ends alike" if said else "did without, ends alike"
    return Trial(what, outcome, f"{where}: {other} differ" if other else "")


def real(folder: Path, wanted: dict[str, str]) -> Iterator[Trial]:
    """Yield the ends of trainings on file systems of `SIZES`, which are then made larger; none if it may not mount."""
    mount = folder / "mount"
    mount.mkdir()
    for size in SIZES:
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", mount], capture_output=True
        ).returncode:
            return
        try:
            first = finish(start(mount / "root"))
            subprocess.run(["mount", "-o", "remount,size=100m", mount], check=True)
            yield _judged(mount / "root", f"{size} KiB", "small file systems", first, wanted)
        finally:
            subprocess.run(["umount", mount], check=True)


if __name__ == "__main__":
    sys.exit(command_line(trials, 200, __doc__))
