"""The checks of the notebooks' exercises: each takes an answer and says, as Markdown, what is right or wrong with it.

An exercise asks for a function or a number. Nothing is raised by a wrong answer: the sentence names the input,
what came out, and what to look at.
"""

import math
import random
from collections.abc import Callable, Iterable
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment

from pivq import capacity
from pivq.losses import discriminator_hinge, generator_hinge
from pivq.matching import greedy
from pivq.metrics import prdc
from pivq.runs.teaching.checking import Wrong, run, same, tells


def _tables(count: int) -> Iterable[torch.Tensor]:
    """Yield tables of distances `(L, K)`: one worked in notebook 02, then random ones."""
    yield torch.tensor([[0.9, 3.0], [0.1, 4.0]])
    generator = torch.Generator().manual_seed(0)
    for _ in range(count):
        yield torch.rand(4, 6, generator=generator)


# --- 00 ---------------------------------------------------------------------------------------------------------------


@tells
def check_best_constant(answer: Callable) -> str:
    """Check a function from images `(N, 3, H, W)` to the one image with the least mean L1 to all: the median."""
    images = torch.tensor([0.0, 0.1, 1.0])[:, None, None, None].expand(3, 3, 2, 2)
    made = run(answer, images, called="best_constant(images)")
    hint = "For one pixel with the values 0, 0.1 and 1: which number is nearest to all three, by absolute differences?"
    same(made, images[1], "best_constant(images)", hint)
    return "The median halves the values above and below it, so moving it either way costs more than it gains."


# --- 01 ---------------------------------------------------------------------------------------------------------------


@tells
def check_attend(answer: Callable) -> str:
    """Check attention `(d,)` of a query `(d,)` over keys and values `(T, d)`, scaled by the root of d."""
    generator = torch.Generator().manual_seed(0)
    query, keys, values = (torch.randn(*shape, generator=generator) for shape in ((4,), (5, 4), (5, 4)))
    called = "attend(query, keys, values)"
    expected = F.scaled_dot_product_attention(query[None], keys, values)[0]
    unscaled = torch.softmax(keys @ query, dim=0) @ values
    made = run(answer, query, keys, values, called=called)
    if torch.as_tensor(made).shape == unscaled.shape and torch.allclose(torch.as_tensor(made).float(), unscaled):
        raise Wrong("The dot products are not divided by the square root of d yet.")
    same(made, expected, called, "The weights are a softmax over the T tokens, and sum to 1.")
    order = torch.randperm(5, generator=generator)
    again = run(answer, query, keys[order], values[order], called=f"{called}, tokens shuffled")
    same(again, expected, f"{called}, tokens shuffled", "The answer must not depend on the order of the tokens.")
    return "Shuffling the tokens changes nothing: a sum has no order."


# --- 02 ---------------------------------------------------------------------------------------------------------------


@tells
def check_nearest(answer: Callable) -> str:
    """Check Eq. (1): the codes `(L,)` of distances `(L, K)`."""
    for table in _tables(5):
        made = run(answer, table, called="nearest_codes(distances)")
        hint = "One code per latent: the column of its least distance."
        same(made, table.argmin(dim=1), "nearest_codes(distances)", hint)
    return "Nothing stops two latents from taking the same code."


@tells
def check_greedy(answer: Callable) -> str:
    """Check greedy assignment, first come, first served."""
    for table in _tables(20):
        made = run(answer, table.clone(), called="greedy_codes(distances)")
        codes = torch.as_tensor(made).flatten().tolist()
        if len(set(codes)) < len(codes):
            raise Wrong(f"`greedy_codes(distances)` gives {codes}: a code is taken twice.")
        same(made, greedy(table), "greedy_codes(distances)", "The first latent chooses first, among all codes.")
    return "No code repeats, but whoever comes late pays."


@tells
def check_matching(answer: Callable) -> str:
    """Check Eq. (3): distinct codes with the least total distance; any optimum counts."""
    for table in _tables(20):
        made = run(answer, table.clone(), called="matching_codes(distances)")
        codes = torch.as_tensor(np.asarray(made)).flatten().tolist()
        rows, columns = linear_sum_assignment(table.numpy())
        if len(codes) != len(table):
            raise Wrong(f"`matching_codes(distances)` gives {len(codes)} codes for {len(table)} latents.")
        if len(set(codes)) < len(codes):
            raise Wrong(f"`matching_codes(distances)` gives {codes}: a code is taken twice.")
        total, least = float(table[range(len(codes)), codes].sum()), float(table.numpy()[rows, columns].sum())
        if total > least + 1e-5:
            raise Wrong(f"The codes {codes} have a total distance of {total:.3f}; {least:.3f} is possible.")
    return "Each table has its least total."


