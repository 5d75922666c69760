"""Fast interpolation-based sampling (Section 3.5): Algorithm 1, smooth paths, and how smooth their images are.

Sampling takes codes and returns codes, for any L. `pivq.inference` decodes them.

**Sets and multisets.** Algorithm 1 is defined on sets: an image's L codes are distinct, as matching quantization makes
them. Nearest quantization repeats codes, so its images are multisets; they are refused unless `multiset=True`, which
extends the two operations of Algorithm 1 in the usual way. With n_a(c) uses of code c in image a and n_b(c) in b,

- the intersection holds c min(n_a(c), n_b(c)) times;
- the symmetric difference holds c |n_a(c) - n_b(c)| times: the uses that only one of the images has.

A result then has L codes and may repeat one, never more often than the parent that uses it most. On sets both
definitions agree. One implementation serves both: the i-th use of code c is an element of its own, (c, i).

**Exchange groups** (ours, not the paper's). Algorithm 1 takes the codes of C_d one by one, so a sample may hold two
codes that never meet in an image, and lack their alternatives elsewhere. With `groups`, codes that are alternatives to
each other (`pivq.usage.exchange_groups`) come from one parent: a coin is thrown per group, and what the coins choose is
taken first. Half of C_d is taken as ever, so a sample is still a set of L codes.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pivq.quantizers import as_codes
from pivq.settings import check_dense, check_whole, refusal

CHUNK_ELEMENTS = 1 << 20  # random numbers held at once by sample_pairs: 8 MiB


class SampledPairs(NamedTuple):
    """Samples of Algorithm 1 with their parents."""

    pairs: Tensor  # int64 `(M, 2)`, rows of the encoded set that are the parents (a, b); a != b
    codes: Tensor  # int64 `(M, L)`, the recombined codes, ascending


def interpolate(
    codes_a: Tensor, codes_b: Tensor, generator: torch.Generator | None = None, multiset: bool = False,
    groups: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Recombine the codes of image pairs: Algorithm 1.

    Keep the codes both images share, C_c, and fill up to L with codes drawn uniformly without replacement from those
    only one of them has, C_d. Half of C_d is drawn; it may come from either parent in any proportion. The result is
    int64 `(B, L)`, each row ascending (a set has no order).

    Args:
        codes_a, codes_b: codes of images a and b, integers `(B, L)`, non-negative.
        generator: source of randomness; torch's global one when None.
        multiset: accept images that repeat codes (see the module's description).
        groups: int64 `(K,)`, the group of each code, from 0; codes of a group come from one parent (ours, see above).

    Raises:
        ValueError: shapes differ or are not `(B, L)`, a code is negative or not an integer, an image repeats a code
            while `multiset` is False, or a code has no group.

    Example:
        >>> codes = interpolate(torch.tensor([[7, 1, 4]]), torch.tensor([[4, 7, 9]]))
        >>> codes[0].tolist() in ([1, 4, 7], [4, 7, 9])
        True
    """
    _check_generator(generator)
    elements_a, elements_b = _elements_of_pair(codes_a, codes_b, multiset, dimensions=2)
    device = elements_a.device if generator is None else generator.device
    batch, num_codes = elements_a.shape
    groups = None if groups is None else _checked_groups(groups, elements_a, elements_b)
    count = 2 * num_codes + _number_of(groups)
    uniforms = torch.rand(batch, count, dtype=torch.float64, generator=generator, device=device)
    return _recombine(elements_a, elements_b, uniforms.to(elements_a.device), groups)


def sample_pairs(
    codes: Tensor, num_samples: int, seed: int, multiset: bool = False,
    groups: Tensor | None = None, partners: Tensor | None = None,
) -> SampledPairs:  # fmt: skip
    """Draw M samples by Algorithm 1, each from a random pair of distinct encoded images (Section 4.3).

    Args:
        codes: encoded images, integers `(N, L)`, N >= 2; the samples are on their device.
        num_samples: M.
        seed: non-negative integer; with `codes` and i it decides sample i, see `sample_batches`.
        multiset: accept images that repeat codes (see the module's description).
        groups: as for `interpolate` (ours).
        partners: int64 `(N, P)`, for each image the rows that its partner b is drawn from, such as the images with most
            codes in common (`pivq.usage.near_images`); None is all others, as in the paper.

    Raises:
        ValueError: fewer than two images, num_samples < 1, a negative seed, codes that `interpolate` refuses, or
            partners of another shape, out of range, or of an image with itself.

    Example:
        >>> encoded = torch.tensor([[0, 1, 2], [2, 3, 4], [4, 5, 0]])
        >>> few, many = sample_pairs(encoded, 2, seed=5), sample_pairs(encoded, 9, seed=5)
        >>> torch.equal(few.codes, many.codes[:2])
        True
    """
    batches = sample_batches(codes, num_samples, seed, multiset, groups=groups, partners=partners)
    return SampledPairs(*(torch.cat(parts) for parts in zip(*batches, strict=True)))


