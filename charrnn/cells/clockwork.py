"""Clockwork network (Koutník et al. 2014): groups of units, each with a clock of its own."""

from __future__ import annotations

from typing import Any, NamedTuple

from charrnn.cells.cell import Cell
from charrnn.compute.functions import step, tanh


class Period(NamedTuple):
    """Of each unit after how many steps it is updated again."""

    period: Any


class Clockwork(Period, Cell):
    """Units in groups with the periods 1, 2, 4 …; a step updates those whose period divides t.

    h_t = tanh(x W + h_{t-1} U + b) of these, each reading its own group and slower ones
    h_t = h_{t-1} of all others

    t counts the steps of a document from 0. A unit keeps as its phase how many of them have passed
    since it was updated: it is due at phase 0, and its phase is 0 again after a period.
    """

    gates = 1
    states = ("h", "phase")
    counters = ("phase",)
    constants = ("period",)
    groups = 5
    first_bias = (0,)
    blocks = 1
    input_blocks = recurrent_blocks = (0,)

    @classmethod
    def first_value(cls, field, place):
        """The period of the unit's group."""
        return 2.0 ** cls.group_at(place)

    def due(self, before):
        """1 for units that the step updates, else 0, as for what is no unit: it has no period."""
        return step(1.0 - before[1]) * step(self.period)

    def forward(self, gates, before):
        """Pre-activation, h and phase → saved n, and the new h and phase."""
        h, phase = before
        n = tanh(gates[0])
        due = step(1.0 - phase)
        after = phase + 1.0
        return (n,), (due * n + (1.0 - due) * h, after * step(self.period - after))

    def backward(self, saved, before, dafter):
        """Gradients of h and phase after the step → of the pre-activation, of both before it."""
        (n,), (_, phase), (dh, dphase) = saved, before, dafter
        due = step(1.0 - phase)
        dn = dh * due
        return (dn * (1.0 - n * n),), (dh - dn, dphase * step(self.period - phase - 1.0))
