"""The head of a network whose first units are its output: logits are these, times a fixed scale."""

from __future__ import annotations

import numpy as np

from charrnn.compute.readout import NEVER
from charrnn.network.heads import OutputUnits
from charrnn.network.layers.next_character import NextCharacterHead
from charrnn.network.layers.place import Place
from charrnn.network.program import Memory, Program
from charrnn.network.weights import Matrix


class OutputUnitsHead(NextCharacterHead):
    """It has no parameters; ``scales`` [V] multiply the units, where one is silenced by 0."""

    def __init__(self, node: OutputUnits, place: Place) -> None:
        self.node = node
        self.width = place.width(node)
        self.scales = np.full(node.size, node.scale, place.dtype)

    def matrices(self) -> list[Matrix]:
        """None."""
        return []

    def prepare_training(self) -> None:
        """There is nothing to be trained."""

    def pack_vectors(self, values: np.ndarray) -> None:
        """There are none."""

    def pack(self, values: np.ndarray, part: int, parts: int) -> None:
        """There is nothing to be packed."""

    def unpack(self, gradients: np.ndarray, part: int, parts: int) -> None:
        """There are no gradients."""

    def read(self, hidden: np.ndarray, logits: np.ndarray) -> None:
        """logits [N, width] of hidden states [N, ·]."""
        logits[:, : self.node.size] = hidden[:, : self.node.size] * self.scales
        logits[:, self.node.size :] = NEVER

    def read_back(self, dlogits: np.ndarray, dhidden: np.ndarray) -> None:
        """The gradient of the hidden states, of which the others have none here."""
        dhidden[:, : self.node.size] = dlogits[:, : self.node.size] * self.scales
        dhidden[:, self.node.size :] = 0

    def differentiate_matrix(
        self,
        dlogits: np.ndarray,
        hidden: np.ndarray,
        accumulate: bool,
        scratch: list[np.ndarray],
        part: int,
        parts: int,
    ) -> None:
        """There is none."""

    def emit(self, program: Program, sources: list[Memory]) -> Memory:
        """The units, times their scales."""
        rows = np.zeros((2, self.width), self.scales.dtype)
        rows[0, self.node.size :] = NEVER
        rows[1, : self.node.size] = self.scales
        return program.scale(rows[0], rows[1], sources[0])
