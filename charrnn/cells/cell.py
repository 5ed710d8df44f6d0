"""What most cells have in common; see ``charrnn.cells`` for the meaning of the attributes."""

from __future__ import annotations

from typing import NamedTuple


class Cell(NamedTuple):
    """A cell with one state, one product in a step and no per-unit parameters."""

    states = ("h",)
    source = 0
    middle = 0
    middle_blocks = ()
    output_block = None
    most_layers = 64
    most_growth = 2.5

    @classmethod
    def first_value(cls, field, place):
        """What the parameter called ``field`` begins with, of the unit at a place from 0 to 1."""
        return 0.0
