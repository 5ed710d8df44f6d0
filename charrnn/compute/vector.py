"""A vector register as a Numba type, with the arithmetic that the kernels need.

``load(array, offset)`` reads one register from a C-contiguous array at a flat element offset,
``store`` writes one. The operators ``+ - * /`` and unary minus work between vectors, and between
a vector and a number. LLVM's own vectoriser stops at 256 bits and gives up where it cannot prove
that arrays do not overlap; code written with this type is vector code as it stands.

Multiplications and additions carry LLVM's ``contract`` flag, so that they fuse where the
processor can do it; no other liberty is taken with floating-point arithmetic.
"""

from __future__ import annotations

import operator

import llvmlite.ir as ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.imputils import lower_cast
from numba.core.typeconv import Conversion
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, register_model

from charrnn.compute.target import VECTOR_BYTES

_FLAGS = ("contract", "nsz")


class VectorType(types.Type):
    """One vector register of ``lanes`` elements of ``dtype``: float32, float64, or int32 for pairs
    of bfloat16.
    """

    def __init__(self, dtype: types.Number) -> None:
        self.dtype = dtype
        self.lanes = VECTOR_BYTES // (dtype.bitwidth // 8)
        super().__init__(name=f"Vector({dtype}, {self.lanes})")

    def can_convert_from(self, typingctx, other):
        """A number becomes a register with that number in every lane."""
        return Conversion.safe if isinstance(other, (types.Float, types.Integer)) else None


def element_type(dtype: types.Number) -> ir.Type:
    """The LLVM type of one element."""
    if dtype == types.int32:
        return ir.IntType(32)
    return ir.FloatType() if dtype == types.float32 else ir.DoubleType()


def llvm_type(vector: VectorType) -> ir.VectorType:
    """The LLVM type of the register."""
    return ir.VectorType(element_type(vector.dtype), vector.lanes)


@register_model(VectorType)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, llvm_type(fe_type))


# --- memory ------------------------------------------------------------------------------------


def pointer(context, builder, array_type, array, offset):
    """Pointer to the element at flat ``offset`` of a C-contiguous array."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(data, [offset])


def vector_pointer(builder, data, type_):
    """``data`` as a pointer to registers of ``type_``."""
    return builder.bitcast(data, type_.as_pointer())


def _element_bytes(type_):
    return 8 if isinstance(type_.element, ir.DoubleType) else 4


def unaligned_load(builder, data, type_):
    """Read a register from memory that is aligned for its elements only."""
    value = builder.load(vector_pointer(builder, data, type_))
    value.align = _element_bytes(type_)
    return value


def unaligned_store(builder, value, data):
    """Write a register to memory that is aligned for its elements only."""
    instruction = builder.store(value, vector_pointer(builder, data, value.type))
    instruction.align = _element_bytes(value.type)


def splat(builder, value, type_):
    """A register with ``value`` in every lane."""
    lane = ir.IntType(32)
    single = builder.insert_element(ir.Constant(type_, ir.Undefined), value, lane(0))
    zeros = ir.Constant(ir.VectorType(lane, type_.count), None)
    return builder.shuffle_vector(single, ir.Constant(type_, ir.Undefined), zeros)


@intrinsic
def lanes(typingctx, array):
    """Elements in one register of the array's dtype."""
    count = VectorType(array.dtype).lanes

    def codegen(context, builder, sig, args):
        return context.get_constant(types.intp, count)

    return types.intp(array), codegen


@intrinsic
def load(typingctx, array, offset):
    """One register from ``array`` (C-contiguous) at the flat element ``offset``."""
    vector = VectorType(array.dtype)

    def codegen(context, builder, sig, args):
        data = pointer(context, builder, sig.args[0], args[0], args[1])
        return unaligned_load(builder, data, llvm_type(vector))

    return vector(array, types.intp), codegen


@intrinsic
def store(typingctx, array, offset, value):
    """Write the register ``value`` to ``array`` at the flat element ``offset``."""

    def codegen(context, builder, sig, args):
        data = pointer(context, builder, sig.args[0], args[0], args[1])
        unaligned_store(builder, args[2], data)
        return context.get_dummy_value()

    return types.void(array, types.intp, VectorType(array.dtype)), codegen


@intrinsic
def store_tuple(typingctx, array, offset, stride, values):
    """Write the registers of the tuple ``values``, ``stride`` elements apart."""

    def codegen(context, builder, sig, args):
        position = args[1]
        for value in cgutils.unpack_tuple(builder, args[3]):
            data = pointer(context, builder, sig.args[0], args[0], position)
            unaligned_store(builder, value, data)
            position = builder.add(position, args[2])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp, values), codegen


@intrinsic
def broadcast(typingctx, array, value):
    """A register of the array's dtype with ``value`` in every lane."""
    vector = VectorType(array.dtype)

    def codegen(context, builder, sig, args):
        scalar = context.cast(builder, args[1], sig.args[1], vector.dtype)
        return splat(builder, scalar, llvm_type(vector))

    return vector(array, value), codegen


# --- arithmetic --------------------------------------------------------------------------------


