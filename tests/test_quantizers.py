"""Both quantizers: codes, straight-through gradients, losses and guards."""

import numpy as np
import pytest
import torch

from pivq.quantizers import QUANTIZERS, MatchingQuantizer, NearestQuantizer, as_codes

BOTH = pytest.mark.parametrize("kind", [NearestQuantizer, MatchingQuantizer])


def with_codebook(kind, codebook, num_codes=None):
    quantizer = kind(len(codebook), len(codebook[0]), num_codes)
    quantizer.codebook.data = torch.tensor(codebook)
    return quantizer


def random_case(kind, batch=3, num_codes=5, codebook_size=9, dim=4, seed=0):
    """Return a quantizer and latents `(batch, num_codes, dim)` that want a gradient."""
    torch.manual_seed(seed)
    quantizer = kind(codebook_size, dim, num_codes)
    return quantizer, torch.randn(batch, num_codes, dim, requires_grad=True)


@pytest.mark.parametrize(
    "kind, codebook, latents, codes",
    [
        (MatchingQuantizer, [[5.0], [0.0], [1.0]], [[1.1], [4.9]], [2, 0]),
        (NearestQuantizer, [[5.0], [0.0], [1.0]], [[1.1], [4.9]], [2, 0]),
        (MatchingQuantizer, [[0.0], [1.0], [10.0]], [[0.1], [0.2]], [0, 1]),
        (NearestQuantizer, [[0.0], [1.0], [10.0]], [[0.1], [0.2]], [0, 0]),
        (MatchingQuantizer, [[0.0], [1.0]], [[0.9], [-3.0]], [1, 0]),
    ],
)
def test_codes_by_hand(kind, codebook, latents, codes):
    output = with_codebook(kind, codebook)(torch.tensor([latents]))
    assert output.codes.tolist() == [codes]
    assert output.codes.dtype == torch.int64
    torch.testing.assert_close(output.quantized, torch.tensor([[codebook[code] for code in codes]]))


def test_matching_minimises_plain_not_squared_distance():
    # Codes in order cost 0 + 2.06, crossed 1 + 1.12; squared it would be 0 + 4.25 against 1 + 1.25.
    quantizer = with_codebook(MatchingQuantizer, [[0.0, 0.0], [1.0, 0.0]])
    assert quantizer(torch.tensor([[[0.0, 0.0], [-1.0, 0.5]]])).codes.tolist() == [[0, 1]]


@BOTH
def test_distances_are_euclidean(kind):
    quantizer, latents = random_case(kind)
    literal = (latents[:, :, None] - quantizer.codebook).square().sum(dim=3).sqrt()
    torch.testing.assert_close(quantizer.distances(latents), literal.detach().double(), rtol=1e-5, atol=1e-6)
    assert quantizer.distances(latents).shape == (3, 5, 9)


def test_small_distances_survive_a_large_offset():
    offset = 4000.0
    codebook = [[offset, offset], [offset + 0.5, offset], [offset, offset + 2.0]]
    latents = torch.tensor([[[offset + 0.25, offset], [offset, offset + 2.0]]])
    distances = with_codebook(NearestQuantizer, codebook).distances(latents)
    literal = (latents.double()[:, :, None] - torch.tensor(codebook).double()).square().sum(dim=3).sqrt()
    torch.testing.assert_close(distances, literal, rtol=1e-5, atol=1e-4)


def test_nearest_is_the_argmin_of_literal_distances():
    quantizer, latents = random_case(NearestQuantizer, batch=20, num_codes=7, codebook_size=30)
    literal = (latents[:, :, None] - quantizer.codebook).square().sum(dim=3)
    assert torch.equal(quantizer(latents).codes, literal.argmin(dim=2))


def test_nearest_takes_the_lowest_of_equal_codes():
    quantizer = with_codebook(NearestQuantizer, [[9.0], [1.0], [1.0], [-1.0]])
    assert quantizer(torch.tensor([[[1.0], [0.0]]])).codes.tolist() == [[1, 1]]


