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
    number of blocks in a row of the time loop: the pre-activations at first, then what the
    backward pass needs, then gradients;
``input_blocks``, ``recurrent_blocks``
    for each gate the block to which the product with the input, and that with the previous
    hidden state, is added; each is a permutation of neighbouring blocks;
``forward(gates, before)``
    pre-activations (a tuple of blocks) and states before the step → (saved blocks, states after);
``backward(saved, before, dafter)``
    saved blocks, states before, gradients of the states after → (gradients of the
    pre-activations, gradients of the states before *without* what flows through the recurrent
    product, which the time loop adds).

Where it needs more than ``charrnn.cells.cell.Cell``, it also declares

fields of the ``NamedTuple``
    per-unit parameters [H], which its methods use as ``self.name``; ``backward`` then returns
    their gradients too. ``first_value(field, place)`` is what one begins with in a new network,
    0 where a cell says nothing, of the unit at a ``place`` from 0 to 1 among all;
``constants``
    which of the fields, the last ones, keep their first values: they are no parameters;
``counters``
    which of the states, the last ones, count steps: they are 0 where a document starts, whatever
    other states are there;
``groups``
    into how many groups of neighbours the units of a cell of one gate are divided, of which each
    reads, of the hidden state, itself and those behind it: the rest of ``weight_hh`` is zeros.
    ``due(before)`` is 1 for the units that a step updates, else 0: where a unit is updated, all
    before it are, and the products leave out columns behind the last that is due in any lane;
``by_character``
    whether each character has a recurrent matrix of its own: ``weight_hh`` is [V, G·H, H] in every
    layer. Input and recurrent matrices then feed the same blocks;
``trained``
    whether its weights learn: those of a reservoir stay as they are drawn, and so does what is
    below it;
``source``
    which of the states the recurrent product reads;
``middle``, ``middle_blocks``
    a second product in each step: the block that it reads and the blocks, of the gates that
    ``recurrent_blocks`` leaves out, that it feeds. ``prepare(gates, before)`` makes of the
    pre-activations the blocks with that block among them, ``forward`` and ``backward`` follow
    and precede the product, and ``unprepare(saved, before, dmiddle, dbefore)`` is the way back
    through ``prepare``. The middle block is kept as it is to the end;
``output_block``
    a block that the second product, being the network's own readout, turns into logits and the
    time loop into probabilities; its gradient in ``dafter`` is that of the logits;
``output_scale``
    what its first units are multiplied by to be the network's logits, where it has no readout;
``most_layers``
    how many layers can be stacked;
``most_growth``
    how many times as large as an orthogonal matrix those that read its states may become in
    training (docs/measurements.md): more where states are small, as those of an LSTM are.

The methods are plain arithmetic: they run on NumPy arrays as they stand, and compiled on
vector registers. A new cell is one file and one entry in ``CELLS``.
"""

from __future__ import annotations

from typing import Any

from charrnn.cells.clockwork import Clockwork
from charrnn.cells.echo_state import EchoState
from charrnn.cells.elman import Elman, ElmanRelu
from charrnn.cells.fully_recurrent import FullyRecurrent
from charrnn.cells.gru import Gru
from charrnn.cells.gru_minimal import GruMinimal
from charrnn.cells.gru_reset_before import GruResetBefore
from charrnn.cells.jordan import Jordan, JordanRelu
from charrnn.cells.leaky import Leaky
from charrnn.cells.lstm import Lstm
from charrnn.cells.lstm_coupled import LstmCoupled
from charrnn.cells.lstm_multiplicative import LstmMultiplicative
from charrnn.cells.lstm_peephole import LstmPeephole
from charrnn.cells.multiplicative import Multiplicative
from charrnn.cells.second_order import SecondOrder

#: Cells by the name that a user gives and, where a cell has a choice, its activation.
CELLS: dict[tuple[str, str], Any] = {
    ("lstm", "tanh"): Lstm,
    ("lstm-peephole", "tanh"): LstmPeephole,
    ("lstm-coupled", "tanh"): LstmCoupled,
    ("gru", "tanh"): Gru,
    ("gru-reset-before", "tanh"): GruResetBefore,
    ("gru-minimal", "tanh"): GruMinimal,
    ("elman", "tanh"): Elman,
    ("elman", "relu"): ElmanRelu,
    ("jordan", "tanh"): Jordan,
    ("jordan", "relu"): JordanRelu,
    ("fully-recurrent", "tanh"): FullyRecurrent,
    ("leaky", "tanh"): Leaky,
    ("echo-state", "tanh"): EchoState,
    ("clockwork", "tanh"): Clockwork,
    ("second-order", "tanh"): SecondOrder,
    ("multiplicative", "tanh"): Multiplicative,
    ("lstm-multiplicative", "tanh"): LstmMultiplicative,
}

CELL_NAMES = tuple(dict.fromkeys(name for name, _ in CELLS))


def most_layers(name: str) -> int:
    """How many layers of the cell that a user calls so can be stacked."""
    return min(cell.most_layers for (own, _), cell in CELLS.items() if own == name)


def is_bound_to_vocabulary(name: str) -> bool:
    """Whether sizes that the cell can have depend on how many characters there are."""
    kinds = [cell for (own, _), cell in CELLS.items() if own == name]
    return any(cell.output_scale is not None or cell.by_character for cell in kinds)


def is_reservoir(name: str) -> bool:
    """Whether the weights of the cell stay as they are drawn, and what reads its units learns."""
    return not any(cell.trained for (own, _), cell in CELLS.items() if own == name)
