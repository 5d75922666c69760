"""What `run_all.sh` says while a notebook runs: which one, since when, how far its training is, how long it may take.

In a terminal this is one line that is written anew each second. Where the output goes to a file, it is a line every
half minute, so that a log shows life. Standard library only.
"""

import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from pivq.commands.run_all_arguments import Notebook
from pivq.commands.schedule import LOADED, TRAINS, expected_seconds, span
from pivq.config import Config
from pivq.runs.planned import steps_left, under_way

REWRITTEN, LOGGED = 1.0, 30.0  # seconds between two states: in a terminal, in a file
WINDOW = 180.0  # seconds of training that tell its pace
OVERDUE = 60.0  # seconds beyond what was expected before that is said
LEAST = 20.0  # seconds of training before anything is said from its pace


def progress_of_each(notebooks: list[Notebook], config: Config, parameters: dict[str, Any]) -> Iterator["Progress"]:
    """Yield what shows the state of each notebook of a run, in order."""
    seconds = expected_seconds(notebooks, config, parameters)
    for number, notebook in enumerate(notebooks, 1):
        later = [seconds[other.name] for other in notebooks[number:]]
        rest = None if None in later else sum(later)
        paced = notebook.name == TRAINS and not parameters.get("rerun_ablations")
        place = f"{number}/{len(notebooks)} · {notebook.name}"
        yield Progress(place, config.profile, seconds[notebook.name], rest, Pace(config) if paced else None)


class Progress:
    """Show the state of one notebook while the block of a `with` runs.

    Args:
        place: of the notebook in the run, such as "4/10 · 03_train".
        profile: whose trainings are shown.
        expected: seconds that the notebook should take, None if unknown.
        later: seconds that those after it should take, None if unknown.
        pace: tells how many seconds the trainings of the notebook still take, None before it knows; it is asked first.
    """

    def __init__(
        self, place: str, profile: str, expected: float | None, later: float | None, pace: "Pace | None" = None
    ):
        self.place, self.profile, self.expected, self.later, self.pace = place, profile, expected, later, pace
        self.terminal, self.width = sys.stdout.isatty(), 0
        self.stop, self.thread = threading.Event(), threading.Thread(target=self._repeat, daemon=True)

    def __enter__(self) -> "Progress":
        self.started, self.clock = time.monotonic(), time.time()
        self._show(f"{self.place} · {_left(self.expected, self.later) or '…'}")
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()
        if self.terminal:
            self._show("")

    def state(self) -> str:
        """Return the state in one line."""
        elapsed = time.monotonic() - self.started
        rest = self.pace() if self.pace else None
        if rest is None and self.expected is not None:
            rest = self.expected - elapsed
        stages = [f"{stage.title}: step {stage.step:,} of {stage.last:,}"
                  for stage in under_way(self.profile, self.clock)]  # fmt: skip
        return " · ".join(filter(None, [self.place, _clock(elapsed), _left(rest, self.later), "; ".join(stages)]))

    def _repeat(self) -> None:
        while not self.stop.wait(REWRITTEN if self.terminal else LOGGED):
            self._show(self.state())

    def _show(self, text: str) -> None:
        with suppress(OSError, ValueError):  # the terminal may be closed
            if not self.terminal:
                return print(text, flush=True)
            text = text[: shutil.get_terminal_size().columns - 1]  # a longer one would begin a second line
            print(f"\r{text.ljust(self.width)}", end="" if text else "\r", flush=True)
            self.width = len(text)


class Pace:
    """Tell from the steps of the last minutes how many seconds the trainings of `pivq.runs.planned` still take.

    Args:
        config: of the run.
        clock: in seconds.
    """

    def __init__(self, config: Config, clock: Callable[[], float] = time.monotonic):
        self.config, self.clock, self.seen = config, clock, deque[tuple[float, int]]()

    def __call__(self) -> float | None:
        """Return the seconds, with some for the rest of the notebook; None before the pace is known and at the end."""
        now, left = self.clock(), steps_left(self.config)
        if self.seen and left > self.seen[-1][1]:  # begun again
            self.seen.clear()
        self.seen.append((now, left))
        while len(self.seen) > 2 and now - self.seen[1][0] >= WINDOW:
            self.seen.popleft()
        then, before = self.seen[0]
        if not left or before == left or now - then < LEAST:
            return None
        return left * (now - then) / (before - left) + LOADED


def _left(rest: float | None, later: float | None) -> str:
    """Say how long a notebook takes from now on, and the whole run; "" if nothing is known."""
    if rest is None:
        return ""
    said = f"{_about(rest)} left" if rest > -OVERDUE else "longer than usual"
    return said + (f", whole run {_about(max(0, rest) + later)}" if later else "")


def _about(seconds: float) -> str:
    said = span(seconds)
    return said if said.startswith("under") else f"about {said}"


def _clock(seconds: float) -> str:
    hours, minutes = divmod(int(seconds) // 60, 60)
    return f"{hours}:{minutes:02}:{int(seconds) % 60:02}" if hours else f"{minutes}:{int(seconds) % 60:02}"
