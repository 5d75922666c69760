"""The assignment, Eq. (3), against brute force over all one-to-one assignments."""

import itertools

import pytest
import torch
from scipy.optimize import linear_sum_assignment

import pivq.matching
from pivq.matching import match


def euclidean(latents, codebook) -> torch.Tensor:
    """Return distances `(L, K)` of lists of vectors."""
    latents, codebook = torch.tensor(latents).double(), torch.tensor(codebook).double()
    return (latents[:, None] - codebook[None]).square().sum(dim=2).sqrt()


def total(distances: torch.Tensor, codes: torch.Tensor) -> float:
    return float(distances.double().gather(1, codes[:, None]).sum())


def least_total(distances: torch.Tensor) -> float:
    """Return the least sum over every way to give each row a column of its own."""
    rows = distances.double().tolist()
    ways = itertools.permutations(range(len(rows[0])), len(rows))
    return min(sum(row[column] for row, column in zip(rows, way, strict=True)) for way in ways)


@pytest.mark.parametrize(
    "latents, codebook, codes, cost",
    [
        ([[1.1], [4.9]], [[5.0], [0.0], [1.0]], [2, 0], 0.2),
        ([[0.1], [0.2]], [[0.0], [1.0], [10.0]], [0, 1], 0.9),
        ([[0.9], [-3.0]], [[0.0], [1.0]], [1, 0], 3.1),  # code by code, each taking its nearest free latent: 4.9
        ([[3.0, 4.0]], [[6.0, 8.0], [3.0, 0.0]], [1], 4.0),
    ],
)
def test_by_hand(latents, codebook, codes, cost):
    distances = euclidean(latents, codebook)
    assert match(distances).tolist() == codes
    assert total(distances, match(distances)) == pytest.approx(cost)


def test_euclidean_and_squared_distances_can_disagree():
    # Totals 0 + 2.9 against 1.5 + 1.5 as distances, 0 + 8.41 against 2.25 + 2.25 squared.
    distances = torch.tensor([[0.0, 1.5], [1.5, 2.9]])
    assert match(distances).tolist() == [0, 1]
    assert match(distances.square()).tolist() == [1, 0]


@pytest.mark.parametrize("kind", ["normal", "ties", "duplicates", "tiny", "huge", "one far", "float64 beyond float32"])
@pytest.mark.parametrize("num_codes, codebook_size", [(1, 1), (1, 5), (2, 2), (3, 6), (4, 5), (5, 5)])
def test_distinct_and_of_least_total_among_all_assignments(kind, num_codes, codebook_size):
    generator = torch.Generator().manual_seed(num_codes * 10 + codebook_size)
    for _ in range(20):
        distances = torch.rand(num_codes, codebook_size, generator=generator)
        if kind == "ties":
            distances = (3 * distances).floor()
        elif kind == "duplicates":
            distances = distances[:1].repeat(num_codes, 1)
        elif kind == "tiny":
            distances = distances * 1e-30
        elif kind == "huge":
            distances = distances * 1e30
        elif kind == "one far":
            distances[0] += 1e6
        elif kind == "float64 beyond float32":
            distances = 1e60 * (1 + 1e-12 * distances.double())
        codes = match(distances)
        assert len(set(codes.tolist())) == num_codes
        assert total(distances, codes) == pytest.approx(least_total(distances), rel=1e-15 if "64" in kind else 1e-12)


def test_batch_is_image_by_image():
    distances = torch.rand(7, 5, 9, generator=torch.Generator().manual_seed(0))
    codes = match(distances)
    assert codes.shape == (7, 5) and codes.dtype == torch.int64
    assert torch.equal(codes, torch.stack([match(image) for image in distances]))
    assert match(torch.empty(0, 5, 9)).shape == (0, 5)


def test_permuting_latents_permutes_codes_alike():
    generator = torch.Generator().manual_seed(1)
    distances = torch.rand(3, 8, 20, generator=generator)
    order = torch.randperm(8, generator=generator)
    assert torch.equal(match(distances[:, order]), match(distances)[:, order])