class _Binary(AbstractTemplate):
    """Vector with vector, or vector with number; the result is a vector."""

    def generic(self, args, kws):
        vectors = [a for a in args if isinstance(a, VectorType)]
        if len(args) == 2 and vectors:
            return signature(vectors[0], vectors[0], vectors[0])
        return None


class _Unary(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) == 1 and isinstance(args[0], VectorType):
            return signature(args[0], args[0])
        return None


def _register_operator(operation, template, instruction):
    """Make Python's ``operation`` on registers the LLVM ``instruction``."""
    infer_global(operation)(type("_Typing", (template,), {"key": operation}))
    operands = [VectorType] * (2 if template is _Binary else 1)

    @lower_builtin(operation, *operands)
    def lower(context, builder, sig, args):
        return getattr(builder, instruction)(*args, flags=_FLAGS)


_register_operator(operator.add, _Binary, "fadd")
_register_operator(operator.sub, _Binary, "fsub")
_register_operator(operator.mul, _Binary, "fmul")
_register_operator(operator.truediv, _Binary, "fdiv")
_register_operator(operator.neg, _Unary, "fneg")


@lower_cast(types.Float, VectorType)
@lower_cast(types.Integer, VectorType)
def _number_to_vector(context, builder, fromty, toty, value):
    scalar = context.cast(builder, value, fromty, toty.dtype)
    return splat(builder, scalar, llvm_type(toty))


def _elementwise(name, arity):
    """LLVM's elementwise intrinsic ``name`` as a function of one register or two."""

    def codegen(context, builder, sig, args):
        type_ = llvm_type(sig.return_type)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(type_, [type_] * arity),
            f"llvm.{name}.v{type_.count}f{sig.return_type.dtype.bitwidth}",
        )
        return builder.call(function, args)

    if arity == 1:
        return intrinsic(lambda typingctx, value: (value(value), codegen))
    return intrinsic(lambda typingctx, value, other: (value(value, value), codegen))


absolute = _elementwise("fabs", 1)
nearest = _elementwise("rint", 1)
square_root = _elementwise("sqrt", 1)
copy_sign = _elementwise("copysign", 2)


def _bounded(comparison):
    """The bound where ``value comparison bound``, else the value: a NaN stays a NaN."""

    def codegen(context, builder, sig, args):
        value, bound = args
        return builder.select(builder.fcmp_ordered(comparison, value, bound), bound, value)

    return intrinsic(lambda typingctx, value, bound: (value(value, value), codegen))


minimum = _bounded(">")
maximum = _bounded("<")


@intrinsic
def where_at_least(typingctx, value, bound, one, other):
    """``one`` in the lanes where ``value`` is ``bound`` or more, ``other`` elsewhere."""

    def codegen(context, builder, sig, args):
        value_, bound_, one_, other_ = args
        return builder.select(builder.fcmp_ordered(">=", value_, bound_), one_, other_)

    return value(value, value, value, value), codegen


@intrinsic
def bits_of(typingctx, number):
    """The bits of a floating-point number as an integer."""
    integer = {32: types.int32, 64: types.int64}[number.bitwidth]

    def codegen(context, builder, sig, args):
        bits = builder.bitcast(args[0], ir.IntType(number.bitwidth))
        return context.cast(builder, bits, integer, types.int64)

    return types.int64(number), codegen


@intrinsic
def number_of(typingctx, bits, like):
    """The floating-point number, of the type that ``like`` has, whose bits these are."""

    def codegen(context, builder, sig, args):
        integer = (
            builder.trunc(args[0], ir.IntType(like.bitwidth)) if like.bitwidth < 64 else args[0]
        )
        return builder.bitcast(integer, args[1].type)

    return like(types.int64, like), codegen


def _horizontal(name, start):
    """Reduce the lanes of a register to one number with ``llvm.vector.reduce.name``."""

    def codegen(context, builder, sig, args):
        element = element_type(sig.return_type)
        type_ = args[0].type
        first = [] if start is None else [ir.Constant(element, start)]
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(element, [element] * len(first) + [type_]),
            f"llvm.vector.reduce.{name}.v{type_.count}f{sig.return_type.bitwidth}",
        )
        return builder.call(function, [*first, args[0]], fastmath=("reassoc",) if first else ())

    return intrinsic(lambda typingctx, value: (value.dtype(value), codegen))


sum_of_lanes = _horizontal("fadd", -0.0)
largest_lane = _horizontal("fmax", None)
smallest_lane = _horizontal("fmin", None)


@intrinsic
def power_of_two(typingctx, exponent):
    """2^exponent of a register that holds whole numbers within the normal range."""

    def codegen(context, builder, sig, args):
        type_ = args[0].type
        bits = sig.return_type.dtype.bitwidth
        mantissa, bias = (23, 127) if bits == 32 else (52, 1023)
        integers = ir.VectorType(ir.IntType(bits), type_.count)
        biased = builder.add(
            builder.fptosi(args[0], integers), ir.Constant(integers, [bias] * type_.count)
        )
        shifted = builder.shl(biased, ir.Constant(integers, [mantissa] * type_.count))
        return builder.bitcast(shifted, type_)

    return exponent(exponent), codegen
