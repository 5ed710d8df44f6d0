"""The plain recurrent network (Elman 1990): the hidden layer is the memory."""

from __future__ import annotations

from charrnn.cells.cell import Cell
from charrnn.compute.functions import relu, step, tanh


class Elman(Cell):
    """h_t = tanh(x W + h_{t-1} U + b)."""

    gates = 1
    first_bias = (0,)
    blocks = 1
    input_blocks = recurrent_blocks = (0,)

    def forward(self, gates, before):
        """Pre-activation → h, which is also all that the backward pass needs."""
        h = tanh(gates[0])
        return (h,), (h,)

    def backward(self, saved, before, dafter):
        """Gradient of h after the step → of the pre-activation; all of it flows through U."""
        dh = dafter[0]
        return (dh * (1.0 - saved[0] * saved[0]),), (dh * 0.0,)


class ElmanRelu(Elman):
    """h_t = max(0, x W + h_{t-1} U + b)."""

    def forward(self, gates, before):
        """Pre-activation → h, which is also all that the backward pass needs."""
        h = relu(gates[0])
        return (h,), (h,)

    def backward(self, saved, before, dafter):
        """Gradient of h after the step → of the pre-activation; all of it flows through U."""
        dh = dafter[0]
        return (dh * step(saved[0]),), (dh * 0.0,)
