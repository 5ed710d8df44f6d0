"""tanh, sigmoid, relu and exp on vector registers.

float32 is the working precision: tanh is a rational function (within 6 units in the last place),
exp a range reduction and a polynomial. float64 serves the checks of gradients: there exp is right
to the last few bits and the others to 1e-16 absolutely.
"""

from __future__ import annotations

import math

from numba import types
from numba.extending import intrinsic, overload

from charrnn.compute import functions
from charrnn.compute.cache import PART
from charrnn.compute.vector import (
    VectorType,
    absolute,
    copy_sign,
    llvm_type,
    maximum,
    minimum,
    nearest,
    power_of_two,
)

# tanh x = x P(x²) / Q(x²) for |x| up to 7.90, where float32 tanh is 1 - 2^-24: the coefficients,
# highest power first, of Eigen's ptanh (Eigen/src/Core/MathFunctionsImpl.h).
_TANH_LIMIT = 7.90531110763549805
_TANH_P = (
    *(-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08),
    *(1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03),
)
_TANH_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)

_LOG2_E = math.log2(math.e)
# ln 2 in two parts: the first has 15 bits, so that its product with an exponent is exact.
_LN2_HIGH = 0.693145751953125
_LN2_LOW = 1.4286068203094172e-06


def _polynomial(coefficients):
    """A function that evaluates the polynomial at a register by Horner's rule."""

    @intrinsic
    def evaluate(typingctx, x):
        def codegen(context, builder, sig, args):
            type_ = llvm_type(sig.return_type)
            constants = [type_([c] * type_.count) for c in coefficients]
            result = constants[0]
            for constant in constants[1:]:
                product = builder.fmul(result, args[0], flags=("contract",))
                result = builder.fadd(product, constant, flags=("contract",))
            return result

        return x(x), codegen

    return evaluate


_tanh_p = _polynomial(_TANH_P)
_tanh_q = _polynomial(_TANH_Q)


def _exponential(degree, low, high):
    """e^x = 2^n e^r with n the integer nearest to x / ln 2 and |r| ≤ ln 2 / 2, e^r by Taylor.

    Below ``low`` it stays at e^low: small enough to be nothing in a sum of probabilities, and so
    large that a probability 65,536 times smaller is no denormal number, which would be slow.
    """
    series = _polynomial([1 / math.factorial(n) for n in range(degree, -1, -1)])

    def exponential(x):
        x = minimum(maximum(x, low), high)
        n = nearest(x * _LOG2_E)
        return series(x - n * _LN2_HIGH - n * _LN2_LOW) * power_of_two(n)

    return exponential


# The first omitted term is below 6e-9 of the result after degree 7, 5e-18 after degree 13.
_exp32 = _exponential(7, -76.0, 88.0)
_exp64 = _exponential(13, -690.0, 709.0)


def _tanh32(x):
    x = minimum(maximum(x, -_TANH_LIMIT), _TANH_LIMIT)
    square = x * x
    return x * _tanh_p(square) / _tanh_q(square)


def _tanh64(x):
    e = functions.exp(absolute(x) * -2.0)
    return copy_sign((1.0 - e) / (1.0 + e), x)


@intrinsic
def _one_where_positive(typingctx, x):
    def codegen(context, builder, sig, args):
        type_ = llvm_type(sig.return_type)
        positive = builder.fcmp_ordered(">", args[0], type_(None))
        return builder.select(positive, type_([1.0] * type_.count), type_(None))

    return x(x), codegen


def _replace(function, in_float32, in_float64):
    """In compiled code let ``function`` of a register be one of the two implementations."""

    @overload(function, jit_options=PART)
    def choose(x):
        if not isinstance(x, VectorType):
            return None
        return in_float32 if x.dtype == types.float32 else in_float64


def _sigmoid_of_register(x):
    return functions.tanh(x * 0.5) * 0.5 + 0.5


def _relu_of_register(x):
    return maximum(x, 0.0)


def _step_of_register(x):
    return _one_where_positive(x)


_replace(functions.exp, _exp32, _exp64)
_replace(functions.tanh, _tanh32, _tanh64)
_replace(functions.sigmoid, _sigmoid_of_register, _sigmoid_of_register)
_replace(functions.relu, _relu_of_register, _relu_of_register)
_replace(functions.step, _step_of_register, _step_of_register)
