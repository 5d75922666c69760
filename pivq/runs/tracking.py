"""TensorBoard, in addition to a training's log, through accelerate's tracker: curves, pictures, the use of codes."""

import os
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

FOLDER = "tensorboard"  # in the folder of a run or stage; whoever starts from a stage copies it if it can
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

    Whatever goes wrong with the files of TensorBoard (gone, replaced, a full disk) ends the showing with a warning, and
    never the training.

    Args:
        folder: of the run or stage.
        step: the last one that is trained: what an interrupted run has shown of later ones is withdrawn, because they
            are repeated.
        rows: of the log so far, shown if the folder has nothing yet.
    """

    def __init__(self, folder: Path, step: int, rows: list[dict[str, Any]]):
        self.folder, self.shows, self.new = folder, True, False
        self._try(lambda: self._begin(step))
        for row in rows if self.new else ():
            self.row(row)

    def _begin(self, step: int) -> None:
        from accelerate.tracking import TensorBoardTracker

        self.new = not os.path.lexists(self.folder / FOLDER)
        self.tracker = TensorBoardTracker(FOLDER, str(self.folder), purge_step=step + 1)
        if hasattr(self.tracker, "start"):  # earlier versions of accelerate start at once
            self.tracker.start()

    def _try(self, show: Callable[[], object]) -> None:
        if not self.shows:
            return
        try:
            show()
        except Exception as error:  # tensorboard writes in a thread and raises what that met
            self.shows = False
            reason = getattr(error, "strerror", None) or error
            warnings.warn(
                f"{self.folder / FOLDER} cannot be written ({reason}): TensorBoard shows nothing more of this "
                "training, which goes on",
                stacklevel=2,
            )

    def row(self, row: dict[str, Any]) -> None:
        """Show a row of the log."""
        values = {f"{GROUPS.get(name, 'loss')}/{name}": value for name, value in row.items() if name != "step"}
        self._try(lambda: self.tracker.log(values, step=row["step"]))

    def validation(self, pictures: Tensor, uses: np.ndarray | None, step: int) -> None:
        """Show what `pivq.runs.callbacks.validate` returned: the pictures and, if not None, the uses of each code."""
        from torchvision.utils import make_grid  # here: it takes seconds, and most processes never need it

        grid = make_grid(pictures, nrow=len(pictures) // 2, padding=0)
        self._try(lambda: self.tracker.log_images({"reconstructions": grid[None].numpy()}, step=step))
        if uses is not None:
            self._try(lambda: self.tracker.tracker.add_histogram("codes/uses_of_each", uses, global_step=step))

    def close(self) -> None:
        """Write what is left."""
        self._try(lambda: self.tracker.finish())
