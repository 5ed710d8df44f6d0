"""The command line."""

import charrnn.compute.blas  # noqa: F401  (before NumPy is imported)