def sample_batches(
    codes: Tensor, num_samples: int, seed: int, multiset: bool = False, start: int = 0, batch_size: int | None = None,
    groups: Tensor | None = None, partners: Tensor | None = None,
) -> Iterator[SampledPairs]:  # fmt: skip
    """Yield samples `start` … `start + num_samples - 1` of `sample_pairs`, at most `batch_size` at a time.

    Sample i depends on `codes`, `seed` and i alone: it is the same for any number of samples, in batches of any size
    and from any start. Its random numbers are a fixed stretch of one counter-based stream (Philox). Earlier versions of
    `pivq sample` and `pivq evaluate` reseeded after 65,536 samples; their later samples were others.

    The other arguments and errors are those of `sample_pairs`. None as `batch_size` is 8 MiB of random numbers.
    """
    elements = _elements(codes, multiset, "codes")
    num_images, num_codes = elements.shape
    if num_images < 2:
        raise ValueError(f"a pair needs at least two encoded images, got {num_images}")
    num_samples, start = check_whole("num_samples", num_samples, 1, 2**53), check_whole("start", start, 0, 2**53)
    seed, usual = check_whole("seed", seed, 0, 2**128 - 1), max(1, CHUNK_ELEMENTS // (2 * num_codes))
    batch_size = usual if batch_size is None else check_whole("batch_size", batch_size)
    groups = None if groups is None else _checked_groups(groups, elements)
    partners = None if partners is None else _checked_partners(partners, num_images)
    stop = start + num_samples
    for first in range(start, stop, batch_size):
        count = 2 + 2 * num_codes + _number_of(groups)
        uniforms = sample_uniforms(seed, first, min(first + batch_size, stop), count)
        a = (uniforms[:, 0] * num_images).long()
        if partners is None:
            b = (uniforms[:, 1] * (num_images - 1)).long()
            b += b >= a  # uniform over the images other than a
        else:
            b = partners[a, (uniforms[:, 1] * partners.shape[1]).long()]
        pairs = torch.stack([a, b], dim=1).to(elements.device)
        parents, uniforms = elements[pairs].unbind(dim=1), uniforms[:, 2:].to(elements.device)
        yield SampledPairs(pairs, _recombine(*parents, uniforms, groups))


def smooth_path(
    codes_a: Tensor, codes_b: Tensor, generator: torch.Generator | None = None, multiset: bool = False
) -> Tensor:
    """Walk from image b to image a, exchanging one code at a time (Section 3.5).

    R_a and R_b are the codes that only a, and only b, has; R'_a and R'_b are random permutations of them. Row t is the
    union of the shared codes, the first t of R'_a and the last |R| - t of R'_b: row 0 is image b, row |R| image a.
    Each pair has (|R|!)^2 such paths, one for each pair of permutations. The result is int64 `(|R| + 1, L)`;
    consecutive rows differ at one position. Images with the same codes give one row.

    Args:
        codes_a, codes_b: codes of images a and b, integers `(L,)`, non-negative.
        generator: source of randomness; torch's global one when None.
        multiset: accept images that repeat codes (see the module's description).

    Raises:
        ValueError: as for `interpolate`.

    Example:
        >>> smooth_path(torch.tensor([5, 1, 2]), torch.tensor([2, 5, 9])).tolist()
        [[2, 5, 9], [2, 5, 1]]
    """
    _check_generator(generator)
    (elements_a,), (elements_b,) = _elements_of_pair(codes_a, codes_b, multiset, dimensions=1)
    common = elements_a[torch.isin(elements_a, elements_b)]
    only_a = _permuted(elements_a[~torch.isin(elements_a, elements_b)], generator)
    only_b = _permuted(elements_b[~torch.isin(elements_b, elements_a)], generator)
    steps = torch.arange(len(only_a) + 1, device=elements_a.device)[:, None]
    exchanged = torch.where(steps > steps[:-1, 0], only_a, only_b)  # position s comes from a once t > s
    return torch.cat([common.expand(len(steps), -1), exchanged], dim=1) // len(elements_a)


def exchange_slots(codes_a: Tensor, codes_b: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Recombine image pairs slot by slot: latent l's code is a's or b's, each with probability one half.

    Ours, to compare with Algorithm 1: it needs the codes in latent order, so it treats them as a list with places, not
    as a set. A code that both images have may come out twice.

    Args:
        codes_a, codes_b: codes of images a and b in latent order, integers `(B, L)`, non-negative.
        generator: source of randomness; torch's global one when None.

    Returns:
        int64 `(B, L)`, in latent order.
    """
    _check_generator(generator)
    codes_a, codes_b = as_codes(codes_a, name="codes_a"), as_codes(codes_b, name="codes_b")
    if codes_a.shape != codes_b.shape:
        raise ValueError(f"codes_a {tuple(codes_a.shape)} and codes_b {tuple(codes_b.shape)} must have one shape")
    device = codes_a.device if generator is None else generator.device
    from_a = torch.rand(codes_a.shape, generator=generator, device=device) < 0.5
    return torch.where(from_a.to(codes_a.device), codes_a, codes_b.to(codes_a.device))


def _recombine(elements_a: Tensor, elements_b: Tensor, uniforms: Tensor, groups: Tensor | None = None) -> Tensor:
    """Take each pair's shared elements and those of the symmetric difference with the lowest priorities, L in all.

    The first 2 L uniforms of a pair are the priorities; with groups, the others are their coins.
    """
    num_codes = elements_a.shape[1]
    union, origin = torch.cat([elements_a, elements_b], dim=1).sort(dim=1)
    twice = union[:, 1:] == union[:, :-1]  # where an element follows itself: both parents have it
    priorities, coins = uniforms[:, : 2 * num_codes], uniforms[:, 2 * num_codes :]
    if groups is not None:
        chosen = (coins < 0.5).gather(1, groups[union // num_codes]) == (origin < num_codes)
        priorities = (priorities + ~chosen) / 2  # below 0.5 for the parent that the group's coin chooses
    # Uniform priorities in [0, 1) make the L - |C_c| lowest a uniform draw without replacement. A shared element is
    # taken once before all others, and its second copy never: at most L elements lie below 2.
    priorities[:, :-1].masked_fill_(twice, -1.0)
    priorities[:, 1:].masked_fill_(twice, 2.0)
    taken = priorities.argsort(dim=1)[:, :num_codes]
    return union.gather(1, taken).sort(dim=1).values // num_codes


def _number_of(groups: Tensor | None) -> int:
    return 0 if groups is None else int(groups.max()) + 1


def _checked_groups(groups: Tensor, *elements: Tensor) -> Tensor:
    """Return the group of each code, int64 `(K,)`, on the device of the elements `(N, L)`, all of which have one."""
    groups = as_codes(groups, name="groups", dimensions=1).to(elements[0].device)
    largest = max(int(part.max()) // part.shape[1] for part in elements if part.numel())
    if largest >= len(groups):
        raise ValueError(f"groups {tuple(groups.shape)} has no group of code {largest}: it needs one for each code")
    return groups


def _checked_partners(partners: Tensor, num_images: int) -> Tensor:
    """Return int64 `(N, P)` on the CPU, rows of the encoded set other than the row itself."""
    partners = as_codes(partners, num_images, name="partners").cpu()
    if len(partners) != num_images or not partners.shape[1]:
        raise ValueError(f"partners {tuple(partners.shape)} must be (N, P) with N = {num_images} images and P >= 1")
    if bool((itself := (partners == torch.arange(num_images)[:, None]).any(dim=1)).any()):
        raise ValueError(f"partners: image {int(itself.nonzero()[0])} is its own partner")
    return partners


def _elements_of_pair(codes_a: Tensor, codes_b: Tensor, multiset: bool, dimensions: int) -> tuple[Tensor, Tensor]:
    """Check the codes of two images, or batches of them; return the elements of both, `(B, L)` or `(1, L)`."""
    elements_a = _elements(codes_a, multiset, "codes_a", dimensions)
    elements_b = _elements(codes_b, multiset, "codes_b", dimensions)
    if elements_a.shape != elements_b.shape:
        shape_a, shape_b = (tuple(elements.shape[-dimensions:]) for elements in (elements_a, elements_b))
        raise ValueError(f"codes_a {shape_a} and codes_b {shape_b} must have one shape")
    return elements_a, elements_b.to(elements_a.device)


def _elements(codes: Tensor, multiset: bool, name: str, dimensions: int = 2) -> Tensor:
    """Check codes; return int64 `(B, L)`, ascending, distinct in each row: L c + i for use i (from 0) of code c."""
    codes = torch.atleast_2d(as_codes(codes, name=name, dimensions=dimensions)).sort(dim=1).values
    num_codes = codes.shape[1]
    use = torch.arange(num_codes, device=codes.device) - torch.searchsorted(codes, codes)  # position - first position
    if not multiset and bool(use.any()):
        image, position = use.nonzero()[0].tolist()
        code = int(codes[image, position])
        raise ValueError(
            f"{name}: image {image} uses code {code} {int((codes[image] == code).sum())} times, but Algorithm 1 is "
            "defined on sets of distinct codes, as matching quantization makes them; "
            "pass multiset=True to recombine the codes of a nearest quantizer"
        )
    return codes * num_codes + use


def sample_uniforms(seed: int, start: int, stop: int, count: int) -> Tensor:
    """Return float64 `(stop - start, count)` in [0, 1): for sample i, its own stretch of the stream of `seed`."""
    blocks = -(-count // 4)  # Philox makes four numbers a step of its counter
    stream = np.random.Philox(key=seed).advance(start * blocks)
    uniforms = np.random.Generator(stream).random((stop - start, 4 * blocks))
    return torch.from_numpy(uniforms)[:, :count]


def _check_generator(generator: torch.Generator | None) -> None:
    if not isinstance(generator, torch.Generator | None):
        raise refusal("generator", "a torch.Generator or None", generator)


def _permuted(elements: Tensor, generator: torch.Generator | None) -> Tensor:
    device = None if generator is None else generator.device
    return elements[torch.randperm(len(elements), generator=generator, device=device).to(elements.device)]


# Paths are called smooth if the mean of their largest steps is below this. Source: assumption; the paper says
# "(approximately) smoothly" (Section 3.5).
SMOOTH_STEP = 0.5


class PathSmoothness(NamedTuple):
    """The distances between the images of a path, as shares of the one between its ends: mean absolute differences."""

    steps: Tensor  # `(T - 1,)`, from each image to the next
    from_start: Tensor  # `(T,)`, from the first image to each: 0 … 1
    length: float  # sum of the steps; 1 for a straight path, more for any detour
    largest_step: float


def path_smoothness(images: Tensor) -> PathSmoothness:
    """Measure the steps of a path from its images, such as decoded rows of `smooth_path` (Section 4.4).

    Args:
        images: floats `(T, 3, H, W)`, T >= 2.

    Raises:
        TypeError: images that are no tensor.
        ValueError: another type or shape, values that are not finite, fewer than two images, or ends that are the same
            image.

    Example:
        >>> images = torch.tensor([0.0, 0.25, 1.0])[:, None, None, None].expand(-1, 3, 2, 2)
        >>> path_smoothness(images).steps.tolist(), path_smoothness(images).length
        ([0.25, 0.75], 1.0)
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        raise refusal("images", "a tensor of floats (T, 3, H, W)", images)
    check_dense("images", images)
    if not images.isfinite().all():
        raise ValueError("images hold values that are not finite")
    if len(images) < 2 or torch.equal(images[0], images[-1]):
        raise ValueError(f"the ends of a path must be two different images, got equal ends in {len(images)} images")
    whole = (images[-1] - images[0]).abs().mean()
    steps = (images[1:] - images[:-1]).abs().mean(dim=(1, 2, 3)) / whole
    from_start = (images - images[0]).abs().mean(dim=(1, 2, 3)) / whole
    return PathSmoothness(steps, from_start, float(steps.sum()), float(steps.max()))


def cross_fade(first: Tensor, last: Tensor, count: int) -> Tensor:
    """Return `count` images `(count, 3, H, W)` from one image `(3, H, W)` to another, mixed pixel by pixel.

    Raises:
        TypeError: an image that is no tensor.
        ValueError: images of another or of two shapes, that are no floats, or a count below 1.

    Example:
        >>> cross_fade(torch.zeros(3, 1, 1), torch.ones(3, 1, 1), 3)[:, 0, 0, 0].tolist()
        [0.0, 0.5, 1.0]
    """
    for name, image in {"first": first, "last": last}.items():
        if not isinstance(image, Tensor) or image.ndim != 3 or not image.is_floating_point():
            raise refusal(name, "a tensor of floats (3, H, W)", image)
        check_dense(name, image)
    if first.shape != last.shape:
        raise ValueError(f"first {tuple(first.shape)} and last {tuple(last.shape)} must have one shape")
    count = check_whole("count", count)
    return torch.lerp(first, last, torch.linspace(0, 1, count, device=first.device)[:, None, None, None])