def test_matching_equals_nearest_where_nearest_has_no_repeats():
    codebook = torch.eye(6) * 10
    latents = codebook[torch.tensor([[4, 0, 2], [1, 5, 3]])] + 0.1
    outputs = [with_codebook(kind, codebook.tolist())(latents).codes for kind in QUANTIZERS.values()]
    assert torch.equal(*outputs)
    assert outputs[0].tolist() == [[4, 0, 2], [1, 5, 3]]


def test_matching_never_repeats_a_code():
    quantizer, _ = random_case(MatchingQuantizer, num_codes=6, codebook_size=6)
    latents = torch.zeros(4, 6, 4) + 0.01 * torch.randn(4, 6, 4)
    assert quantizer(latents).codes.sort(dim=1).values.tolist() == [list(range(6))] * 4


def test_identical_latents_get_distinct_codes_of_least_total():
    torch.manual_seed(0)
    quantizer = MatchingQuantizer(512, 8, 32)
    latents = torch.randn(8).expand(1, 32, 8)
    codes = quantizer(latents).codes
    distances = (latents[0, 0].double() - quantizer.codebook.double()).norm(dim=1).detach()
    assert len(set(codes[0].tolist())) == 32
    assert float(distances[codes[0]].sum()) == pytest.approx(float(distances.sort().values[:32].sum()), rel=1e-9)
    assert torch.equal(codes, quantizer(latents).codes)


@BOTH
def test_permuting_latents_permutes_codes_alike(kind):
    quantizer, latents = random_case(kind)
    order = torch.randperm(5)
    assert torch.equal(quantizer(latents[:, order]).codes, quantizer(latents).codes[:, order])


@BOTH
def test_an_images_codes_do_not_depend_on_its_batch(kind):
    quantizer, latents = random_case(kind)
    assert torch.equal(quantizer(latents).codes, torch.cat([quantizer(image[None]).codes for image in latents]))


@BOTH
def test_gradient_is_copied_straight_through(kind):
    quantizer, latents = random_case(kind)
    upstream = torch.randn(3, 5, 4)
    quantizer(latents).quantized.backward(upstream)
    assert torch.equal(latents.grad, upstream), "copied exactly"
    assert quantizer.codebook.grad is None, "the codebook learns from its own loss alone"


@BOTH
def test_losses_and_their_gradients_follow_the_formulas(kind):
    quantizer, latents = random_case(kind)
    output = quantizer(latents)
    z, c = latents.detach(), quantizer.codebook.detach()[output.codes]
    mean = sum(float((z[b, n, i] - c[b, n, i]) ** 2) for b in range(3) for n in range(5) for i in range(4)) / 60
    assert float(output.codebook_loss.detach()) == pytest.approx(mean, rel=1e-5)
    assert float(output.commitment_loss.detach()) == pytest.approx(mean, rel=1e-5)

    (2 * output.commitment_loss).backward(retain_graph=True)
    torch.testing.assert_close(latents.grad, 2 * 2 * (z - c) / 60)
    assert quantizer.codebook.grad is None

    latents.grad = None
    output.codebook_loss.backward()
    expected = torch.zeros(9, 4)
    for b in range(3):
        for n in range(5):
            expected[output.codes[b, n]] += 2 * (c[b, n] - z[b, n]) / 60
    torch.testing.assert_close(quantizer.codebook.grad, expected)
    assert latents.grad is None


@BOTH
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_refuses_latents_that_are_not_finite_naming_the_image(kind, bad):
    quantizer, latents = random_case(kind, batch=2)
    before = quantizer.codebook.detach().clone()
    latents.data[1, 3, 2] = bad
    with pytest.raises(ValueError, match="image 1 of the batch"):
        quantizer(latents)
    assert torch.equal(quantizer.codebook, before)


@BOTH
def test_half_precision_latents_whose_distances_overflow_it(kind):
    quantizer = with_codebook(kind, [[-10000.0, 0.0], [60000.0, 10.0], [60000.0, 0.0]])
    latents = torch.tensor([[[60000.0, 0.0], [-10000.0, 8.0]]], dtype=torch.float16)
    distances = quantizer.distances(latents)
    assert distances[0, 0, 0] == 70000 + float(latents[0, 0, 0]) - 60000, "beyond what float16 holds"
    output = quantizer(latents)
    assert output.codes.tolist() == [[2, 0]]
    assert all(torch.isfinite(value).all() for value in output)
    with pytest.raises(ValueError, match="image 0"):  # 70,000 itself is infinite in float16
        quantizer(torch.full((1, 2, 2), 70000.0).half())


