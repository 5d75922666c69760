"""The protocol of Table 3: samples of a run, and the five metrics of each set of features, for each k."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from stand_ins import Colours

from pivq.metrics import frechet_distance, prdc
from pivq.runs import evaluation
from pivq.runs.evaluation import compare, decoded_features, draw_samples, image_features, reference_features
from pivq.runs.splits import load_split


@pytest.mark.filterwarnings("ignore::pivq.metrics.frechet.RankDeficientWarning")
def test_compare_is_the_five_metrics_for_each_k():
    """As in the base code: the Fréchet distance of all real images, the others of as many on both sides."""
    rng = np.random.default_rng(0)
    real, fakes = rng.normal(size=(40, 3)), {"a": rng.normal(0.5, 1, size=(30, 3)), "b": rng.normal(size=(20, 3))}
    fakes |= {"c": rng.normal(size=(20, 3)), "more than real": rng.normal(size=(60, 3))}
    rows = compare(real, fakes, ks=(3, 5))
    assert list(rows) == list(fakes)
    for name, fake in fakes.items():
        assert rows[name]["distance"] == frechet_distance(real=real, fake=fake)
        count = min(40, len(fake))
        for k in (3, 5):
            for metric, value in prdc(real=real[:count], fake=fake[:count], k=k)._asdict().items():
                assert rows[name][f"{metric} (k={k})"] == value


def test_more_real_images_do_not_lower_the_coverage_of_the_same_samples():
    points = np.random.default_rng(1).normal(size=(400, 2))
    few, many = (compare(points[:count], {"same": points[300:]}, ks=(3,))["same"] for count in (100, 300))
    assert few["coverage (k=3)"] == many["coverage (k=3)"]


def test_the_reference_is_a_setting(finished, monkeypatch):
    run = finished[0]["matching"]
    parts = {"train": np.ones((3, 2)), "heldout": np.zeros((2, 2))}
    monkeypatch.setattr(evaluation, "real_features", lambda run, network, split: parts[split])
    assert run.config.evaluation.reference == "train"
    assert reference_features(run, None).tolist() == parts["train"].tolist()
    everything = replace(run.config, evaluation=replace(run.config.evaluation, reference="all"))
    assert reference_features(replace(run, config=everything), None).tolist() == [*3 * [[1, 1]], *2 * [[0, 0]]]


class Counting(Colours):
    """Counts how often it is asked."""

    calls = 0

    def _features(self, levels):
        self.calls += 1
        return super()._features(levels)


def test_features_of_edited_code_are_extracted_anew(finished, tmp_path, monkeypatch):
    """The weights and the codes are the same; a decoder that is edited makes other pictures of them."""
    monkeypatch.setenv("PIVQ_ROOT", str(tmp_path))
    run, network = finished[0]["matching"], Counting()
    codes, images = torch.from_numpy(run.codes("heldout")), load_split(run.config, "heldout")

    def extracted() -> list[bool]:
        """Return whether features of decoded, and of real images were extracted."""
        found = []
        for features in (lambda: decoded_features(run, network, codes),
                         lambda: image_features(images, network, run.config.profile)):  # fmt: skip
            before = network.calls
            features()
            found.append(network.calls > before)
        return found

    assert extracted() == [True, True] and extracted() == [False, False]
    real = evaluation.features_digest
    monkeypatch.setattr(evaluation, "features_digest", lambda decoded: "edited" if decoded else real(decoded))
    assert extracted() == [True, False] and extracted() == [False, False]


def test_samples_of_a_run_are_the_same_however_many_are_drawn(finished):
    run = finished[0]["matching"]
    many, few = draw_samples(run, 90, seed=5), draw_samples(run, 20, seed=5)
    assert torch.equal(few.codes, many.codes[:20]) and torch.equal(few.pairs, many.pairs[:20])
    assert torch.equal(draw_samples(run, 20).codes, draw_samples(run, 20, run.config.seed).codes)
    assert not torch.equal(draw_samples(run, 20, run.config.seed + 1).codes, draw_samples(run, 20).codes)
