"""Writing new text: the network reads what it wrote, until the end token or the asked length."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from charrnn.compute.barrier import abandon
from charrnn.compute.generation import AT_END
from charrnn.compute.threads import Team, share
from charrnn.inference.choosing import Choosing
from charrnn.inference.session import Session
from charrnn.network.network import Network
from charrnn.network.program import Program

#: Characters of each text until what was written is first looked at. A chunk that took less than
#: ``_QUICK`` seconds doubles the next: text flows, and starting threads costs little.
CHUNK = 64
_QUICK = 0.02

#: One thread alone is first tried after so many seconds; what turned out slower, a crew of threads
#: or one alone, after so many times as long as its last trial took.
_FIRST_TRIAL, _PAUSE = 0.02, 20

#: Texts that are written side by side: beyond this, more lanes make none of them faster.
TOGETHER = 64


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

    def __init__(self, team: Team, program: Program, choosing: Choosing, texts: int) -> None:
        self._team, count = team, sessions_of(team, texts)
        self.shares = [slice(*share(texts, part, count)) for part in range(count)]
        self.sessions: list[Session] = [None] * count  # type: ignore[list-item]

        def begin(part: int, parts: int) -> None:
            for number in range(part, count, parts):
                own = self.shares[number]
                recall = choosing.recall(own.stop - own.start)
                self.sessions[number] = Session(program, choosing.chooser, recall)

        team.run(begin)  # it compiles, so that no chunk is slow for that
        self._crew = _Crew(team.threads // count)

    def take(self, opening: _Desk) -> None:
        """Let all texts go on from where the first of ``opening`` is."""
        for session, own in zip(self.sessions, self.shares, strict=True):
            session.take(opening.sessions[0], np.zeros(own.stop - own.start, np.int64))

    def advance(self, tokens: np.ndarray, uniforms: np.ndarray, *, measured: bool = False) -> None:
        """Let all texts read or choose as many characters as there are ``tokens`` [B, N]."""
        for session, own in zip(self.sessions, self.shares, strict=True):
            session.prepare(tokens[own], uniforms[own], measured=measured)
        crew, started = self._crew.size(), time.monotonic()

        def work(thread: int, _: int) -> None:
            if thread < len(self.sessions) * crew:
                self.sessions[thread // crew].advance(thread % crew, crew)

        self._team.run(work, give_up=self._give_up)
        self._crew.note(crew, tokens.shape[1], time.monotonic() - started)

    def _give_up(self) -> None:
        for session in self.sessions:
            abandon(session.barrier)

    def gather(self, name: str) -> np.ndarray:
        """An array of all sessions, text by text."""
        return np.concatenate([getattr(session, name) for session in self.sessions])


def sessions_of(team: Team, texts: int) -> int:
    """How many sessions share so many texts: one for each thread, if there are as many."""
    return min(team.threads, texts)


class Piece(NamedTuple):
    """What is new in a text."""

    tokens: np.ndarray
    nats: float  # -log P of them, and of the end where it was chosen; 0 where nobody asked
    ended: int  # why the text is over, as in ``charrnn.compute.generation``; 0: it is not


class Writer:
    """Writes texts with a network, whose weights it copies when it is first asked."""

    def __init__(self, network: Network, choosing: Choosing) -> None:
        self._network, self._choosing = network, choosing
        self._programs: dict[int, Program] = {}
        self._openings: dict[bytes, _Desk] = {}  # the last one

    def _desk(self, texts: int) -> _Desk:
        """A new desk; programs are kept for as many texts as a session has of so many."""
        room = -(-texts // sessions_of(self._network.team, texts))
        if room not in self._programs:
            with self._network.turns.take():  # after that nothing is shared but the team
                self._programs[room] = self._network.program(room)
        return _Desk(self._network.team, self._programs[room], self._choosing, texts)

    def _opening(self, prompt: np.ndarray) -> _Desk:
        """A desk whose only text has read the prompt."""
        key = prompt.tobytes()
        if key not in self._openings:
            desk = self._desk(1)
            for first, size in _chunks(prompt.size):
                tokens = prompt[np.newaxis, first : first + size]
                desk.advance(tokens, np.zeros(tokens.shape))
            self._openings = {key: desk}
        return self._openings[key]

    def write(
        self, prompts: Sequence[np.ndarray], seeds: Sequence[int], *, measured: bool = False
    ) -> Iterator[list[Piece]]:
        """Write a text for each of the ``prompts`` (tokens); yield what is new in each.

        What they have in common is read once. A text is over as ``choosing`` says, and depends on
        its prompt and its seed, not on its neighbours. Where they are ``measured``, the pieces know
        how likely they were.
        """
        desk = self._desk(len(prompts))
        common = _in_common(prompts) if len(prompts) > 1 else 0
        if common:
            desk.take(self._opening(np.asarray(prompts[0][:common], np.int32)))
        given = [np.asarray(prompt[common:], np.int32) for prompt in prompts]
        rngs = [np.random.default_rng([seed, 0]) for seed in seeds]
        for first, size in _chunks(math.inf):
            before, ended = desk.gather("written"), desk.gather("ended")
            own = [prompt[first : first + size] for prompt in given]
            tokens, uniforms = _asked(own, rngs, ended, size)
            desk.advance(tokens, uniforms, measured=measured)
            yield _pieces(desk, [prompt.size for prompt in own], before, ended)
            if desk.gather("ended").all():
                return


def _in_common(prompts: Sequence[np.ndarray]) -> int:
    """How many tokens at the beginning all prompts share."""
    size = min(prompt.size for prompt in prompts)
    first = prompts[0][:size]
    same = np.all([prompt[:size] == first for prompt in prompts], axis=0)
    return size if same.all() else int(same.argmin())


def _asked(
    given: list[np.ndarray], rngs: list, ended: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """What the next ``size`` characters of each text are to be, and numbers to choose others by."""
    tokens = np.full((len(given), size), -1, np.int32)
    uniforms = np.zeros(tokens.shape)
    for b, (own, rng) in enumerate(zip(given, rngs, strict=True)):
        tokens[b, : own.size] = own
        if not ended[b]:
            uniforms[b, own.size :] = rng.random(size - own.size)
    return tokens, uniforms


def _pieces(desk: _Desk, given: list[int], before: np.ndarray, ended: np.ndarray) -> list[Piece]:
    """What was written behind what was given."""
    tokens, nats = desk.gather("tokens"), desk.gather("nats")
    new, now = desk.gather("written") - before, desk.gather("ended")
    pieces = []
    for b, first in enumerate(given):
        chosen = tokens[b, first : first + new[b]].copy()
        measured = nats[b, first : first + new[b] + (now[b] == AT_END)]
        pieces.append(Piece(chosen, 0.0 if ended[b] else float(measured.sum()), int(now[b])))
    return pieces


def _chunks(length: float) -> Iterator[tuple[int, int]]:
    """First character and size of the chunks of a text, larger while they are quickly done."""
    size, first = CHUNK, 0
    while first < length:
        started = time.perf_counter()
        yield first, int(min(size, length - first))
        first += size
        if time.perf_counter() - started < _QUICK:
            size *= 2
