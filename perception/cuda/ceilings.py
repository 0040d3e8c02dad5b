"""What a device can do at most: memory bandwidth by a copy, arithmetic by chains of fused multiply-adds; measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import cuda

CHAINS = 8
"""Independent chains in a thread, so that none waits for its own last result."""


@cuda.jit
def copy_values(source: Any, target: Any) -> None:
    """Copy an array (N,), several values in a thread, neighbours side by side."""
    step = cuda.gridDim.x * cuda.blockDim.x  # type: ignore[operator]
    first = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x  # type: ignore[operator]
    for i in range(first, source.shape[0], step):
        target[i] = source[i]


@cuda.jit
def multiply_add(values: Any, passes: Any) -> None:
    """Do ``2 * CHAINS * passes`` operations in each thread, in the width of ``values`` (N,), one for each thread."""
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x  # type: ignore[operator]
    if i >= values.shape[0]:
        return
    a = values[i]
    b = a
    c, d, e, f, g, h, j, k = a, a + b, a - b, b, a, b, a, b
    for _ in range(passes):
        c = c * a + b
        d = d * a + b
        e = e * a + b
        f = f * a + b
        g = g * a + b
        h = h * a + b
        j = j * a + b
        k = k * a + b
    values[i] = c + d + e + f + g + h + j + k


def best_seconds(work: Callable[[], None], repeat: int = 5) -> float:
    """Return the least time [s] of some runs of work on the device, its end waited for; one run goes before."""
    work()
    cuda.synchronize()
    best = np.inf
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        cuda.synchronize()
        best = min(best, time.perf_counter() - started)
    return float(best)


def measured_ceilings(*, values: int = 1 << 27, threads: int = 1 << 20, passes: int = 4096) -> dict[str, float]:
    """Measure the device.

    Args:
        values: copied, 4 bytes each. threads: that compute. passes: of each.

    Returns:
        ``bytes_per_second`` (read and written), ``float32_per_second`` and ``float64_per_second`` operations.
    """
    source = cuda.to_device(np.zeros(values, np.float32))
    target = cuda.device_array(values, np.float32)
    blocks = min(-(-values // 256), 65535)
    seconds = best_seconds(lambda: copy_values[blocks, 256](source, target))
    result = {"bytes_per_second": 8.0 * values / seconds}
    for dtype in (np.float32, np.float64):
        many = passes if dtype is np.float32 else max(1, passes // 16)
        data = cuda.to_device(np.full(threads, 0.5, dtype))
        seconds = best_seconds(lambda data=data, many=many: multiply_add[-(-threads // 256), 256](data, many))  # type: ignore[misc]
        result[f"{np.dtype(dtype).name}_per_second"] = 2.0 * CHAINS * many * threads / seconds
    return result