@BOTH
def test_distances_keep_their_precision_under_autocast(kind):
    quantizer, latents = random_case(kind)
    expected = quantizer.distances(latents)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(quantizer.distances(latents), expected)
        assert torch.equal(quantizer(latents).codes, quantizer.choose(expected))


@BOTH
@pytest.mark.parametrize("scale", [1e-20, 1e-3, 1e18, 3e37])
def test_any_scale_of_latents(kind, scale):
    quantizer, latents = random_case(kind)
    expected = quantizer(latents).codes
    quantizer.codebook.data *= scale
    assert torch.equal(quantizer(latents * scale).codes, expected)


def test_more_codes_an_image_than_codes_are_refused_when_built():
    with pytest.raises(ValueError, match="num_codes 3 > codebook_size 2"):
        MatchingQuantizer(codebook_size=2, dim=1, num_codes=3)
    NearestQuantizer(codebook_size=2, dim=1, num_codes=3)  # may repeat codes


def test_more_codes_an_image_than_codes_are_refused_in_use_when_not_known_before():
    with pytest.raises(ValueError, match="3 latents .* among 2"):
        MatchingQuantizer(codebook_size=2, dim=1)(torch.zeros(1, 3, 1))


@BOTH
@pytest.mark.parametrize("sizes", [(0, 4, None), (4, 0, 1), (4, 4, 0), (-1, 4, None)])
def test_refuses_sizes_below_one(kind, sizes):
    with pytest.raises(ValueError, match="at least 1"):
        kind(*sizes)


@BOTH
@pytest.mark.parametrize("shape", [(3, 5, 3), (3, 4, 4), (5, 4), (1, 3, 5, 4)])
def test_refuses_latents_of_another_shape(kind, shape):
    quantizer, _ = random_case(kind)
    with pytest.raises(ValueError, match=r"latents must be \(B, 5, 4\), got"):
        quantizer(torch.zeros(shape))


def test_both_start_from_the_same_codebook():
    codebooks = []
    for kind in QUANTIZERS.values():
        torch.manual_seed(4)
        codebooks.append(kind(9, 4, 5).codebook)
    assert torch.equal(*codebooks)


def of_kind(kind, rng, dim, size):
    """Return a codebook and latents `(4, 5, d)` that tie, coincide or lie far from the origin."""
    codebook, latents = rng.normal(size=(size, dim)), rng.normal(size=(4, 5, dim))
    if kind == "duplicates":
        codebook = codebook[rng.integers(0, size, size)]
    elif kind == "whole numbers":
        codebook, latents = rng.integers(-2, 3, (size, dim)), rng.integers(-2, 3, (4, 5, dim)) / 2
    elif kind == "common offset":
        codebook, latents = codebook + 1e6, latents + 1e6
    elif kind == "two far groups":
        codebook = codebook + np.where(rng.random((size, 1)) < 0.5, 1e6, -1e6)
        latents = latents + np.where(rng.random((4, 5, 1)) < 0.5, 1e6, -1e6)
    elif kind == "at their codes":
        latents = codebook[rng.integers(0, size, (4, 5))] + 1e-6 * latents
    elif kind == "all codes equal":
        codebook = np.zeros((size, dim))
    else:
        codebook, latents = codebook * 10 ** rng.uniform(-15, 15, (size, 1)), latents * 10 ** rng.uniform(-15, 15)
    return codebook.astype(np.float32), latents.astype(np.float32)


