"""Handing many arrays to a kernel as one: numbers that say where they lie.

Numba unpacks every array of every argument at each call, a quarter of a microsecond apiece: with fifty arrays that is
more than a 2D scan takes. A handle holds addresses and lengths instead, and the kernel makes arrays of them. Whoever
makes a handle keeps the arrays alive, and never moves them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import carray, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from .compiled import part
from .raycast import Tables


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    """Return an address (int64) as a pointer."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(types.voidptr))

    return types.voidptr(types.int64), generate


pointer: Any = _pointer


def make_handle(*arrays: NDArray[Any]) -> NDArray[np.int64]:
    """Return (2 N,) int64: address and length (of the first axis) of each of N arrays in C order."""
    if not all(array.flags.c_contiguous and array.flags.aligned for array in arrays):
        raise ValueError("a handle needs arrays in C order")
    return np.array([(array.ctypes.data, len(array)) for array in arrays], np.int64).reshape(-1)


def tables_handle(tables: Tables) -> NDArray[np.int64]:
    """Return the handle of a scene's tables; the last entry is their number of columns."""
    t = tables
    arrays = (t.hot, t.solid, t.shape, t.kind, t.body, t.grid, t.cells, t.entries, t.moving, t.always)
    return np.append(make_handle(*arrays), np.int64(t.columns))


@part
def open_tables(h: NDArray[np.int64]) -> Tables:
    """Return the tables that a handle stands for."""
    return Tables(
        carray(pointer(h[0]), (h[1], 8), np.float64),
        carray(pointer(h[2]), (h[3], 16), np.float64),
        carray(pointer(h[4]), (h[5],), np.uint8),
        carray(pointer(h[6]), (h[7],), np.uint8),
        carray(pointer(h[8]), (h[9],), np.int32),
        carray(pointer(h[10]), (h[11],), np.float64),
        h[20],
        carray(pointer(h[12]), (h[13], 4), np.int32),
        carray(pointer(h[14]), (h[15], 4), np.int32),
        carray(pointer(h[16]), (h[17], 4), np.int32),
        carray(pointer(h[18]), (h[19],), np.int32),
    )
