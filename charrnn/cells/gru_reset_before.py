"""GRU as Cho et al. (2014) wrote it: the reset gate acts on the state before the product."""

from __future__ import annotations

from charrnn.cells.cell import Cell
from charrnn.compute.functions import sigmoid, tanh


class GruResetBefore(Cell):
    """The candidate n reads what the reset gate leaves of the state: two products in a step.

    r, z = σ(x W_· + h_{t-1} U_· + b_·)
    n    = tanh(x W_n + (r ⊙ h_{t-1}) U_n + b_n)
    h_t  = (1 - z) ⊙ n + z ⊙ h_{t-1}

    The row of blocks is (r, z, n, r ⊙ h): the last feeds n through the second product.
    """

    gates = 3
    first_bias = (0, 0, 0)
    blocks = 4
    input_blocks = (0, 1, 2)
    recurrent_blocks = (0, 1)
    middle = 3
    middle_blocks = (2,)

    def prepare(self, gates, before):
        """Pre-activations of r, z and, without its product, n → r, the same, and r ⊙ h."""
        r = sigmoid(gates[0])
        return r, gates[1], gates[2], r * before[0]

    def forward(self, gates, before):
        """r, pre-activations of z and n, r ⊙ h → saved r, z, n, r ⊙ h and the new h."""
        z = sigmoid(gates[1])
        n = tanh(gates[2])
        return (gates[0], z, n, gates[3]), (n + z * (before[0] - n),)

    def backward(self, saved, before, dafter):
        """Gradient of h after the step → of z's and n's pre-activations, and of h before it."""
        r, z, n, middle = saved
        dh = dafter[0]
        dz = dh * (before[0] - n) * z * (1.0 - z)
        dn = dh * (1.0 - z) * (1.0 - n * n)
        return (r, dz, dn, middle), (dh * z,)

    def unprepare(self, saved, before, dmiddle, dbefore):
        """Gradient of r ⊙ h → of r's pre-activation and, added to ``dbefore``, of h."""
        r, dz, dn, middle = saved
        dr = dmiddle * before[0] * r * (1.0 - r)
        return (dr, dz, dn, middle), (dbefore[0] + dmiddle * r,)
