"""The last layers of networks: what a network tells of what it has read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from charrnn.network.first_values import zeros
from charrnn.network.nodes import Linear, Parameter


class NextCharacter(Linear):
    """The head that predicts the next character: logits, and their softmax's cross-entropy."""

    def create(self, place: Any) -> Any:
        from charrnn.network.layers.next_character import NextCharacterHead

        return NextCharacterHead(self, place)


@dataclass(frozen=True, eq=False)
class OutputUnits(NextCharacter):
    """The head of a network without a readout: its first units, times a ``scale``, are logits."""

    scale: float = 1.0

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return ()

    def create(self, place: Any) -> Any:
        from charrnn.network.layers.output_units import OutputUnitsHead

        return OutputUnitsHead(self, place)


class PositionClass(NextCharacter):
    """The head that tells the class of each position: as the next character is told."""


class Aligned(Linear):
    """The head that writes what belongs to a document, by CTC: no more symbols than it has steps.

    Each step tells a symbol or a blank, and the probability of what is written is the sum over all
    ways to lay its symbols out over the steps (Graves et al. 2006; ``charrnn.compute.ctc``).
    """

    def create(self, place: Any) -> Any:
        from charrnn.network.layers.aligned import AlignedHead

        return AlignedHead(self, place)


@dataclass(frozen=True, eq=False)
class DocumentClass(Linear):
    """The head that tells the label of a document, or with ``multiple`` which labels it has.

    Attention with a learned query weighs the units of all its positions (Lin et al. 2017, with one
    query): e = y q/√size, α = softmax(e), logits = (Σ α y) W + b. Beside it, the n-grams of the
    document choose among the rows of a table of so many ``buckets``, whose sum is added: a wide
    part beside a deep one (Cheng et al. 2016; ``charrnn.compute.ngrams``).
    """

    multiple: bool = False
    buckets: int = 0

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        query = self._vector("query", self.reads[0].size)
        return query, *super().parameters, *self._ngrams

    @property
    def _ngrams(self) -> tuple[Parameter, ...]:
        shape = self.buckets, self.size
        # A row learns from the few documents that have it: decay would take that from it again.
        table = Parameter(self.named("ngrams"), shape, zeros(*shape), decayed=False)
        return (table,) if self.buckets else ()

    def create(self, place: Any) -> Any:
        from charrnn.network.layers.document_class import DocumentClassHead

        return DocumentClassHead(self, place)
