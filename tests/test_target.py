"""What the processor offers, and the paths of lesser processors run on this one."""

import platform

import llvmlite.binding as llvm
import pytest
from numba.core import config
from samples import CELLS_OF_EACH_KIND
from subprocesses import TESTS, python

from charrnn.compute import target

X86 = platform.machine().lower() in ("x86_64", "amd64")
NUMBA_SETTINGS = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
AVX2 = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma"}
GENERIC = {"NUMBA_CPU_NAME": "generic"}
PRINT = (
    "from charrnn.compute import target as t; print(t.VECTOR_BYTES, t.TILE_ROWS, t.TILE_VECTORS)"
)


def _registers_of(settings):
    """Bytes, tile rows and tile columns in a process with these settings; nothing is compiled."""
    return [int(n) for n in python("-c", PRINT, without=NUMBA_SETTINGS, **settings).split()]


@pytest.mark.skipif(not X86, reason="names of x86 processors")
@pytest.mark.parametrize(
    ("settings", "vector_bytes", "registers"),
    [
        (GENERIC, 16, 16),
        (AVX2, 32, 16),
        ({"NUMBA_CPU_NAME": "znver4", "NUMBA_CPU_FEATURES": "+avx512f,+avx512vl"}, 64, 32),
    ],
    ids=["generic", "avx2", "avx512"],
)
def test_named_processors_have_their_registers(settings, vector_bytes, registers):
    found, rows, vectors = _registers_of(settings)
    assert found == vector_bytes
    assert rows * vectors + vectors <= registers, "accumulators and a panel fit into registers"


@pytest.mark.skipif(not X86, reason="names of x86 features")
def test_the_hosts_own_registers_are_as_wide_as_its_features_say():
    features = llvm.get_host_cpu_features()
    widest = 64 if features.get("avx512f") else 32 if features.get("avx2") else 16
    found, _, _ = _registers_of({})
    assert found <= widest
    assert found >= min(widest, 32)


@pytest.mark.parametrize(
    ("triple", "vector_bytes", "registers"),
    [
        ("x86_64-unknown-linux-gnu", 16, 16),
        ("x86_64-pc-windows-msvc", 32, 16),
        ("x86_64-apple-darwin22.6.0", 64, 32),
        ("aarch64-unknown-linux-gnu", 16, 32),
        ("arm64-apple-darwin23.1.0", 16, 32),
    ],
)
def test_a_tile_fits_into_the_registers(triple, vector_bytes, registers):
    rows, vectors = target.tile_shape(triple, vector_bytes)
    assert registers / 2 < rows * vectors + vectors + 1 <= registers
    assert rows in (4, 8), "the rows that it leaves are multiplied by tiles of 4, 2 and 1"


def test_features_are_those_that_numba_compiles_for(monkeypatch):
    """Some processors tell none, and Numba may leave some out."""

    def unknown():
        raise RuntimeError("failed to get host cpu features.")

    monkeypatch.setattr(llvm, "get_host_cpu_features", unknown)
    monkeypatch.setattr(config, "CPU_FEATURES", None)
    monkeypatch.setattr(config, "CPU_NAME", "generic")
    assert target._cpu() == ("generic", "")


def _run_the_tests_on(settings, vector_bytes):
    """The primitives, and networks with their gradients, in a process that has these registers."""
    if vector_bytes == target.VECTOR_BYTES:
        pytest.skip(f"this process itself has registers of {vector_bytes} bytes")
    assert _registers_of(settings)[0] == vector_bytes
    primitives = [f"test_{m}" for m in ("products", "vector", "activations", "readout")]
    networks = [
        "test_model.py::test_losses_and_states_equal_the_twin",
        "test_model.py::test_gradients_are_those_of_central_differences",
    ]
    cells = ["-".join(cell) for cell in CELLS_OF_EACH_KIND]
    options = ("-q", "--no-header", "-p", "no:cacheprovider", "--numprocesses", 0)
    chosen = (*options, "-k", " or ".join(primitives + cells))
    files = [TESTS / f"{name}.py" for name in primitives] + [TESTS / test for test in networks]
    python("-m", "pytest", *chosen, *files, without=NUMBA_SETTINGS, cwd=TESTS, **settings)


@pytest.mark.processors
def test_the_core_is_right_on_a_generic_processor():
    _run_the_tests_on(GENERIC, 16)


@pytest.mark.processors
def test_the_core_is_right_with_avx2():
    if not X86 or not llvm.get_host_cpu_features().get("avx2"):
        pytest.skip("this machine has no AVX2")
    _run_the_tests_on(AVX2, 32)
