"""What most cells have in common; see ``charrnn.cells`` for the meaning of the attributes."""

from __future__ import annotations

from typing import NamedTuple


class Cell(NamedTuple):
    """A cell with one state, one product in a step and no per-unit parameters."""

    states = ("h",)
    counters = ()
    constants = ()
    groups = 1
    by_character = False
    trained = True
    source = 0
    middle = 0
    middle_blocks = ()
    output_block = None
    output_scale = None
    most_layers = 64
    most_growth = 2.5

    @classmethod
    def first_value(cls, field, place):
        """What the parameter called ``field`` begins with, of the unit at a place from 0 to 1."""
        return 0.0

    @classmethod
    def learned(cls):
        """The names of its per-unit parameters, without the constants behind them."""
        return cls._fields[: len(cls._fields) - len(cls.constants)]

    @classmethod
    def group_at(cls, place):
        """The group of the unit at a place from 0 to 1 among all."""
        return int(place * cls.groups)
