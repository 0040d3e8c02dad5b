"""Pictures of small scenes, without the camera's electronics."""

from __future__ import annotations

import numpy as np

from floorcast.common.primitives import PLANE, PrimitiveBuilder
from floorcast.perception.camera_raster import visible_surfaces
from floorcast.perception.config import Lighting
from floorcast.perception.deferred import shade_picture
from floorcast.perception.scene import Scene

SIZE = 64
VIEW = np.array([80.0, 80.0, 31.5, 31.5, 0.05, 60.0])
DOWN = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
"""Looks straight down: picture right is -y, picture down is -x."""
AHEAD = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Looks along +x."""


def builder_with_floor(color=(188, 188, 188)):
    builder = PrimitiveBuilder()
    builder.add(PLANE, (0, 0, 0), (0, 0, 0), class_name="sign", instance_id=1, color=color)
    return builder


def scene_of(builder, moving=None, bodies=0, lamps=None):
    return Scene(builder.build(), (moving or PrimitiveBuilder()).build(), bodies, lamps=lamps)


def picture(scene, position, rotation=DOWN, lighting=None, view=VIEW, size=SIZE):
    """Return light (size, size, 3), inverse depth and faces."""
    inverse, face = visible_surfaces(scene, view, size, size, position, rotation)
    return shade_picture(scene, lighting or Lighting(), view, position, rotation, inverse, face), inverse, face


def places(inverse, position, rotation, view=VIEW):
    """Return the points (h, w, 3) in ``map`` that pixels see."""
    v, u = np.mgrid[: inverse.shape[0], : inverse.shape[1]]
    ray = np.stack([(u - view[2]) / view[0], (v - view[3]) / view[1], np.ones(u.shape)], axis=-1)
    return np.asarray(position) + (ray @ np.asarray(rotation).T) / inverse[..., None]
