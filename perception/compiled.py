"""How the sensor kernels are compiled.

These kernels are made of functions from several files: the stamp under which one is kept covers its own module and all
that this imports from the package (see ``common.kernels``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit

from ..common.kernels import compiled, import_stamp, kept

__all__ = ["compiled", "inlined", "inner", "part", "spliced"]


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels are made of, always inlined.

    Inlining matters twice: a call that passes arrays counts references atomically, which would cost more than most of
    these functions. It is never called from Python but in tests.
    """
    kernel = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)(function)
    return kept(kernel, import_stamp(function.__code__.co_filename))


def part(function: Callable[..., Any]) -> Any:
    """As ``inlined``, for a function that only compiled code calls: without the means to call it from Python.

    Those take longer to compile than the function where it is given tuples of arrays.
    """
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(nogil=True, error_model="numpy", forceinline=True, **options)(function)


def inner(function: Callable[..., Any]) -> Any:
    """As ``part``, but not inlined: for large functions, and for those that several others call."""
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(nogil=True, error_model="numpy", **options)(function)


def spliced(function: Callable[..., Any]) -> Any:
    """Let a large function that is called in one place become part of its caller before anything is compiled.

    It saves compiling it twice. Not for functions within each other: numba takes long to splice those.
    """
    return njit(inline="always", error_model="numpy")(function)
