"""The default run trains four models, profiles of the paper two; each is found under its label."""

import pytest
from stand_ins import load_profile

from pivq.profiles import DRAWN
from pivq.runs.models import models, require_models
from pivq.runs.run import MissingRun


@pytest.mark.parametrize("profile", ["quick", "smoke", "folder", "celeba64"])
def test_both_quantizers_of_each_kind_of_tokens(profile):
    config = load_profile(profile)
    jobs = models(config)
    kinds = ["learned", "drawn"] if profile in DRAWN else ["learned"]
    assert list(jobs) == [f"{kind}, {quantizer}" for kind in kinds for quantizer in ("matching", "nearest")]
    for label, (settings, quantizer) in jobs.items():
        assert label == f"{settings.model.tokens}, {quantizer}"
        assert (settings == config) == label.startswith("learned")


def test_a_missing_model_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    with pytest.raises(MissingRun, match="no finished matching run .* run notebook 03_train first"):
        require_models(load_profile("smoke"))
