"""How many steps fit a time: a profile's trainings are measured, then its whole schedule is scaled.

The top of this module needs only the standard library.

The choice is kept, so that the same command, after a disconnect, resumes the trainings that it began.
"""

import re
from contextlib import suppress

from pivq.config import Config, load_config
from pivq.runs.planned import planned
from pivq.storage.paths import results_dir
from pivq.storage.writing import read_json, write_json

UNITS = {"h": 3600.0, "hour": 3600.0, "hours": 3600.0, "m": 60.0, "min": 60.0, "minutes": 60.0, "s": 1.0}
CHOICES = "budgets.json"  # in the folder of a profile's results: steps by settings, budget and number of models
MEASURED = "seconds a step, as measured"
ROUND = 100  # steps, of which a longer choice is a multiple


def parse_budget(text: str) -> float:
    """Return a time such as "2h", "90min" or "1h 30m" in seconds.

    Raises:
        ValueError: for any other text, or no time at all.

    Example:
        >>> parse_budget("1.5h"), parse_budget("1h 30m")
        (5400.0, 5400.0)
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]+)", str(text).lower())
    left = re.sub(r"(\d+(?:\.\d+)?)\s*([a-z]+)", "", str(text).lower()).strip()
    seconds = sum(float(number) * UNITS.get(unit, float("nan")) for number, unit in parts)
    if left or not seconds > 0 or seconds > 10**8:  # NaN for an unknown unit
        raise ValueError(f"budget {text!r:.80} is no time: expected one such as 2h, 90min or 1h 30m")
    return seconds


def steps_within(config: Config, budget: str, device: str = "auto", quantizers: int = 0) -> tuple[int, str]:
    """Return how many steps of each training fit a budget on this device, and say in words how that was found.

    Twenty steps of the last phase, the slowest, are measured, so the trainings take at most the budget. What both
    quantizers share for certain, the steps before T_q, counts once. No training gets longer than its profile's.

    Args:
        config: of the profile's own length.
        budget: for all trainings; see `parse_budget`.
        device: as of `pivq.runs.training.train`.
        quantizers: 1 or 2 with the tokens of the configuration; 0 is all models of `planned`.

    Raises:
        ValueError: no time, or one in which the profile's schedule has no room.
        FileNotFoundError: data or weights are not in place.
    """
    seconds, whole = parse_budget(budget), config.train.steps
    kept, name = results_dir(config.profile) / CHOICES, f"{config.digest('matching')} {seconds:g} {quantizers}"
    choices = {}
    with suppress(OSError, ValueError):
        choices = read_json(kept)
    if isinstance(found := choices.get(name), int) and 0 < found <= whole:
        return found, f"budget {budget}: {found:,} steps, as chosen before (in {kept})"
    from pivq.runs.cost import measure_cost

    price = measure_cost(config, device=device)
    lengths = whole_trainings(config, quantizers)
    steps = int(seconds / (price.seconds_per_step * lengths))
    steps = min(whole, steps - steps % ROUND if steps > 10 * ROUND else steps)
    found = f"{price.seconds_per_step:.3g} s per step on {price.device}, {lengths:.3g} trainings"
    try:
        load_config(config.profile, data=config.data, layout=config.layout, steps=max(1, steps))
    except ValueError as error:
        raise ValueError(f"budget {budget} is too short for the profile {config.profile} ({found}): {error}") from error
    write_json(kept, choices | {name: steps}, sort_keys=True)
    hours = steps * price.seconds_per_step * lengths / 3600
    whose = "all of the profile's"
    if steps < whole:
        whose = f"of the profile's {whole:,}, with T_q, W and the rest of the schedule in proportion"
    return steps, f"budget {budget}: {steps:,} steps, {whose}; at most {hours:.2g} hours ({found})"


def whole_trainings(config: Config, quantizers: int = 0) -> float:
    """Return how many whole trainings the models take, with the steps before T_q of a pair counted once.

    Example:
        >>> whole_trainings(load_config("celeba64_short"))
        1.8
    """
    if quantizers == 1:
        return 1.0
    settings = [config] if quantizers else list(dict.fromkeys(job for job, _ in planned(config).values()))
    return sum((2 - each.train.quantize_from_step / each.train.steps) * each.train.steps for each in settings) / (
        config.train.steps
    )
