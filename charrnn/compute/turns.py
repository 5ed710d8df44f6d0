"""Threads that take turns, and what a child process must not take over from its parent.

A child made by ``os.fork`` has one thread, the one that forked: locks that others held would stay
locked for ever, and what others were changing would stay half changed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, TypeVar, cast

from numba.core.compiler_lock import global_compiler_lock

from charrnn.errors import UsageError

_Method = TypeVar("_Method", bound=Callable[..., Any])


class _Renewable(Protocol):
    def renew(self) -> None:
        """Begin anew in a child process, without the threads of its parent."""


#: What is renewed in a child process.
renewed_after_fork: weakref.WeakSet[_Renewable] = weakref.WeakSet()

#: Held while weights change: a thread that forks waits for it, so that its child has all of an
#: update or nothing of it.
no_fork = threading.RLock()

#: Threads that are making a child, and those that have a last turn or wait for it. What interrupts
#: them could wait for a thread that waits for them.
_forking: set[int] = set()
_at_last: set[int] = set()

#: Seconds for which a thread that has had its turn lets others go before it. They wake up in some
#: 50 µs; one that evaluates text after text kept another waiting for 17 s without this.
_STEP_BACK = 2e-4


class Turns:
    """Lets one thread at a time do what several must not do at once.

    A thread that has the turn, or waits for it, can ask for it again only from a signal handler or
    from what else interrupts it. That call could neither wait for the one that it interrupts nor
    go before it. Nor can one that interrupts a ``last`` turn, in which a thread asks for no other:
    who has the turn that it asks for may be waiting for this one.
    """

    def __init__(self, *, last: bool = False) -> None:
        self._lock, self._last = threading.Lock(), last
        self._inside: set[int] = set()  # threads that have the turn or wait for it
        renewed_after_fork.add(self)

    @contextlib.contextmanager
    def take(self) -> Iterator[None]:
        """Wait for the turn and have it in the block.

        Raises ``UsageError`` where this thread is inside already, or in a last turn, or in a fork.
        """
        thread = threading.get_ident()
        if any(thread in own for own in (self._inside, _at_last, _forking)):
            raise UsageError(
                "the model is in the middle of a call or a fork, which this one interrupts: do not "
                "call it from a signal handler, but let that note what is to be done afterwards"
            )
        try:
            self._inside.add(thread)
            if self._last:
                _at_last.add(thread)
            with self._lock:
                yield
        finally:
            self._inside.discard(thread)
            if self._last:
                _at_last.discard(thread)
        if self._inside:
            time.sleep(_STEP_BACK)

    def renew(self) -> None:
        """Let nobody be inside who is not in this process."""
        self._lock = threading.Lock()
        self._inside &= {threading.get_ident()}


@contextlib.contextmanager
def all_turns(several: Iterable[Turns]) -> Iterator[None]:
    """Wait for several turns, of which one may come twice, and have them all in the block.

    All threads take them in the same order: no two have one each that the other waits for.
    """
    with contextlib.ExitStack() as taken:
        for turns in sorted(set(several), key=id):
            taken.enter_context(turns.take())
        yield


def in_turn(method: _Method) -> _Method:
    """The method of an object that takes a turn of its ``network`` for each call."""

    @functools.wraps(method)
    def call(self, *arguments, **options):
        with self.network.turns.take():
            return method(self, *arguments, **options)

    return cast(_Method, call)


def _hold_still() -> None:
    _forking.add(threading.get_ident())
    no_fork.acquire()
    global_compiler_lock.acquire()  # of Numba, which does not renew it


def _go_on() -> None:
    global_compiler_lock.release()
    no_fork.release()
    _forking.discard(threading.get_ident())


def _begin_anew() -> None:
    _go_on()
    _forking.clear()
    _at_last.intersection_update({threading.get_ident()})  # others are not in this process
    for renewable in list(renewed_after_fork):
        renewable.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold_still, after_in_parent=_go_on, after_in_child=_begin_anew)
