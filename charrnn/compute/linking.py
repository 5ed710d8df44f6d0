"""Parts of kernels reach LLVM once: in each kernel, with all else that it is made of.

Numba compiles each function that a kernel calls as if it were called from Python too: it optimises
it, writes machine code, links what is optimised into the caller and optimises that again, level by
level. Most of the time that compiling took went into this. Here a *part* stops at LLVM's code as it
is first written; a kernel links that of all parts it is made of, and optimises it in one go.

This stands on how Numba links libraries, which it does not promise to keep. Where it is not as it
was in the versions that are known, the options here are none: slower, to the same effect.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterable, Iterator
from typing import Any

import numba
from llvmlite.binding import Linkage
from numba.core import codegen, compiler, cpu, typed_passes


class _Unoptimised(codegen.JITCodeLibrary):
    """Optimises nothing before all is there."""

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout


class _Part(_Unoptimised):
    """LLVM's code of a part, neither optimised nor made machine code."""

    def finalize(self) -> None:
        """There is nothing more to be done."""
        self._finalize_dynamic_globals()
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """None: Python cannot call a part."""
        return 0

    @property
    def codegen(self) -> _Part:
        """What keeps a function's environment, of which machine code from a file has none either.

        It serves objects of Python, that no kernel uses.
        """
        return self

    def set_env(self, env_name: str, env: Any) -> None:
        """Do without."""


class _Kernel(_Unoptimised):
    """A kernel with all its parts."""

    _linking_libraries: list[Any]

    def finalize(self) -> None:
        """Link the parts, each once, before all is optimised and made machine code."""
        self._linking_libraries = list(_with_parts(self._linking_libraries, set()))
        super().finalize()

    def _optimize_final_module(self) -> None:
        # What only this kernel calls need not be there for others, once it is inlined; and no two
        # kernels can be taken to share what each has optimised for itself.
        for library in self._linking_libraries:
            if isinstance(library, _Part):
                for function in library.get_defined_functions():
                    self._final_module.get_function(function.name).linkage = Linkage.internal
        super()._optimize_final_module()


def _with_parts(libraries: Iterable[Any], seen: set[Any]) -> Iterator[Any]:
    """The libraries and, of those that are parts, what they call themselves."""
    for library in libraries:
        if library not in seen:
            seen.add(library)
            yield library
            if isinstance(library, _Part):
                yield from _with_parts(library._linking_libraries, seen)


def _compiler_to(kind: type[codegen.JITCodeLibrary]) -> type[compiler.CompilerBase]:
    """Numba's compiler, but for what it writes to."""

    class Compiler(compiler.Compiler):
        def compile_extra(self, function: Any) -> Any:
            library = kind(self.state.targetctx.codegen(), function.__qualname__)
            library.enable_object_caching()
            self.state.library = library
            with _no_garbage_collected():
                return super().compile_extra(function)

    return Compiler


@contextlib.contextmanager
def _no_garbage_collected() -> Iterator[None]:
    """Collecting takes an eighth of the time here, and finds little."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


#: What is relied on: functions of Numba, and the names that they use.
_RELIED_ON = (
    (typed_passes.BaseNativeLowering.run_pass, ("library", "get_executable")),
    (cpu.CPUContext.get_executable, ("get_pointer_to_function", "codegen", "set_env")),
    (codegen.CPUCodeLibrary.add_linking_library, ("_ensure_finalized", "_linking_libraries")),
    (codegen.CPUCodeLibrary.finalize,
     ("_linking_libraries", "_get_module_for_linking", "_optimize_final_module")),
    (codegen.CPUCodeLibrary.add_llvm_module, ("_optimize_functions", "_final_module")),
)  # fmt: skip


#: The oldest version that this was tried with to good effect; with 0.61 a kernel crashed.
_OLDEST = (0, 68)


def _is_known() -> bool:
    return numba.version_info.short >= _OLDEST and all(
        set(names) <= set(function.__code__.co_names) for function, names in _RELIED_ON
    )


#: Options of Numba for kernels, and for their parts.
KERNEL: dict[str, Any] = {}
PART: dict[str, Any] = {}
if _is_known():
    KERNEL = {"pipeline_class": _compiler_to(_Kernel)}
    PART = {"pipeline_class": _compiler_to(_Part), "no_cpython_wrapper": True}
