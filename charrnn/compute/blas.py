"""NumPy's matrix products and decompositions on one thread, in the commands.

What is worth threads is compiled here; NumPy only draws first weights. The threads of its OpenBLAS
spin while they wait for one another (docs/measurements.md). NumPy reads this when it is imported.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
