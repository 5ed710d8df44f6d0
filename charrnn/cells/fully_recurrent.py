"""The fully recurrent network (Williams & Zipser 1989): some of its units are its output."""

from __future__ import annotations

from charrnn.cells.elman import Elman


class FullyRecurrent(Elman):
    """h_t = tanh(x W + h_{t-1} U + b), and the logits are a fixed scale times its first V units.

    Every unit reads every other, those that are the output too; there is no readout.
    """

    most_layers = 1
    output_scale = 8.0
