"""Signals that end a command: a run finishes the step at hand first, a compiler its kernel."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

#: Windows has no SIGHUP, which comes when a terminal is closed.
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


@contextlib.contextmanager
def stopped_by_signals(stop: Callable[[], None] | None = None) -> Iterator[list[int]]:
    """Note signals in the list, and call ``stop``; a second one of a kind ends at once.

    Those that whoever started the program lets be ignored, as ``nohup`` does, are ignored; what
    was made of one outside Python could not be put back, and stays.
    """
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        received.append(number)
        if stop:
            stop()
        signal.signal(number, signal.SIG_DFL)

    there = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    caught = [number for number in there if signal.getsignal(number) not in (signal.SIG_IGN, None)]
    previous = [signal.signal(number, note) for number in caught]
    try:
        yield received
    finally:
        for number, handler in zip(caught, previous, strict=True):
            signal.signal(number, handler)


class PutOff:
    """Puts Ctrl-C off while a kernel is compiled: what is raised in LLVM's callbacks is lost.

    A second one ends at once. Where something else has been made of Ctrl-C that holds.
    """

    _received = False

    def begin(self) -> None:
        """Wait with it from now on."""
        own = threading.current_thread() is threading.main_thread()  # the only one that may
        if own and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: Any) -> None:
        self._received = True
        signal.signal(number, signal.SIG_DFL)

    def end(self) -> None:
        """Raise ``KeyboardInterrupt`` if it came meanwhile."""
        if self._received or signal.getsignal(signal.SIGINT) == self._note:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._received:
            self._received = False
            raise KeyboardInterrupt
