"""The continuous-time network (Funahashi & Nakamura 1993): every unit has a time constant."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from charrnn.cells.cell import Cell
from charrnn.compute.functions import sigmoid, tanh


class Rate(NamedTuple):
    """For each unit how fast it follows what it reads: α = σ(rate) is a step over its time
    constant.
    """

    rate: Any


class Leaky(Rate, Cell):
    """τ dh/dt = -h + tanh(x W + h U + b) by Euler's method, with α = Δt / τ learned.

    α   = σ(a)
    n   = tanh(x W + h_{t-1} U + b)
    h_t = (1 - α) ⊙ h_{t-1} + α ⊙ n
    """

    gates = 1
    first_bias = (0,)
    blocks = 1
    input_blocks = recurrent_blocks = (0,)

    #: Steps of the longest time constant at first; the shortest is one.
    longest = 100.0

    @classmethod
    def first_value(cls, field, place):
        """The a of τ = 1 to ``longest`` steps, half of them below 4 (docs/measurements.md)."""
        return -math.log(cls.longest ** (place * place) - 1)

    def forward(self, gates, before):
        """Pre-activation and h → saved n, and the new h."""
        alpha = sigmoid(self.rate)
        n = tanh(gates[0])
        return (n,), (before[0] + alpha * (n - before[0]),)

    def backward(self, saved, before, dafter):
        """Gradient of h after the step → of the pre-activation, of h before it, of a."""
        (n,), (h,), (dh,) = saved, before, dafter
        alpha = sigmoid(self.rate)
        dn = dh * alpha
        da = dn * (n - h) * (1.0 - alpha)
        return (dn * (1.0 - n * n),), (dh - dn,), (da,)
