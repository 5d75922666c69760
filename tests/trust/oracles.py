"""Random cases against independent answers, searched by hypothesis: what is computed, and what is read of lists.

python tests/trust/oracles.py --many 5000    # cases per property
"""

import contextlib
import io
import itertools
import math
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.linalg import sqrtm
from scipy.optimize import linear_sum_assignment
from trials import Trial, command_line

from pivq import capacity
from pivq.data import lists
from pivq.data.files import Files
from pivq.matching import match
from pivq.metrics import frechet_from_moments, prdc
from pivq.metrics.neighbours import EmptyBallsWarning
from pivq.quantizers import NearestQuantizer
from pivq.sampling import interpolate, sample_pairs, smooth_path

CASES: Counter[str] = Counter()  # that were tried, by property
SEEDS = st.integers(0, 2**32 - 1)


def trials(count: int, first: int) -> Iterator[Trial]:
    """Yield one trial per case of each property; of a property that fails, the smallest case that hypothesis found."""
    checks = list(HealthCheck)
    for name, test in PROPERTIES.items():
        CASES.clear()
        fault = ""
        try:
            with warnings.catch_warnings(action="ignore"):
                how = settings(max_examples=count, deadline=None, database=None, suppress_health_check=checks)
                seed(first)(how(test))()
        except Exception as error:
            fault = " ".join([repr(error), *getattr(error, "__notes__", [])])
        for _ in range(CASES[name] - bool(fault)):
            yield Trial(name, "right")
        if fault:
            yield Trial(name, "", fault)


# --- Assignments and nearest codes ------------------------------------------------------------------------------------


