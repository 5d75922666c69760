"""The progress of several trainings as one: a bar over all their different steps and, in a notebook, live pictures.

All is read from the logs, so it is the same for steps that other processes train. Steps that runs share are counted
once.
"""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from pivq.config import Config
from pivq.processes import is_first
from pivq.runs.callbacks import LOG_EVERY, read_log
from pivq.runs.notebook import Area, in_notebook
from pivq.runs.planned import STAGES, Stage, last_step, run_dir, steps_of, title_of
from pivq.runs.run import Run

Jobs = Sequence[tuple[Config, str]]
# Draws the logs and the latest reconstructions of trainings, by title; see `pivq.figures.live.plot_training`.
Draw = Callable[[Mapping[str, pd.DataFrame], Mapping[str, np.ndarray]], Any]
SHORTEST, SHARE = 1.0, 0.05  # between two looks at the logs: seconds at least, and of the time at most
LEAST = 20.0  # seconds before anything is said of how long it will take
_current: ContextVar["Watch | None"] = ContextVar("watch", default=None)


def current_watch() -> "Watch | None":
    """Return what watches the training that this process does now, or None."""
    return _current.get()


@contextmanager
def watching(jobs: Jobs, draw: Draw | None = None) -> Iterator["Watch"]:
    """Show the progress of trainings, settings and quantizers, until the block ends; `draw` is used in a notebook."""
    watch = Watch(jobs, draw)
    token = _current.set(watch)
    try:
        yield watch
    finally:
        _current.reset(token)
        watch.end()


class Watch:
    """Show how far trainings are; call it as a callback of their steps, or `look` at any time."""

    def __init__(self, jobs: Jobs, draw: Draw | None = None):
        self.jobs, self.draw, self.notebook = list(dict.fromkeys(jobs)), draw, in_notebook()
        self.begun = _stages(self.jobs)
        self.bar: tqdm | None = None
        self.words, self.figure = Area(), Area()
        self.next, self.drawn = 0.0, 0
        done, total = steps_of(self.jobs, last_step)
        if done < total and is_first():
            where = _Nowhere() if self.notebook else sys.stderr
            self.bar = tqdm(total=total, initial=done, desc="training", unit="step", file=where, mininterval=1,
                            dynamic_ncols=True, smoothing=0)  # the mean pace: steps come by the twenty  # fmt: skip

    def __call__(self, trainer: Any, losses: Any) -> None:
        """Look, whenever the log of a training in this process has a new row."""
        if trainer.step % LOG_EVERY == 0:
            self.look()

    def close(self) -> None:
        """Do nothing: the trainings of one stage are over, but not all of them."""

    def look(self, now: bool = False) -> None:
        """Read the logs and show what is new, if the last look was long enough ago."""
        start = time.monotonic()
        if self.bar is None or (start < self.next and not now):
            return
        done, self.bar.total = steps_of(self.jobs, last_step)
        running = [stage for stage in self.under_way().values() if stage.step < stage.last]
        places = [f"{stage.title}: {stage.step:,} of {stage.last:,}" for stage in running]
        self.bar.set_postfix_str("; ".join(places), refresh=False)
        self.bar.update(max(0, done - self.bar.n))
        if self.notebook:
            self._tell(self.bar.n, self.bar.total, places)
        if self.notebook and self.draw:
            self._draw()
        self.next = time.monotonic() + max(SHORTEST, (time.monotonic() - start) / SHARE)

    def end(self) -> None:
        """Show the last state, and end the bar's line."""
        if self.bar is not None:
            self.look(now=True)
            self.bar.close()

    def under_way(self) -> dict[Path, Stage]:
        """Return the stages and runs whose logs have grown since the beginning, by folder.

        Whatever starts from a stage has its log. So a stage gives way to what goes beyond it, and two runs that are one
        model are shown once.
        """
        now = {folder: stage._replace(step=last_step(folder)) for folder, stage in self.begun.items()}
        grown = {folder: stage for folder, stage in now.items() if stage.step > self.begun[folder].step}
        for config, quantizer in self.jobs:
            trunk, shared, own = (run_dir(config, run) for run in ("trunk", "shared", quantizer))
            if max(now[shared].step, now[own].step) >= now[trunk].step:
                grown.pop(trunk, None)
            grown.pop(own if now[own].step <= now[shared].step else shared, None)
        return grown

    def _tell(self, done: int, total: int, places: list[str]) -> None:
        new, seconds = done - self.bar.initial, self.bar.format_dict["elapsed"]
        known = new and done < total and seconds > LEAST
        left = f" · about {_span((total - done) * seconds / new)} left" if known else ""
        text = f"{done / total:.0%} · {done:,} of {total:,} steps{left}"
        bar = f'<progress value="{done}" max="{total}" style="width: 12em; vertical-align: middle"></progress>'
        html = "<br>".join([f"{bar} {text}", *places]).replace("T_q", "<i>T<sub>q</sub></i>")
        self.words.show({"text/plain": "\n".join([text, *places]), "text/html": f"<div>{html}</div>"})

    def _draw(self) -> None:
        """Draw curves and pictures if there was a validation since the last time."""
        shown = {stage.title: folder for folder, stage in self.under_way().items()}
        logs = {title: pd.DataFrame(read_log(folder / "log.jsonl")) for title, folder in shown.items()}
        logs = {title: log for title, log in logs.items() if "heldout_psnr" in log}
        count = sum(int(log["heldout_psnr"].notna().sum()) for log in logs.values())
        if count == self.drawn or not logs:
            return
        self.drawn, pictures = count, {}
        for title in logs:
            if found := Run(shown[title], *self.jobs[0]).pictures():
                pictures[f"{title}, step {max(found):,}"] = found[max(found)]
        self.figure.show_figure(self.draw(logs, pictures))


def _stages(jobs: Jobs) -> dict[Path, Stage]:
    """Return runs, and the stages that they may share, as they are now, by folder."""
    found = {}
    for config, quantizer in jobs:
        for run in (quantizer, *STAGES):
            last = config.train.quantize_from_step if run == "trunk" else config.train.steps
            folder = run_dir(config, run)
            found[folder] = Stage(title_of(config.model.tokens, run), last_step(folder), last)
    return found


def _span(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes / 60:.1f} hours" if minutes >= 100 else f"{minutes} min" if minutes else "a minute"


class _Nowhere:
    """A file for a bar that is shown in another way."""

    def write(self, text: str) -> None:
        """Drop the text."""

    def flush(self) -> None:
        """Do nothing."""
