"""GRU without a reset gate: one gate is left, which mixes the old state with a new one."""

from __future__ import annotations

from charrnn.cells.cell import Cell
from charrnn.compute.functions import sigmoid, tanh


class GruMinimal(Cell):
    """The state is a mixture of itself and of a new candidate n.

    z   = σ(x W_z + h_{t-1} U_z + b_z)
    n   = tanh(x W_n + h_{t-1} U_n + b_n)
    h_t = (1 - z) ⊙ n + z ⊙ h_{t-1}
    """

    gates = 2
    first_bias = (0, 0)
    blocks = 2
    input_blocks = recurrent_blocks = (0, 1)

    def forward(self, gates, before):
        """Pre-activations of z and n and h → saved z, n and h."""
        z = sigmoid(gates[0])
        n = tanh(gates[1])
        return (z, n), (n + z * (before[0] - n),)

    def backward(self, saved, before, dafter):
        """Gradient of h after the step → of the pre-activations and of h before it."""
        z, n = saved
        dh = dafter[0]
        dz = dh * (before[0] - n) * z * (1.0 - z)
        dn = dh * (1.0 - z) * (1.0 - n * n)
        return (dz, dn), (dh * z,)
