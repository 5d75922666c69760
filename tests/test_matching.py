"""The assignment, Eq. (3), against brute force over all one-to-one assignments and against scipy's solver."""

import os
import signal

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from stand_ins import KINDS, assert_least, least_total, total

import pivq.matching
import pivq.solvers.crowd
from pivq.matching import greedy, match
from pivq.solvers.augmenting import assign_each
from pivq.solvers.crowd import match_crowd


def euclidean(latents, codebook) -> torch.Tensor:
    """Return distances `(L, K)` of lists of vectors."""
    latents, codebook = torch.tensor(latents).double(), torch.tensor(codebook).double()
    return (latents[:, None] - codebook[None]).square().sum(dim=2).sqrt()


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
    for shape in ((0, 5, 9), (2, 0, 9), (2, 0, 0)):
        assert match(torch.empty(shape)).shape == shape[:2]


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


def test_identical_latents_take_the_nearest_codes():
    row = torch.rand(512, generator=torch.Generator().manual_seed(3))
    distances = row.repeat(32, 1)
    codes = match(distances)
    assert set(codes.tolist()) == set(row.argsort()[:32].tolist())
    assert total(distances, codes) == pytest.approx(float(row.double().sort().values[:32].sum()), rel=1e-12)
    assert torch.equal(codes, match(distances)), "the same result twice"


def test_distinct_nearest_codes_are_the_matching_and_nothing_is_solved(solved, monkeypatch):
    distances = torch.rand(5, 6, 300, generator=torch.Generator().manual_seed(4))
    for image, columns in enumerate(torch.rand(5, 300, generator=torch.Generator().manual_seed(5)).argsort()[:, :6]):
        distances[image, torch.arange(6), columns] = -0.5
    assert torch.equal(match(distances), distances.argmin(dim=2))
    distances[3, 0] = distances[3, 1]  # two latents of one image want the same code
    images = []
    assign_each = pivq.matching.assign_each

    def spy(distances, nearest, contended):
        images.extend(contended.tolist())
        return assign_each(distances, nearest, contended)

    monkeypatch.setattr(pivq.matching, "assign_each", spy)
    codes = match(distances)
    assert images == [3], "that image alone"
    assert torch.equal(codes[[0, 1, 2, 4]], distances.argmin(dim=2)[[0, 1, 2, 4]])
    assert solved == [], "not by scipy"


SHAPES = [(1, 1), (1, 9), (2, 2), (2, 3), (7, 7), (9, 14), (24, 25), (32, 512), (64, 300), (150, 240)]