@pytest.mark.parametrize(
    "kind",
    ["duplicates", "whole numbers", "common offset", "two far groups", "at their codes", "all codes equal", "scales"],
)
def test_distances_are_exact_and_nearest_is_the_lowest_of_ties_in_any_batch(kind):
    rng = np.random.default_rng(0)
    for dim, size in ((1, 9), (3, 40), (32, 17), (128, 64), (256, 33)):
        codebook, latents = of_kind(kind, rng, dim, size)
        quantizer = with_codebook(NearestQuantizer, codebook.tolist())
        given = torch.from_numpy(latents)
        exact = np.sqrt(np.square(latents[:, :, None].astype(np.longdouble) - codebook.astype(np.longdouble)).sum(-1))
        distances = quantizer.distances(given).numpy()
        assert (np.abs(distances - exact) <= 1e-9 * exact).all(), (dim, size)
        codes = quantizer(given).codes
        lowest = (codebook[:, None] == codebook).all(axis=2).argmax(axis=1)  # of the codes equal to each
        assert (lowest[codes] == codes.numpy()).all()
        assert (np.take_along_axis(exact, codes.numpy()[..., None], 2)[..., 0] <= exact.min(2) * (1 + 1e-9)).all()
        if kind == "whole numbers":
            assert (codes.numpy() == exact.argmin(axis=2)).all()
        for part in (given[:1], given[1:3], given.flip(0)):
            expected = {1: codes[:1], 2: codes[1:3], 4: codes.flip(0)}[len(part)]
            assert torch.equal(quantizer(part).codes, expected)


@BOTH
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_codebook_that_is_not_finite_is_refused_by_the_code(kind, bad):
    quantizer, latents = random_case(kind)
    quantizer.codebook.data[7, 2] = bad
    with pytest.raises(ValueError, match="code 7 of the codebook is not finite"):
        quantizer(latents)


@BOTH
@pytest.mark.parametrize("latents", [np.zeros((1, 5, 4), np.float32), [[[0.0] * 4] * 5], None, 3.0])
def test_latents_of_another_kind_are_refused_by_name(kind, latents):
    with pytest.raises(TypeError, match="latents must be a tensor of floats .B, L, 4., got"):
        random_case(kind)[0](latents)


@BOTH
def test_latents_of_another_type_are_refused_by_name(kind):
    quantizer, latents = random_case(kind)
    with pytest.raises(ValueError, match="latents must be floats, got torch.int64"):
        quantizer(latents.long())
    with pytest.raises(ValueError, match="latents of image 0 .* not finite"):
        quantizer(latents.double() * 1e200)
    assert quantizer(latents[:0]).codes.shape == (0, 5)


@BOTH
@pytest.mark.parametrize("sizes", [(4.5, 4), ("4", 4), (True, 4), (0, 4), (4, -1), (4, 4, 0), (4, 4, 2.5)])
def test_sizes_are_whole_numbers(kind, sizes):
    with pytest.raises(ValueError, match="must be a whole number of at least 1, got"):
        kind(*sizes)


def test_codes_of_any_integer_type_are_taken_and_others_named():
    for kind in (torch.uint8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64):
        assert as_codes(torch.tensor([[0, 3]]).to(kind), 4).tolist() == [[0, 3]]
    given = np.arange(4)[None]
    checked = as_codes(given[:, ::-1], 4)
    checked[:] = 0
    assert given.tolist() == [[0, 1, 2, 3]], "the argument is not written to"
    assert as_codes([3, 1], 4, dimensions=1).tolist() == [3, 1]
    for codes, error, message in (
        ([["a", "b"]], TypeError, "codes must be whole numbers .B, L. with L >= 1, got list"),
        (None, TypeError, "got NoneType"),
        ([[1], [1, 2]], TypeError, "got list"),
        ([[1.0]], ValueError, r"got torch.float64 \(1, 1\)"),
        ([[True]], ValueError, "got torch.bool"),
        (np.array([[1j]]), ValueError, "got torch.complex128"),
        ([1, 2], ValueError, r"got torch.int64 \(2,\)"),
        (np.zeros((2, 0), int), ValueError, r"got torch.int64 \(2, 0\)"),
        ([[0, 4]], ValueError, "codes must lie in 0 … 3, got 0 … 4"),
        (np.array([[2**64 - 1]], np.uint64), ValueError, "codes must lie in 0 … 3, got -1"),
    ):
        with pytest.raises(error, match=message):
            as_codes(codes, 4)
    for size in (0, -1, 2.5, "9", None):
        with pytest.raises(ValueError, match="codebook_size must be a whole number of at least 1, got"):
            as_codes([[0]], size)
