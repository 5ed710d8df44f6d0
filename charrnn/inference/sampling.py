"""Writing new text: the network reads what it wrote, until the end token or the asked length."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from numbers import Real

import numpy as np

from charrnn.compute.barrier import abandon, create_barrier
from charrnn.compute.generation import generate
from charrnn.compute.threads import share
from charrnn.errors import UsageError
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


class _Writer:
    """Some texts that a crew of threads writes side by side, a chunk at a time."""

    def __init__(self, program: Program, rngs: Sequence[np.random.Generator]) -> None:
        self._program, self._rngs = program.instructions, rngs
        self._memory = program.memory()
        self._tokens = np.full(len(rngs), START, np.int32)
        self.ended = np.zeros(len(rngs), np.uint8)
        self.barrier = create_barrier()

    def prepare(self, count: int, given: np.ndarray | None) -> None:
        """Let the next ``advance`` write ``count`` characters of each text, or read the given."""
        shape = len(self._rngs), count
        self._texts = np.full(shape, -1, np.int32)
        self._uniforms = np.zeros(shape)
        if given is None:
            self._uniforms[:] = [rng.random(count) for rng in self._rngs]
        else:
            self._texts[:] = given

    def advance(self, sharpness: float, part: int, crew: int) -> None:
        """This thread's part of the work that was prepared."""
        p = self._program
        made = generate(
            p.cell, p.numbers, p.weights, p.rows, self._memory, p.logits, p.width, sharpness,
            self._uniforms, END, self._texts, self._tokens, self.ended, self.barrier, part, crew,
        )  # fmt: skip
        if part == 0:
            self._made = made

    def written(self) -> np.ndarray:
        """What was written of each text [B, n]; fewer than prepared when all have ended."""
        return self._texts[:, : self._made]


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
    """All writers of a network's texts, and the threads that do their work."""

    def __init__(self, network: Network, forbidden: list[int], rngs: list) -> None:
        self._team, count = network.team, min(network.team.threads, len(rngs))
        shares = [rngs[slice(*share(len(rngs), part, count))] for part in range(count)]
        program = network.program(max(map(len, shares)), forbidden)
        self.writers = [_Writer(program, mine) for mine in shares]
        self._crew = _Crew(self._team.threads // count)
        self._write(1.0, 0, None, 1)  # compiles, so that no chunk is slow for that

    def advance(self, sharpness: float, count: int, given: np.ndarray | None = None) -> None:
        """Let all texts go on by ``count`` characters, or read the given."""
        size, started = self._crew.size(), time.monotonic()
        self._write(sharpness, count, given, size)
        self._crew.note(size, count, time.monotonic() - started)

    def _write(self, sharpness: float, count: int, given: np.ndarray | None, crew: int) -> None:
        for writer in self.writers:
            writer.prepare(count, given)

        def work(thread: int, _: int) -> None:
            if thread < len(self.writers) * crew:
                self.writers[thread // crew].advance(sharpness, thread % crew, crew)

        self._team.run(work, self._give_up)

    def _give_up(self) -> None:
        for writer in self.writers:
            abandon(writer.barrier)


def sample(
    network: Network,
    *,
    length: int,
    temperature: float,
    prime: np.ndarray,
    texts: range,
    seed: int,
    may_end: bool,
) -> Iterator[list[np.ndarray]]:
    """Write the texts with the numbers ``texts`` side by side; yield what is new in each.

    Each list holds the next characters of every text, empty where it has ended; ``prime`` is what
    every text begins with (indices), and is not part of what is yielded. Text k depends on
    ``seed`` and k alone, not on its neighbours. START and UNKNOWN are never drawn; END ends
    a text and is not yielded; unless a text ``may_end`` it is not drawn either. Raises
    ``UsageError`` for a temperature out of range.
    """
    check_temperature(temperature)
    # Beyond 1e20 all characters are equally likely, and a forbidden one must stay impossible.
    sharpness = max(1 / temperature, 1e-20) if temperature > 1e-30 else math.inf
    rngs = [np.random.default_rng([seed, k]) for k in texts]
    with network.turns.take():  # for a copy of the weights; then nothing is shared but the team
        desk = _Desk(network, [START, UNKNOWN] if may_end else [START, UNKNOWN, END], rngs)
    for first, size in _chunks(prime.size):
        desk.advance(sharpness, size, prime[first : first + size])
    for _, size in _chunks(length):
        before = [writer.ended.copy() for writer in desk.writers]
        desk.advance(sharpness, size)
        yield [
            _until_end(row, done)
            for writer, ended in zip(desk.writers, before, strict=True)
            for row, done in zip(writer.written(), ended, strict=True)
        ]
        if all(writer.ended.all() for writer in desk.writers):
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
