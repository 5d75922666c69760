r"""Sets of codes, drawn and weighed one code at a time in any order, with a predictor of the next. Ours.

A predictor says, for some codes of a set, which others belong to it: p(c | S) over the codes c outside S. It takes
whole numbers `(B, L)`, K in each place whose code is hidden, in any order, and returns logits `(B, K)`. Codes that are
given cannot come again, so a set is drawn with exactly L codes and without repeats.

**Probability of a set.** Drawing S = {c_1, …, c_L} in the order σ has probability ∏_t p(c_σ(t) | c_σ(1), …, c_σ(t-1)).
The set is the sum over its L! orders, that is, L! times the mean over random orders; so by Jensen's inequality

    -log2 p(S)  <=  E_σ[ -∑_t log2 p(c_σ(t) | c_σ(<t)) ] - log2 L!  bits.

If all codes are equally likely this is log2 C(K, L) exactly, Eq. (4). The mean over M orders inside the logarithm is a
bound as well, in expectation, and a lower one; it falls to -log2 p(S) as M grows (Burda et al., arXiv 1509.00519).
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pivq.quantizers import as_codes
from pivq.sampling import sample_uniforms
from pivq.settings import check_whole, refusal

Predictor = Callable[[Tensor], Tensor]
BATCH = 1024  # sets in one pass of a predictor


def as_sets(codes: Tensor, codebook_size: int, name: str = "codes") -> Tensor:
    """Return codes as int64 `(N, L)`, checked to be sets: distinct in each row.

    Raises:
        TypeError, ValueError: see `pivq.quantizers.as_codes`; also no rows, and a code that a row repeats.
    """
    codes = as_codes(codes, codebook_size, name)
    if not len(codes):
        raise ValueError(f"{name} must not be empty, got {tuple(codes.shape)}")
    twice = (codes.sort(dim=1).values.diff(dim=1) == 0).any(dim=1)
    if bool(twice.any()):
        raise ValueError(f"{name} must be sets of distinct codes, but image {int(twice.nonzero()[0])} repeats one")
    return codes


def log_next(predict: Predictor, given: Tensor, codebook_size: int) -> Tensor:
    """Return log p(c | S) `(B, K)`, natural, of the next code; minus infinity for the codes that S has.

    Args:
        predict: see the module's description.
        given: int64 `(B, L)`, K where a code is hidden.
        codebook_size: K.
    """
    taken = torch.zeros(len(given), codebook_size + 1, dtype=torch.bool, device=given.device)
    taken.scatter_(1, given, value=True)
    return predict(given).masked_fill(taken[:, :codebook_size], -torch.inf).log_softmax(dim=1)


def hidden_bits(predict: Predictor, codes: Tensor, given: Tensor, codebook_size: int) -> Tensor:
    """Estimate the bound of each set from one part of it, `(B,)` bits: the loss of training.

    Of a uniform number of given codes, 0 … L - 1, that are a uniform part of the set, the mean over the hidden codes
    of -log2 p(c | S) is in expectation 1 / L of the sum over all steps of a random order. So L times it, less log2 L!,
    has the bound as its mean.

    Args:
        predict: see the module's description.
        codes: int64 `(B, L)`.
        given: the same with K in place of the hidden codes, at least one in each row.
        codebook_size: K.
    """
    hidden, num_codes = given == codebook_size, codes.shape[1]
    logs = log_next(predict, given, codebook_size).gather(1, codes)
    logs = torch.where(hidden, logs, 0.0).sum(dim=1) / hidden.sum(dim=1)
    return -num_codes * logs / math.log(2) - _log2_orders(num_codes)


@torch.no_grad()
def set_bits(
    predict: Predictor, codes: Tensor, codebook_size: int, orders: int = 1, seed: int = 0, batch_size: int = BATCH
) -> Tensor:
    """Return for each set and for M random orders -log2 of L! times the probability of the order: `(N, M)` float64.

    The mean over orders is the one-order bound; `tightened` is the one of M orders.

    Args:
        predict: see the module's description.
        codes: sets, integers `(N, L)`.
        codebook_size: K.
        orders: M.
        seed: of the orders.
        batch_size: of the sets in one pass; it changes rounding alone.

    Raises:
        TypeError, ValueError: codes that are no sets (`as_sets`), a predictor that cannot be called, or a size below 1.

    Example:
        >>> bits = set_bits(lambda given: torch.zeros(len(given), 4), torch.tensor([[0, 3]]), codebook_size=4)
        >>> round(2 ** float(bits))  # C(4, 2)
        6
    """
    codes = as_sets(codes, codebook_size)
    orders, seed = check_whole("orders", orders), check_whole("seed", seed, 0)
    batch_size = check_whole("batch_size", batch_size)
    _check_predictor(predict)
    generator, num_codes = torch.Generator().manual_seed(seed), codes.shape[1]
    rows = codes.repeat_interleave(orders, dim=0)
    rows = rows.gather(1, torch.rand(rows.shape, generator=generator).argsort(dim=1).to(rows.device))
    found = []
    for some in rows.split(batch_size):
        total = torch.zeros(len(some), dtype=torch.float64, device=some.device)
        for step in range(num_codes):
            given = some.clone()
            given[:, step:] = codebook_size
            total -= log_next(predict, given, codebook_size).gather(1, some[:, step : step + 1])[:, 0].double()
        found.append(total)
    return torch.cat(found).reshape(-1, orders) / math.log(2) - _log2_orders(num_codes)


def tightened(bits: Tensor) -> Tensor:
    """Return the bound of M orders together `(N,)`, of `set_bits` `(N, M)`: -log2 of the mean of 2^-bits.

    Example:
        >>> tightened(torch.tensor([[1.0, 1.0]])).item()
        1.0
    """
    return -(torch.logsumexp(-bits * math.log(2), dim=1) / math.log(2) - math.log2(bits.shape[1]))


@torch.no_grad()
def leave_one_out_bits(predict: Predictor, codes: Tensor, codebook_size: int, batch_size: int = BATCH) -> Tensor:
    """Return how surprising each code is given all the others of its set, -log2 p(c | S without c): `(N, L)`.

    Args and errors are those of `set_bits`; the columns are in the order of `codes`.
    """
    codes = as_sets(codes, codebook_size)
    batch_size = check_whole("batch_size", batch_size)
    _check_predictor(predict)
    columns = []
    for place in range(codes.shape[1]):
        parts = []
        for some in codes.split(batch_size):
            given = some.clone()
            given[:, place] = codebook_size
            parts.append(log_next(predict, given, codebook_size).gather(1, some[:, place : place + 1]))
        columns.append(torch.cat(parts))
    return -torch.cat(columns, dim=1) / math.log(2)


def at_temperature(predict: Predictor, temperature: float) -> Predictor:
    """Return the predictor with probabilities p^(1 / T), made to sum to 1: with T < 1, likely codes come more often.

    Args:
        predict: see the module's description.
        temperature: T > 0.

    Raises:
        TypeError, ValueError: a predictor that cannot be called, or a temperature that is no number above 0.

    Example:
        >>> cooler = at_temperature(lambda given: torch.tensor([[1.0, 4.0]]).log(), temperature=0.5)
        >>> (17 * cooler(torch.tensor([[2]])).softmax(dim=1)).round().tolist()  # 1² and 4² of their sum
        [[1.0, 16.0]]
    """
    _check_predictor(predict)
    if not isinstance(temperature, int | float):
        raise refusal("temperature", "a number above 0", temperature)
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be a number above 0, got {temperature}")
    return lambda given: predict(given) / temperature


@torch.no_grad()
def draw_sets(
    predict: Predictor, count: int, num_codes: int, codebook_size: int, seed: int,
    passes: int | None = None, given: Tensor | None = None, batch_size: int = BATCH,
) -> Tensor:  # fmt: skip
    """Draw sets of exactly L distinct codes, int64 `(count, L)`, ascending.

    With L passes, the default, a code is added at a time and sets come with exactly the probability of the module's
    description. With fewer, several codes are added from one prediction, without repeats, as if each were the only
    one: cheaper, and blind to what the codes of one pass say about each other.

    Args:
        predict: see the module's description.
        count: sets to draw.
        num_codes: L.
        codebook_size: K.
        seed: with i it decides sample i, up to rounding in the predictor, whatever the number of samples.
        passes: of the predictor, from 1 to the number of codes to add; None is one a code.
        given: int64 `(count, G)`, codes that each set has to have, the same number for all; None is none.
        batch_size: of the sets in one pass.

    Raises:
        TypeError, ValueError: a predictor that cannot be called, sizes out of range, more codes than the codebook has,
            or given codes that are no sets, have another number of rows, or leave nothing to add.

    Example:
        >>> draw_sets(lambda given: torch.zeros(len(given), 3), 1, num_codes=3, codebook_size=3, seed=0).tolist()
        [[0, 1, 2]]
    """
    count, codebook_size = check_whole("count", count), check_whole("codebook_size", codebook_size)
    num_codes, seed = check_whole("num_codes", num_codes, 1, codebook_size), check_whole("seed", seed, 0, 2**128 - 1)
    batch_size = check_whole("batch_size", batch_size)
    _check_predictor(predict)
    known = torch.empty(count, 0, dtype=torch.int64) if given is None else as_sets(given, codebook_size, "given")
    if len(known) != count or known.shape[1] >= num_codes:
        raise refusal("given", f"{count} rows of fewer than {num_codes} codes", known)
    adding = num_codes - known.shape[1]
    passes = adding if passes is None else check_whole("passes", passes, 1, adding)
    ends = np.linspace(0, adding, passes + 1).round().astype(int)
    sets = torch.full((count, num_codes), codebook_size, device=known.device)
    sets[:, : known.shape[1]] = known
    for start in range(0, count, batch_size):
        some = sets[start : start + batch_size]
        uniforms = sample_uniforms(seed, start, start + len(some), num_codes).to(some.device)
        for first, last in zip(ends, ends[1:], strict=False):
            chances = log_next(predict, some, codebook_size).double().exp()
            for step in range(known.shape[1] + first, known.shape[1] + last):
                some[:, step] = _drawn(chances, uniforms[:, step])
                chances.scatter_(1, some[:, step : step + 1], 0.0)
    return sets.sort(dim=1).values


def _drawn(chances: Tensor, uniforms: Tensor) -> Tensor:
    """Return for each row of weights `(B, K)` the code at which their running sum passes a share `(B,)` of it all."""
    sums = chances.cumsum(dim=1)
    codes = torch.searchsorted(sums, (uniforms * sums[:, -1])[:, None], right=True)[:, 0]
    last = chances.shape[1] - 1 - (chances > 0).flip(1).int().argmax(dim=1)  # where rounding passes all
    return codes.minimum(last)


def _log2_orders(num_codes: int) -> float:
    return math.log2(math.factorial(num_codes))


def _check_predictor(predict: Predictor) -> None:
    if not callable(predict):
        raise refusal("predict", "a predictor of the next code", predict)
