"""Quantization worked out on a small example, for any numbers: its tables, and sentences computed from them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from pivq.matching import greedy, match

LISTED = 5_040  # ways to assign codes that are listed, at most: 7 latents, 7 codes
SHOWN = 12  # rows of them that are shown


@dataclass(frozen=True)
class Example:
    """Latents `(L, d)` and codes `(K, d)`, float64, d = 1 or 2, L <= K; see `work_out`."""

    latents: Tensor
    codebook: Tensor

    @cached_property
    def distances(self) -> Tensor:
        """D, the Euclidean distances `(L, K)`."""
        return torch.cdist(self.latents, self.codebook)

    @cached_property
    def codes(self) -> dict[str, list[int]]:
        """The code of each latent, by method: nearest, Eq. (1); greedy, first come; matching, Eq. (3)."""
        methods = {"nearest": lambda table: table.argmin(dim=1), "greedy": greedy, "matching": match}
        return {name: method(self.distances).tolist() for name, method in methods.items()}

    def of(self, method: str) -> list[float]:
        """Return the distance from each latent to the code that a method gives it."""
        return [float(self.distances[latent, code]) for latent, code in enumerate(self.codes[method])]

    def total(self, method: str) -> float:
        """Return the total distance of a method."""
        return sum(self.of(method))

    def ways(self) -> tuple[str, pd.DataFrame]:
        """Return all ways to give each latent a code of its own, cheapest first, and a sentence that counts them.

        Where there are more than `LISTED`, only the matching is in the table, and never more than `SHOWN` rows.
        """
        count = math.perm(len(self.codebook), len(self.latents))
        listed = permutations(range(len(self.codebook)), len(self.latents))
        ways = [self.codes["matching"]] if count > LISTED else [list(way) for way in listed]
        rows = []
        for way in ways:
            terms = [float(self.distances[latent, code]) for latent, code in enumerate(way)]
            rows.append([_listed(way), " + ".join(map(number, terms)), sum(terms)])
        table = pd.DataFrame(rows, columns=["codes", "sum", "total distance"])
        table = table.sort_values("total distance", kind="stable", ignore_index=True)[:SHOWN]
        shown = "all of these ways" if len(table) == count else f"the cheapest {len(table)}"
        shown = "the cheapest, which matching finds without listing them" if count > LISTED else shown
        table["total distance"] = table["total distance"].map(number)
        return f"$K!/(K-L)!$ is {count:,} here; the table has {shown}.", table

    def say(self, method: str) -> str:
        """Return what a method ("nearest", "greedy" or "matching") does with these numbers, as Markdown."""
        consequence = {"nearest": self._nearest, "greedy": self._greedy, "matching": self._matching}[method]()
        codes, total = _listed(self.codes[method]), number(self.total(method))
        return f"{method.capitalize()} takes the codes **{codes}**, total distance **{total}**. {consequence}"

    def _nearest(self) -> str:
        codes = self.codes["nearest"]
        shared = {code: [i for i, other in enumerate(codes) if other == code] for code in sorted(set(codes))}
        shared = {code: latents for code, latents in shared.items() if len(latents) > 1}
        if not shared:
            return "No two latents want the same code, so nothing has to be decided: this is a matching already."
        said = "; ".join(f"{_joined(_z(i) for i in latents)} share {_e(code)}" for code, latents in shared.items())
        kept = ", ".join(f"e_{{{code}}}" for code in sorted(set(codes)))
        return (
            f"{said}. The *set* of codes is $\\{{{kept}\\}}$, of size {len(set(codes))}: "
            f"that there were {len(codes)} latents is lost."
        )

    def _greedy(self) -> str:
        taken, wanted = self.of("greedy"), self.of("nearest")
        late = [i for i in range(len(taken)) if taken[i] > wanted[i]]
        if not late:
            return "Every latent finds its nearest code still free."
        paid = (f"{_z(i)} is {number(taken[i])} away from its code instead of {number(wanted[i])}" for i in late)
        return f"Late latents pay: {_joined(paid)}."

    def _matching(self) -> str:
        matched, came = self.of("matching"), self.of("greedy")
        saved = self.total("greedy") - self.total("matching")
        if self.codes["matching"] == self.codes["greedy"]:
            return "Greedy found the same: with these numbers, looking at the whole table changes nothing."
        if saved < 1e-9:
            return "Greedy's codes are others, but cost the same: the optimum is not unique."
        room = [f"{_z(i)} ({number(came[i])} → {number(matched[i])})"
                for i in range(len(came)) if matched[i] > came[i]]  # fmt: skip
        gain = [f"{_z(i)} ({number(came[i])} → {number(matched[i])})"
                for i in range(len(came)) if matched[i] < came[i]]  # fmt: skip
        verb = "makes" if len(room) == 1 else "make"
        return f"That is {number(saved)} less than greedy: {_joined(room)} {verb} room for {_joined(gain)}."


def work_out(latents: Any, codebook: Any) -> Example:
    """Return an example, checked before anything is computed.

    Args:
        latents: L points: numbers, or pairs of numbers; lists, an array or a tensor, of whole numbers too.
        codebook: K >= L points of the same kind.

    Raises:
        ValueError: no points, points that are neither numbers nor pairs, or not all alike; more latents than codes.

    Example:
        >>> example = work_out([0, 1], [0.9, -3])
        >>> example.codes
        {'nearest': [0, 0], 'greedy': [0, 1], 'matching': [1, 0]}
        >>> example.say("nearest")[:60]
        'Nearest takes the codes **0, 0**, total distance **1**. $z_{'
    """
    points = {name: _points(name, given) for name, given in (("latents", latents), ("codebook", codebook))}
    (num_codes, dim), (codebook_size, other) = (tuple(part.shape) for part in points.values())
    if dim != other:
        kinds = {1: "single numbers", 2: "pairs"}
        raise ValueError(f"latents are {kinds[dim]} and codes are {kinds[other]}: give both the same dimension")
    if num_codes > codebook_size:
        raise ValueError(
            f"{num_codes} latents cannot each have a code of their own among {codebook_size} codes (L > K): add at "
            f"least {num_codes - codebook_size} to the codebook, or take latents away"
        )
    return Example(*points.values())


def distance_table(distances: Tensor) -> pd.DataFrame:
    """Return distances `(L, K)` as a table with a row for each latent and a column for each code."""
    rows, columns = distances.shape
    names = [f"latent z{i}" for i in range(rows)], [f"code e{k}" for k in range(columns)]
    return pd.DataFrame([[number(value) for value in row] for row in distances.tolist()], *names)


def number(value: float) -> str:
    """Return a number as short text: two decimals at most, unless it is so small that none of its digits would show.

    Example:
        >>> [number(value) for value in (3.0, 0.9, 1 / 3, 0.001, -3)]
        ['3', '0.9', '0.33', '0.001', '−3']
    """
    text = f"{value:.1g}" if 0 < abs(value) < 0.005 else f"{value:,.2f}".rstrip("0").rstrip(".")
    return text.replace("-", "−")


def _points(name: str, given: Any) -> Tensor:
    what = "numbers, such as [0, 1], or pairs of numbers, such as [[0, 1], [2, 2]]"
    try:
        points = torch.as_tensor(given, dtype=torch.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be {what}: {error}") from error
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or not len(points) or points.shape[1] not in (1, 2) or not points.isfinite().all():
        raise ValueError(f"{name} must be {what}, finite and at least one; got {given!r:.60}")
    return points


def _listed(codes: Sequence[int]) -> str:
    return ", ".join(map(str, codes))


def _joined(words: Any) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _z(latent: int) -> str:
    return f"$z_{{{latent}}}$"


def _e(code: int) -> str:
    return f"$e_{{{code}}}$"
