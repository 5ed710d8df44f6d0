"""The echo state network (Jaeger 2001): a reservoir that is drawn, of which a readout learns."""

from __future__ import annotations

import math

from charrnn.cells.leaky import Leaky


class EchoState(Leaky):
    """As ``leaky``, with weights that stay as they are drawn; what reads its units learns alone.

    U is sparse, and scaled to a spectral radius below 1, so that what was read long ago fades.
    """

    trained = False
    most_layers = 1
    most_growth = math.inf  # no gradient flows back through it