def test_permuting_the_codebook_renames_the_codes():
    generator = torch.Generator().manual_seed(2)
    distances = torch.rand(8, 20, generator=generator)
    order = torch.randperm(20, generator=generator)
    assert torch.equal(order[match(distances[:, order])], match(distances))


def test_identical_latents_share_out_the_nearest_codes():
    row = torch.rand(512, generator=torch.Generator().manual_seed(3))
    distances = row.repeat(32, 1)
    codes = match(distances)
    assert set(codes.tolist()) == set(row.argsort()[:32].tolist())
    assert total(distances, codes) == pytest.approx(float(row.double().sort().values[:32].sum()), rel=1e-12)
    assert torch.equal(codes, match(distances)), "the same result twice"


@pytest.fixture
def solved(monkeypatch) -> list[tuple[int, int]]:
    """Return the shapes of the problems that scipy is given from now on."""
    shapes = []

    def solve(costs):
        shapes.append(costs.shape)
        return linear_sum_assignment(costs)

    monkeypatch.setattr(pivq.matching, "linear_sum_assignment", solve)
    return shapes


def test_distinct_nearest_codes_are_the_matching_and_nothing_is_solved(solved):
    distances = torch.rand(5, 6, 300, generator=torch.Generator().manual_seed(4))
    for image, columns in enumerate(torch.rand(5, 300, generator=torch.Generator().manual_seed(5)).argsort()[:, :6]):
        distances[image, torch.arange(6), columns] = -0.5
    assert torch.equal(match(distances), distances.argmin(dim=2))
    assert solved == []
    distances[3, 0] = distances[3, 1]  # two latents of one image want the same code
    match(distances)
    assert len(solved) == 1, "that image alone"


@pytest.mark.parametrize("num_codes, codebook_size", [(16, 64), (16, 33), (20, 300)])
@pytest.mark.parametrize("spread", [0.0, 1e-6, 0.03, 0.3, 10.0])
def test_columns_left_out_are_in_no_better_matching(solved, num_codes, codebook_size, spread):
    generator = torch.Generator().manual_seed(num_codes + codebook_size)
    for _ in range(10):
        codebook = torch.randn(codebook_size, 4, generator=generator)
        latents = codebook[0] + spread * torch.randn(num_codes, 4, generator=generator)
        distances = torch.cdist(latents.double(), codebook.double())
        codes = match(distances)
        rows, columns = linear_sum_assignment(distances.numpy())
        assert len(set(codes.tolist())) == num_codes
        assert total(distances, codes) == pytest.approx(float(distances[rows, columns].sum()), rel=1e-12)
    if spread == 0:
        assert all(shape == (num_codes, num_codes) for shape in solved), "identical latents need L columns"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_float_type(dtype):
    distances = torch.tensor([[2.0, 1.0, 4.0], [8.0, 1.0, 16.0]], dtype=dtype)
    assert match(distances).tolist() == [0, 1]


def test_input_stays_as_it_is_and_may_hold_a_graph():
    distances = torch.rand(2, 3, 4, requires_grad=True)
    before = distances.detach().clone()
    assert not match(distances * 1).requires_grad
    assert torch.equal(distances.detach(), before)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_refuses_what_is_not_finite_naming_the_image(bad):
    distances = torch.rand(3, 2, 4)
    distances[1, 1, 2] = bad
    with pytest.raises(ValueError, match="image 1 of the batch"):
        match(distances)


@pytest.mark.parametrize(
    "shape, message",
    [((3, 2), "3 latents .* among 2"), ((1, 3, 2), "3 latents"), ((4,), r"\(4,\)"), ((1, 1, 2, 2), "got shape")],
)
def test_refuses_shapes_that_cannot_be(shape, message):
    with pytest.raises(ValueError, match=message):
        match(torch.zeros(shape))
