"""What the processor offers: the width of its vector registers and how many there are."""

from __future__ import annotations

import llvmlite.binding as llvm
import llvmlite.ir as ir
from numba.core import config
from numba.core.codegen import get_host_cpu_features


def _cpu() -> tuple[str, str]:
    """The processor name and features that Numba gives to LLVM, ``NUMBA_*`` obeyed."""
    name = config.CPU_NAME or llvm.get_host_cpu_name()
    if config.CPU_FEATURES is not None:
        return name, config.CPU_FEATURES
    return name, get_host_cpu_features()


def _assembly_of_a_wide_sum(name: str, features: str) -> str:
    """Assembly of a 512-bit addition: the registers in it are the ones that LLVM will use."""
    wide = ir.VectorType(ir.FloatType(), 16)
    module = ir.Module()
    module.triple = llvm.get_process_triple()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [wide.as_pointer()]), "add")
    builder = ir.IRBuilder(function.append_basic_block())
    (pointer,) = function.args
    value = builder.load(pointer)
    builder.store(builder.fadd(value, value), pointer)
    builder.ret_void()
    machine = llvm.Target.from_triple(module.triple).create_target_machine(
        cpu=name, features=features, opt=2
    )
    return machine.emit_assembly(llvm.parse_assembly(str(module)))


def _vector_bytes() -> int:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    assembly = _assembly_of_a_wide_sum(*_cpu())
    return 64 if "zmm" in assembly else 32 if "ymm" in assembly else 16


#: Bytes of one vector register: 64 with AVX-512, 32 with AVX2, 16 elsewhere (NEON, SSE).
VECTOR_BYTES = _vector_bytes()


def _multiplies_bfloat16() -> bool:
    features = _cpu()[1].split(",")
    return VECTOR_BYTES == 64 and "+avx512bf16" in features


#: Whether the processor multiplies pairs of bfloat16 into float32 (AVX512-BF16).
HAS_BFLOAT16 = _multiplies_bfloat16()

#: Whether that is faster than float32: AMD's processors do twice as much of it in a cycle, Intel's
#: half as much (docs/measurements.md). By name and not by a trial: a run is the same each time.
FAST_BFLOAT16 = HAS_BFLOAT16 and _cpu()[0].startswith("znver")


def tile_shape(triple: str, vector_bytes: int) -> tuple[int, int]:
    """Rows and registers of columns of a product tile on a processor with such registers.

    Their product is held in registers as accumulators, beside a row of the panel and one
    broadcast: 8 × 3 of 32 registers, 4 × 3 of 16. 64-bit ARM has 32 of them and multiplies by one
    lane of a register, which takes no broadcast, but LLVM makes use of that in lower tiles only
    (docs/processors.md).
    """
    if triple.startswith(("aarch64", "arm64")):
        return 4, 4
    return (8 if vector_bytes == 64 else 4), 3


#: Rows and registers of columns of a product tile.
TILE_ROWS, TILE_VECTORS = tile_shape(llvm.get_process_triple(), VECTOR_BYTES)
