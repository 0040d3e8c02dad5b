"""How the sensor kernels are compiled.

These kernels are made of functions from several files: the stamp under which they are kept covers all of them (see
``common.kernels``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

from ..common.kernels import content_stamp, stamped

KERNEL_MODULES = (
    "camera",
    "compiled",
    "grid",
    "intersect",
    "lidar",
    "masks",
    "materials",
    "noise",
    "raycast",
    "scene",
    "shading",
    "silhouette",
)
"""Modules of this folder that hold kernels or what kernels call."""


CONTENT_STAMP = content_stamp(Path(__file__).with_name(f"{name}.py") for name in KERNEL_MODULES)


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a kernel that Python calls: cached on disk, without the interpreter's lock, division as IEEE 754 says."""
    return stamped(njit(cache=True, nogil=True, error_model="numpy")(function), CONTENT_STAMP)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels are made of, always inlined.

    Inlining matters twice: a call that passes arrays counts references atomically, which would cost more than most of
    these functions.
    """
    return stamped(njit(cache=True, nogil=True, error_model="numpy", forceinline=True)(function), CONTENT_STAMP)
