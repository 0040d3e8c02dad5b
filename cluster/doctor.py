"""What works on this machine, in plain words, and how to mend what does not."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Status = Literal["works", "optional", "broken"]

MIN_FREE_GB = 2.0


@dataclass(frozen=True)
class Finding:
    """One thing that was tried.

    Attributes:
        name: of the thing.
        status: "works"; "optional": absent, but nothing basic needs it; "broken": Floorcast cannot do without it.
        detail: what was seen.
        mend: what to do, or "".
    """

    name: str
    status: Status
    detail: str
    mend: str = ""


def examine() -> list[Finding]:
    """Try everything that Floorcast leans on, for real; never raises."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("Python", _python),
        ("Memory and cores", _machine),
        ("Disk", _disk),
        ("PyBullet", _pybullet),
        ("numba", _numba),
        ("Kernel cache", _kernel_cache),
        ("OpenCV", _opencv),
        ("Headless", _headless),
        ("Ray", _ray),
        ("CUDA", _cuda),
        ("PyTorch", _torch),
    ]
    findings = []
    for name, check in checks:
        try:
            findings.append(check())
        except Exception as error:
            findings.append(
                Finding(
                    name,
                    "broken",
                    f"{type(error).__name__}: {error}",
                    "reinstall: pip install --force-reinstall floorcast",
                )
            )
    return findings


def _python() -> Finding:
    version = platform.python_version()
    detail = f"{version} at {sys.executable}"
    if sys.version_info >= (3, 12):
        return Finding(
            "Python", "works", detail + "; PyBullet ships wheels up to 3.11 and must be built from source here"
        )
    return Finding("Python", "works", detail)


def _machine() -> Finding:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    detail = f"{cores} cores, {gigabytes:.0f} GB"
    if gigabytes < 2.0 * cores:
        return Finding("Memory and cores", "works", detail, "with under 2 GB a core, give fewer --workers")
    return Finding("Memory and cores", "works", detail)


def _disk() -> Finding:
    findings = []
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        free = shutil.disk_usage(folder).free / 1e9
        if not os.access(folder, os.W_OK):
            return Finding("Disk", "broken", f"{folder} cannot be written", "change folder, or give --out")
        if free < MIN_FREE_GB:
            return Finding("Disk", "broken", f"{free:.1f} GB free in {folder}", f"free at least {MIN_FREE_GB:.0f} GB")
        findings.append(f"{free:.0f} GB free in {folder}")
    return Finding("Disk", "works", "; ".join(findings))


def _pybullet() -> Finding:
    import pybullet

    client = pybullet.connect(pybullet.DIRECT)
    try:
        pybullet.setGravity(0, 0, -9.81, physicsClientId=client)
        shape = pybullet.createCollisionShape(pybullet.GEOM_SPHERE, radius=0.1, physicsClientId=client)
        ball = pybullet.createMultiBody(1.0, shape, basePosition=[0, 0, 10], physicsClientId=client)
        pybullet.changeDynamics(ball, -1, linearDamping=0, physicsClientId=client)
        for _ in range(240):
            pybullet.stepSimulation(physicsClientId=client)
        fallen = 10 - pybullet.getBasePositionAndOrientation(ball, physicsClientId=client)[0][2]
    finally:
        pybullet.disconnect(client)
    version = importlib.metadata.version("pybullet")
    if abs(fallen - 0.5 * 9.81) > 0.05:
        return Finding(
            "PyBullet", "broken", f"{version}: a ball fell {fallen:.2f} m in 1 s, not 4.9", "reinstall pybullet"
        )
    return Finding("PyBullet", "works", f"{version}: a ball fell {fallen:.2f} m in 1 s")


def _numba() -> Finding:
    import numba
    import numpy as np

    started = time.perf_counter()
    total = numba.njit(_sum)(np.arange(10.0))
    took = time.perf_counter() - started
    if total != 45.0:
        return Finding(
            "numba", "broken", f"{numba.__version__}: a compiled sum gave {total}", "reinstall numba and llvmlite"
        )
    return Finding("numba", "works", f"{numba.__version__}: compiled a kernel in {took:.1f} s")


def _sum(values):  # type: ignore[no-untyped-def]
    total = 0.0
    for value in values:
        total += value
    return total


def _kernel_cache() -> Finding:
    folder = Path(os.environ.get("NUMBA_CACHE_DIR") or Path(__file__).resolve().parent)
    if os.access(folder, os.W_OK):
        return Finding("Kernel cache", "works", f"compiled kernels are kept below {folder.parent}")
    return Finding(
        "Kernel cache",
        "optional",
        f"{folder} cannot be written: kernels are kept in your home, or compiled anew in each process",
        "set NUMBA_CACHE_DIR to a folder that all workers can write",
    )


def _opencv() -> Finding:
    import cv2
    import numpy as np

    ok, data = cv2.imencode(".png", np.zeros((4, 4, 3), np.uint8))
    if not ok or cv2.imdecode(data, cv2.IMREAD_COLOR) is None:
        return Finding("OpenCV", "broken", f"{cv2.__version__} cannot write PNG", "pip install opencv-python-headless")
    return Finding("OpenCV", "works", cv2.__version__)


def _headless() -> Finding:
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    seen = f"display {display}" if display else "no display"
    return Finding("Headless", "works", f"{seen}; none is needed: sensors use no OpenGL, EGL or Vulkan")


def _ray() -> Finding:
    from .farm import farm

    started = time.perf_counter()
    (outcome,) = farm(abs, [(0, -7)], workers=1, attempts=1, timeout_s=60)
    took = time.perf_counter() - started
    version = importlib.metadata.version("ray")
    if outcome.value != 7:
        return Finding(
            "Ray",
            "broken",
            f"{version}: a worker did not answer: {(outcome.traceback or '').strip().splitlines()[-1]}",
            "look into /tmp/ray/session_latest/logs; --workers 0 runs without Ray",
        )
    return Finding("Ray", "works", f"{version}: a local worker answered in {took:.1f} s")


def _cuda() -> Finding:
    from ..perception.device import device_name, missing_for_cuda

    missing = missing_for_cuda()
    if missing:
        return Finding("CUDA", "optional", f"{missing[0]}; sensors run on the CPU", missing[1])
    return Finding("CUDA", "works", f"{device_name()}; --device cuda, or auto, uses it")


def _torch() -> Finding:
    try:
        version = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return Finding("PyTorch", "optional", "not installed; only training needs it", "pip install 'floorcast[train]'")
    return Finding("PyTorch", "works", version)
