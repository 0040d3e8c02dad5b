"""What a robot's camera saw: the pictures of an episode rendered again from its record."""

from __future__ import annotations

import numpy as np

from ...common.errors import InputError
from ...perception.camera import Camera
from ..capture import Photographer
from .lettering import Picture
from .playback import Moment, Playback, Rebuilt


class Onboard:
    """The camera of a robot, with the light, the looks and the sensor noise of its episode.

    Attributes:
        aspect: width to height of a picture.

    Raises:
        InputError: there is no robot of that number.
    """

    def __init__(self, playback: Playback, robot: int) -> None:
        if not 0 <= robot < playback.robots:
            raise InputError(
                f"the episode has no robot {robot}", where="--camera", mend=f"give 0 to {playback.robots - 1}"
            )
        sampled = playback.sampled
        self._playback, self._robot, self._rebuilt = playback, robot, Rebuilt(playback)
        camera = Camera(sampled.camera)
        self.aspect = sampled.camera.width / sampled.camera.height
        self._photographer = Photographer(
            playback.scenario, camera, sampled.models, sampled.lighting, self._rebuilt.stream
        )

    def picture(self, moment: Moment) -> Picture:
        """Return the picture (H, W, 3) uint8 RGB at a moment; its noise is that of the control step."""
        scene = self._rebuilt.scene(moment)
        pose = np.concatenate([moment.pose, moment.forklift_pose])
        velocity = np.concatenate([moment.velocity, moment.forklift_velocity])
        moving = self._rebuilt.stage.body_velocity(pose, velocity, moment.person_velocity)
        robot = self._robot
        taken = self._photographer.take(
            scene, moment.pose[robot], robot, moment.step, moment.time, moment.velocity[robot], moving
        )
        return taken.frame.rgb
