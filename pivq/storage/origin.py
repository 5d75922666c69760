"""What an artefact belongs to: profile, data set, seed and the digests of both runs."""

from typing import Any


def origin(config: Any) -> dict[str, Any]:
    """Return what tells the artefacts of one configuration (`pivq.config.Config`) from those of another.

    `runs` has the digest of each quantizer's run, which changes with every setting that changes its network.
    """
    runs = {quantizer: config.digest(quantizer) for quantizer in ("matching", "nearest")}
    return {"profile": config.profile, "dataset": config.dataset, "seed": config.seed, "runs": runs}


def origin_text(config: Any) -> str:
    """Return `origin` in one line, for the metadata of figures and tables."""
    facts = origin(config)
    runs = ", ".join(f"{name} {digest}" for name, digest in facts["runs"].items())
    return f"profile {facts['profile']}; dataset {facts['dataset']}; seed {facts['seed']}; runs: {runs}"


def other_origin(values: dict[str, Any], config: Any) -> str:
    """Return how the `origin` noted in a file's values differs from a configuration's, or "" if it does not."""
    wanted = origin(config)
    other = [fact for fact in wanted if values.get(fact) != wanted[fact]]
    found = ", ".join(f"{fact} {values.get(fact, 'not noted')}" for fact in other)
    return found and f"{found}, not from {', '.join(f'{fact} {wanted[fact]}' for fact in other)}"
