"""How the sensor kernels are compiled."""

from __future__ import annotations

from numba import njit

compiled = njit(cache=True, nogil=True, error_model="numpy")
"""For kernels that Python calls: cached on disk, without the interpreter's lock, division as IEEE 754 says."""

inlined = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
"""For what kernels are made of. Inlining matters twice: a call that passes arrays counts references atomically, which
would cost more than most of these functions."""
