"""The models that the default run trains and the notebooks compare: the paper's tokens and ours, both quantizers."""

from pivq.config import Config
from pivq.runs.parallel import Job
from pivq.runs.planned import planned
from pivq.runs.run import Run, require_run


def models(config: Config) -> dict[str, Job]:
    """Return what trains each model of `pivq.runs.planned.planned`, by its label."""
    return {label: Job(*job) for label, job in planned(config).items()}


def require_models(config: Config) -> dict[str, Run]:
    """Return the finished runs of `models`, by label; errors are those of `pivq.runs.run.require_run`."""
    return {label: require_run(*job) for label, job in models(config).items()}