@st.composite
def tables(draw) -> np.ndarray:
    """Draw distances `(L, K)`: random, tied, equal in rows or columns, in crowds, of all magnitudes, far from zero."""
    columns = draw(st.integers(1, 40) | st.integers(64, 150))
    rows = draw(st.sampled_from(sorted({1, columns, -(-columns // 2), max(1, columns - 1)})))
    chance = np.random.default_rng(draw(SEEDS))
    u = chance.random((rows, columns))
    kind = draw(
        st.sampled_from(["random", "ties", "rows", "columns", "crowd", "magnitudes", "rows' magnitudes", "sums"])
    )
    table = {
        "random": u,
        "ties": np.floor(draw(st.integers(1, 5)) * u),
        "rows": u[chance.integers(0, min(rows, 2), rows)],
        "columns": u[:, chance.integers(0, min(columns, 3), columns)],
        "crowd": u[:1] + 1e-6 * u,
        "magnitudes": 10 ** (24 * u - 12),
        "rows' magnitudes": u * 10 ** chance.uniform(-150, 150, (rows, 1)),
        "sums": u[:, :1] + u[:1],
    }[kind]
    return table + draw(st.sampled_from([0.0, 0.0, 1e3, 1e9, -0.5]))


@given(tables(), st.sampled_from([torch.float64, torch.float32, torch.float16]), st.booleans())
def matching(table: np.ndarray, dtype: torch.dtype, turned: bool) -> None:
    """No code twice, and the least total: as scipy's solver on all distances."""
    distances = torch.from_numpy(table).to(dtype)
    assume(bool(distances.isfinite().all()))
    CASES["matching: scipy's solver"] += 1
    codes = match(distances.T.contiguous().T if turned else distances).numpy()
    costs = distances.double().numpy()
    costs = np.ldexp(costs, -int(np.frexp(np.abs(costs).max())[1]))
    ours, best = costs[np.arange(len(codes)), codes], costs[linear_sum_assignment(costs)]
    assert len(set(codes.tolist())) == len(codes) and 0 <= codes.min() and codes.max() < costs.shape[1]
    assert math.fsum(ours) <= math.fsum(best) + 2e-12 * math.fsum(np.abs(ours)) + 1e-300


@given(st.integers(1, 30), st.integers(1, 20), SEEDS, st.sampled_from([0, 1, 1e3, 1e6]), st.booleans())
def nearest(codes: int, dim: int, seed: int, offset: float, twice: bool) -> None:
    """The nearest code by exact differences, also far from zero; of equal codes the first; the same in any batch."""
    CASES["nearest code: all distances"] += 1
    chance = np.random.default_rng(seed)
    codebook = (offset + chance.normal(size=(codes, dim))).astype(np.float32)
    if twice:
        codebook = codebook[np.minimum(chance.integers(0, codes, codes), np.arange(codes))]
    latents = torch.from_numpy((offset + chance.normal(size=(3, 4, dim))).astype(np.float32))
    quantizer = NearestQuantizer(codes, dim)
    quantizer.codebook.data = torch.from_numpy(codebook)
    found = quantizer.codes(latents)
    exact = ((latents.numpy()[:, :, None].astype(np.longdouble) - codebook) ** 2).sum(-1)
    chosen = np.take_along_axis(exact, found.numpy()[..., None], -1)[..., 0]
    assert (chosen <= exact.min(-1) * (1 + 1e-6)).all()
    first = {row.tobytes(): i for i, row in reversed(list(enumerate(codebook)))}
    assert all(first[codebook[code].tobytes()] == code for code in found.flatten().tolist())
    assert torch.equal(found, torch.cat([quantizer.codes(image[None]) for image in latents]))


# --- Sets of codes ----------------------------------------------------------------------------------------------------


@st.composite
def pairs(draw) -> tuple[list[int], list[int], bool]:
    """Draw the codes of two images, sets or multisets, and which of these they are."""
    multiset, count = draw(st.booleans()), draw(st.integers(1, 9))
    top = draw(st.sampled_from([count, count + 3, 50, 2**40 - 1]))
    codes = st.lists(st.integers(0, top), min_size=count, max_size=count, unique=not multiset)
    return draw(codes), draw(codes), multiset


@given(pairs(), SEEDS)
def recombination(images: tuple[list[int], list[int], bool], seed: int) -> None:
    """Algorithm 1: all that is shared, the rest of what one of them has; whatever the order."""
    CASES["Algorithm 1: its definition"] += 1
    a, b, multiset = images
    made = [
        interpolate(torch.tensor([x]), torch.tensor([y]), torch.Generator().manual_seed(seed), multiset)[0].tolist()
        for x, y in ((a, b), (a[::-1], b), (b, a))
    ]
    shared, either = Counter(a) & Counter(b), Counter(a) | Counter(b)
    assert made[0] == sorted(made[0]) and len(made[0]) == len(a) and made[1:] == made[:1] * 2
    assert not shared - Counter(made[0]) and not Counter(made[0]) - either


@given(pairs(), SEEDS)
def path(images: tuple[list[int], list[int], bool], seed: int) -> None:
    """A path leads from b to a, exchanges one code a step, and is as long as they differ."""
    CASES["smooth paths: their definition"] += 1
    a, b, multiset = images
    rows = smooth_path(torch.tensor(a), torch.tensor(b), torch.Generator().manual_seed(seed), multiset).tolist()
    assert len(rows) == 1 + (Counter(a) - Counter(b)).total()
    assert Counter(rows[0]) == Counter(b) and Counter(rows[-1]) == Counter(a)
    for row, after in itertools.pairwise(map(Counter, rows)):
        assert (row - after).total() == (after - row).total() == 1
        assert not (Counter(a) & Counter(b)) - row and not row - (Counter(a) | Counter(b))


@given(st.integers(2, 6), st.integers(1, 60), st.integers(0, 59), SEEDS)
def sampling(images: int, count: int, start: int, seed: int) -> None:
    """Sample i depends on the seed and i alone, and is of two different images."""
    CASES["samples: one by one"] += 1
    codes = torch.from_numpy(np.random.default_rng(seed).permuted(np.tile(np.arange(9), (images, 1)), axis=1)[:, :4])
    few, many = sample_pairs(codes, count, seed), sample_pairs(codes, count + start, seed)
    assert torch.equal(few.codes, many.codes[:count]) and torch.equal(few.pairs, many.pairs[:count])
    assert bool((many.pairs[:, 0] != many.pairs[:, 1]).all())


@given(st.integers(1, 6000), st.integers(1, 700), st.integers(1, 700))
def bits(codebook: int, count: int, distinct: int) -> None:
    """Capacities: products of whole numbers, and their logarithms to the last digits."""
    CASES["capacity: whole numbers"] += 1

    def choose(n: int, k: int) -> int:
        k = min(k, n - k)
        return math.prod(range(n - k + 1, n + 1)) // math.prod(range(1, k + 1))

    def log2(number: int) -> float:  # the leading 900 bits decide
        shift = max(0, number.bit_length() - 900)
        return math.log2(number >> shift) + shift

    count, distinct = min(count, codebook), min(distinct, count, codebook)
    known = {
        capacity.matching_bits(codebook, count): choose(codebook, count),
        capacity.multiset_bits(codebook, count): choose(codebook + count - 1, count),
        capacity.nearest_bits(codebook, distinct, count): choose(codebook, distinct)
        * choose(count + distinct - 1, distinct - 1),
        capacity.positional_bits(codebook, count): codebook**count,
    }
    for found, number in known.items():
        assert math.isclose(found, log2(number), rel_tol=1e-14, abs_tol=1e-14)


# --- Metrics ----------------------------------------------------------------------------------------------------------


@given(st.integers(2, 20), st.integers(2, 20), st.integers(1, 3), st.sampled_from([1, 2, 5, 1000]), SEEDS, st.data())
def neighbours(n: int, m: int, dimensions: int, span: int, seed: int, data: st.DataObject) -> None:
    """PRDC of whole numbers, with ties and far from zero: its definition in whole numbers, and the package `prdc`."""
    CASES["PRDC: its definition, and the package"] += 1
    k, offset = data.draw(st.integers(1, min(n, m) - 1)), data.draw(st.sampled_from([0, 10**6]))
    chance = np.random.default_rng(seed)
    real, fake = (chance.integers(-span, span + 1, (rows, dimensions)) for rows in (n, m))
    if data.draw(st.booleans()):
        fake[: min(n, m)] = real[: min(n, m)]

    def squares(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return ((a[:, None] - b[None]) ** 2).sum(-1)

    between = squares(real, fake)
    in_real = between < np.sort(squares(real, real), axis=1)[:, k, None]  # the first is the point itself
    in_fake = between < np.sort(squares(fake, fake), axis=1)[:, k]
    wanted = in_real.any(0).mean(), in_fake.any(1).mean(), in_real.sum() / (k * m), in_real.any(1).mean()
    with warnings.catch_warnings(action="ignore", category=EmptyBallsWarning):
        found = prdc(real=(real + offset).astype(float), fake=(fake + offset).astype(float), k=k)
    assert np.allclose(found, wanted, rtol=0, atol=1e-12)
    if not offset and span == 1000:
        from prdc import compute_prdc

        a, b = (chance.normal(size=(rows, 16)) for rows in (n + k, m + k))
        with contextlib.redirect_stdout(io.StringIO()):
            package = compute_prdc(a, b, k)
        assert np.allclose(prdc(real=a, fake=b, k=k), [package[name] for name in prdc(real=a, fake=b, k=k)._fields])


@given(st.integers(1, 6), SEEDS, st.sampled_from([1e-3, 1.0, 1e3]), st.booleans())
def frechet(dimensions: int, seed: int, scale: float, singular: bool) -> None:
    """The Fréchet distance of moments: with scipy's square root of the product."""
    CASES["Fréchet distance: scipy's square root"] += 1
    chance = np.random.default_rng(seed)
    mu_a, mu_b = scale * chance.normal(size=(2, dimensions))
    a, b = scale * chance.normal(size=(2, dimensions, dimensions + 2))
    if singular:
        a[:, 1:] = 0
    cov_a, cov_b = a @ a.T, b @ b.T
    root = sqrtm(cov_a @ cov_b).real
    wanted = ((mu_a - mu_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * np.trace(root)
    size = ((mu_a - mu_b) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b)
    assert abs(frechet_from_moments(mu_a, cov_a, mu_b, cov_b) - wanted) <= (1e-5 if singular else 1e-9) * size


# --- Lists ------------------------------------------------------------------------------------------------------------


@given(
    arrays(np.int8, st.tuples(st.integers(1, 9), st.integers(2, 5)), elements=st.sampled_from([-1, 1])),
    st.sampled_from([",", ";", "\t", " ", "  "]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["", "\ufeff"]),
    st.booleans(),
    st.booleans(),
)
def labels(values: np.ndarray, between: str, end: str, mark: str, quoted: bool, words: bool) -> None:
    """A list of labels: what a plain writer wrote, whatever the separator, line ends, quotes and spelling."""
    CASES["lists of labels: a plain writer"] += 1
    names, ids = [f"Name_{i}" for i in range(values.shape[1])], [f"{7 * i:06d}" for i in range(len(values))]
    quoted = quoted and bool(between.strip())

    def field(text: str) -> str:
        return f'"{text}"' if quoted else text

    spelled = {-1: "False" if words else "-1", 1: "True" if words else "1"}
    rows = [["image_id", *names]] if between.strip() else [names]
    rows += [[f"{id}.jpg", *(spelled[v] for v in row)] for id, row in zip(ids, values.tolist(), strict=True)]
    text = mark + end.join(between.join(map(field, row)) for row in rows) + end
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "list_attr_celeba.csv").write_bytes(text.encode())
        frame = lists.read_celeba_attributes(Files(folder), "list_attr_celeba.csv")
    assert list(frame.columns) == names and list(frame.index) == ids
    assert (frame.to_numpy(int) == (values > 0)).all()


PROPERTIES = {
    "matching: scipy's solver": matching,
    "nearest code: all distances": nearest,
    "Algorithm 1: its definition": recombination,
    "smooth paths: their definition": path,
    "samples: one by one": sampling,
    "capacity: whole numbers": bits,
    "PRDC: its definition, and the package": neighbours,
    "Fréchet distance: scipy's square root": frechet,
    "lists of labels: a plain writer": labels,
}


if __name__ == "__main__":
    sys.exit(command_line(trials, 5000, __doc__))
