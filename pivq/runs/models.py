"""The models that the default run trains and the notebooks compare: the paper's tokens and ours, both quantizers."""

from pivq.config import Config
from pivq.profiles import DRAWN
from pivq.runs.parallel import Job
from pivq.runs.run import Run, require_run


def models(config: Config) -> dict[str, Job]:
    """Return the configuration and the quantizer of each model of an experiment, by its label.

    The first two have the paper's learned tokens. Where the profile trains them too (`pivq.profiles.DRAWN`; the paper's
    own profiles do not), two more have tokens drawn anew for every image, our variant.

    Example:
        >>> from pivq.config import load_config
        >>> list(models(load_config("quick")))
        ['learned, matching', 'learned, nearest', 'drawn, matching', 'drawn, nearest']
    """
    kinds = {"learned": config} | ({"drawn": config.drawn()} if config.profile in DRAWN else {})
    return {
        f"{kind}, {quantizer}": Job(settings, quantizer)
        for kind, settings in kinds.items()
        for quantizer in ("matching", "nearest")
    }


def require_models(config: Config) -> dict[str, Run]:
    """Return the finished runs of `models`, by label; errors are those of `pivq.runs.run.require_run`."""
    return {label: require_run(*job) for label, job in models(config).items()}
