"""The second-order network (Giles et al. 1990): each character has its own recurrent matrix."""

from __future__ import annotations

from charrnn.cells.elman import Elman


class SecondOrder(Elman):
    """h_t = tanh(x W + h_{t-1} U_c + b), where c is the character that is read.

    This is h_t = tanh(Σ_jk W_ijk h_j x_k + b) with a one-hot x, so that the W_ijk of one k are a
    matrix, and with a unit more that is always 1, whose weights are W: without it the first state,
    of zeros, would hear nothing of the first character. Sutskever et al. 2011 have it so, and
    Pollack (1987), of whose network the state computes the weights W_t = C h_{t-1} of the input.
    """

    by_character = True
