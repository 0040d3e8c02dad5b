"""One pool of threads for the whole process, that runs compiled kernels over chunks of sensors.

Kernels release the interpreter's lock, so threads compute side by side. What they write never depends on how many
there are: every sensor is computed by itself. There is one thread unless more are asked for, because a fleet of
simulations gives each core a whole episode (Ray starts one worker per core); threads on top of that only get in each
other's way.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from ..common.errors import InputError

VARIABLE = "FLOORCAST_THREADS"
MAX_THREADS = 1024

_lock = Lock()
_count: int | None = None
_pool: ThreadPoolExecutor | None = None
_pool_process = -1


def set_threads(count: int) -> None:
    """Set how many threads this process may use for sensors, from now on.

    Args:
        count: 1 (the default) to ``MAX_THREADS``; the environment variable ``FLOORCAST_THREADS`` sets it too, before
            the first use.

    Raises:
        InputError: not a whole number in that range.
    """
    global _count, _pool
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_THREADS:
        raise InputError(
            f"the number of threads is {count!r}",
            where="set_threads",
            mend=f"give 1 to {MAX_THREADS}",
        )
    with _lock:
        if _pool is not None:
            _pool.shutdown(wait=False)
        _count, _pool = count, None


def get_threads() -> int:
    """Return how many threads this process uses for sensors.

    Raises:
        InputError: ``FLOORCAST_THREADS`` is not a whole number from 1 to ``MAX_THREADS``.
    """
    global _count
    if _count is None:
        text = os.environ.get(VARIABLE, "").strip() or "1"
        if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_THREADS:
            raise InputError(
                f"{VARIABLE} is {text!r}",
                where=VARIABLE,
                mend=f"set 1 to {MAX_THREADS}, or unset it",
            )
        _count = int(text)
    return _count


def map_chunks(function: Callable[[int, int], object], count: int) -> None:
    """Call ``function(first, end)`` for chunks that make up ``range(count)``, on all threads, and wait.

    Args:
        function: computes elements first to end - 1; called at the same time from several threads. What it writes for
            an element must depend on that element alone.
        count: how many elements there are.

    The first error of a chunk is raised, after all chunks have ended.
    """
    threads = min(get_threads(), count)
    if threads <= 1:
        if count > 0:
            function(0, count)
        return
    edges = [count * k // threads for k in range(threads + 1)]
    pool = _threads()
    others = [pool.submit(function, edges[k], edges[k + 1]) for k in range(1, threads)]
    try:
        function(edges[0], edges[1])
    finally:
        errors = [error for error in (other.exception() for other in others) if error is not None]
    if errors:
        raise errors[0]


def _threads() -> ThreadPoolExecutor:
    """Return the pool; a forked child makes its own."""
    global _pool, _pool_process
    with _lock:
        if _pool is None or _pool_process != os.getpid():
            # One less than asked for: the caller works too.
            _pool = ThreadPoolExecutor(max(1, get_threads() - 1), thread_name_prefix="floorcast")
            _pool_process = os.getpid()
        return _pool
