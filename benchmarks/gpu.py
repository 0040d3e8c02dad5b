"""Sensors of many worlds on one GPU: built, checked against the CPU, and timed in one go.

Run: python benchmarks/gpu.py [--json FILE] [--worlds 1 64 1024 4096] [--scene hall.npz]

Needs numpy, numba, numba-cuda and CUDA's libraries, and the checkout's parent on PYTHONPATH under the name floorcast
(a link will do). Where pydantic is not installed, bring a hall: --export hall.npz writes it on a machine that has it.
With NUMBA_ENABLE_CUDASIM=1 and --tiny it runs without a GPU.
"""

from __future__ import annotations

import os
import sys

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

from floorcast.perception.bench.worlds import main

if __name__ == "__main__":
    sys.exit(main())
