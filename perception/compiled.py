"""How the sensor kernels are compiled.

Numba keeps compiled kernels on disk and compiles anew when the file that holds a kernel changes, but not when a
function that the kernel calls changes in another file. Since these kernels are made of functions from several files,
the stamp under which they are kept also covers the content of all those files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

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


def _content_stamp() -> str:
    digest = hashlib.sha256()
    for name in KERNEL_MODULES:
        path = Path(__file__).with_name(f"{name}.py")
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()[:16]


CONTENT_STAMP = _content_stamp()


def _stamped(dispatcher: Any) -> Any:
    # Numba has no public way to add to the stamp; without this attribute its own stamp stays, which is no worse.
    cache_file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if cache_file is not None and hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = (cache_file._source_stamp, CONTENT_STAMP)
    return dispatcher


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a kernel that Python calls: cached on disk, without the interpreter's lock, division as IEEE 754 says."""
    return _stamped(njit(cache=True, nogil=True, error_model="numpy")(function))


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function that kernels are made of, always inlined.

    Inlining matters twice: a call that passes arrays counts references atomically, which would cost more than most of
    these functions.
    """
    return _stamped(njit(cache=True, nogil=True, error_model="numpy", forceinline=True)(function))
