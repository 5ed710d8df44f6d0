"""Jordan's network (1986): what the network said at one step is its memory at the next."""

from __future__ import annotations

from charrnn.cells.cell import Cell
from charrnn.compute.functions import relu, step, tanh


class Jordan(Cell):
    """The network's output, a distribution over characters, is fed back; h is no memory.

    h_t = tanh(x W + y_{t-1} U + b)
    y_t = softmax(h_t W_o + b_o), with the readout's W_o and b_o

    The row of blocks is (h, y, h): one h becomes a gradient, the other feeds y through the second
    product and stays for the readout's gradient.
    """

    gates = 1
    states = ("h", "y")
    first_bias = (0,)
    blocks = 3
    input_blocks = recurrent_blocks = (0,)
    source = 1
    middle = 2
    middle_blocks = (1,)
    output_block = 1
    most_layers = 1

    def prepare(self, gates, before):
        """Pre-activation and the readout's bias → h, the same, h."""
        h = tanh(gates[0])
        return h, gates[1], h

    def forward(self, gates, before):
        """h and y, which the time loop made of the logits → both as saved and as states."""
        h, y, middle = gates
        return (h, y, middle), (h, y)

    def backward(self, saved, before, dafter):
        """Gradients of h and of the logits → the same, for the second product."""
        h, _, middle = saved
        dh, dlogits = dafter
        return (h, dlogits, middle), (dh, dh * 0.0)

    def unprepare(self, saved, before, dmiddle, dbefore):
        """Gradients of h as the logits and as what is above read it → of the pre-activation."""
        h, dlogits, middle = saved
        dh = dbefore[0] + dmiddle
        return (dh * (1.0 - h * h), dlogits, middle), (dh * 0.0, dh * 0.0)


class JordanRelu(Jordan):
    """The same with h_t = max(0, x W + y_{t-1} U + b)."""

    def prepare(self, gates, before):
        """Pre-activation and the readout's bias → h, the same, h."""
        h = relu(gates[0])
        return h, gates[1], h

    def unprepare(self, saved, before, dmiddle, dbefore):
        """Gradients of h as the logits and as what is above read it → of the pre-activation."""
        h, dlogits, middle = saved
        dh = dbefore[0] + dmiddle
        return (dh * step(h), dlogits, middle), (dh * 0.0, dh * 0.0)
