"""Stop a training between two steps: after the first signal the step ends and is saved; a second one ends at once.

Ctrl-C and Jupyter's *Interrupt Kernel* send SIGINT; SIGTERM comes from a scheduler, or from the process
that started a training. Standard library only.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, current_thread, main_thread
from typing import Any

CHECKED_EVERY = 20  # steps between two looks of several processes, which must all stop after the same one


class Stopped(KeyboardInterrupt):
    """A training was asked to stop, and what is done is saved; `number` is the signal that asked."""

    def __init__(self, message: str, number: int = signal.SIGINT):
        super().__init__(message)
        self.number = number


class StopRequest(Event):
    """Is set when work is to stop; `number` is the signal that asked, 0 if a failure did.

    Attributes:
        at_once: is set when it is to stop without saving.
    """

    def __init__(self):
        super().__init__()
        self.number, self.at_once = 0, Event()


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Yield what the first SIGINT or SIGTERM sets, instead of what it would do; the next one does what it always does.

    Signals that are ignored (nohup) stay ignored. Only the main thread can be told of signals: in another one, nothing
    is set.
    """
    request, before = StopRequest(), {}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, _: Any) -> None:
        restore()
        request.number = number
        request.set()

    if current_thread() is main_thread():
        found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        before = {number: handler for number, handler in found.items() if handler not in (signal.SIG_IGN, None)}
        for number in before:
            signal.signal(number, ask)
    try:
        yield request
    finally:
        restore()


class StopWhenAsked:
    """The last callback of a training: after the step in which it was asked to stop, save and raise `Stopped`.

    Args:
        request: of `stop_requests`.
        save: writes the checkpoint, if this process does that.
    """

    def __init__(self, request: StopRequest, save: Callable[[], object]):
        self.request, self.save = request, save

    def __call__(self, trainer: Any, losses: Any) -> None:
        """Stop if it was asked. Several processes stop together, as soon as one of them was asked."""
        asked = self.request.is_set()
        if trainer.processes.count > 1:
            asked = trainer.step % CHECKED_EVERY == 0 and not trainer.processes.everywhere(not asked)
        if asked:
            self.save()
            self.stop(trainer)

    def stop(self, trainer: Any) -> None:
        """Raise `Stopped`, of a trainer that is saved."""
        raise Stopped(f"Stopped at step {trainer.step:,} and saved.", self.request.number or signal.SIGINT)
