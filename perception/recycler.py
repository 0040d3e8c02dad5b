"""Memory of results that is used again when nobody holds the result any more."""

from __future__ import annotations

from sys import getrefcount
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Recycler:
    """Hands out arrays of one shape and type, in memory that no other array shares.

    Fresh memory of a picture's size costs as much as a good part of the picture: the system clears it page by page.
    """

    def __init__(self, shape: tuple[int, ...], dtype: DTypeLike, most: int = 4) -> None:
        """Keep the memory of up to ``most`` arrays."""
        self.shape, self.dtype, self.most = shape, dtype, most
        self._kept: list[NDArray[Any]] = []
        self._lock = Lock()

    def __call__(self) -> NDArray[Any]:
        """Return an array with any values in it."""
        with self._lock:
            for memory in self._kept:
                # Held by the list, this loop and the call that counts; and by every array that lies in it.
                if getrefcount(memory) == 3:
                    return memory.view()
            memory = np.empty(self.shape, self.dtype)
            if len(self._kept) < self.most:
                self._kept.append(memory)
            return memory.view()