@tells
def check_worst_table(answer: Any) -> str:
    """Check a 3 × 3 table of distances for which greedy pays at least ten times the optimum."""
    try:
        table = torch.as_tensor(answer, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise Wrong(f"Three rows of three numbers are asked for: {error}") from error
    if table.shape != (3, 3) or not (table > 0).all() or not table.isfinite().all():
        raise Wrong(f"Three rows of three positive numbers are asked for, got shape {tuple(table.shape)}.")
    rows, columns = linear_sum_assignment(table.numpy())
    least, paid = float(table.numpy()[rows, columns].sum()), float(table[range(3), greedy(table)].sum())
    if paid < 10 * least:
        raise Wrong(f"Greedy pays {paid:.4g}, matching {least:.4g}: {paid / least:.2g} times, 10 are asked for.")
    return f"Greedy pays {paid:.4g}, matching {least:.4g}: {paid / least:,.4g} times. There is no upper limit."


@tells
def check_straight_through(answer: Callable) -> str:
    """Check that latents `(L, d)` become code vectors, with the gradient copied straight to the latents."""
    called = "straight_through(latents, vectors)"
    latents = torch.tensor([[0.0, 1.0], [2.0, 3.0]], requires_grad=True)
    vectors = torch.tensor([[0.5, 0.5], [2.5, 2.5]], requires_grad=True)
    made = run(answer, latents, vectors, called=called)
    same(made, vectors, called, "Forward, the decoder must see the code vectors.")
    weights = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    if not made.requires_grad:
        raise Wrong("Forward is right, but no gradient flows at all: only the difference may be detached.")
    of = torch.autograd.grad((made * weights).sum(), (latents, vectors), allow_unused=True)
    if of[0] is None or not of[0].any():
        raise Wrong("Forward is right, but the gradient does not reach the latents: the encoder would not learn.")
    same(of[0], weights, "the gradient at the latents", "It must be the decoder's gradient, unchanged.")
    if of[1] is not None and of[1].any():
        raise Wrong("The gradient also reaches the code vectors: these have a loss of their own. Detach them here.")
    return "Forward the code vector, backward as if nothing had happened."


# --- 03 ---------------------------------------------------------------------------------------------------------------


@tells
def check_hinge(discriminator: Callable, generator: Callable) -> str:
    """Check the hinge losses of scores: the discriminator's × 0.5, and the generator's."""
    real, fake = torch.tensor([2.0, 0.5, -1.0]), torch.tensor([-3.0, 0.0, 1.0])
    made = run(discriminator, real, fake, called="discriminator_loss(real, fake)")
    hint = "Real scores cost where they are below 1, fake ones where they are above −1; half of the sum of both means."
    same(made, discriminator_hinge(real, fake), "discriminator_loss(real, fake)", hint)
    made = run(generator, fake, called="generator_loss(fake)")
    same(made, generator_hinge(fake), "generator_loss(fake)", "The generator wants high scores, without a margin.")
    return "Scores beyond the margin cost nothing, so the discriminator does not run away."


@tells
def check_half_life(answer: Any) -> str:
    """Check after how many steps half of the old weights has left the average with β = 0.995."""
    hint = "After n steps the old weights have the share 0.995 to the power n."
    same(answer, math.log(0.5) / math.log(0.995), "half_life", hint, tolerance=5e-3)
    return "About 140 steps: the average of a model hardly remembers what was before the last 1,000."


# --- 04 ---------------------------------------------------------------------------------------------------------------


@tells
def check_set_bits(answer: Callable) -> str:
    """Check Eq. (4), log2 C(K, L), small and at the paper's size."""
    for sizes in ((3, 2), (512, 32), (4096, 512)):
        called = f"set_bits{sizes}"
        made = run(answer, *sizes, called=called)
        same(made, capacity.matching_bits(*sizes), called, "Bits are base-2 logarithms of a number of sets.")
    return "At the paper's size the paper's 2,221 bits come out."


@tells
def check_multisets(answer: Callable) -> str:
    """Check the number of multisets of L codes with exactly K_img different ones out of K, by listing them."""
    for size, distinct, length in ((3, 1, 2), (3, 2, 2), (4, 2, 5), (5, 3, 4)):
        listed = combinations_with_replacement(range(size), length)
        expected = sum(len(set(codes)) == distinct for codes in listed)
        called = f"multisets({size}, {distinct}, {length})"
        made = run(answer, size, distinct, length, called=called)
        if made == math.comb(size, distinct) * math.comb(length + distinct - 1, distinct - 1) != expected:
            raise Wrong(f"`{called}` gives {made}, the count of Eq. (2); listing them gives {expected}.")
        hint = "Choose the codes; use each once; then share out the L − K_img uses that are left."
        same(made, expected, called, hint)
    return "Each multiset is counted once."


@tells
def check_order_bites(answer: Any) -> str:
    """Check the smallest L for which, with K = 512, the order is more than half of the bits of codes with places."""
    found = next(n for n in range(1, 512) if math.lgamma(n + 1) / math.log(2) > n * math.log2(512) / 2)
    same(answer, found, "bites", "Compare log2 L! with half of L log2 K, for L = 1, 2, 3, …")
    return "Beyond it, a set of distinct codes holds less than half of what the same codes hold in places."


# --- 05 ---------------------------------------------------------------------------------------------------------------


@tells
def check_recombine(answer: Callable) -> str:
    """Check Algorithm 1 on Python sets, with a `random.Random`: what is kept, the size, and the odds."""
    a, b, called = {1, 2, 3, 4}, {3, 4, 5, 6}, "recombine({1, 2, 3, 4}, {3, 4, 5, 6}, rng)"
    rng, counts = random.Random(0), dict.fromkeys(range(1, 7), 0)
    for _ in range(600):
        made = run(answer, set(a), set(b), rng, called=called)
        try:
            made = set(made)
        except TypeError as error:
            raise Wrong(f"`{called}` gives {made!r:.60}, not a set.") from error
        for wrong, what in ((made - (a | b), "holds codes of neither parent"), ((a & b) - made, "lacks shared codes")):
            if wrong:
                raise Wrong(f"`{called}` gives {made}: it {what}, {sorted(wrong)}.")
        if len(made) != 4:
            raise Wrong(f"`{called}` gives {made}: {len(made)} codes, expected L = 4.")
        for code in made:
            counts[code] += 1
    exclusive = {code: counts[code] / 600 for code in (1, 2, 5, 6)}
    if max(abs(share - 0.5) for share in exclusive.values()) > 0.1:
        shares = ", ".join(f"{code}: {share:.0%}" for code, share in exclusive.items())
        raise Wrong(f"Of 600 results, these shares hold each exclusive code: {shares}. Each should be in about half.")
    return "Shared codes stay, the others are drawn with equal odds, from either parent."


@tells
def check_number_of_samples(answer: Any) -> str:
    """Check how many different sets Algorithm 1 can return for parents that differ in 16 codes each."""
    if answer == math.factorial(16) ** 2:
        raise Wrong("That is the number of *paths*. Algorithm 1 returns a set: how many can it be?")
    hint = "16 codes are drawn out of the 32 that only one parent has; their order does not matter."
    same(answer, math.comb(32, 16), "results", hint, tolerance=1e-12)
    return "601,080,390 images from one pair, both reconstructions among them."


# --- 06 ---------------------------------------------------------------------------------------------------------------


@tells
def check_precision(answer: Callable) -> str:
    """Check the precision by k neighbours of features `(N, F)` and `(M, F)`, against `pivq.metrics.prdc`."""
    rng = np.random.default_rng(0)
    for k in (1, 3):
        real, fake = rng.normal(size=(40, 3)), 1.5 * rng.normal(size=(30, 3))
        called = f"precision(real, fake, k={k})"
        made = run(answer, real, fake, k, called=called)
        hint = "A real point is not its own neighbour. A fake counts once, however many balls it lies in."
        same(made, prdc(real=real, fake=fake, k=k).precision, called, hint)
    return "It equals the package's."


# --- 07 ---------------------------------------------------------------------------------------------------------------


@tells
def check_presence(answer: Callable) -> str:
    """Check the probe's inputs `(N, K)` of codes `(N, L)`."""
    codes = np.array([[2, 0], [1, 3], [3, 3]])
    made = run(answer, codes, 5, called="presence_table(codes, 5)")
    expected = [[1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 1, 0]]
    same(made, expected, "presence_table(codes, 5)", "A code that is there twice is there: 1, not 2.")
    return "The order of the codes is gone, and so is how often each occurs."


@tells
def check_ceiling(answer: Callable) -> str:
    """Check the accuracy that no predictor from sets of codes `(N, L)` to labels `(N,)` can exceed."""
    codes = np.array([[1, 2], [2, 1], [1, 2], [3, 4], [5, 6], [6, 5]])
    for labels, expected in (([1, 1, 0, 0, 1, 0], 4 / 6), ([1, 1, 1, 0, 0, 0], 1.0)):
        made = run(answer, codes, np.array(labels), called="ceiling(codes, labels)")
        hint = "Faces with the same *set* get the same answer; the best answer is the set's more frequent label."
        same(made, expected, "ceiling(codes, labels)", hint)
    return "What two faces with one code set do not share, no probe can know."


# --- 09 ---------------------------------------------------------------------------------------------------------------


@tells
def check_expected_distinct(answer: Callable) -> str:
    """Check the expected number of different codes if L latents draw codes evenly and independently from K."""
    for size, length in ((1, 5), (2, 2), (512, 64), (4096, 512)):
        called = f"expected_distinct({size}, {length})"
        made = run(answer, size, length, called=called)
        hint = "A code is missed by all latents with probability (1 − 1/K) to the power L."
        same(made, size * (1 - (1 - 1 / size) ** length), called, hint)
    return "Chance alone costs few codes: 64 of 512 give about 60 different ones, 512 of 4,096 about 481."
