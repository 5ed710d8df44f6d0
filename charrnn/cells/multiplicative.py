"""Multiplicative network (Sutskever, Martens & Hinton 2011): what is read scales what is known."""

from __future__ import annotations

from charrnn.cells.cell import Cell
from charrnn.compute.functions import tanh


class Multiplicative(Cell):
    """What is read scales what is remembered: in effect each character has a recurrent matrix.

    m_t = u ⊙ v,  u = x W_m + b_m,  v = h_{t-1} U_m + b_m'
    h_t = tanh(x W + m_t U + b)

    The row of blocks is (u, h, v, m): the last feeds h through the second product.
    """

    gates = 2
    first_bias = (0, 0)
    blocks = 4
    input_blocks = (0, 1)
    recurrent_blocks = (2,)
    middle = 3
    middle_blocks = (1,)

    def prepare(self, gates, before):
        """u, pre-activation without its product, v → the same, and m."""
        return gates[0], gates[1], gates[2], gates[0] * gates[2]

    def forward(self, gates, before):
        """u, pre-activation, v, m → saved u, h, v, m and the new h."""
        h = tanh(gates[1])
        return (gates[0], h, gates[2], gates[3]), (h,)

    def backward(self, saved, before, dafter):
        """Gradient of h after the step → of its pre-activation."""
        u, h, v, m = saved
        dh = dafter[0]
        return (u, dh * (1.0 - h * h), v, m), (dh * 0.0,)

    def unprepare(self, saved, before, dmiddle, dbefore):
        """Gradient of m → of u and v; all of that of h before flows through U_m."""
        u, dh, v, m = saved
        return (dmiddle * v, dh, dmiddle * u, m), dbefore
