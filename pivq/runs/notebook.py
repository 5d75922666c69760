"""What a notebook shows while a cell runs and when it fails: outputs that are replaced, errors in one line.

Standard library only: all goes through the IPython shell of the running kernel, if there is one.
"""

import io
import sys
import traceback
import uuid
from html import escape
from pathlib import Path
from types import TracebackType
from typing import Any

from pivq.runs.stopping import Stopped

PACKAGE = Path(__file__).resolve().parents[1]
EXPECTED = (OSError, ValueError, RuntimeError, ImportError)  # what the product raises to say what is wrong
RED, PLAIN = "\x1b[31m", "\x1b[0m"


def shell() -> Any | None:
    """Return the shell of the kernel that this process is, or None: a script, a terminal."""
    ipython = sys.modules.get("IPython")
    found = ipython and ipython.get_ipython()
    return found if found and hasattr(found, "kernel") else None


def in_notebook() -> bool:
    """Say whether this process is the kernel of a notebook."""
    return shell() is not None


class Area:
    """A place among the outputs of a cell whose content is replaced; an executed notebook keeps the last one."""

    def __init__(self):
        self.id: str | None = None

    def show(self, data: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        """Show the same content in one or more formats, by MIME type."""
        new, self.id = self.id is None, self.id or uuid.uuid4().hex
        shell().display_pub.publish(data, metadata or {}, transient={"display_id": self.id}, update=not new)

    def show_figure(self, figure: Any) -> None:
        """Show a figure of matplotlib, sharp on any screen; its label describes it, and pages fold it as `live`."""
        picture, scale = io.BytesIO(), 2
        figure.savefig(picture, format="png", dpi=scale * figure.dpi)
        width, height = (int(inches * figure.dpi) for inches in figure.get_size_inches())
        about = {"width": width, "height": height, "alt": figure.get_label()}
        data = {"image/png": picture.getvalue(), "text/plain": figure.get_label()}
        self.show(data, {"image/png": about, "live": True})


def tell_errors_briefly() -> None:
    """In a notebook, show errors that the product raises in one line, with the traceback folded below it.

    The cell fails as ever, so that later ones do not run and `run_all.sh` ends.
    """
    if found := shell():
        found.set_custom_exc((*EXPECTED, KeyboardInterrupt), _show)


def _show(found: Any, kind: type, error: BaseException, trace: TracebackType, tb_offset: int | None = None) -> None:
    """Show an error of a cell in `found`, the shell."""
    if (said := what_to_say(error, trace)) is None:
        return found.showtraceback((kind, error, trace), tb_offset=tb_offset, running_compiled_code=True)
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace  # for %debug and %tb
    found._showtraceback(kind, error, [f"{RED}{said}{PLAIN}"])
    if not isinstance(error, Stopped):
        lines = "".join(traceback.format_exception(kind, error, trace.tb_next))
        html = f"<details><summary>Traceback</summary><pre>{escape(lines)}</pre></details>"
        found.display_pub.publish({"text/plain": lines, "text/html": html})


def what_to_say(error: BaseException, trace: TracebackType | None) -> str | None:
    """Return the line for an error, or None if it is not one that the product raises itself.

    Example:
        >>> what_to_say(Stopped("Stopped at step 167 and saved."), None)
        'Stopped at step 167 and saved. Run this cell again to resume.'
    """
    if isinstance(error, Stopped):
        return f"{error} Run this cell again to resume."
    places = [Path(frame.f_code.co_filename) for frame, _ in traceback.walk_tb(trace)]
    ours = [path.is_relative_to(PACKAGE) for path in places]
    if isinstance(error, KeyboardInterrupt):
        return "Interrupted. Finished work is kept. Run this cell again." if any(ours) else None
    return f"{type(error).__name__}: {error}" if ours and ours[-1] else None
