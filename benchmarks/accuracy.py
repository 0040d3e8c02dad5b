"""How true the sensors are, pose by pose: against our ray caster, and against Embree on triangles.

    python benchmarks/accuracy.py --poses 200

Each pose has a layout of its own (seeded), with solids of every kind added at random places and angles, moving bodies
that lean, and a sensor that leans in every second pose. Compared are the noise-free lidars (360 beams; 16 x 1024) and a
camera with

- the ray caster (``Scene.cast``), an independent program of ours with exact solids;
- Embree (Open3D) on the same solids as triangles, which knows nothing of ours.

A ray is *off* if its range differs by more than 1 cm, a pixel if its depth does or if instance or class differ. Those
are *excused* where the two may differ for a reason: a ray shifted sideways by no more than the error of the
triangulation (against Embree) or of rounding (against the caster) gives the other's answer, and ours; or, on the limb
of something round, where so small a shift moves the exact range by more than 1 cm, Embree's point lies on the exact
surface within that error; or two surfaces lie within 1 mm of each other, and each side names one. Everything is told
of the worst pose, never pooled. Exit code 1 if a lidar ray is off and not excused, or more than 0.01 % of a picture's
pixels are.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floorcast.common.geometry import FloatArray, optical, quaternion_from_rpy, quaternion_from_yaw, rotation_matrix
from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, SPHERE, TRIANGLE, PrimitiveBuilder, Primitives
from floorcast.common.seeding import generator
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.geometry import layout_solids
from floorcast.layouts.recipe import LayoutRecipe
from floorcast.perception.bench.ours import quiet
from floorcast.perception.bench.peer import AGREE_M, near_edge, pixel_directions, same_range
from floorcast.perception.bench.triangles import triangulate
from floorcast.perception.camera import Camera
from floorcast.perception.config import CameraConfig, LidarConfig, Lighting
from floorcast.perception.lidar import Lidar
from floorcast.perception.scene import Scene

TRIANGLE_ERROR = 2e-4
"""How far [m] polygons are off circles; see ``triangulate``."""
EMBREE_SHIFT = 3.0 * TRIANGLE_ERROR
ROUNDING_SHIFT = 2e-5
"""Ranges are float32: 4 um at 60 m."""
TIE_M = 1e-3
PIXELS_OFF = 1e-4
CLEARANCE = 0.3
"""Sensors stand this far [m] from everything: nearer things are cut by a camera's near plane."""
MEETINGS = ("caster", "Embree")


@dataclass
class Tally:
    """Of one sensor against one other: per pose, how many rays or pixels there are, are off, are off without excuse."""

    count: list[int] = field(default_factory=list)
    off: list[int] = field(default_factory=list)
    wrong: list[int] = field(default_factory=list)

    def add(self, off: NDArray[np.bool_], excused: NDArray[np.bool_]) -> None:
        """Add a pose: which rays (N,) are off, and which of those (K,) are excused."""
        self.count.append(len(off))
        self.off.append(int(off.sum()))
        self.wrong.append(int((~excused).sum()))


