"""Ctrl-C, SIGTERM and SIGHUP during a run: the step at hand is finished first."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

#: Windows has no SIGHUP, which comes when a terminal is closed.
_ENDING = ("SIGINT", "SIGTERM", "SIGHUP")


@contextlib.contextmanager
def stopped_by_signals(stop: Callable[[], None] | None = None) -> Iterator[list[int]]:
    """Note signals in the list, and call ``stop``; a second one of a kind ends at once.

    Those that whoever started the program lets be ignored, as ``nohup`` does, are ignored.
    """
    received: list[int] = []

    def note(number: int, frame: Any) -> None:
        received.append(number)
        if stop:
            stop()
        signal.signal(number, signal.SIG_DFL)

    there = [getattr(signal, name) for name in _ENDING if hasattr(signal, name)]
    caught = [number for number in there if signal.getsignal(number) is not signal.SIG_IGN]
    previous = [signal.signal(number, note) for number in caught]
    try:
        yield received
    finally:
        for number, handler in zip(caught, previous, strict=True):
            signal.signal(number, handler)
