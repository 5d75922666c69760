"""Streams and digests; what the jobs write is tested through the command line, in `test_cli.py`."""

import itertools

import pytest
import torch
from PIL import Image

from pivq import jobs
from pivq.jobs import model_digest, open_run, picture_size, stream_samples
from pivq.model import PIVQ
from pivq.sampling import sample_pairs

CODES = torch.stack([torch.randperm(12, generator=torch.Generator().manual_seed(i))[:4] for i in range(9)])


def drawn(count, seed=5):
    """Return all codes and pairs of a stream, and the sizes of its batches."""
    batches = list(stream_samples(CODES, count, seed))
    joined = [torch.cat(parts) for parts in zip(*[(batch.codes, batch.pairs) for batch in batches], strict=True)]
    return *joined, [len(batch.codes) for batch in batches]


def test_a_stream_is_the_whole_sample_in_batches():
    codes, pairs, sizes = drawn(150)
    whole = sample_pairs(CODES, 150, seed=5)
    assert torch.equal(codes, whole.codes) and torch.equal(pairs, whole.pairs)
    assert sizes == [64, 64, 22]


def test_sample_i_depends_on_seed_and_i_alone_over_any_number_of_blocks(monkeypatch):
    monkeypatch.setattr(jobs, "BLOCK", 64)
    many_codes, many_pairs, _ = drawn(300)
    for count in (1, 64, 65, 200):
        codes, pairs, _ = drawn(count)
        assert torch.equal(codes, many_codes[:count]) and torch.equal(pairs, many_pairs[:count])
    blocks = many_codes[:256].split(64)
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(blocks, 2)), "no block repeats another"
    assert not torch.equal(drawn(300, seed=6)[0], many_codes)


def test_a_stream_draws_no_further_than_its_block(monkeypatch):
    monkeypatch.setattr(jobs, "BLOCK", 64)
    asked = []
    monkeypatch.setattr(jobs, "sample_pairs", lambda *arguments: asked.append(arguments[1]) or sample_pairs(*arguments))
    next(stream_samples(CODES, 10**9, seed=0))
    assert asked == [64]


def test_a_stream_refuses_what_sample_pairs_refuses():
    with pytest.raises(ValueError, match="multiset=True"):
        next(stream_samples(torch.tensor([[1, 1], [2, 3]]), 3, seed=0))
    with pytest.raises(ValueError, match="at least two encoded images"):
        next(stream_samples(CODES[:1], 3, seed=0))


def test_a_digest_changes_with_any_weight(tiny_config):
    torch.manual_seed(0)
    model = PIVQ(tiny_config().model)
    before = model_digest(model)
    assert before == model_digest(model) and len(before) == 16
    for parameter in (model.quantizer.codebook, model.encoder.tokens):
        parameter.data[0, 0] += 1e-4
        assert model_digest(model) != before
        before = model_digest(model)


def test_the_size_of_a_picture_is_that_of_the_first_that_can_be_read(tmp_path):
    (tmp_path / "0.png").write_text("<html>")
    Image.new("RGB", (30, 20)).save(tmp_path / "1.png")
    assert picture_size(tmp_path) == 20


def test_the_size_of_a_picture_is_its_shorter_side(tmp_path):
    (tmp_path / "note.txt").write_text("not a picture")
    with pytest.raises(ValueError, match="no images in"):
        picture_size(tmp_path)
    Image.new("RGB", (30, 20)).save(tmp_path / "10.png")
    Image.new("RGB", (40, 50)).save(tmp_path / "2.png")
    assert picture_size(tmp_path) == 40, "the first in natural order"


def test_open_run_says_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="config.json, codes.npz, summary.json is missing"):
        open_run(tmp_path)
