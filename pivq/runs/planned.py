"""What notebook 03 is to train, where each run goes, and how far it is. Standard library only.

| stage | its steps |
|---|---|
| `trunk` | those before T_q |
| `shared` | those that both quantizers share |

`pivq.runs.branching` has the rules.
"""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from pivq.config import Config
from pivq.profiles import DRAWN
from pivq.settings import refusal, suggestion
from pivq.storage.paths import results_dir

# Steps that several runs share, the later ones first; and the titles of their progress.
STAGES = {"shared": "both quantizers", "trunk": "before T_q"}
TAIL = 4096  # bytes at the end of a log that hold its last row


class Stage(NamedTuple):
    """A training that is under way: what it is in words, its last logged step, and the last one that it will have."""

    title: str
    step: int
    last: int


def planned(config: Config) -> dict[str, tuple[Config, str]]:
    """Return the configuration and the quantizer of each model of an experiment, by its label.

    The first two have the paper's learned tokens. Where the profile trains them too (`pivq.profiles.DRAWN`; the paper's
    own profiles do not), two more have tokens drawn anew for every image, our variant.

    Example:
        >>> from pivq.config import load_config
        >>> list(planned(load_config("quick")))
        ['learned, matching', 'learned, nearest', 'drawn, matching', 'drawn, nearest']
    """
    kinds = {"learned": config} | ({"drawn": config.drawn()} if config.profile in DRAWN else {})
    return {
        f"{kind}, {quantizer}": (settings, quantizer)
        for kind, settings in kinds.items()
        for quantizer in ("matching", "nearest")
    }


def run_dir(config: Config, run: str) -> Path:
    """Return the folder of a run, by quantizer, or of one of `STAGES`: `results/<profile>/<run>-seed<k>-<digest>/`.

    Raises:
        TypeError: the settings are none.
        ValueError: there is no such quantizer or stage.
    """
    if not isinstance(config, Config):
        raise refusal("config", "settings, such as of `load_config`", config)
    if run not in (known := ["matching", "nearest", *STAGES]):
        raise ValueError(f"unknown quantizer or stage {run!r:.80}{suggestion(str(run)[:80], known)}")
    return results_dir(config.profile) / f"{run}-seed{config.seed}-{config.digest(run)}"


def unfinished(config: Config) -> list[str]:
    """Return the labels of the planned models without a `summary.json`, which is written last; nothing is read."""
    return [label for label, job in planned(config).items() if not (run_dir(*job) / "summary.json").exists()]


def title_of(tokens: str, run: str) -> str:
    """Return what a run, by quantizer, or one of `STAGES` is, in words; `tokens` are "learned" or "drawn"."""
    return f"{tokens} tokens, {STAGES.get(run, run)}"


def steps_left(config: Config) -> int:
    """Return how many steps are left to train for the models of `planned`, as `steps_of` counts them."""
    done, total = steps_of(planned(config).values(), last_step)
    return total - done


def steps_of(jobs: Iterable[tuple[Config, str]], step: Callable[[Path], int]) -> tuple[int, int]:
    """Return how many different steps of trainings are done, and how many there are; those that runs share count once.

    Both quantizers of learned tokens share their steps after T_q until they part, which nobody can know before: the
    second number grows if they do.

    Args:
        jobs: settings and quantizer of each run.
        step: returns the last step that is trained in the folder of a run or stage.
    """
    done = total = 0
    trunks: dict[Path, dict[Config, list[str]]] = {}
    for config, quantizer in dict.fromkeys(jobs):
        trunks.setdefault(run_dir(config, "trunk"), {}).setdefault(config, []).append(quantizer)
    for trunk, configs in trunks.items():
        start = next(iter(configs)).train.quantize_from_step
        users = [run_dir(config, run) for config, own in configs.items() for run in ("shared", *own)]
        done += min(start, max(map(step, [trunk, *users])))
        total += start
        for config, own in configs.items():
            last, reached = config.train.steps, [step(run_dir(config, quantizer)) for quantizer in own]
            common = start
            if len(own) > 1 and config.model.tokens == "learned":
                shared = max(start, *(step(run_dir(config, stage)) for stage in STAGES))
                common = shared if any(reached) else last  # a run that has begun has parted, or is the whole of it
                done += shared - start
                total += common - start
            done += sum(max(0, at - common) for at in reached)
            total += len(own) * (last - common)
    return done, total


def under_way(profile: str, since: float) -> list[Stage]:
    """Return the trainings of a profile, of any seed and settings, that have logged steps since a time of the clock."""
    found = []
    for log in sorted(results_dir(profile).glob("*-seed*-*/log.jsonl")):
        kind = log.parent.name.partition("-seed")[0]
        try:
            if log.stat().st_mtime < since:
                continue
            settings = json.loads((log.parent / "config.json").read_text(encoding="utf-8"))
            last = settings["train"]["quantize_from_step" if kind == "trunk" else "steps"]
            title = title_of(settings["model"]["tokens"], kind)
        except (OSError, ValueError, KeyError, TypeError):  # being written, or of another version
            continue
        found.append(Stage(title, last_step(log.parent), last))
    return [stage for stage in found if stage.step < stage.last]


def last_step(folder: Path) -> int:
    """Return the step of the last whole row of a run's log, 0 if there is none."""
    try:
        with open(folder / "log.jsonl", "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            lines = file.read().splitlines()
    except OSError:
        return 0
    return max(_steps(lines), default=0)


def _steps(lines: Iterable[bytes]) -> Iterable[int]:
    for line in lines:
        try:
            yield int(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError):  # the first line is a part of one, the last may be
            continue
