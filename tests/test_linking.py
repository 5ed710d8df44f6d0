"""Kernels come to the same whether they are linked with their parts or by Numba alone."""

import pytest
from numba.core import codegen
from subprocesses import python

from charrnn.compute import linking

SUMS = """
import sys
import numpy as np
from numba.core import codegen
if "plain" in sys.argv:
    codegen.CPUCodeLibrary.finalize = lambda self, finalize=codegen.CPUCodeLibrary.finalize: (
        finalize(self)
    )
from charrnn.compute import linking
from charrnn.compute.cache import inlined, kernel

@inlined
def twice(x):
    return x + x

@kernel
def squares(values):
    total = 0.0
    for value in values:
        total += twice(value) * value
    return total

@kernel
def both(values):
    return squares(values) + squares(values[::2])

values = np.arange(7.0)
print(bool(linking.PART), both(values), both(values), squares(values))
"""


@pytest.mark.parametrize(("how", "known"), [("linked", True), ("plain", False)])
def test_an_unknown_numba_links_as_it_does(tmp_path, how, known):
    (tmp_path / "script.py").write_text(SUMS)
    said = python(tmp_path / "script.py", how, XDG_CACHE_HOME=tmp_path / "cache")
    assert said.split() == [str(known), "294.0", "294.0", "182.0"]
    said = python(tmp_path / "script.py", how, XDG_CACHE_HOME=tmp_path / "cache")
    assert said.split() == [str(known), "294.0", "294.0", "182.0"], "loaded, it is another"


def test_parts_are_not_made_machine_code(monkeypatch):
    from charrnn.compute.cache import kernel

    made = []

    @kernel
    def part(x):
        return x * 3

    @kernel
    def whole(x):
        return part(x) + 1

    original = codegen.JITCodeLibrary._finalize_specific
    monkeypatch.setattr(
        codegen.JITCodeLibrary,
        "_finalize_specific",
        lambda self: (made.append(type(self)), original(self)),
    )
    assert whole(2) == 7
    assert linking._Kernel in made and linking._Part not in made
    assert part(2) == 6, "called from Python it is a kernel"
