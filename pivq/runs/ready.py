"""What must be in place before a profile's work starts; the standard library is enough to see it."""

from pathlib import Path

from pivq.config import Config
from pivq.pretrained.weights import check_weights
from pivq.storage.paths import data_dir


def check_ready(config: Config, metrics: bool = True) -> None:
    """See that data and weights from outside are there, before any work is done.

    Args:
        config: the settings.
        metrics: whether images will be measured too; a training alone needs no feature network.

    Raises:
        FileNotFoundError: something is missing; says what to put where.
        ValueError: a file of weights has other contents than expected.
    """
    check_weights([config.train.perceptual_network, *([config.evaluation.features] if metrics else [])])
    place = Path(config.data or data_dir() / config.dataset)
    if config.dataset != "avatars" and not place.exists():
        raise FileNotFoundError(
            f"profile {config.profile!r} needs the data set {config.dataset}, and there is no {place}: put it there, "
            "or say where it is (--data DIR); docs/datasets.md says how to get it"
        )
