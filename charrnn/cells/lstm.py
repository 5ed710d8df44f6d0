"""Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers 1999)."""

from __future__ import annotations

from charrnn.cells.cell import Cell
from charrnn.compute.functions import sigmoid, tanh


class Lstm(Cell):
    """Gates decide what the cell state c forgets, takes in and shows.

    i, f, o = σ(x W_· + h_{t-1} U_· + b_·)
    g       = tanh(x W_g + h_{t-1} U_g + b_g)
    c_t     = f ⊙ c_{t-1} + i ⊙ g
    h_t     = o ⊙ tanh(c_t)

    tanh(c_t) is computed again in the backward pass: cheaper than another block of memory.
    """

    gates = 4
    states = ("h", "c")
    first_bias = (0, 1, 0, 0)
    most_growth = 5.0
    blocks = 4
    input_blocks = recurrent_blocks = (0, 1, 2, 3)

    def forward(self, gates, before):
        """Pre-activations of i, f, g, o and (h, c) → saved i, f, g, o and (h, c)."""
        i = sigmoid(gates[0])
        f = sigmoid(gates[1])
        g = tanh(gates[2])
        o = sigmoid(gates[3])
        c = f * before[1] + i * g
        h = o * tanh(c)
        return (i, f, g, o), (h, c)

    def backward(self, saved, before, dafter):
        """Gradients of (h, c) after the step → of the pre-activations and of c before it."""
        i, f, g, o = saved
        dh, dc = dafter
        tanh_c = tanh(f * before[1] + i * g)
        dc = dc + dh * o * (1.0 - tanh_c * tanh_c)
        di = dc * g * i * (1.0 - i)
        df = dc * before[1] * f * (1.0 - f)
        dg = dc * i * (1.0 - g * g)
        do = dh * tanh_c * o * (1.0 - o)
        return (di, df, dg, do), (dh * 0.0, dc * f)
