"""How many threads libraries may use: sums that are split over threads differ in their last bits with their number."""

from __future__ import annotations

import os

ONE_BLAS_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
}
"""Environment that keeps linear algebra to one thread, so that results do not depend on a machine's cores."""


def limit_linear_algebra() -> None:
    """Keep linear algebra to one thread; without effect once NumPy was imported."""
    os.environ.update(ONE_BLAS_THREAD)
