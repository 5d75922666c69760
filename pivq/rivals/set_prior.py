"""A prior over sets of codes: given some codes of an image, which others belong to it? The step the paper leaves open.

A matched image is a set of exactly L of K codes. The prior sees the given codes, without positions, and answers with
logits over the codebook,

    logits(c | S) = b_c + sum over s in S of W_{s,c} + (what a small transformer reads from S)_c .

W alone is the log-linear model of pairs: which codes meet, and which are alternatives. Hidden places hold one more
code, K, so that the number of codes that are given is seen too. Trained by hiding a random part of each set;
`pivq.rivals.any_order` has what the loss bounds, and draws.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from pivq.layers import Transformer
from pivq.optimizers import Muon
from pivq.rivals.any_order import Predictor, as_sets, hidden_bits, set_bits
from pivq.settings import check_whole

VALIDATION_DRAWS = 4  # parts of each validation set that are hidden in turn; source: assumption
ORDERS = 2  # random ones of each set, in `SetPrior.bits`; source: assumption


@dataclass(frozen=True)
class PriorSettings:
    """Sizes and training of the prior. Source of every value: assumption, chosen on 1,000 training faces kept apart."""

    dim: int = 64
    feedforward: int = 128
    layers: int = 2  # 0 leaves the weights of pairs alone
    heads: int = 4
    query_key_gain: float = 1.0
    steps: int = 5500
    batch_size: int = 128
    learning_rate: float = 6e-3  # peak, of what the two below leave to AdamW
    muon_learning_rate: float = 1e-2  # peak, of Muon on the transformer's matrices
    pair_learning_rate: float = 2e-2  # peak, of W
    warmup_steps: int = 100
    weight_decay: float = 0.05
    pair_weight_decay: float = 0.1
    gradient_clip: float = 1.0
    adam_betas: tuple[float, float] = (0.9, 0.99)
    validation_share: float = 0.1  # of the sets; never trained on, they choose the step whose weights are kept
    validations: int = 20

    def __post_init__(self):
        for name in ("dim", "feedforward", "heads", "steps", "batch_size", "warmup_steps", "validations"):
            check_whole(name, getattr(self, name))
        check_whole("layers", self.layers, 0)
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share must be between 0 and 1, got {self.validation_share}")


class SetPrior(nn.Module):
    """Predict the next code of a set from the given ones: a predictor of `pivq.rivals.any_order`.

    Args:
        codebook_size: K.
        settings: of sizes.
    """

    def __init__(self, codebook_size: int, settings: PriorSettings | None = None):
        super().__init__()
        settings = settings or PriorSettings()
        self.codebook_size = check_whole("codebook_size", codebook_size)
        self.bias = nn.Parameter(torch.zeros(codebook_size))
        self.pairs = nn.Embedding(codebook_size + 1, codebook_size)  # W; the last row is of a hidden place
        nn.init.zeros_(self.pairs.weight)
        self.transformer = None
        if settings.layers:
            dim = settings.dim
            self.embed = nn.Embedding(codebook_size + 1, dim)
            self.transformer = Transformer(
                settings.layers, dim, settings.heads, settings.feedforward, settings.query_key_gain
            )
            self.out = nn.Linear(dim, codebook_size, bias=False)
            nn.init.zeros_(self.out.weight)  # so that training begins with the pairs

    def forward(self, given: Tensor) -> Tensor:
        """Return logits `(B, K)` from codes `(B, L)` int64, K where hidden: at least once in each row; in any order."""
        logits = self.bias + F.embedding_bag(given, self.pairs.weight, mode="sum")
        if self.transformer is None:
            return logits
        tokens = self.embed(given.sort(dim=1).values)  # (B, L, d); hidden places come last, and all read alike
        return logits + self.out(self.transformer(tokens, slice(-1, None))[:, 0])

    def bits(self, codes: Tensor, generator: torch.Generator) -> float:
        """Return an upper bound of the mean bits of a set, for sets `(N, L)`, from `ORDERS` random orders of each.

        It is the mean over orders, the bound that `pivq.rivals.absorbing` has too, and not the tightened one. The
        generator's seed decides the orders.
        """
        return float(set_bits(self, codes, self.codebook_size, ORDERS, generator.initial_seed()).mean())


def frequencies(codes: Tensor, codebook_size: int) -> Predictor:
    """Return the predictor that needs no network: codes as often as in the sets `(N, L)`, whatever is given.

    Half a use is added to each count, so that a code that no set has stays possible (Krichevsky and Trofimov).
    """
    counts = as_sets(codes, codebook_size).flatten().bincount(minlength=codebook_size)
    logs = (counts + 0.5).log()
    return lambda given: logs.to(given.device).expand(len(given), -1)


class TrainedPrior(NamedTuple):
    """A prior and how it was trained."""

    prior: SetPrior  # in evaluation mode
    log: list[dict[str, float]]  # `step`, `train` (mean since the last entry) and `validation`, in bits a set
    seconds: float | None = None  # of the training, where it was; None if nobody noted it


def train_set_prior(
    codes: Tensor, codebook_size: int, seed: int = 0, settings: PriorSettings | None = None, progress: bool = True
) -> TrainedPrior:
    """Train a prior on sets of codes, on the CPU; the weights of the best validation are kept.

    The same codes, seed and settings give the same prior on the same number of threads.

    Args:
        codes: sets, integers `(N, L)`, N >= 2.
        codebook_size: K.
        seed: of the initial weights, of which sets are for validation, and of what is hidden.
        settings: the default ones if None.
        progress: show a progress bar with the bits of the last validation.

    Raises:
        TypeError, ValueError: codes that are no sets (`pivq.rivals.any_order.as_sets`), fewer than two, or a wrong
            seed.
    """
    settings, codes = settings or PriorSettings(), as_sets(codes, codebook_size).cpu()
    generator = torch.Generator().manual_seed(check_whole("seed", seed, 0))
    if len(codes) < 2:
        raise ValueError(f"codes must be at least two sets, to train on and to validate, got {tuple(codes.shape)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        prior = SetPrior(codebook_size, settings)
    mixed = codes[torch.randperm(len(codes), generator=generator)]
    number = min(len(codes) - 1, max(1, round(settings.validation_share * len(codes))))
    judge, train = _validation(mixed[:number], codebook_size, generator), mixed[number:]
    optimizers = _optimizers(prior, settings)
    schedules = [_schedule(optimizer, settings) for optimizer in optimizers]
    log, best, recent, every = [], None, [], max(1, settings.steps // settings.validations)
    for step in (bar := tqdm(range(1, settings.steps + 1), desc="prior", unit="step", disable=not progress)):
        some = train[torch.randint(len(train), (settings.batch_size,), generator=generator)]
        loss = hidden_bits(prior, some, hide(some, codebook_size, generator), codebook_size).mean()
        prior.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(prior.parameters(), settings.gradient_clip)
        for part in (*optimizers, *schedules):
            part.step()
        recent.append(loss.item())
        if step % every == 0 or step == settings.steps:
            log.append({"step": step, "train": sum(recent) / len(recent), "validation": judge(prior)})
            bar.set_postfix(bits=f"{log[-1]['validation']:.1f}")
            recent = []
            if best is None or log[-1]["validation"] < best[0]:
                best = log[-1]["validation"], {name: value.clone() for name, value in prior.state_dict().items()}
    prior.load_state_dict(best[1])
    return TrainedPrior(prior.eval().requires_grad_(False), log)


def hide(codes: Tensor, codebook_size: int, generator: torch.Generator) -> Tensor:
    """Return sets `(B, L)` with K in place of a random part: of each set 1 … L codes, equally likely."""
    count = torch.randint(codes.shape[1], (len(codes), 1), generator=generator)  # that stay
    rank = torch.rand(codes.shape, generator=generator).argsort(dim=1)
    return torch.where(rank < count, codes, codebook_size)


def _validation(codes: Tensor, codebook_size: int, generator: torch.Generator) -> Callable[[SetPrior], float]:
    """Return what judges a prior, in bits a set: always on the same hidden parts."""
    codes = codes.repeat(VALIDATION_DRAWS, 1)
    given = hide(codes, codebook_size, generator)

    @torch.no_grad()
    def judge(prior: SetPrior) -> float:
        parts = zip(codes.split(1024), given.split(1024), strict=True)
        return float(torch.cat([hidden_bits(prior, *part, codebook_size) for part in parts]).mean())

    return judge


def _optimizers(prior: SetPrior, settings: PriorSettings) -> list[torch.optim.Optimizer]:
    """Return AdamW, with a rate of its own for W, and Muon for the transformer's matrices where there are layers."""
    pairs, transformer = prior.pairs.weight, prior.transformer or nn.Module()
    matrices = [value for value in transformer.parameters() if value.ndim > 1]
    others = [value for value in prior.parameters() if all(value is not known for known in (pairs, *matrices))]
    adam = torch.optim.AdamW(
        [
            {"params": [pairs], "lr": settings.pair_learning_rate, "weight_decay": settings.pair_weight_decay},
            {"params": [value for value in others if value.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [value for value in others if value.ndim < 2], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=settings.adam_betas,
    )
    return [adam, Muon(matrices, settings.muon_learning_rate, settings.weight_decay)] if matrices else [adam]


def _schedule(optimizer: torch.optim.Optimizer, settings: PriorSettings) -> torch.optim.lr_scheduler.LRScheduler:
    """Return what takes the learning rates up linearly, and down to 0 by a cosine."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1, (step + 1) / settings.warmup_steps) * (1 + math.cos(math.pi * step / settings.steps)) / 2,
    )