@pytest.mark.parametrize("crowded", [1, pivq.matching.CROWDED], ids=["as a crowd", "as usual"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_codes, codebook_size", SHAPES)
def test_same_total_as_scipys_solver_on_all_distances(monkeypatch, crowded, kind, num_codes, codebook_size):
    monkeypatch.setattr(pivq.matching, "CROWDED", crowded)
    generator = torch.Generator().manual_seed(num_codes + codebook_size)
    distances = KINDS[kind](torch.rand(num_codes, codebook_size, generator=generator, dtype=torch.float64))
    codes = match(distances)
    assert_least(distances, codes)
    assert torch.equal(codes, match(distances.clone())), "equal inputs, equal answers"
    assert torch.equal(codes, match(distances.T.contiguous().T)), "in any memory order"
    if len(set(distances.argmin(dim=1).tolist())) == num_codes:
        assert torch.equal(codes, distances.argmin(dim=1))


@pytest.mark.parametrize("crowded", [1, pivq.matching.CROWDED], ids=["as a crowd", "as usual"])
@pytest.mark.parametrize("largest", [1e308, 1.7e308, 5e-324])
def test_to_the_ends_of_float64(monkeypatch, largest, crowded):
    monkeypatch.setattr(pivq.matching, "CROWDED", crowded)
    base = torch.rand(20, 60, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    for distances in (largest * base, largest * (1 - 1e-3 * base), largest * (1 - base[:1].expand_as(base))):
        codes = match(distances)
        assert len(set(codes.tolist())) == 20
        scaled = distances / largest  # scipy's solver is not exact at 1e308
        best = float(scaled[linear_sum_assignment(scaled.numpy())].sum())
        assert total(scaled, codes) == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize(
    "clusters, spread", [(1, 1e-3), (1, 0.1), (3, 0.1), (12, 0.1), (40, 0.3), (200, 0.3), (None, 1)]
)
def test_each_crowd_is_proved_without_all_distances(solved, clusters, spread):
    generator = torch.Generator().manual_seed(7)
    codebook = torch.randn(1024, 16, generator=generator)
    centres = torch.randn(200, 16, generator=generator) if clusters is None else codebook[:clusters]
    latents = centres[torch.arange(200) % len(centres)] + spread * torch.randn(200, 16, generator=generator)
    distances = torch.cdist(latents.double(), codebook.double())
    codes = match(distances)
    best = float(distances[linear_sum_assignment(distances.numpy())].sum())
    assert total(distances, codes) == pytest.approx(best, rel=1e-12)
    assert (200, 1024) not in solved


@pytest.mark.parametrize("far", [1.0, 1e6, 1e12, 1e15, 1e18])
def test_a_crowd_of_distances_of_all_magnitudes(far):
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        near, large, where = (torch.rand(64, 64, generator=generator, dtype=torch.float64) for _ in range(3))
        distances = torch.where(where < 0.2, far * large, near + 0.5)
        distances[:, 0] = 0.1 * near[:, 0]
        codes = match(distances)
        best = float(distances[linear_sum_assignment(distances.numpy())].sum())
        assert total(distances, codes) == pytest.approx(best, rel=1e-12)


def test_where_sums_overflow_the_answer_is_right_but_not_proved():
    base = 1 - 1e-3 * torch.rand(64, 80, generator=torch.Generator().manual_seed(16), dtype=torch.float64)[:1]
    distances = (1e308 * base).expand(64, 80).contiguous()
    _, proved = assign_each(distances[None].numpy(), distances.argmin(dim=1)[None].numpy(), np.arange(1))
    assert not proved[0]
    assert match_crowd(distances.numpy()) is None
    codes = match(distances)
    assert set(codes.tolist()) == set(base[0].argsort()[:64].tolist())
    assert match(1.79e308 * torch.tensor([[-0.8, -0.9], [0.5, 0.2]], dtype=torch.float64)).tolist() == [0, 1]


def test_in_threads_as_one_by_one(monkeypatch):
    generator = torch.Generator().manual_seed(17)
    distances = torch.rand(9, 40, 200, generator=generator, dtype=torch.float64)
    distances[3] = distances[3, :1] + 1e-3 * distances[3]  # a crowd
    distances[5, torch.arange(40), torch.arange(40)] = -1  # nothing to solve
    one_by_one = torch.stack([match(image) for image in distances])
    monkeypatch.setattr(pivq.matching, "THREADS", 1)
    monkeypatch.setattr(pivq.matching, "CROWDED", 8)
    for _ in range(5):
        assert torch.equal(match(distances), one_by_one)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own(monkeypatch):
    monkeypatch.setattr(pivq.matching, "THREADS", 1)
    distances = torch.rand(4, 20, 60, generator=torch.Generator().manual_seed(18))
    codes = match(distances)
    child = os.fork()
    if child == 0:
        signal.alarm(20)  # ends the child if it waits for its parent's threads
        os._exit(0 if torch.equal(match(distances), codes) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("spread", [1e-3, 10.0])
def test_scipy_on_all_distances_has_the_last_word(monkeypatch, solved, spread):
    generator = torch.Generator().manual_seed(11)
    latents = spread * torch.randn(150, 8, generator=generator, dtype=torch.float64)
    distances = torch.cdist(latents, torch.randn(1000, 8, generator=generator, dtype=torch.float64))
    rows, best = linear_sum_assignment(distances.numpy())
    monkeypatch.setattr(pivq.solvers.crowd, "is_optimal", lambda *_: False)
    monkeypatch.setattr(pivq.matching, "assign_each", lambda distances, codes, images: (codes, np.zeros(len(images))))
    codes = match(distances)
    assert total(distances, codes) == pytest.approx(float(distances[rows, best].sum()), rel=1e-12)
    assert solved[-1] == (150, 1000)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_every_float_type(dtype):
    distances = torch.tensor([[2.0, 1.0, 4.0], [8.0, 1.0, 16.0]], dtype=dtype)
    assert match(distances).tolist() == [0, 1]


def test_input_is_not_changed_and_may_have_a_graph():
    distances = torch.rand(2, 3, 4, requires_grad=True)
    before = distances.detach().clone()
    assert not match(distances * 1).requires_grad
    assert torch.equal(distances.detach(), before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_table_is_not_copied_to_be_solved(monkeypatch, dtype):
    """A copy in float64 took longer than the matching itself."""
    distances, given = torch.rand(2, 30, 40, generator=torch.Generator().manual_seed(3)).to(dtype), []

    def spy(table, nearest, images):
        given.append(table)
        return assign_each(table, nearest, images)

    monkeypatch.setattr(pivq.matching, "assign_each", spy)
    codes = match(distances)
    assert [np.shares_memory(table, distances.numpy()) for table in given] == [True]
    assert torch.equal(codes, match(distances.double()))


# --- Distances on a device --------------------------------------------------------------------------------------------


@pytest.fixture
def transferred(monkeypatch) -> list[int]:
    """Take distances for those of a device; return the bytes of each transfer from now on."""
    monkeypatch.setattr(pivq.matching, "_here", lambda costs: False)
    sizes, bring = [], pivq.matching.to_host

    def count(*tensors):
        sizes.append(sum(tensor.nbytes for tensor in tensors))
        return bring(*tensors)

    monkeypatch.setattr(pivq.matching, "to_host", count)
    return sizes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_codes, codebook_size", SHAPES)
def test_near_codes_are_enough_for_the_least_total(transferred, monkeypatch, kind, num_codes, codebook_size, dtype):
    monkeypatch.setattr(pivq.matching, "NEAR_CODES", 2)
    monkeypatch.setattr(pivq.matching, "WIDER", 2)
    generator = torch.Generator().manual_seed(num_codes + codebook_size)
    drawn = torch.rand(2, num_codes, codebook_size, generator=generator, dtype=torch.float64)
    distances = torch.stack([KINDS[kind](image) for image in drawn]).to(dtype)
    for image, codes in zip(distances.double(), match(distances), strict=True):
        assert_least(image, codes)


def test_only_near_codes_leave_the_device_in_one_transfer_for_a_batch(transferred, solved):
    generator = torch.Generator().manual_seed(8)
    codebook, noise = torch.randn(1024, 16, generator=generator), torch.randn(3, 100, 16, generator=generator)
    chosen = torch.stack([torch.randperm(1024, generator=generator)[:100] for _ in range(3)])
    distances = torch.cdist((codebook[chosen] + 0.01 * noise).double(), codebook.double())
    assert torch.equal(match(distances), chosen)
    of_near = 3 * 100 * (pivq.matching.NEAR_CODES * (8 + 4) + 8) + 3  # lists, nearest codes, finite or not
    assert transferred == [of_near] and of_near < distances.nbytes / 16
    chosen[:, :4] = chosen[:, 4:8]  # four codes that two latents share
    distances = torch.cdist((codebook[chosen] + 0.01 * noise).double(), codebook.double())
    codes = match(distances)
    assert transferred == [of_near] * 2 and not solved
    assert [total(image, found) for image, found in zip(distances, codes, strict=True)] == pytest.approx(
        [float(image[linear_sum_assignment(image.numpy())].sum()) for image in distances], rel=1e-12
    )


def test_more_codes_are_fetched_of_the_images_that_need_them(transferred, solved):
    """Of image 1, 40 latents want the same codes: 32 are too few, 128 are enough."""
    generator = torch.Generator().manual_seed(9)
    distances = 10 + torch.rand(3, 40, 1024, generator=generator, dtype=torch.float64)
    distances[torch.arange(3)[:, None], torch.arange(40), torch.arange(40)] = 1.0
    distances[1, :, :64] = torch.rand(40, 64, generator=generator, dtype=torch.float64)
    distances[1, :, :3] -= 1
    codes = match(distances)
    assert torch.equal(codes[[0, 2]], torch.arange(40).repeat(2, 1))
    best = float(distances[1][linear_sum_assignment(distances[1].numpy())].sum())
    assert total(distances[1], codes[1]) == pytest.approx(best, rel=1e-12)
    assert transferred[1:] in ([40 * (128 * 12 + 8) + 1], []) and not solved


def test_a_crowd_is_fetched_as_it_is_and_alone(transferred):
    distances = torch.rand(3, 70, 1024, generator=torch.Generator().manual_seed(14), dtype=torch.float64)
    distances[[0, 2], torch.arange(70)[:, None], torch.arange(70)[:, None]] = -1  # nothing to solve
    distances[1] = distances[1, :1] + 1e-3 * distances[1]
    codes = match(distances)
    assert transferred[1:] == [70 * 1024 * 8], "that image's distances"
    best = float(distances[1][linear_sum_assignment(distances[1].numpy())].sum())
    assert total(distances[1], codes[1]) == pytest.approx(best, rel=1e-12)


@pytest.mark.gpu
def test_on_a_gpu_the_same_codes():
    distances = torch.rand(4, 20, 300, generator=torch.Generator().manual_seed(14), dtype=torch.float64)
    distances[1] = distances[1, :1] + 1e-3 * distances[1]  # a crowd
    distances[2, torch.arange(20), torch.arange(20)] = -1  # nothing to solve
    codes = match(distances.cuda())
    assert codes.device.type == "cuda"
    assert torch.equal(codes.cpu(), match(distances))


ASSIGNMENTS = [match, greedy, lambda distances: greedy(distances, cheapest_first=True)]


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_refuses_distances_that_are_not_finite_and_names_the_image(bad, assignment):
    distances = torch.rand(3, 2, 4)
    distances[1, 1, 2] = bad
    with pytest.raises(ValueError, match="image 1 of the batch"):
        assignment(distances)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize(
    "shape, message",
    [((3, 2), "3 latents .* among 2"), ((1, 3, 2), "3 latents"), ((4,), r"\(4,\)"), ((1, 1, 2, 2), "got shape")],
)
def test_refuses_impossible_shapes(shape, message, assignment):
    with pytest.raises(ValueError, match=message):
        assignment(torch.zeros(shape))


@pytest.mark.parametrize(
    "distances, first_come, first_total, cheapest, cheapest_total",
    [
        ([[0.9, 3.0], [0.1, 4.0]], [0, 1], 4.9, [1, 0], 3.1),
        ([[0.2, 0.3, 9.0], [0.1, 0.5, 9.0], [0.4, 0.2, 0.6]], [0, 1, 2], 1.3, [2, 0, 1], 9.3),  # the least: 1.0
        ([[5.0, 2.0, 7.0]], [1], 2.0, [1], 2.0),
        ([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], [0, 1], 2.0, [0, 1], 2.0),
    ],
)
def test_greedy_by_hand(distances, first_come, first_total, cheapest, cheapest_total):
    distances = torch.tensor(distances)
    assert greedy(distances).tolist() == first_come
    assert total(distances, greedy(distances)) == pytest.approx(first_total)
    assert greedy(distances, cheapest_first=True).tolist() == cheapest
    assert total(distances, greedy(distances, cheapest_first=True)) == pytest.approx(cheapest_total)


def greedy_pair_by_pair(table: np.ndarray, cheapest_first: bool) -> list[int]:
    """Return the greedy codes of one image's distances `(L, K)`."""
    free, codes = table.copy(), np.full(len(table), -1)
    for latent in range(len(table)):
        if cheapest_first:
            latent, code = np.unravel_index(free.argmin(), free.shape)
        else:
            code = free[latent].argmin()
        codes[latent], free[latent], free[:, code] = code, np.inf, np.inf
    return codes.tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cheapest_first", [False, True])
def test_greedy_is_greedy_and_never_below_the_optimum(cheapest_first, kind):
    generator = torch.Generator().manual_seed(19)
    for num_codes, codebook_size in [(1, 1), (2, 5), (6, 6), (16, 32)]:
        distances = KINDS[kind](torch.rand(num_codes, codebook_size, generator=generator, dtype=torch.float64))
        batch = torch.stack([distances, distances.flip(0), distances.flip(1)])
        codes = greedy(batch, cheapest_first)
        assert codes.dtype == torch.int64
        assert codes.tolist() == [greedy_pair_by_pair(image.numpy(), cheapest_first) for image in batch]
        assert torch.equal(codes[1], greedy(batch[1], cheapest_first))
        for image, assigned in zip(batch, codes, strict=True):
            assert len(set(assigned.tolist())) == num_codes
            least = total(image, match(image))
            assert total(image, assigned) >= least - 1e-12 * float(image.abs().sum())


@pytest.mark.parametrize("cheapest_first", [False, True])
def test_greedy_keeps_its_input_and_takes_every_float_type_and_empty_batches(cheapest_first):
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        distances = torch.tensor([[2.0, 1.0, 4.0], [8.0, 1.0, 16.0]], dtype=dtype, requires_grad=True)
        before = distances.detach().clone()
        assert greedy(distances, cheapest_first).tolist() == [1, 0]
        assert torch.equal(distances.detach(), before)
    for shape in ((0, 5, 9), (2, 0, 9), (2, 0, 0)):
        assert greedy(torch.empty(shape), cheapest_first).shape == shape[:2]


@pytest.mark.parametrize("solver", [match, greedy])
def test_what_are_no_distances_is_refused_by_name(solver):
    distances = torch.rand(3, 5)
    for other in (distances.numpy(), distances.tolist(), None, 3.0, "x"):
        with pytest.raises(TypeError, match=f"distances must be a tensor .*, got {type(other).__name__}"):
            solver(other)
    for other in (distances.to(torch.complex64), distances.to(torch.float8_e4m3fn)):
        with pytest.raises(ValueError, match="distances must be real numbers, got torch"):
            solver(other)
    for other in (distances.to_sparse(), distances.to("meta")):
        with pytest.raises(ValueError, match="distances must be a dense tensor that holds its numbers, got "):
            solver(other)
    assert solver(torch.tensor([[3, 1], [1, 9]])).tolist() == [1, 0]
    assert solver(distances[None][:0]).shape == (0, 3)
