"""Some texts that a network reads and writes side by side, and what it expects next in each."""

from __future__ import annotations

from typing import Any

import numpy as np

from charrnn.compute.barrier import create_barrier
from charrnn.compute.generation import Texts, generate
from charrnn.network.program import Program
from charrnn.text.vocabulary import END, START


class Session:
    """``count`` texts, each at its beginning; ``chooser`` is one of ``charrnn.compute.choosers``.

    A step of all of them may be shared by a crew of threads: ``prepare`` says what is to be done,
    then each of the crew calls ``advance``. ``ended`` tells which texts have ended.
    """

    def __init__(self, program: Program, count: int, chooser: Any) -> None:
        self._program, self._chooser = program.instructions, chooser
        self._memory = program.memory()
        self._latest = np.zeros(count, np.int32)
        self.ended = np.zeros(count, np.uint8)
        self.barrier = create_barrier()
        self.feed(np.full((count, 1), START, np.int32))

    def feed(self, tokens: np.ndarray) -> np.ndarray:
        """Let each text read its own of the ``tokens`` [B, N]; the logits [B, V'] of what follows.

        V' is padded; what is impossible has -1e30.
        """
        self.prepare(tokens)
        self.advance(0, 1)
        return self.logits()

    def logits(self) -> np.ndarray:
        """Of what follows each text, [B, V']."""
        p, count = self._program, len(self._latest)
        return self._memory[p.logits : p.logits + count * p.width].reshape(count, -1).copy()

    def prepare(self, tokens: np.ndarray, uniforms: np.ndarray | None = None) -> None:
        """Let the next ``advance`` read ``tokens`` [B, N]; -1: what is chosen by ``uniforms``."""
        if uniforms is None:
            uniforms = np.zeros(tokens.shape)
        tokens = np.array(tokens, np.int32)  # what is chosen is written there
        self._texts = Texts(tokens, uniforms, self._latest, self.ended)

    def advance(self, part: int, crew: int) -> None:
        """This thread's part of the work that was prepared."""
        made = generate(
            self._program, self._chooser, self._memory, self._texts, END, self.barrier, part, crew
        )
        if part == 0:
            self._made = made

    def read(self) -> np.ndarray:
        """What each text has read [B, n]; fewer than prepared when all have ended."""
        return self._texts.tokens[:, : self._made]
