"""Some texts that a network reads and writes side by side, and what it expects next in each."""

from __future__ import annotations

from typing import Any

import numpy as np

from charrnn.compute.barrier import create_barrier
from charrnn.compute.choosers import create_row
from charrnn.compute.generation import Texts, generate
from charrnn.compute.recall import Recall
from charrnn.network.program import Program
from charrnn.text.vocabulary import END, START

#: Where the first is read a text begins anew, as a document does in training.
_FRAME = START, END


class Session:
    """Texts, each at its beginning; ``chooser`` is as ``charrnn.compute.choosers`` says.

    ``recall`` is what the chooser begins with, and says how many texts there are. A step of all of
    them may be shared by a crew of threads: ``prepare`` says what is to be done, then each of the
    crew calls ``advance``. ``ended`` [B] tells why a text is over (``generation.AT_END`` and so on;
    0: it is not), ``written`` [B] how many characters were chosen in it.
    """

    def __init__(self, program: Program, chooser: Any, recall: Recall) -> None:
        self._program, self._chooser = program, chooser
        self._memory, self._recall = program.memory(), recall
        self._row = create_row(program.instructions.width, self._memory.dtype)
        self.barrier, count = create_barrier(), recall.left.size
        self._latest = np.full(count, START, np.int32)
        self.ended, self.written = np.zeros(count, np.int32), np.zeros(count, np.int64)
        self._read_start()

    def _read_start(self) -> None:
        """What a document begins with is no character of it: nothing remembers it."""
        self.feed(np.full((self._latest.size, 1), START, np.int32))
        self._recall.read[:] = 0
        self._recall.runs[:] = 0

    def feed(self, tokens: np.ndarray) -> np.ndarray:
        """Let each text read its own of the ``tokens`` [B, N]; the logits [B, V'] of what follows.

        V' is padded; what is padding has -1e30.
        """
        self.prepare(tokens)
        self.advance(0, 1)
        return self.logits()

    def logits(self) -> np.ndarray:
        """Of what follows each text, [B, V']."""
        p, count = self._program.instructions, self._latest.size
        return self._memory[p.logits :][: count * p.width].reshape(count, -1).copy()

    def prepare(
        self, tokens: np.ndarray, uniforms: np.ndarray | None = None, *, measured: bool = False
    ) -> None:
        """Let the next ``advance`` read ``tokens`` [B, N]; -1: what is chosen by ``uniforms``.

        Where they are ``measured``, ``nats`` [B, N] become -log P of those that are chosen, by the
        network alone.
        """
        if uniforms is None:
            uniforms = np.zeros(tokens.shape)
        tokens = np.array(tokens, np.int32)  # what is chosen is written there
        self.nats = np.zeros(tokens.shape if measured else (len(tokens), 0))
        self._texts = Texts(tokens, uniforms, self.nats, self._latest, self.ended, self.written)

    def advance(self, part: int, crew: int) -> None:
        """This thread's part of the work that was prepared."""
        program = self._program.instructions
        generate(
            program, self._chooser, self._memory, self._recall, self._row, self._texts, _FRAME,
            self.barrier, part, crew,
        )  # fmt: skip

    @property
    def tokens(self) -> np.ndarray:
        """What each text has read [B, N]; whatever it is behind the end of a text."""
        return self._texts.tokens

    def take(self, source: Session, texts: np.ndarray) -> None:
        """Let text n go on from where ``source`` is with its text ``texts[n]``.

        The two are sessions of one network, or the same.
        """
        for own, other in zip(self._program.kept, source._program.kept, strict=True):
            self._rows(own)[:] = source._rows(other)[texts]
        for mine, others in zip(self._recall, source._recall, strict=True):
            mine[:] = others[texts]
        for name in ("_latest", "ended", "written"):
            getattr(self, name)[:] = getattr(source, name)[texts]

    def _rows(self, place: Any) -> np.ndarray:
        """A row of values of each text [B, width]."""
        count = self._latest.size
        return self._memory[place.at :][: count * place.row].reshape(count, -1)
