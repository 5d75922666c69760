"""What the tests of the verdict share."""

from collections.abc import Callable

import pytest
from made_up_facts import make_facts

from pivq.runs.verdict import Judgement, judge


@pytest.fixture
def facts() -> dict:
    """Return `make_facts`."""
    return make_facts()


@pytest.fixture
def by_id() -> Callable[[dict], dict[str, Judgement]]:
    """Return how to judge facts and find each judgement by its claim."""
    return lambda facts: {judgement.id: judgement for judgement in judge(facts)}
