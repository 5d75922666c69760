"""The device to compute on, and the exchange between processes that share each batch."""

import os
from collections.abc import Mapping

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from pivq.settings import check_device


def pick_device(device: str = "auto") -> torch.device:
    """Return the device to compute on; "auto" takes a GPU when there is one.

    Raises:
        TypeError, ValueError: no name of a device, or one that is not there; see `pivq.settings.check_device`.
    """
    return check_device(device)


def is_first() -> bool:
    """Tell whether this is the first of the processes that a launcher started, or one alone; only that one speaks."""
    return os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"


class Processes:
    """The processes that `accelerate launch` or `torchrun` started, or one alone, as seen from this one.

    Several processes share each batch and do together what one would do alone.

    Args:
        device: of a process that is alone; each of several has its own.
        batch_size: images in a batch.

    Attributes:
        accelerator: knows the processes.
        count: number of processes.
        device: of this process.
        rows: this process's rows of each batch.

    Raises:
        TypeError, ValueError: no such device, more processes than images in a batch, or variables of a launcher that
            cannot be.
    """

    def __init__(self, device: str | torch.device, batch_size: int):
        # It has no part in the precision: that is of a trainer, accelerate's is of the whole process.
        device = check_device(device)
        try:
            self.accelerator = Accelerator(cpu=device.type == "cpu", mixed_precision="no")
        except ValueError as error:
            raise ValueError(
                f"{error}: RANK, LOCAL_RANK, WORLD_SIZE and variables that begin with ACCELERATE_ are for torchrun and "
                "accelerate, which set them; unset them to train in one process"
            ) from error
        self.count, self.batch_size = self.accelerator.num_processes, batch_size
        if self.count > batch_size:
            raise ValueError(
                f"{self.count} processes cannot share a batch of {batch_size}: each needs an image, so start at most "
                f"{batch_size}"
            )
        self.device = self.accelerator.device if self.count > 1 else device
        self.rows = share_of_batch(batch_size, self.accelerator.process_index, self.count)
        self._weight = (self.rows.stop - self.rows.start) * self.count / batch_size  # 1 where all have as many rows

    def share_of_mean(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Scale means over this process's rows so that their mean over processes is the mean over the batch."""
        return {name: self._weight * term for name, term in terms.items()}

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over processes."""
        return self.accelerator.reduce(values, "mean") if self.count > 1 else values

    def mean_of_each(self, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the means of scalars over processes, without gradients, in one exchange."""
        means = self.mean(torch.stack([term.detach() for term in terms.values()]))
        return dict(zip(terms, means, strict=True))

    def everywhere(self, holds: bool) -> bool:
        """Return whether something holds in all processes."""
        return bool(self.mean(torch.tensor(float(holds), device=self.device)) == 1)

    def gather(self, rows: Tensor) -> Tensor:
        """Return the rows of all processes, in the order of the batch."""
        if self.count == 1:
            return rows
        gathered = self.accelerator.gather(self.accelerator.pad_across_processes(rows)).chunk(self.count)
        shares = [share_of_batch(self.batch_size, process, self.count) for process in range(self.count)]
        return torch.cat([part[: share.stop - share.start] for part, share in zip(gathered, shares, strict=True)])

    def mean_gradients(self, network: nn.Module) -> None:
        """Replace each gradient by its mean over processes, in one exchange."""
        if self.count > 1:
            gradients = [p.grad for p in network.parameters() if p.grad is not None]
            flat = self.mean(torch.cat([g.flatten() for g in gradients]))
            for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(mean.view_as(gradient))

    def from_main(self, values: Tensor) -> Tensor:
        """Return the main process's values."""
        return broadcast(values) if self.count > 1 else values


def share_of_batch(batch: int, process: int, processes: int) -> slice:
    """Return a process's rows of a batch; if it does not divide evenly, the first processes have one row more."""
    small, larger = divmod(batch, processes)
    start = process * small + min(process, larger)
    return slice(start, start + small + (process < larger))
