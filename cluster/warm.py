"""Compiling the sensors' kernels ahead: on a new machine that takes longer than an episode does.

Two kernels, of lidars and of cameras, are most of it. Each is compiled in a process of its own while the workers start
and compile the others. Whoever needs a kernel that another process is compiling waits for it, and each is compiled
once (``common.kernels``).
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import numpy as np

from ..common.kernels import is_kept
from ..common.primitives import PrimitiveBuilder
from ..perception.camera import Camera, render_kernel
from ..perception.config import CameraConfig, LidarConfig, Lighting
from ..perception.lidar import Lidar, scan_kernel
from ..perception.scene import Scene

LIDAR, CAMERA = "lidar", "camera"
KERNELS = {LIDAR: scan_kernel, CAMERA: render_kernel}


@contextlib.contextmanager
def compiling_ahead(*, pictures: bool) -> Iterator[int]:
    """Compile what is not on this machine's disk yet, beside what is done inside the ``with``.

    Args:
        pictures: whether there will be cameras.

    Yields:
        The number of processes that compile; they are stopped at the end if they are not done.
    """
    wanted = [name for name in ((LIDAR, CAMERA) if pictures else (LIDAR,)) if not is_kept(KERNELS[name])]
    command = [sys.executable, "-m", __name__]
    nothing = subprocess.DEVNULL
    compilers: list[subprocess.Popen[bytes]] = []
    try:
        for name in wanted:
            # Without them the workers compile everything themselves.
            with contextlib.suppress(OSError):
                compilers.append(subprocess.Popen([*command, name], stdin=nothing, stdout=nothing, stderr=nothing))
        yield len(compilers)
    finally:
        for compiler in compilers:
            compiler.terminate()
        for compiler in compilers:
            compiler.wait()


def use(sensor: str) -> None:
    """Use a sensor once, in an empty hall: ``lidar`` or ``camera``."""
    builder = PrimitiveBuilder()
    builder.box((5.0, 5.0, 0.1), (0.0, 0.0, -0.1), class_name="floor")
    scene = Scene(builder.build(), PrimitiveBuilder().build(), 0)
    position, level = np.array([0.0, 0.0, 1.0]), np.eye(3)
    if sensor == LIDAR:
        Lidar(LidarConfig(beams=4)).scan(scene, position, level, stream=0, sensor=0, frame=0)
    else:
        camera = Camera(CameraConfig(width=16, height=12))
        camera.render(scene, position, level, Lighting(), stream=0, sensor=0, frame=0)


if __name__ == "__main__":
    use(sys.argv[1])
