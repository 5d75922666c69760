"""Fast interpolation-based sampling (Section 3.5): Algorithm 1, smooth paths, decoding in batches.

Everything here takes codes and returns codes, for any L; the one function that makes images takes `decode` as an
argument.

**Sets and multisets.** Algorithm 1 is defined on sets: an image's L codes are distinct, as matching quantization makes
them. Nearest quantization repeats codes, so its images are multisets; they are refused unless `multiset=True`, which
extends the two operations of Algorithm 1 in the usual way. With n_a(c) uses of code c in image a and n_b(c) in b,

- the intersection holds c min(n_a(c), n_b(c)) times;
- the symmetric difference holds c |n_a(c) - n_b(c)| times: what is left of the image that uses c more.

A result then has L codes and may repeat one, never more often than the parent that uses it most. On sets both
definitions agree. Internally the i-th use of code c is an element of its own, (c, i), so that one implementation serves
both.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

CHUNK_ELEMENTS = 1 << 20  # random priorities held at once by sample_pairs: 8 MiB


class SampledPairs(NamedTuple):
    """Samples of Algorithm 1 with their parents.

    Attributes:
        pairs: int64 `(M, 2)`, rows of the encoded set that are the parents (a, b); a != b.
        codes: int64 `(M, L)`, the recombined codes, ascending.
    """

    pairs: Tensor
    codes: Tensor


def interpolate(
    codes_a: Tensor, codes_b: Tensor, generator: torch.Generator | None = None, multiset: bool = False
) -> Tensor:
    """Recombine the codes of image pairs: Algorithm 1.

    Keep the codes both images share, C_c, and fill up to L with codes drawn uniformly without replacement from those
    only one of them has, C_d. Half of C_d is drawn; it may come from either parent in any proportion.

    Args:
        codes_a: codes of images a, integers `(B, L)`, non-negative.
        codes_b: codes of images b, integers `(B, L)`.
        generator: source of randomness; torch's global one when None.
        multiset: accept images that repeat codes (see the module's description).

    Returns:
        int64 `(B, L)`, each row ascending (a set has no order).

    Raises:
        ValueError: shapes differ or are not `(B, L)`, a code is negative or not an integer, or an image repeats a code
            while `multiset` is False.

    Example:
        >>> codes = interpolate(torch.tensor([[7, 1, 4]]), torch.tensor([[4, 7, 9]]))
        >>> codes[0].tolist() in ([1, 4, 7], [4, 7, 9])
        True
    """
    codes_a, codes_b = _checked_pair(codes_a, codes_b, dimensions=2)
    elements_a = _elements(codes_a, multiset, "codes_a")
    elements_b = _elements(codes_b, multiset, "codes_b")
    device = codes_a.device if generator is None else generator.device
    shape = (codes_a.shape[0], 2 * codes_a.shape[1])
    priorities = torch.rand(shape, dtype=torch.float64, generator=generator, device=device)
    return _recombine(elements_a, elements_b, priorities.to(codes_a.device))


def sample_pairs(codes: Tensor, num_samples: int, seed: int, multiset: bool = False) -> SampledPairs:
    """Draw samples by Algorithm 1, each from a random pair of distinct encoded images (Section 4.3).

    Sample i depends on `codes`, `seed` and i alone: asking for more samples, or for fewer, changes none of them. Its
    random numbers are a fixed stretch of one counter-based stream (Philox).

    Args:
        codes: encoded images, integers `(N, L)`, N >= 2.
        num_samples: M.
        seed: non-negative integer.
        multiset: accept images that repeat codes (see the module's description).

    Returns:
        The pairs `(M, 2)` and the codes `(M, L)`, both int64 on the device of `codes`.

    Raises:
        ValueError: fewer than two images, num_samples < 1, a negative seed, or codes that `interpolate` refuses.

    Example:
        >>> encoded = torch.tensor([[0, 1, 2], [2, 3, 4], [4, 5, 0]])
        >>> few, many = sample_pairs(encoded, 2, seed=5), sample_pairs(encoded, 9, seed=5)
        >>> torch.equal(few.codes, many.codes[:2])
        True
    """
    codes = _checked(codes, dimensions=2, name="codes")
    num_images, num_codes = codes.shape
    if num_images < 2:
        raise ValueError(f"a pair needs at least two encoded images, got {num_images}")
    if num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {num_samples}")
    if seed < 0:
        raise ValueError(f"seed must be non-negative, got {seed}")
    elements = _elements(codes, multiset, "codes")
    pairs, samples = [], []
    chunk = max(1, CHUNK_ELEMENTS // (2 * num_codes))
    for start in range(0, num_samples, chunk):
        uniforms = _uniforms(seed, start, min(start + chunk, num_samples), 2 * num_codes + 2)
        a = (uniforms[:, 0] * num_images).long()
        b = (uniforms[:, 1] * (num_images - 1)).long()
        b += b >= a  # uniform over the images other than a
        pair = torch.stack([a, b], dim=1).to(codes.device)
        pairs.append(pair)
        samples.append(_recombine(elements[pair[:, 0]], elements[pair[:, 1]], uniforms[:, 2:].to(codes.device)))
    return SampledPairs(torch.cat(pairs), torch.cat(samples))


def smooth_path(
    codes_a: Tensor, codes_b: Tensor, generator: torch.Generator | None = None, multiset: bool = False
) -> Tensor:
    """Walk from image b to image a, exchanging one code at a time (Section 3.5).

    R_a and R_b are the codes that only a, and only b, has; R'_a and R'_b are random permutations of them. Row t is the
    union of the shared codes, the first t of R'_a and the last |R| - t of R'_b: row 0 is image b, row |R| image a.
    Each pair has (|R|!)^2 such paths, one for each pair of permutations.

    Args:
        codes_a: codes of image a, integers `(L,)`.
        codes_b: codes of image b, integers `(L,)`.
        generator: source of randomness; torch's global one when None.
        multiset: accept images that repeat codes (see the module's description).

    Returns:
        int64 `(|R| + 1, L)`. Consecutive rows differ at one position. One row when the images have the same codes.

    Raises:
        ValueError: as for `interpolate`.

    Example:
        >>> smooth_path(torch.tensor([5, 1, 2]), torch.tensor([2, 5, 9])).tolist()
        [[2, 5, 9], [2, 5, 1]]
    """
    codes_a, codes_b = _checked_pair(codes_a, codes_b, dimensions=1)
    elements_a = _elements(codes_a[None], multiset, "codes_a")[0]
    elements_b = _elements(codes_b[None], multiset, "codes_b")[0]
    common = elements_a[torch.isin(elements_a, elements_b)]
    only_a = _permuted(elements_a[~torch.isin(elements_a, elements_b)], generator)
    only_b = _permuted(elements_b[~torch.isin(elements_b, elements_a)], generator)
    steps = torch.arange(len(only_a) + 1, device=codes_a.device)[:, None]
    exchanged = torch.where(steps > steps[:-1, 0], only_a, only_b)  # position s comes from a once t > s
    return torch.cat([common.expand(len(steps), -1), exchanged], dim=1) // len(codes_a)


def _recombine(elements_a: Tensor, elements_b: Tensor, priorities: Tensor) -> Tensor:
    """Take each pair's shared elements and those of the symmetric difference with the lowest priorities, L in all."""
    num_codes = elements_a.shape[1]
    union = torch.cat([elements_a, elements_b], dim=1).sort(dim=1).values
    twice = union[:, 1:] == union[:, :-1]  # an element of both parents stands here twice in a row
    # Uniform priorities in [0, 1) make the L - |C_c| lowest a uniform draw without replacement. A shared element is
    # taken once before all others, and its second copy never: at most L elements lie below 2.
    priorities[:, :-1].masked_fill_(twice, -1.0)
    priorities[:, 1:].masked_fill_(twice, 2.0)
    taken = priorities.argsort(dim=1)[:, :num_codes]
    return union.gather(1, taken).sort(dim=1).values // num_codes


def _elements(codes: Tensor, multiset: bool, name: str) -> Tensor:
    """Return int64 `(B, L)` distinct in each row and ascending: L c + i for the i-th use (from 0) of code c."""
    codes = codes.sort(dim=1).values
    num_codes = codes.shape[1]
    position = torch.arange(num_codes, device=codes.device).expand_as(codes)
    repeats = codes[:, 1:] == codes[:, :-1]
    first = position.clone()  # position of the first use of the code that stands here
    first[:, 1:].masked_fill_(repeats, 0)
    use = position - first.cummax(dim=1).values
    if not multiset and bool(repeats.any()):
        image = int(repeats.any(dim=1).nonzero()[0])
        code = int(codes[image, 1:][repeats[image]][0])
        raise ValueError(
            f"{name}: image {image} uses code {code} {int((codes[image] == code).sum())} times, but Algorithm 1 is "
            "defined on sets of distinct codes, as matching quantization makes them; "
            "pass multiset=True to recombine the codes of a nearest quantizer"
        )
    return codes * num_codes + use


def _uniforms(seed: int, start: int, stop: int, count: int) -> Tensor:
    """Return float64 `(stop - start, count)` in [0, 1): for sample i, its own stretch of the stream of `seed`."""
    blocks = -(-count // 4)  # Philox makes four numbers a step of its counter
    stream = np.random.Philox(key=seed)
    stream.advance(start * blocks)
    uniforms = np.random.Generator(stream).random((stop - start, 4 * blocks))
    return torch.from_numpy(uniforms)[:, :count]


def _permuted(elements: Tensor, generator: torch.Generator | None) -> Tensor:
    device = None if generator is None else generator.device
    order = torch.randperm(len(elements), generator=generator, device=device)
    return elements[order.to(elements.device)]


def _checked_pair(codes_a: Tensor, codes_b: Tensor, dimensions: int) -> tuple[Tensor, Tensor]:
    codes_a = _checked(codes_a, dimensions, "codes_a")
    codes_b = _checked(codes_b, dimensions, "codes_b")
    if codes_a.shape != codes_b.shape:
        raise ValueError(f"codes_a {tuple(codes_a.shape)} and codes_b {tuple(codes_b.shape)} must have one shape")
    return codes_a, codes_b.to(codes_a.device)


def _checked(codes: Tensor, dimensions: int, name: str) -> Tensor:
    codes = torch.as_tensor(codes)
    if codes.dtype == torch.bool or codes.is_floating_point() or codes.is_complex():
        raise ValueError(f"{name} must be integers, got {codes.dtype}")
    expected = "(B, L)" if dimensions == 2 else "(L,)"
    if codes.ndim != dimensions or codes.shape[-1] == 0:
        raise ValueError(f"{name} must have shape {expected} with L >= 1, got {tuple(codes.shape)}")
    if bool((codes < 0).any()):
        raise ValueError(f"{name} must be non-negative, got {int(codes.min())}")
    return codes.long()
BATCH = 64  # samples yielded at a time; fixed, so that going on with a job makes the same pictures
BLOCK = 1 << 16  # samples drawn at a time; a multiple of BATCH


def stream_samples(codes: Tensor, count: int, seed: int, multiset: bool = False) -> Iterator[SampledPairs]:
    """Yield samples of Algorithm 1, at most `BATCH` at a time: memory does not grow with their number.

    Sample i depends on `codes`, `seed` and i alone. The first `BLOCK` samples are those of
    `pivq.sampling.sample_pairs` with this seed, as `pivq.runs.evaluation.draw_samples` has them.

    Args:
        codes: encoded images, integers `(N, L)`, N >= 2.
        count: samples in all.
        seed: non-negative integer.
        multiset: accept images that repeat codes.

    Raises:
        ValueError: see `pivq.sampling.sample_pairs`.
    """
    for block, start in enumerate(range(0, count, BLOCK)):
        block_seed = int(np.random.SeedSequence([seed, block]).generate_state(1, np.uint64)[0]) if block else seed
        drawn = sample_pairs(codes, min(BLOCK, count - start), block_seed, multiset)
        yield from map(SampledPairs, drawn.pairs.split(BATCH), drawn.codes.split(BATCH))
