"""Multiplicative LSTM (Krause et al. 2016): its gates read a product of input and memory."""

from __future__ import annotations

from charrnn.cells.cell import Cell
from charrnn.compute.functions import sigmoid, tanh


class LstmMultiplicative(Cell):
    """An LSTM with m_t in place of h_{t-1}.

    m_t     = u ⊙ v,  u = x W_m + b_m,  v = h_{t-1} U_m + b_m'
    i, f, o = σ(x W_· + m_t U_· + b_·)
    g       = tanh(x W_g + m_t U_g + b_g)
    c_t     = f ⊙ c_{t-1} + i ⊙ g
    h_t     = o ⊙ tanh(c_t)

    The row of blocks is (u, i, f, g, o, v, m): the last feeds the four gates through the second
    product.
    """

    gates = 5
    states = ("h", "c")
    first_bias = (0, 0, 1, 0, 0)
    most_growth = 5.0
    blocks = 7
    input_blocks = (0, 1, 2, 3, 4)
    recurrent_blocks = (5,)
    middle = 6
    middle_blocks = (1, 2, 3, 4)

    def prepare(self, gates, before):
        """u, pre-activations without their product, v → the same, and m."""
        u, i, f, g, o, v, _ = gates
        return u, i, f, g, o, v, u * v

    def forward(self, gates, before):
        """u, pre-activations, v, m and (h, c) → saved u, i, f, g, o, v, m and (h, c)."""
        u, i, f, g, o, v, m = gates
        i = sigmoid(i)
        f = sigmoid(f)
        g = tanh(g)
        o = sigmoid(o)
        c = f * before[1] + i * g
        h = o * tanh(c)
        return (u, i, f, g, o, v, m), (h, c)

    def backward(self, saved, before, dafter):
        """Gradients of (h, c) after the step → of the pre-activations and of c before it."""
        u, i, f, g, o, v, m = saved
        dh, dc = dafter
        tanh_c = tanh(f * before[1] + i * g)
        dc = dc + dh * o * (1.0 - tanh_c * tanh_c)
        di = dc * g * i * (1.0 - i)
        df = dc * before[1] * f * (1.0 - f)
        dg = dc * i * (1.0 - g * g)
        do = dh * tanh_c * o * (1.0 - o)
        return (u, di, df, dg, do, v, m), (dh * 0.0, dc * f)

    def unprepare(self, saved, before, dmiddle, dbefore):
        """Gradient of m → of u and v; all of that of h before flows through U_m."""
        u, di, df, dg, do, v, m = saved
        return (dmiddle * v, di, df, dg, do, dmiddle * u, m), dbefore
