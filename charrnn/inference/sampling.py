"""Writing new text: the network reads what it wrote, until the end token or the asked length."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from numbers import Real
from typing import Any

import numpy as np

from charrnn.compute.barrier import abandon
from charrnn.compute.choosers import Temperature
from charrnn.compute.threads import Team, share
from charrnn.errors import UsageError
from charrnn.inference.session import Session
from charrnn.network.network import Network
from charrnn.network.program import Program
from charrnn.text.vocabulary import END, START, UNKNOWN

#: Characters of each text until what was written is first looked at. A chunk that took less than
#: ``_QUICK`` seconds doubles the next: text flows, and starting threads costs little.
CHUNK = 64
_QUICK = 0.02

#: One thread alone is first tried after so many seconds; what turned out slower, a crew of threads
#: or one alone, after so many times as long as its last trial took.
_FIRST_TRIAL, _PAUSE = 0.02, 20

#: Texts that are written side by side: beyond this, more lanes make none of them faster.
TOGETHER = 64


def check_temperature(temperature: float) -> None:
    """Raise ``UsageError`` unless the temperature is a number from 0 up."""
    if not (isinstance(temperature, Real) and 0 <= temperature < math.inf):
        raise UsageError(
            f"temperature must be a number from 0 (always the likeliest) up, not {temperature!r}"
        )


class _Crew:
    """How many threads share every step of a text: all that there are, or one, whichever is faster.

    Where other programs keep the processors busy, threads wait for one another and one alone can
    be many times as fast; so it is where a network is tiny. Only trying it out tells.
    """

    def __init__(self, most: int) -> None:
        self._speeds = {1: 0.0, most: math.inf}  # by size; the crew begins
        self._again = time.monotonic() + _FIRST_TRIAL

    def size(self) -> int:
        """Threads for the next chunk."""
        slower = min(self._speeds, key=self._speeds.__getitem__)
        faster = max(self._speeds, key=self._speeds.__getitem__)
        return slower if time.monotonic() >= self._again else faster

    def note(self, size: int, characters: int, seconds: float) -> None:
        """What a chunk with so many threads took."""
        self._speeds[size] = characters / max(seconds, 1e-9)
        if self._speeds[size] == min(self._speeds.values()):
            self._again = time.monotonic() + _PAUSE * seconds


class _Desk:
    """Sessions of all texts that are written at once, and the threads that do their work."""

    def __init__(self, team: Team, program: Program, rngs: list, chooser: Any) -> None:
        self._team, count = team, _sessions(team, len(rngs))
        self._rngs = [rngs[slice(*share(len(rngs), part, count))] for part in range(count)]
        self.sessions: list[Session] = [None] * count  # type: ignore[list-item]

        def begin(part: int, parts: int) -> None:
            for number in range(part, count, parts):
                self.sessions[number] = Session(program, len(self._rngs[number]), chooser)

        team.run(begin)  # it compiles, so that no chunk is slow for that
        self._crew = _Crew(team.threads // count)

    def read(self, tokens: np.ndarray) -> None:
        """Let every text read these."""
        for session, rngs in zip(self.sessions, self._rngs, strict=True):
            session.prepare(np.tile(tokens, (len(rngs), 1)))
        self._advance(tokens.size)

    def write(self, count: int) -> None:
        """Let all texts go on by ``count`` characters."""
        for session, rngs in zip(self.sessions, self._rngs, strict=True):
            uniforms = np.array([rng.random(count) for rng in rngs])
            session.prepare(np.full(uniforms.shape, -1), uniforms)
        self._advance(count)

    def _advance(self, count: int) -> None:
        crew, started = self._crew.size(), time.monotonic()

        def work(thread: int, _: int) -> None:
            if thread < len(self.sessions) * crew:
                self.sessions[thread // crew].advance(thread % crew, crew)

        self._team.run(work, self._give_up)
        self._crew.note(crew, count, time.monotonic() - started)

    def _give_up(self) -> None:
        for session in self.sessions:
            abandon(session.barrier)


def _sessions(team: Team, texts: int) -> int:
    """How many sessions share so many texts: one for each thread, if there are as many."""
    return min(team.threads, texts)


class Writer:
    """Writes texts with a network, whose weights it copies when it is first asked.

    START and UNKNOWN are never chosen; END ends a text; unless a text ``may_end`` it is not chosen
    either. Raises ``UsageError`` for a temperature out of range.
    """

    def __init__(self, network: Network, *, temperature: float, may_end: bool) -> None:
        check_temperature(temperature)
        self._network, self._chooser = network, Temperature.of(temperature)
        self._forbidden = [START, UNKNOWN] if may_end else [START, UNKNOWN, END]
        self._programs: dict[int, Program] = {}

    def _program(self, texts: int) -> Program:
        """The program for as many texts as a session has of so many."""
        room = -(-texts // _sessions(self._network.team, texts))
        if room not in self._programs:
            with self._network.turns.take():  # after that nothing is shared but the team
                self._programs[room] = self._network.program(room, self._forbidden)
        return self._programs[room]

    def write(
        self, texts: range, *, length: int, prime: np.ndarray, seed: int
    ) -> Iterator[list[np.ndarray]]:
        """Write the texts with the numbers ``texts`` side by side; yield what is new in each.

        Each list holds the next characters of every text, empty where it has ended; ``prime`` is
        what every text begins with (indices). It is not part of what is yielded, nor is END. Text k
        depends on ``seed`` and k alone, not on its neighbours.
        """
        rngs = [np.random.default_rng([seed, k]) for k in texts]
        desk = _Desk(self._network.team, self._program(len(rngs)), rngs, self._chooser)
        for first, size in _chunks(prime.size):
            desk.read(prime[first : first + size])
        for _, size in _chunks(length):
            before = [session.ended.copy() for session in desk.sessions]
            desk.write(size)
            yield [
                _until_end(row, done)
                for session, ended in zip(desk.sessions, before, strict=True)
                for row, done in zip(session.read(), ended, strict=True)
            ]
            if all(session.ended.all() for session in desk.sessions):
                return


def _chunks(length: int) -> Iterator[tuple[int, int]]:
    """First character and size of the chunks of a text, larger while they are quickly done."""
    size, first = CHUNK, 0
    while first < length:
        started = time.perf_counter()
        yield first, min(size, length - first)
        first += size
        if time.perf_counter() - started < _QUICK:
            size *= 2


def _until_end(row: np.ndarray, already_ended: int) -> np.ndarray:
    """What belongs to the text: nothing after its end."""
    if already_ended:
        return row[:0]
    ends = np.flatnonzero(row == END)
    return row[: ends[0]] if ends.size else row
