"""Callbacks of the training steps: progress, log, validation on held-out images, checkpoints."""

import json
import operator
import time
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from pivq.codebook_init import initialisation_steps
from pivq.inference import reconstruction_errors
from pivq.runs.tracking import TensorBoard
from pivq.sampling import sample_pairs
from pivq.storage.checkpoint import save_checkpoint
from pivq.storage.writing import atomic_write, plain_write_errors, write_text
from pivq.trainer import Trainer
from pivq.usage import code_usage

LOG_EVERY = 20  # steps that a row of the log averages over
VALIDATED_PIXELS = 100 * 64**2  # validated at a time
RENAMED = {"codes_per_image": "mean_codes_per_image"}  # columns of the logs that earlier versions wrote


class Progress:
    """A progress bar with the running losses."""

    def __init__(self, trainer: Trainer, until: int, title: str):
        self.bar = tqdm(total=until, initial=trainer.step, desc=title, unit="step", mininterval=1, dynamic_ncols=True)

    def __call__(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """Advance by a step; show the losses with each row of the log only, since reading them waits for the device."""
        self.bar.update()
        if trainer.step % LOG_EVERY == 0:
            shown = [name for name in ("l1", "perceptual", "commitment") if name in losses]
            self.bar.set_postfix({name: f"{float(losses[name]):.3f}" for name in shown})

    def close(self) -> None:
        """End the bar's line."""
        self.bar.close()


class JsonlLog:
    """Append-only log: one row of mean losses every `LOG_EVERY` steps, one at `flush`, and the rows others `write`.

    A loss that only some steps of a row have is averaged over those. Each row ends with a checksum. Rows of the file
    beyond the trainer's step, which an interrupted run wrote after its last checkpoint, are dropped: these steps are
    repeated.

    A file that something else deletes or changes meanwhile is written again.

    Attributes:
        tracker: what shows the rows too, or None.
        lines: of the file, as written.
    """

    def __init__(self, path: Path, trainer: Trainer):
        self.path, self.tracker = path, None
        kept = [row for row in read_log(path, trainer.step - len(trainer.pending)) if row["step"] <= trainer.step]
        self.lines = list(map(_line, kept))
        write_text(path, "".join(self.lines))
        self.size, self.started = self._size(), time.perf_counter()

    def __call__(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """Add a step; write a row when one is full."""
        trainer.pending.append(losses)
        if trainer.step % LOG_EVERY == 0:
            self.flush(trainer)

    def flush(self, trainer: Trainer) -> None:
        """Write a row of the steps since the last one, if there are any."""
        if losses := trainer.pending:
            now = time.perf_counter()
            names = dict.fromkeys(name for row in losses for name in row)
            steps = {name: torch.stack([row[name] for row in losses if name in row]) for name in names}
            means = {name: float(values.mean()) for name, values in steps.items()}
            self.write({"step": trainer.step, **means, "skipped": trainer.skipped, "seconds": now - self.started})
            trainer.pending, self.started = [], now

    def write(self, row: dict) -> None:
        """Append one row."""
        with plain_write_errors("the log", self.path.parent):
            if self._size() != self.size:
                self._restore()
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(_line(row))
        self.lines.append(_line(row))
        self.size = self._size()
        if self.tracker:
            self.tracker.row(row)

    def _size(self) -> int | None:
        return self.path.stat().st_size if self.path.is_file() else None

    def _restore(self) -> None:
        warnings.warn(f"{self.path} was changed from outside during the training: it is written again", stacklevel=3)
        write_text(self.path, "".join(self.lines))

    def track(self, tracker: str, folder: Path, step: int) -> None:
        """Show the rows, those that are there too, in "tensorboard"; "" is nowhere."""
        if tracker:
            self.tracker = TensorBoard(folder, step, read_log(self.path))

    def close(self) -> None:
        """Check the whole file, which itself is never open, and close the tracker, if there is one."""
        with plain_write_errors("the log", self.path.parent):
            lines = self.path.read_bytes().splitlines() if self.path.is_file() else None
            if lines != [line.strip().encode() for line in self.lines]:
                self._restore()
        if self.tracker:
            self.tracker.close()


def _line(row: dict) -> str:
    text = json.dumps(row)
    return f'{text[:-1]}, "check": "{zlib.crc32(text.encode()):08x}"}}\n'


def read_log(path: Path, until: int = 0) -> list[dict]:
    """Return the rows of a log, none if there is no file; without a last line that a crash cut short.

    Rows of earlier versions have no checksum.

    Args:
        path: of the log.
        until: the step up to which there must be rows.

    Warns:
        UserWarning: other lines are damaged, and left out, or rows are missing at the end; says how many lines, or from
            which step on.
    """
    rows, damaged = [], 0
    content = path.read_bytes() if path.is_file() else b""
    lines, checked = content.splitlines(keepends=True), b', "check": "' in content
    for line in lines:
        try:
            row = json.loads(line)
            operator.index(row["step"])
            row.pop("check", None)
            if checked and _line(row).strip() != line.decode().strip():
                raise ValueError("its checksum does not match")
            rows.append({RENAMED.get(name, name): value for name, value in row.items()})
        except (ValueError, AttributeError, KeyError, TypeError):
            damaged += line.endswith(b"\n")
    if damaged:
        count = f"{damaged} of {len(lines)} lines are damaged and left out"
        warnings.warn(f"{path}: {count}; the other rows, and the training, are whole", stacklevel=2)
    last = max((row["step"] for row in rows), default=0)
    if last < until:
        lost = f"the rows after step {last:,} up to step {until:,} are missing"
        warnings.warn(f"{path}: {lost}; the training is whole", stacklevel=2)
    return rows


def best_and_last(logs: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return the best held-out PSNR in dB since T_q, its step, and the last one; a row per log, by name.

    Args:
        logs: frames of the rows of a log, of runs that have quantized.
    """
    rows = []
    for name, log in logs.items():
        measured = log.dropna(subset=["heldout_psnr", "codes_in_use"])  # codes are counted from T_q on
        best, last = measured.loc[measured["heldout_psnr"].idxmax()], measured.iloc[-1]
        rows.append({
            "model": name, "best PSNR (dB)": f"{best['heldout_psnr']:.2f}", "at step": f"{best['step']:,.0f}",
            "last PSNR (dB)": f"{last['heldout_psnr']:.2f}", "codes in use then": f"{best['codes_in_use']:,.0f}",
            "and last": f"{last['codes_in_use']:,.0f}",
        })  # fmt: skip
    return pd.DataFrame(rows)


class Validation:
    """At intervals, reconstruct held-out images `(N, 3, H, W)` uint8 with the EMA model and log the errors.

    The folder gets `reconstructions-<step>.png`: a row of originals, one of their reconstructions and, once the model
    quantizes, one of samples.
    """

    def __init__(self, images: Tensor, folder: Path, log: JsonlLog):
        self.images, self.folder, self.log = images, folder, log

    def __call__(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """Validate every `validate_every` steps, before each fit of the codebook and after the first step with it."""
        step, fits = trainer.step, initialisation_steps(trainer.config.train)
        if step in fits or step - 1 in fits or step % trainer.config.evaluation.validate_every == 0:
            row, pictures, uses, samples = validate(trainer, self.images)
            self.log.write({"step": step, **row})
            if self.log.tracker:
                self.log.tracker.validation(pictures, uses, step)
            from torchvision.utils import save_image  # here: it takes seconds, and most processes never need it

            with atomic_write(self.folder / f"reconstructions-{step:06d}.png") as temporary:
                shown = pictures if samples is None else torch.cat([pictures, samples])
                save_image(shown, temporary, nrow=len(pictures) // 2, padding=0)


def validate(trainer: Trainer, images: Tensor) -> tuple[dict[str, float], Tensor, np.ndarray | None, Tensor | None]:
    """Measure the EMA model on images `(N, 3, H, W)` uint8; no random number of the training is used.

    Returns:
        means over images; eight originals and then their reconstructions; how often each code is used `(K,)`, None
        before the model quantizes; as many samples of Algorithm 1 as originals, from the codes of these images and the
        same parents each time, None before the model quantizes.

    The means are `heldout_l1` on the [0, 1] scale, `heldout_psnr` in dB and `heldout_perceptual`. Once the
    model quantizes, there are also `codes_in_use` and `mean_codes_per_image` (distinct codes).
    """
    codes, pictures = [], []

    def reconstruct(originals: Tensor) -> Tensor:
        output = trainer.ema(originals, quantize=trainer.quantizing)
        made = output.images.clamp(0, 1)
        if not pictures:
            pictures.append(torch.cat([originals[:8], made[:8]]).cpu())
        if output.quantization:
            codes.append(output.quantization.codes.cpu())
        return made

    batch_size = max(8, VALIDATED_PIXELS // trainer.config.model.image_size**2)
    errors = reconstruction_errors(reconstruct, images, batch_size, trainer.device, more=[trainer.perceptual])
    row = dict(zip(("heldout_l1", "heldout_psnr", "heldout_perceptual"), errors, strict=True))
    uses = samples = None
    if codes:
        found, codebook_size = torch.cat(codes), trainer.config.model.codebook_size
        usage = code_usage(found.numpy(), codebook_size)
        row |= {name: getattr(usage, name) for name in ("codes_in_use", "mean_codes_per_image")}
        uses = np.bincount(found.flatten().numpy(), minlength=codebook_size)
        if len(found) > 1:
            samples = _decoded_samples(trainer, found, len(pictures[0]) // 2)
    return row, pictures[0], uses, samples


@torch.no_grad()
def _decoded_samples(trainer: Trainer, codes: Tensor, count: int) -> Tensor:
    """Return samples `(count, 3, H, W)` of Algorithm 1 from codes `(N, L)`, decoded by the EMA model."""
    drawn = sample_pairs(codes, count, trainer.config.seed, multiset=trainer.quantizer == "nearest").codes
    codebook = trainer.ema.quantizer.codebook
    return trainer.ema.decoder(codebook[drawn.to(codebook.device)]).clamp(0, 1).cpu()


class Checkpoints:
    """Save the trainer's state every `checkpoint_every` steps; after a crash, the steps since then are repeated.

    `more` are plain values that are saved with it.
    """

    def __init__(self, path: Path, more: dict[str, Any] | None = None):
        self.path, self.more = path, more or {}

    def __call__(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """Save if the step is one of these."""
        if trainer.step % trainer.config.evaluation.checkpoint_every == 0:
            save_checkpoint(self.path, trainer.state_dict() | self.more)
