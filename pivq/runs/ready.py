"""Check data and weights before any work starts. Standard library only."""

import os
from pathlib import Path

from pivq.config import Config
from pivq.pretrained.weights import check_weights
from pivq.storage.paths import data_dir


def check_ready(config: Config, metrics: bool = True) -> None:
    """Check that the profile's data and weights are in place; without `metrics` no feature network is needed.

    Raises:
        FileNotFoundError: something is missing; says what to put where.
        ValueError: a file of weights has other contents than expected.
    """
    check_weights([config.train.perceptual_network, *([config.evaluation.features] if metrics else [])])
    place = Path(os.path.expanduser(config.data) or data_dir() / config.dataset)
    if config.dataset != "avatars" and not place.exists():
        raise FileNotFoundError(
            f"profile {config.profile!r} needs the data set {config.dataset}, but there is no {place}: put it there, "
            "or give its place (--data DIR); see docs/datasets.md"
        )