class Embree:
    """The solids of a scene, as they stand, as triangles in Open3D's ray casting scene."""

    def __init__(self, scene: Scene) -> None:
        import open3d

        self._open3d: Any = open3d
        mesh = triangulate(scene.world_primitives(), error=TRIANGLE_ERROR)
        core = open3d.core
        self._scene = open3d.t.geometry.RaycastingScene()
        self._scene.add_triangles(
            core.Tensor.from_numpy(mesh.vertices.astype(np.float32)),
            core.Tensor.from_numpy(mesh.faces.astype(np.uint32)),
        )
        self._label = np.append(labels(scene)[mesh.owner], 0)

    def cast(self, origin: FloatArray, direction: FloatArray) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
        """Return ranges (N,) [m], inf for none, labels (N,) and normals (N, 3) of what rays from a point meet."""
        answer = self._scene.cast_rays(self._rays(origin, direction))
        row = answer["primitive_ids"].numpy().view(np.int32)
        normal = answer["primitive_normals"].numpy().astype(np.float64)
        return answer["t_hit"].numpy().astype(np.float64), self._label[row], normal

    def has(
        self, origin: FloatArray, direction: FloatArray, at: FloatArray, label: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return which rays (N,) meet a surface of a label (N,) within TIE_M of a range (N,) [m]."""
        found = np.zeros(len(direction), dtype=bool)
        if len(direction):
            answer = self._scene.list_intersections(self._rays(origin, direction))
            ray = answer["ray_ids"].numpy().astype(np.int64)
            close = np.abs(answer["t_hit"].numpy() - at[ray]) <= TIE_M
            same = self._label[answer["primitive_ids"].numpy().astype(np.int64)] == label[ray]
            found[ray[close & same]] = True
        return found

    def _rays(self, origin: FloatArray, direction: FloatArray) -> Any:
        rays = np.hstack([np.broadcast_to(origin, direction.shape), direction]).astype(np.float32)
        return self._open3d.core.Tensor.from_numpy(np.ascontiguousarray(rays))


def labels(scene: Scene) -> NDArray[np.int64]:
    """Return instance and class of the solids in one number (P,); 0 is nothing."""
    return scene.instance_id.astype(np.int64) * 1000 + scene.class_id


def random_scene(pose: int, seed: int) -> tuple[Scene, FloatArray, FloatArray]:
    """Return the scene of a pose, and the position (3,) [m] and rotation (3, 3) of its sensor, x forward, z up."""
    rng = generator(seed, pose, "accuracy")
    recipe = LayoutRecipe(area=float(rng.uniform(120.0, 420.0)), fill=float(rng.uniform(0.5, 1.0)))
    layout = generate_layout(recipe, int(rng.integers(2**31)))
    solids = layout_solids(layout)
    size = np.array([layout.length, layout.width, 3.0])
    extra = PrimitiveBuilder()
    for k in range(24):
        _add(extra, rng, int(rng.choice([BOX, BOX, CYLINDER, CAPSULE, SPHERE, TRIANGLE])), size, 100_000 + k)
    parts = PrimitiveBuilder()
    for k in range(12):
        _add(
            parts,
            rng,
            int(rng.choice([BOX, CYLINDER, CAPSULE, SPHERE])),
            np.full(3, 0.5),
            200_000 + k // 3,
            body=k // 3,
        )
    moving = Primitives.concatenate([parts.build(), _shifted(solids.loose, 4)])
    scene = Scene(Primitives.concatenate([solids.static, extra.build()]), moving, 4 + len(solids.loose_pose))
    poses = np.zeros((scene.body_count, 7))
    poses[4:] = solids.loose_pose
    for body in range(4):
        poses[body, :3] = rng.uniform(0.1, 0.9, 3) * size
        poses[body, 3:] = quaternion_from_rpy(*rng.uniform(-1.0, 1.0, 3) * (0.5, 0.5, np.pi))
    scene.update(poses)
    level = pose % 2 == 0
    return scene, *_free_pose(scene, rng, size, level)


def _add(builder: PrimitiveBuilder, rng: Any, kind: int, size: FloatArray, instance: int, body: int = 0) -> None:
    half = tuple(rng.uniform(0.05, 0.5, 3).tolist())
    if kind == TRIANGLE:
        half = (half[0], float(rng.uniform(-1.0, 1.0)) * half[0], half[2])
    turn = quaternion_from_rpy(*rng.uniform(-np.pi, np.pi, 3))
    if rng.random() < 0.3:
        turn = quaternion_from_yaw(float(rng.uniform(-np.pi, np.pi)))
    place = tuple((rng.random(3) * size).tolist())
    builder.add(kind, half, place, class_name="box", instance_id=instance, body=body, quaternion=turn.tolist())


def _shifted(loose: Primitives, by: int) -> Primitives:
    return Primitives(**{**vars(loose), "body": (loose.body + by).astype(np.int32)})


def _free_pose(scene: Scene, rng: Any, size: FloatArray, level: bool) -> tuple[FloatArray, FloatArray]:
    directions = rng.normal(size=(400, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    for _ in range(1000):
        position = rng.random(3) * np.array([size[0], size[1], 2.2]) + np.array([0.0, 0.0, CLEARANCE])
        if scene.cast(position, directions).range.min() > CLEARANCE:
            roll, pitch = (0.0, 0.0) if level else rng.uniform(-0.6, 0.6, 2).tolist()
            return position, rotation_matrix(quaternion_from_rpy(roll, pitch, float(rng.uniform(-np.pi, np.pi))))
    raise RuntimeError("no free place was found")


def check_lidar(
    config: LidarConfig, scene: Scene, embree: Embree, position: FloatArray, rotation: FloatArray, tallies: list[Tally]
) -> None:
    """Compare a lidar at a pose with the caster and with Embree; ranges alone."""
    lidar = Lidar(quiet(config))
    _, truth = lidar.scan(scene, position, rotation, stream=0, sensor=0, frame=0)
    mine = truth.ranges.reshape(-1).astype(np.float64)
    direction = lidar.directions @ rotation.T
    reach = config.range_max
    ranges, _, normal = embree.cast(position, direction)
    for tally, other, normals, shift in (
        (tallies[0], scene.cast(position, direction, reach).range, None, ROUNDING_SHIFT),
        (tallies[1], ranges, normal, EMBREE_SHIFT),
    ):
        theirs = np.where(other > reach, np.inf, other)
        off = ~same_range(mine, theirs)
        # At the end of its reach a ray is met or not by rounding.
        off &= ~((np.minimum(mine, theirs) > reach - 1e-3) & (np.minimum(mine, theirs) < np.inf))
        at = np.flatnonzero(off)
        facing = None if normals is None else normals[at]
        tally.add(off, excused(scene, position, direction[at], theirs[at], mine[at], shift, facing))


def check_camera(
    config: CameraConfig, scene: Scene, embree: Embree, position: FloatArray, rotation: FloatArray, tallies: list[Tally]
) -> None:
    """Compare a camera at a pose with the caster and with Embree: depth, instance and class."""
    frame = Camera(quiet(config)).render(scene, position, rotation, Lighting(), stream=0, sensor=0, frame=0)
    pixel = pixel_directions(config)
    length = np.linalg.norm(pixel, axis=1)
    direction = pixel @ rotation.T / length[:, None]
    mine = frame.depth.reshape(-1).astype(np.float64) * length
    label = frame.instance.reshape(-1).astype(np.int64) * 1000 + frame.semantic.reshape(-1)
    hits = scene.cast(position, direction)
    found = np.append(labels(scene), 0)[hits.index]
    ranges, names, normal = embree.cast(position, direction)
    for tally, other, name, normals, shift in (
        (tallies[0], hits.range.astype(np.float64), found, None, ROUNDING_SHIFT),
        (tallies[1], ranges, names, normal, EMBREE_SHIFT),
    ):
        beyond = other / length > config.far
        theirs, theirs_name = np.where(beyond, np.inf, other), np.where(beyond, 0, name)
        near = same_range(mine / length, theirs / length)
        off = ~near | (label != theirs_name)
        at = np.flatnonzero(off)
        facing = None if normals is None else normals[at]
        good = excused(scene, position, direction[at], theirs[at], mine[at], shift, facing)
        # Equal depth, other ids: two surfaces in one place, of which the other names one and we another.
        tied = near[at] & embree.has(position, direction[at], mine[at], label[at])
        tied &= embree.has(position, direction[at], mine[at], theirs_name[at])
        edge = good & ~near[at]
        renamed = near[at] & neighbour_has(scene, position, direction[at], theirs_name[at], shift)
        tally.add(off, edge | tied | renamed)


def excused(
    scene: Scene,
    origin: FloatArray,
    direction: FloatArray,
    theirs: FloatArray,
    mine: FloatArray,
    shift: float,
    normal: FloatArray | None,
) -> NDArray[np.bool_]:
    """Return which rays (N,) that are off are excused; see above.

    ``normal`` (N, 3) is the other's, where it may be off a limb; the exact surface is then sought along it.
    """
    if not len(direction):
        return np.zeros(0, dtype=bool)
    both = [np.zeros(len(direction), dtype=bool) for _ in range(2)]
    for scale in (0.25, 0.5, 1.0):
        for found, expected in zip(both, (theirs, mine), strict=True):
            found |= near_edge(scene, origin, direction, np.inf, expected, scale * shift)
    if normal is not None:
        both[0] |= _on_a_limb(scene, origin, direction, theirs, normal, shift)
    return both[0] & both[1]


def _on_a_limb(
    scene: Scene, origin: FloatArray, direction: FloatArray, theirs: FloatArray, normal: FloatArray, shift: float
) -> NDArray[np.bool_]:
    spread = [np.where(np.isinf(r), 1e6, r) for r in _shifted_ranges(scene, origin, direction, shift)]
    steep = np.max(spread, axis=0) - np.min(spread, axis=0) > AGREE_M
    away, on = 0.01, np.zeros(len(direction), dtype=bool)
    met = np.flatnonzero(steep & np.isfinite(theirs))
    if len(met):
        start = origin + theirs[met, None] * direction[met] + away * normal[met]
        on[met] = np.abs(scene.cast(start, -normal[met], 1.0).range - away) <= shift
    return on


def _shifted_ranges(scene: Scene, origin: FloatArray, direction: FloatArray, shift: float) -> list[FloatArray]:
    side, up = _across(direction)
    return [
        scene.cast(origin + a * side + b * up, direction).range.astype(np.float64)
        for a in (-shift, 0.0, shift)
        for b in (-shift, 0.0, shift)
    ]


def _across(direction: FloatArray) -> tuple[FloatArray, FloatArray]:
    side = np.cross(direction, [0.0, 0.0, 1.0])
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    return side, np.cross(side, direction)


def neighbour_has(
    scene: Scene, origin: FloatArray, direction: FloatArray, label: NDArray[np.int64], shift: float
) -> NDArray[np.bool_]:
    """Return which rays (N,), shifted sideways by at most ``shift``, meet a solid of a label (N,)."""
    found = np.zeros(len(direction), dtype=bool)
    side, up = _across(direction)
    table = np.append(labels(scene), 0)
    for a in (-shift, 0.0, shift):
        for b in (-shift, 0.0, shift):
            if len(direction):
                found |= table[scene.cast(origin + a * side + b * up, direction).index] == label
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--poses", type=int, default=200, help="how many poses, each in a layout of its own (200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pose", type=int, default=None, help="this pose alone")
    parser.add_argument("--width", type=int, default=320, help="of the picture [pixels]; it is three quarters as high")
    options = parser.parse_args()
    rings = tuple(np.radians(np.linspace(-15, 15, 16)).tolist())
    lidars = {
        "lidar 360 beams": LidarConfig(range_max=60.0),
        "lidar 16 x 1024": LidarConfig(beams=1024, elevations=rings, range_max=60.0),
    }
    camera = CameraConfig(width=options.width, height=3 * options.width // 4)
    picture = f"camera {camera.width} x {camera.height}"
    tallies = {name: [Tally(), Tally()] for name in (*lidars, picture)}
    poses = range(options.poses) if options.pose is None else [options.pose]
    for number, pose in enumerate(poses):
        scene, position, rotation = random_scene(pose, options.seed)
        embree = Embree(scene)
        for name, config in lidars.items():
            check_lidar(config, scene, embree, position, rotation, tallies[name])
        check_camera(camera, scene, embree, position, optical(rotation), tallies[picture])
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {len(poses)} poses", end="", file=sys.stderr, flush=True)
    failed = report(tallies, list(poses), picture)
    sys.exit(1 if failed else 0)


def report(tallies: dict[str, list[Tally]], poses: list[int], picture: str) -> bool:
    """Print one line for each comparison; return whether one is over its bound."""
    failed = False
    print(f"{len(poses)} poses, each in a layout of its own, every second one with a leaning sensor")
    print("sensor            against  off, worst pose        not excused, worst pose   poses with any  verdict")
    for name, pair in tallies.items():
        for against, tally in zip(MEETINGS, pair, strict=True):
            off, wrong = (np.array(values) / np.array(tally.count) for values in (tally.off, tally.wrong))
            bound = PIXELS_OFF if name == picture else 0.0
            good = bool((wrong <= bound).all())
            failed |= not good
            first, worst = int(np.argmax(off)), int(np.argmax(wrong))
            print(
                f"{name:17s} {against:8s} {100 * off[first]:7.4f} % (pose {poses[first]:3d})   "
                f"{100 * wrong[worst]:7.4f} % = {tally.wrong[worst]} (pose {poses[worst]:3d})   "
                f"{int((np.array(tally.wrong) > 0).sum()):4d}           {'holds' if good else 'FAILS'}"
            )
    return failed


if __name__ == "__main__":
    main()
