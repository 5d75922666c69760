"""TensorBoard beside the log of a training, through accelerate's tracker: curves, pictures, the use of codes."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torchvision.utils import make_grid

FOLDER = "tensorboard"  # in the folder of a run or stage; whoever starts from a stage copies it with the log
# Groups of curves, by the names of a log's columns; what is in none is a loss.
GROUPS = {"heldout_l1": "heldout", "heldout_psnr": "heldout", "heldout_perceptual": "heldout", "codes_in_use": "codes",
          "mean_codes_per_image": "codes", "skipped": "training", "seconds": "training"}  # fmt: skip


def check_tracker(name: str) -> None:
    """Check that the package of a tracker is installed; "" is no tracker.

    Raises:
        ValueError: it is not; says how to install it.
    """
    if name and not find_spec(name):
        raise ValueError(f"--log {name} needs the package {name}, which is not installed: pip install {name}")


class TensorBoard:
    """Show what a log's rows and a validation hold; nothing of the training changes.

    Args:
        folder: of the run or stage.
        step: the last one that is trained: what an interrupted run has shown of later ones is withdrawn, because they
            are repeated.
        rows: of the log so far, shown if the folder has nothing yet.
    """

    def __init__(self, folder: Path, step: int, rows: list[dict[str, Any]]):
        from accelerate.tracking import TensorBoardTracker

        place = folder / FOLDER
        new = not place.exists()
        self.tracker = TensorBoardTracker(FOLDER, str(folder), purge_step=step + 1)
        if hasattr(self.tracker, "start"):  # earlier versions of accelerate start at once
            self.tracker.start()
        for row in rows if new else ():
            self.row(row)

    def row(self, row: dict[str, Any]) -> None:
        """Show a row of the log."""
        values = {f"{GROUPS.get(name, 'loss')}/{name}": value for name, value in row.items() if name != "step"}
        self.tracker.log(values, step=row["step"])

    def validation(self, pictures: Tensor, uses: np.ndarray | None, step: int) -> None:
        """Show what `pivq.runs.callbacks.validate` returned: the pictures and, if not None, the uses of each code."""
        grid = make_grid(pictures, nrow=len(pictures) // 2, padding=0)
        self.tracker.log_images({"reconstructions": grid[None].numpy()}, step=step)
        if uses is not None:
            self.tracker.tracker.add_histogram("codes/uses_of_each", uses, global_step=step)

    def close(self) -> None:
        """Write what is left."""
        self.tracker.finish()
