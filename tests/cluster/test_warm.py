"""Kernels of sensors are compiled ahead: those that episodes use, and only if they are not on disk."""

import subprocess
import sys

import pytest

from floorcast.cluster import warm

USE = """
import sys

from floorcast.cluster.warm import CAMERA, KERNELS, LIDAR, use
from floorcast.perception.bench.hall import bench_hall, camera_pose, lidar_pose
from floorcast.perception.camera import Camera
from floorcast.perception.config import CameraConfig, LidarConfig, Lighting
from floorcast.perception.lidar import Lidar

use(LIDAR)
use(CAMERA)
before = [len(kernel.signatures) for kernel in KERNELS.values()]
hall = bench_hall(0, area=200.0, frames=1)
hall.scene.update(hall.poses[0])
numbers = {"stream": 1, "sensor": 2, "frame": 3, "exclude_body": 0}
position, rotation = lidar_pose(hall.places[0], 0.3)
Lidar(LidarConfig(beams=90, elevations=(0.0, 0.1))).scan(hall.scene, position, rotation, **numbers)
position, rotation = camera_pose(hall.places[0])
Camera(CameraConfig(width=64, height=48)).render(hall.scene, position, rotation, Lighting(), **numbers)
print(before, [len(kernel.signatures) for kernel in KERNELS.values()], "scipy.linalg" in sys.modules)
"""


def test_what_is_compiled_ahead_is_what_sensors_call_and_a_later_process_loads_nothing_else():
    command = [sys.executable, "-c", USE]
    first, later = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first.startswith("[1, 1] [1, 1]")
    # Where this fails, a kernel uses what numba has scipy for: a product of matrices, the least of an array.
    assert later.strip() == "[1, 1] [1, 1] False"


@pytest.mark.parametrize(("kept", "pictures", "count"), [(True, True, 0), (False, True, 2), (False, False, 1)])
def test_compilers_are_started_for_what_is_missing_and_stopped_at_the_end(monkeypatch, kept, pictures, count):
    monkeypatch.setattr(warm, "is_kept", lambda kernel: kept)
    started = []
    popen = subprocess.Popen

    def start(command, **options):
        assert command[1:3] == ["-m", "floorcast.cluster.warm"]
        started.append(popen([sys.executable, "-c", "import time; time.sleep(600)"], **options))
        return started[-1]

    monkeypatch.setattr(warm.subprocess, "Popen", start)
    with warm.compiling_ahead(pictures=pictures) as running:
        assert running == count == len(started)
        assert all(process.poll() is None for process in started)
    assert all(process.poll() is not None for process in started)


@pytest.mark.parametrize("sensor", [warm.LIDAR, warm.CAMERA])
def test_the_compiler_runs_as_a_module(sensor):
    subprocess.run([sys.executable, "-m", "floorcast.cluster.warm", sensor], check=True)
