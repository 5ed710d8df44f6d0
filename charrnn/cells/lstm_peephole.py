"""LSTM whose gates also see the cell state (Gers & Schmidhuber 2000)."""

from __future__ import annotations

from typing import Any, NamedTuple

from charrnn.cells.cell import Cell
from charrnn.compute.functions import sigmoid, tanh


class Peepholes(NamedTuple):
    """For each unit, how much of its cell state a gate sees."""

    peephole_i: Any
    peephole_f: Any
    peephole_o: Any


class LstmPeephole(Peepholes, Cell):
    """Every gate looks at its own unit's cell state: i and f at the old one, o at the new one.

    i, f = σ(x W_· + h_{t-1} U_· + p_· ⊙ c_{t-1} + b_·)
    g    = tanh(x W_g + h_{t-1} U_g + b_g)
    c_t  = f ⊙ c_{t-1} + i ⊙ g
    o    = σ(x W_o + h_{t-1} U_o + p_o ⊙ c_t + b_o)
    h_t  = o ⊙ tanh(c_t)
    """

    gates = 4
    states = ("h", "c")
    first_bias = (0, 1, 0, 0)
    most_growth = 5.0
    blocks = 4
    input_blocks = recurrent_blocks = (0, 1, 2, 3)

    def forward(self, gates, before):
        """Pre-activations of i, f, g, o and (h, c) → saved i, f, g, o and (h, c)."""
        i = sigmoid(gates[0] + self.peephole_i * before[1])
        f = sigmoid(gates[1] + self.peephole_f * before[1])
        g = tanh(gates[2])
        c = f * before[1] + i * g
        o = sigmoid(gates[3] + self.peephole_o * c)
        h = o * tanh(c)
        return (i, f, g, o), (h, c)

    def backward(self, saved, before, dafter):
        """Gradients of (h, c) after the step → of the pre-activations, of c before, of p."""
        i, f, g, o = saved
        dh, dc = dafter
        c = f * before[1] + i * g
        tanh_c = tanh(c)
        do = dh * tanh_c * o * (1.0 - o)
        dc = dc + dh * o * (1.0 - tanh_c * tanh_c) + do * self.peephole_o
        di = dc * g * i * (1.0 - i)
        df = dc * before[1] * f * (1.0 - f)
        dg = dc * i * (1.0 - g * g)
        dbefore = dc * f + di * self.peephole_i + df * self.peephole_f
        return (di, df, dg, do), (dh * 0.0, dbefore), (di * before[1], df * before[1], do * c)
