"""Making device functions of the functions that the CPU's kernels are made of: one source, two targets.

The sensors' maths are scalar functions, compiled for the CPU by ``perception.compiled``. Here the same functions are
compiled for a GPU: each is copied with its global names bound anew, so that

- what it calls is the device's version, and so on down;
- ``numpy`` is a module of the scalar functions that a GPU has (``np.sqrt`` is then one instruction);
- with 32-bit reals, its floating-point constants are 32 bits wide: a single 64-bit constant would turn all that it
  touches into 64-bit arithmetic, which is 2 to 64 times slower on a GPU.

Nothing is written twice, so nothing can come apart. In numba's CUDA simulator the copies run as plain Python, with the
same widths.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from functools import cache
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from ..device import simulated

WIDE_MODULES = ("noise",)
WIDE_FUNCTIONS = ("slow_drift", "stray_range")
"""Modules and functions that keep 64-bit arithmetic: random numbers are the same on both targets, bit for bit."""

NARROW_VALUES = {
    "TRIANGLE_LEAVE": 1e-5,
    "SMALLEST_DIRECTION": 1e-30,
    "NO_HIT_ENTER": 3e38,
    "NO_HIT_LEAVE": -3e38,
    "SHADOW_OFFSET": 1e-3,
}
"""Constants that mean something else in 32 bits: their range ends at 3.4e38, and a hall's length is known to 1e-5 m."""

Function = Callable[..., Any]

Real: type = np.float64
"""Stands for the width of reals in functions of this folder: ``Real(n)`` makes a whole number a real."""


def device(function: Function) -> Function:
    """Mark a function of this folder as one that kernels are made of."""
    function.__dict__["on_device"] = True
    return function


@cache
def device_function(function: Function, real: type) -> Any:
    """Return a function compiled for the device (in the simulator: a plain function) with reals of 32 or 64 bits.

    Args:
        function: a function marked by ``device``, or one that ``perception.compiled`` has compiled.
        real: np.float32 or np.float64.
    """
    copy = rebound(source_of(function), width_of(function, real))
    if simulated():
        return copy
    from numba import cuda

    return cuda.jit(device=True)(copy)


@cache
def kernel(function: Function, real: type) -> Any:
    """Return a function compiled as a kernel, with reals of 32 or 64 bits; see ``device_function``."""
    from numba import cuda

    return cuda.jit(rebound(function, real))


def rebound(function: Function, real: type, make: Callable[[Function, type], Any] | None = None) -> FunctionType:
    """Return a copy of a Python function for the device: global names bound anew, constants of the given width.

    Args:
        function: plain Python. real: np.float32 or np.float64.
        make: what to make of each function that it calls; ``device_function`` if left out, else plain Python comes out.
    """
    code: CodeType = function.__code__
    names: dict[str, Any] = {"__builtins__": builtins, "__name__": function.__module__}
    for name in code.co_names:
        if name in function.__globals__:
            names[name] = _device_value(name, function.__globals__[name], real, make)
    if real is np.float32:
        code = code.replace(co_consts=tuple(_narrow(value) for value in code.co_consts))
    return FunctionType(code, names, function.__name__, function.__defaults__)


def _device_value(name: str, value: Any, real: type, make: Callable[[Function, type], Any] | None) -> Any:
    if hasattr(value, "py_func") or getattr(value, "on_device", False):
        return (make or device_function)(value, real)
    if name == "Real":
        return real
    if value is np:
        return np if make is not None or simulated() else device_numpy(real)
    if real is np.float32 and isinstance(value, float):
        return np.float32(NARROW_VALUES.get(name, value))
    return value


def _narrow(value: Any) -> Any:
    if isinstance(value, float):
        return np.float32(value)
    if isinstance(value, tuple):
        return tuple(_narrow(item) for item in value)
    return value


def source_of(function: Function) -> Function:
    """Return the plain Python of a function that may have been compiled for the CPU."""
    source: Function = getattr(function, "py_func", function)
    return source


def width_of(function: Function, real: type) -> type:
    """Return the width of a function's reals on a device whose own are ``real``."""
    source = source_of(function)
    wide = source.__module__.rpartition(".")[2] in WIDE_MODULES or source.__name__ in WIDE_FUNCTIONS
    return np.float64 if wide else real


@cache
def device_numpy(real: type) -> ModuleType:
    """Return a module with the scalar functions and types of numpy that device functions use."""
    from numba.cuda import libdevice

    module = ModuleType("device_numpy")
    for name in ("sqrt", "log", "exp", "cos", "sin", "tan", "copysign", "isfinite", "isnan", "hypot"):
        setattr(module, name, getattr(math, name))
    for name, theirs in (("arctan2", "atan2"), ("arctan", "atan"), ("arcsin", "asin"), ("arccos", "acos")):
        setattr(module, name, getattr(math, theirs))
    # Those of ``math`` would return integers.
    narrow = real is np.float32
    for name in ("floor", "ceil", "rint"):
        setattr(module, name, getattr(libdevice, name + "f" if narrow else name))
    for name in ("float32", "float64", "int32", "int64", "uint8", "uint32", "uint64"):
        setattr(module, name, getattr(np, name))
    module.__dict__["inf"] = real(np.inf)
    module.__dict__["pi"] = real(np.pi)
    return module
