"""Writing new text: the network reads what it wrote, until the end token or the asked length."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from numbers import Real

import numpy as np

from charrnn.compute.barrier import abandon, create_barrier
from charrnn.compute.generation import (
    CELL,
    COPY,
    INSTRUCTION_SIZE,
    MULTIPLY,
    NORMALIZE,
    PREPARE,
    TANH,
    generate,
)
from charrnn.compute.threads import share
from charrnn.errors import UsageError
from charrnn.network.layers import NEVER, Dense, Recurrent
from charrnn.network.network import Network
from charrnn.network.weights import Matrix, Table
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


class _Program:
    """A network as the feedback loop takes it: flat arrays and instructions with offsets.

    There is room in memory for ``batch`` texts. ``initial`` are places there and what they hold
    at first.
    """

    def __init__(self, network: Network, forbidden: list[int], batch: int) -> None:
        self.network, self.batch = network, batch
        recurrent = network.recurrent_layers
        cell = recurrent[0].cell
        fields = zip(*(layer.cell for layer in recurrent), strict=True)
        self.cell = type(cell)(*(np.concatenate(field) for field in fields))
        self._instructions: list[tuple] = []
        self._weights: list[np.ndarray] = []
        self._rows: list[np.ndarray] = []
        self.memory_size = 0
        self.initial: list[tuple[int, np.ndarray]] = []
        source = self._copy_rows(network.embedding.rows) if network.embedding else 0
        for number, layer in enumerate(recurrent):
            source = self._recurrent(layer, source, number * layer.width)
        width = recurrent[-1].width
        for dense in network.dense_layers:
            source, width = self._dense(dense, source, width), dense.width
        bias = network.readout.bias.copy()
        bias[forbidden] = NEVER
        self.width = network.readout.width
        self.logits = self._copy_row(bias)
        self._multiply(network.readout.matrix, source, width, self.logits, self.width)
        self.instructions = self._program()
        self.weights, self.rows = np.concatenate(self._weights), np.concatenate(self._rows)

    def _program(self) -> np.ndarray:
        """The instructions as ``generate`` takes them, and behind which of them threads meet."""
        columns = [i[-3:] if i[0] in (COPY, MULTIPLY) else None for i in self._instructions]
        meets = [mine is None or mine != other for mine, other in pairwise([*columns, None])]
        rows = np.zeros((len(meets), INSTRUCTION_SIZE), np.int64)
        for row, instruction, meet in zip(rows, self._instructions, meets, strict=True):
            row[:2], row[2 : 1 + len(instruction)] = (instruction[0], meet), instruction[1:]
        return rows

    def memory(self) -> np.ndarray:
        """New memory; all texts are at their beginning."""
        memory = np.zeros(self.memory_size, self.network.dtype)
        for at, values in self.initial:
            memory[at : at + values.size] = values
        return memory

    def _room(self, size: int) -> int:
        """Place in memory for ``size`` values of each text."""
        self.memory_size += size * self.batch
        return self.memory_size - size * self.batch

    def _copy_rows(self, table: np.ndarray) -> int:
        """Each text's row of the table, chosen by its character; where in memory it is."""
        return self._copy(table.reshape(-1), table.shape[1], table.shape[1])

    def _copy_row(self, row: np.ndarray) -> int:
        """The row for each text; where in memory it is."""
        return self._copy(row, 0, row.size)

    def _copy(self, rows: np.ndarray, stride: int, width: int) -> int:
        target, first = self._room(width), sum(rows.size for rows in self._rows)
        self._rows.append(rows)
        self._instructions.append((COPY, first, stride, target, width, width))
        return target

    def _multiply(self, matrix: Matrix, source: int, row: int, target: int, target_row: int):
        first = sum(weights.size for weights in self._weights)
        self._weights.append(matrix.forward)
        end = first + matrix.forward.size
        places = (matrix.depth, source, row, target, target_row, matrix.columns)
        self._instructions.append((MULTIPLY, first, end, *places))

    def _recurrent(self, layer: Recurrent, source: int, unit: int) -> int:
        """A recurrent layer that reads at ``source``; where its hidden state is."""
        row, width = layer.row, layer.width
        if isinstance(layer.input, Table):
            gates = self._copy_rows(layer.input.rows)
        else:
            gates = self._copy_row(layer.bias)
            at = gates + layer.input_columns[0]
            self._multiply(layer.input, source, layer.input.depth, at, row)
        states, stride = self._room(len(layer.initial) * width), self.batch * width
        self.initial.append((states, np.repeat(layer.initial, self.batch, axis=1).reshape(-1)))
        places = gates, row, states, stride, width, unit
        first = layer.recurrent
        at = states + first.source * stride
        self._multiply(first.matrix, at, width, gates + first.first, row)
        if second := layer.middle:
            self._instructions.append((PREPARE, *places))
            at = gates + second.source
            self._multiply(second.matrix, at, row, gates + second.first, row)
            if second.shared:
                self._instructions.append((NORMALIZE, *places))
        self._instructions.append((CELL, *places))
        return states

    def _dense(self, layer: Dense, source: int, source_row: int) -> int:
        """A feed-forward layer that reads at ``source``; where its output is."""
        target = self._copy_row(layer.bias)
        self._multiply(layer.matrix, source, source_row, target, layer.width)
        self._instructions.append((TANH, target, layer.width, layer.width))
        return target


class _Writer:
    """Some texts that a crew of threads writes side by side, a chunk at a time."""

    def __init__(self, program: _Program, rngs: Sequence[np.random.Generator]) -> None:
        self._program, self._rngs = program, rngs
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
            p.cell, p.instructions, p.weights, p.rows, self._memory, p.logits, p.width, sharpness,
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
        program = _Program(network, forbidden, max(map(len, shares)))
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
