"""Which pictures of an episode are kept for datasets, and taking them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import mounted, optical
from ..common.primitives import Primitives
from ..common.seeding import generator
from ..perception.camera import Camera
from ..perception.config import Lighting
from ..perception.frames import CameraFrame, CameraMotion
from ..perception.lidar import Lidar
from ..perception.scene import Scene
from ..robots.model import RobotModel
from .routes import FloatArray
from .scenario import Scenario
from .sensing import carried_velocity, mount_offset


@dataclass(frozen=True)
class Capture:
    """One picture and what was there.

    Attributes:
        robot: index of the robot that took it.
        number: 0..frames - 1 within the episode.
        time: [s] since the start of the episode.
        frame: the picture with its ground truth.
        world: every solid in ``map`` at that moment.
        points: (N, 4) float32 x, y, z [m] in the 3D lidar's frame and intensity, or None if not asked for.
        lidar_position: (3,) [m] and lidar_rotation (3, 3) of that lidar in ``map``; None without points.
        point_class, point_instance: (N,) int32 class and instance id of what each point lies on; None without points.
    """

    robot: int
    number: int
    time: float
    frame: CameraFrame
    world: Primitives
    points: NDArray[np.float32] | None = None
    lidar_position: FloatArray | None = None
    lidar_rotation: FloatArray | None = None
    point_class: NDArray[np.int32] | None = None
    point_instance: NDArray[np.int32] | None = None


def capture_schedule(scenario: Scenario, robots: int, seed: int, index: int) -> list[tuple[int, int, int]]:
    """Return when and by whom pictures are taken: (control step, robot, number), in order of time.

    Exactly ``scenario.capture.frames`` rows. The episode's full duration is cut into as many equal parts, and a picture
    is taken at the same phase of each, drawn per episode; robots take turns, beginning with a drawn one, unless
    ``scenario.capture.robot`` names one.
    """
    frames, steps, only = scenario.capture.frames, scenario.control_steps, scenario.capture.robot
    rng = generator(seed, index, "capture")
    phase, first = float(rng.random()), int(rng.integers(robots))
    at = [min(int((k + phase) * steps / frames), steps - 1) for k in range(frames)]
    return [(step, (first + k if only is None else only) % robots, k) for k, step in enumerate(at)]


class Photographer:
    """Takes the pictures of an episode.

    Args:
        scenario: for the 3D lidar.
        camera: the robots' camera; models: where it sits on each robot; lighting: of the episode.
        stream: noise stream of the episode.

    Attributes:
        lighting: as it is now. dead: how many reasons each robot's camera has to give black
            pictures.
    """

    def __init__(
        self, scenario: Scenario, camera: Camera, models: Sequence[RobotModel], lighting: Lighting, stream: int
    ) -> None:
        self._camera, self._stream = camera, stream
        self.lighting, self.dead = lighting, Counter[int]()
        self._camera_offset = [mount_offset(model.camera_mount) for model in models]
        self._lidar = Lidar(scenario.capture.lidar) if scenario.capture.points else None
        self._lidar_offset = [mount_offset(model.lidar_mount) for model in models]
        for offset, model in zip(self._lidar_offset, models, strict=True):
            offset[2] = model.camera_mount.z

    def take(
        self,
        scene: Scene,
        pose: FloatArray,
        robot: int,
        number: int,
        time: float,
        velocity: FloatArray,
        body_velocity: FloatArray,
    ) -> Capture:
        """Take a picture from the true pose (3,) of a robot.

        Args:
            scene: what is there. pose: (3,) of the robot. robot: its index. number: of the picture. time: [s].
            velocity: (2,) v [m/s], omega [rad/s] of the robot. body_velocity: (B, 6) of all bodies (``Stage``).
        """
        position, rotation = mounted(pose, self._camera_offset[robot])
        motion = None
        if self._camera.config.exposure_time > 0 or self._camera.config.readout_time > 0:
            moving = carried_velocity(pose, velocity, position)
            motion = CameraMotion(moving[:3], moving[3:], body_velocity)
        frame = self._camera.render(
            scene,
            position,
            optical(rotation),
            self.lighting,
            stream=self._stream,
            sensor=robot,
            frame=number,
            exclude_body=robot,
            motion=motion,
        )
        if self.dead[robot] > 0:
            frame = dataclasses.replace(frame, rgb=np.zeros_like(frame.rgb))
        world = scene.world_primitives()
        if self._lidar is None:
            return Capture(robot, number, time, frame, world)
        position, rotation = mounted(pose, self._lidar_offset[robot])
        # Sensor numbers from 1000 on: the noise of these sweeps is apart from that of the navigation lidars.
        scan, truth = self._lidar.scan(
            scene,
            position,
            rotation,
            stream=self._stream,
            sensor=1000 + robot,
            frame=number,
            exclude_body=robot,
        )
        points, classes, instances = self._lidar.labelled_points(scan, truth)
        return Capture(robot, number, time, frame, world, points, position, rotation, classes, instances)
