"""LSTM with coupled gates (Greff et al. 2017): what is forgotten makes room for what is written."""

from __future__ import annotations

from charrnn.cells.cell import Cell
from charrnn.compute.functions import sigmoid, tanh


class LstmCoupled(Cell):
    """One gate decides both what to forget and what to write: i = 1 - f.

    f, o = σ(x W_· + h_{t-1} U_· + b_·)
    g    = tanh(x W_g + h_{t-1} U_g + b_g)
    c_t  = f ⊙ c_{t-1} + (1 - f) ⊙ g
    h_t  = o ⊙ tanh(c_t)
    """

    gates = 3
    states = ("h", "c")
    first_bias = (1, 0, 0)
    most_growth = 4.0
    blocks = 3
    input_blocks = recurrent_blocks = (0, 1, 2)

    def forward(self, gates, before):
        """Pre-activations of f, g, o and (h, c) → saved f, g, o and (h, c)."""
        f = sigmoid(gates[0])
        g = tanh(gates[1])
        o = sigmoid(gates[2])
        c = g + f * (before[1] - g)
        h = o * tanh(c)
        return (f, g, o), (h, c)

    def backward(self, saved, before, dafter):
        """Gradients of (h, c) after the step → of the pre-activations and of c before it."""
        f, g, o = saved
        dh, dc = dafter
        tanh_c = tanh(g + f * (before[1] - g))
        dc = dc + dh * o * (1.0 - tanh_c * tanh_c)
        df = dc * (before[1] - g) * f * (1.0 - f)
        dg = dc * (1.0 - f) * (1.0 - g * g)
        do = dh * tanh_c * o * (1.0 - o)
        return (df, dg, do), (dh * 0.0, dc * f)
