"""What happens beside the training steps: progress, log, validation on held-out images, checkpoints."""

import json
import time
from pathlib import Path

import torch
from torch import Tensor
from torchvision.utils import save_image
from tqdm import tqdm

from pivq.codebook_init import initialisation_steps
from pivq.losses import psnr
from pivq.storage.checkpoint import save_checkpoint
from pivq.storage.writing import atomic_write
from pivq.trainer import Trainer
from pivq.usage import code_usage

LOG_EVERY = 20  # steps a row of the log averages over
VALIDATED_PIXELS = 100 * 64**2  # at a time


class Progress:
    """A progress bar with the running losses."""

    def __init__(self, trainer: Trainer, until: int, title: str):
        self.bar = tqdm(total=until, initial=trainer.step, desc=title, unit="step", mininterval=1, dynamic_ncols=True)

    def __call__(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """Advance by a step; show the losses now and then, since reading them waits for the device."""
        self.bar.update()
        if trainer.step % LOG_EVERY == 0:
            shown = [name for name in ("l1", "perceptual", "commitment") if name in losses]
            self.bar.set_postfix({name: f"{float(losses[name]):.3f}" for name in shown})


class JsonlLog:
    """Append-only log: one row of mean losses every `LOG_EVERY` steps, one at `flush`, and the rows others `write`.

    A loss that is not there in all of a row's steps is averaged over those that have it.

    Args:
        path: `log.jsonl`; rows beyond the trainer's step, left by a run that was cut off after its last checkpoint,
            are dropped, since those steps are done again.
    """

    def __init__(self, path: Path, trainer: Trainer):
        self.path = path
        kept = [row for row in read_log(path) if row["step"] <= trainer.step]
        with atomic_write(path) as temporary:
            temporary.write_text("".join(json.dumps(row) + "\n" for row in kept))
        self.losses: list[dict[str, Tensor]] = []
        self.started = time.perf_counter()

    def __call__(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """Add a step; write a row when one is full."""
        self.losses.append(losses)
        if trainer.step % LOG_EVERY == 0:
            self.flush(trainer)

    def flush(self, trainer: Trainer) -> None:
        """Write a row of the steps since the last one, if there are any."""
        if self.losses:
            now = time.perf_counter()
            names = dict.fromkeys(name for row in self.losses for name in row)
            steps = {name: [row[name] for row in self.losses if name in row] for name in names}
            means = {name: float(torch.stack(values).mean()) for name, values in steps.items()}
            self.write({"step": trainer.step, **means, "skipped": trainer.skipped, "seconds": now - self.started})
            self.losses, self.started = [], now

    def write(self, row: dict) -> None:
        """Append one row."""
        with open(self.path, "a") as file:
            file.write(json.dumps(row) + "\n")


def read_log(path: Path) -> list[dict]:
    """Return the rows of a log, none if there is no file; a last line cut off by a crash is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


class Validation:
    """Every so often, reconstruct held-out images with the EMA model; log the figures and keep a picture.

    Args:
        images: held-out images `(N, 3, H, W)` uint8.
        folder: gets `reconstructions-<step>.png`: a row of originals over a row of reconstructions.
    """

    def __init__(self, images: Tensor, folder: Path, log: JsonlLog):
        self.images, self.folder, self.log = images, folder, log

    def __call__(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """Validate when it is time, just before each fit of the codebook, and after the first step with it."""
        step, fits = trainer.step, initialisation_steps(trainer.config.train)
        if step in fits or step - 1 in fits or step % trainer.config.evaluation.validate_every == 0:
            row, pictures = validate(trainer, self.images)
            self.log.write({"step": trainer.step, **row})
            with atomic_write(self.folder / f"reconstructions-{trainer.step:06d}.png") as temporary:
                save_image(pictures, temporary, nrow=len(pictures) // 2, padding=0)


@torch.no_grad()
def validate(trainer: Trainer, images: Tensor) -> tuple[dict[str, float], Tensor]:
    """Return figures of the EMA model on images `(N, 3, H, W)` uint8, and eight originals with reconstructions.

    The figures are means over images: `heldout_l1` on the [0, 1] scale, `heldout_psnr` in dB, `heldout_perceptual`;
    once the model quantizes, also `codes_in_use` and `codes_per_image` (distinct, mean).
    """
    sums, codes, pictures = torch.zeros(3, dtype=torch.float64), [], None
    for batch in images.split(max(8, VALIDATED_PIXELS // trainer.config.model.image_size**2)):
        targets = batch.to(trainer.device).float() / 255
        output = trainer.ema(targets, quantize=trainer.quantizing)
        made = output.images.clamp(0, 1)
        l1 = (made - targets).abs().mean(dim=(1, 2, 3))
        sums += torch.stack([x.sum().cpu() for x in (l1, psnr(made, targets), trainer.perceptual(made, targets))])
        if output.quantized:
            codes.append(output.quantized.codes.cpu())
        if pictures is None:
            pictures = torch.cat([targets[:8], made[:8]]).cpu()
    row = dict(zip(("heldout_l1", "heldout_psnr", "heldout_perceptual"), (sums / len(images)).tolist(), strict=True))
    if codes:
        usage = code_usage(torch.cat(codes).numpy(), trainer.config.model.codebook_size)
        row |= {"codes_in_use": usage.codes_in_use, "codes_per_image": usage.mean_codes_per_image}
    return row, pictures


class Checkpoints:
    """Save the trainer's state every so often; the rows of the log since then are done again after a crash."""

    def __init__(self, path: Path):
        self.path = path

    def __call__(self, trainer: Trainer, losses: dict[str, Tensor]) -> None:
        """Save when it is time."""
        if trainer.step % trainer.config.evaluation.checkpoint_every == 0:
            save_checkpoint(self.path, trainer.state_dict())
