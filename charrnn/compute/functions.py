"""The nonlinear functions of the networks, as they are written on paper.

Cells use these in their equations. Called from Python they are NumPy functions; in compiled code
``charrnn.compute.activations`` replaces each by vector instructions. This module needs no Numba,
and NumPy only when a function is called, so that the table of cells, from which every help text
takes their names, can be read without them.
"""

from __future__ import annotations


def sigmoid(x):
    """Logistic sigmoid 1 / (1 + e^-x), elementwise, in the form that cannot overflow."""
    import numpy as np

    return 0.5 + 0.5 * np.tanh(0.5 * x)


def tanh(x):
    """Hyperbolic tangent, elementwise."""
    import numpy as np

    return np.tanh(x)


def relu(x):
    """max(x, 0), elementwise."""
    import numpy as np

    return np.maximum(x, 0)


def exp(x):
    """e^x, elementwise."""
    import numpy as np

    return np.exp(x)


def step(x):
    """1 where x > 0, else 0, elementwise: of x = relu(a) that is the derivative by a."""
    import numpy as np

    return np.where(x > 0, 1.0, 0.0)
