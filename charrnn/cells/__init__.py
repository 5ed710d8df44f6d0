"""The recurrent cells: one file each, with its equations and their derivatives.

A cell is a ``NamedTuple`` class, so that compiled code is specialised by its type. It declares

``gates``
    number of gates G: ``weight_ih`` is [G·H, inputs], ``weight_hh`` [G·H, H], biases [G·H], in
    PyTorch's order of gates;
``states``
    names of its states, each of H units, the hidden state first;
``first_bias``
    for each gate the bias of a new network;
``blocks``
    number of H-wide blocks in a row of the time loop: the pre-activations at first, then what
    the backward pass needs, then gradients;
``input_blocks``, ``recurrent_blocks``
    for each gate the block to which the product with the input, and that with the previous
    hidden state, is added; each is a permutation of neighbouring blocks;
``forward(gates, before)``
    pre-activations (a tuple of blocks) and states before the step → (saved blocks, states after);
``backward(saved, before, dafter)``
    saved blocks, states before, gradients of the states after → (gradients of the
    pre-activations, gradients of the states before *without* what flows through the recurrent
    product, which the time loop adds).

The two methods are plain arithmetic: they run on NumPy arrays as they stand, and compiled on
vector registers. A new cell is one file and one entry in ``CELLS``.
"""

from __future__ import annotations

from charrnn.cells.elman import Elman, ElmanRelu
from charrnn.cells.gru import Gru
from charrnn.cells.lstm import Lstm

#: Cells by the name that a user gives and, where a cell has a choice, its activation.
CELLS = {
    ("lstm", "tanh"): Lstm,
    ("gru", "tanh"): Gru,
    ("elman", "tanh"): Elman,
    ("elman", "relu"): ElmanRelu,
}

CELL_NAMES = tuple(dict.fromkeys(name for name, _ in CELLS))
