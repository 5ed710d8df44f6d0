"""Gated recurrent unit (Cho et al. 2014), reset gate after the product as cuDNN computes it."""

from __future__ import annotations

from charrnn.cells.cell import Cell
from charrnn.compute.functions import sigmoid, tanh


class Gru(Cell):
    """The state is a mixture of itself and of a new candidate n.

    r, z = σ(x W_· + h_{t-1} U_· + b_·)
    n    = tanh(x W_n + b_n + r ⊙ (h_{t-1} U_n + b_n'))
    h_t  = (1 - z) ⊙ n + z ⊙ h_{t-1}

    The two halves of n stay apart in the row of blocks: (x W_n + b_n, r, z, h U_n + b_n').
    """

    gates = 3
    first_bias = (0, 0, 0)
    blocks = 4
    input_blocks = (1, 2, 0)
    recurrent_blocks = (1, 2, 3)

    def forward(self, gates, before):
        """Pre-activations (input half of n, r, z, recurrent half of n) → saved n, r, z, half."""
        h = before[0]
        r = sigmoid(gates[1])
        z = sigmoid(gates[2])
        n = tanh(gates[0] + r * gates[3])
        return (n, r, z, gates[3]), (n + z * (h - n),)

    def backward(self, saved, before, dafter):
        """Gradient of h after the step → of the pre-activations and of h before it."""
        n, r, z, half = saved
        h = before[0]
        dh = dafter[0]
        dz = dh * (h - n) * z * (1.0 - z)
        dn = dh * (1.0 - z) * (1.0 - n * n)
        dr = dn * half * r * (1.0 - r)
        return (dn, dr, dz, dn * r), (dh * z,)
