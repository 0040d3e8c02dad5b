"""Episodes as MCAP files with Foxglove's well-known messages in JSON, for Foxglove, Lichtblick and scripts.

Frames (REP-105): ``map``; for each robot ``robot_N/base_link``, ``robot_N/laser`` and ``robot_N/camera_optical``; for
each person ``person_N``. Stamps are nanoseconds since the start of the episode.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from ... import __version__
from ...common.errors import InputError
from ...common.files import whole_file
from ...common.geometry import quaternion_from_rpy, quaternion_from_yaw, quaternion_multiply
from ...common.seeding import generator
from ...physics.handling import HIDDEN_BELOW
from ...robots.model import SensorMount
from ...robots.urdf import load_shape
from ..people import person_shape
from ..routes import FloatArray
from ..sensing import carried_load
from .film import span
from .foxglove_scene import color, deletion, entity, point, pose, quaternion, stamp
from .foxglove_schemas import SCHEMAS
from .marks import ROBOTS, event_words
from .playback import Moment, Playback
from .rescan import OPTICAL, Rescanner

LEVELS = {
    "collision": 4,
    "near_miss": 3,
    "estop": 3,
    "stuck": 3,
    "timeout": 4,
    "planning_failed": 3,
    "fault": 3,
    "disturbance": 3,
}
"""``foxglove.Log`` levels of what is not plain news (2): 3 warns, 4 is an error."""


def write_mcap(
    playback: Playback,
    path: str | Path,
    *,
    start: float = 0.0,
    end: float | None = None,
    points: bool = True,
    advance: Callable[[int], None] = lambda count: None,
) -> dict[str, int]:
    """Write an episode as MCAP, whole or not at all.

    Topics: ``/tf``, ``/hall`` and ``/things`` (shapes), ``/robots`` and ``/people`` (poses), ``/log`` (events), and for
    each robot ``/robot_N/state``, ``/robot_N/goal`` and ``/robot_N/points``: what its lidar measured, scanned again in
    the rebuilt scene with the noise of then.

    Args:
        playback: the episode.
        path: of the file.
        start, end: seconds of the episode; ``end`` None for its last.
        points: whether lidars are scanned.
        advance: called with 1 after each control step.

    Returns:
        Messages by topic.

    Raises:
        InputError: the package ``mcap`` is not installed, or nothing lies between start and end.
        OutputError: the file cannot be written.
    """
    try:
        import mcap.writer  # noqa: F401
    except ImportError as error:
        raise InputError(
            "MCAP files need the package 'mcap', which is not installed", mend="pip install mcap"
        ) from error
    first, last = span(playback, start, end)
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        return _Recorder(playback, file, points).write(first, last, advance)


class _Recorder:
    """Writes the messages of an episode in order of time."""

    def __init__(self, playback: Playback, file: IO[bytes], points: bool) -> None:
        from mcap.writer import Writer

        self._playback, self._record, self._points = playback, playback.record, points
        self._writer = Writer(file)
        self._channels: dict[str, int] = {}
        self._schemas: dict[str, int] = {}
        self._counts: dict[str, int] = {}

    def write(self, start: float, end: float, advance: Callable[[int], None]) -> dict[str, int]:
        record = self._record
        self._writer.start(profile="", library=f"floorcast {__version__}")
        first = int(np.searchsorted(record.time, start, side="left"))
        behind = int(np.searchsorted(record.time, end, side="right"))
        events = [event for event in record.events if start <= event.time <= end]
        scanner = Rescanner(self._playback, first) if self._points else None
        before: Moment | None = None
        for step in range(first, behind):
            moment = self._playback.at(float(record.time[step]))
            while events and events[0].time < moment.time:
                self._log(events.pop(0))
            if before is None:
                self._write_standing(moment)
            self._write_step(moment, before)
            if scanner is not None and step % self._playback.scenario.scan_every == 0:
                for r, spots in enumerate(scanner.points(moment)):
                    cloud = _cloud(r, spots, moment.time)
                    self._send(f"/robot_{r}/points", "foxglove.PointCloud", moment.time, cloud)
            before = moment
            advance(1)
        for event in events:
            self._log(event)
        self._writer.add_metadata(
            "episode",
            {
                "scenario": self._playback.scenario.name,
                "scenario_hash": record.scenario_hash,
                "layout_hash": record.layout_hash,
                "twin": record.twin_version,
                "policy": record.policy,
                "seed": str(record.seed),
                "index": str(record.index),
                **{f"kpi.{name}": json.dumps(value) for name, value in sorted(record.kpis.items())},
            },
        )
        self._writer.finish()
        return self._counts

    def _write_standing(self, moment: Moment) -> None:
        """Write what is told once: the hall, where sensors sit, and the shapes of what moves."""
        playback, time = self._playback, moment.time
        models, layout = playback.sampled.models, playback.layout
        floor = {
            "pose": pose((0.5 * layout.length, 0.5 * layout.width, -0.05)),
            "size": point((layout.length, layout.width, 0.1)),
            "color": color((236, 236, 230)),
        }
        hall = [entity("floor", "map", time, cubes=[floor])]
        static = playback.solids.static
        for group, name in enumerate(playback.solids.group_id):
            if group:
                solids = static.take(static.body == group)
                hall.append(entity(f"{playback.solids.group_class[group]} {name}", "map", time, solids=solids))
        self._send("/hall", "foxglove.SceneUpdate", time, {"deletions": [], "entities": hall})
        mounts = []
        for r, model in enumerate(models):
            for name, mount, turn in (
                ("laser", model.lidar_mount, None),
                ("camera_optical", model.camera_mount, OPTICAL),
            ):
                mounts.append(_mounted(f"robot_{r}", name, mount, turn, time))
        self._send("/tf", "foxglove.FrameTransforms", time, {"transforms": mounts})
        things = []
        for r, model in enumerate(models):
            label = {"text": f"robot_{r}", "color": color(ROBOTS[r % len(ROBOTS)])}
            body = f"robot_{r}/base_link"
            solids = load_shape(model.shape, model.class_name)
            things.append(entity(f"robot_{r}", body, time, solids=solids, text=label, top=model.height))
        for f, model in enumerate(playback.models[playback.robots :]):
            solids = load_shape(model.shape, model.class_name)
            things.append(entity(f"forklift_{f}", f"forklift_{f}", time, solids=solids))
        for p in range(playback.people):
            looks = generator(self._record.seed, self._record.index, f"people.{p}.looks")
            person = person_shape(p, looks, body=0, instance_id=0)
            things.append(entity(f"person_{p}", f"person_{p}", time, solids=person))
        self._send("/things", "foxglove.SceneUpdate", time, {"deletions": [], "entities": things})

    def _write_step(self, moment: Moment, before: Moment | None) -> None:
        """Write what moves."""
        time = moment.time
        named = [(f"robot_{r}/base_link", row) for r, row in enumerate(moment.pose)]
        named += [(f"person_{p}", row) for p, row in enumerate(moment.person_pose)]
        named += [(f"forklift_{f}", row) for f, row in enumerate(moment.forklift_pose)]
        transforms = [
            _transform("map", name, (row[0], row[1], 0.0), quaternion_from_yaw(row[2]), time) for name, row in named
        ]
        self._send("/tf", "foxglove.FrameTransforms", time, {"transforms": transforms})
        moving = (("/robots", moment.pose), ("/people", moment.person_pose), ("/forklifts", moment.forklift_pose))
        for topic, poses in moving:
            if len(poses):
                self._send(topic, "foxglove.PosesInFrame", time, _poses(poses, time))
        for r in range(self._playback.robots):
            self._send(f"/robot_{r}/state", "floorcast.RobotState", time, self._state(r, moment))
            if before is None or not np.array_equal(moment.goal[r], before.goal[r], equal_nan=True):
                goal = moment.goal[r : r + 1]
                self._send(
                    f"/robot_{r}/goal", "foxglove.PosesInFrame", time, _poses(goal[np.isfinite(goal).all(axis=1)], time)
                )
        self._write_loads(moment, before)

    def _write_loads(self, moment: Moment, before: Moment | None) -> None:
        """Write the loads that went on or off board, and the loose goods that moved."""
        time, playback = moment.time, self._playback
        entities, deletions = [], []
        for r in range(playback.robots):
            if moment.carrying[r] != (before is not None and before.carrying[r]):
                name = f"load of robot_{r}"
                if moment.carrying[r]:
                    load = carried_load(body=0, instance_id=0, model=playback.models[r])
                    entities.append(entity(name, f"robot_{r}/base_link", time, solids=load))
                else:
                    deletions.append(deletion(name, time))
        loose = playback.solids.loose
        for k, name in enumerate(playback.solids.loose_id):
            if before is None or not np.array_equal(moment.loose_pose[k], before.loose_pose[k]):
                if moment.loose_pose[k, 2] < HIDDEN_BELOW:
                    deletions += [] if before is None else [deletion(f"good {name}", time)]
                    continue
                solids = loose.take(loose.body == k)
                entities.append(entity(f"good {name}", "map", time, solids=solids, at=moment.loose_pose[k]))
        if entities or deletions:
            self._send("/things", "foxglove.SceneUpdate", time, {"deletions": deletions, "entities": entities})

    def _state(self, robot: int, moment: Moment) -> dict[str, Any]:
        record, step = self._record, moment.step
        distance = float(record.person_distance[step, robot])
        v, omega = (float(value) for value in moment.velocity[robot])
        asked_v, asked_omega = (float(value) for value in record.command[step, robot])
        return {
            "timestamp": stamp(moment.time),
            "v": round(v, 5),
            "omega": round(omega, 5),
            "command_v": round(asked_v, 5),
            "command_omega": round(asked_omega, 5),
            "carrying": bool(moment.carrying[robot]),
            "min_clearance": _finite(float(record.min_clearance[step, robot])),
            "person_distance": _finite(distance),
        }

    def _log(self, event: Any) -> None:
        message = {
            "timestamp": stamp(event.time),
            "level": LEVELS.get(event.kind, 2),
            "message": event_words(event),
            "name": f"robot_{event.robot}" if event.robot >= 0 else "hall",
            "file": event.kind,
            "line": 0,
        }
        self._send("/log", "foxglove.Log", event.time, message)

    def _send(self, topic: str, schema: str, time: float, message: dict[str, Any]) -> None:
        if topic not in self._channels:
            if schema not in self._schemas:
                data = json.dumps(SCHEMAS[schema], separators=(",", ":")).encode()
                self._schemas[schema] = self._writer.register_schema(schema, "jsonschema", data)
            self._channels[topic] = self._writer.register_channel(topic, "json", self._schemas[schema])
        self._counts[topic] = self._counts.get(topic, 0) + 1
        at = round(time * 1e9)
        data = json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
        self._writer.add_message(self._channels[topic], at, data, at, self._counts[topic])


def _finite(value: float) -> float | None:
    return round(value, 5) if np.isfinite(value) else None


def _poses(rows: FloatArray, time: float) -> dict[str, Any]:
    poses = [pose((row[0], row[1], 0.0), quaternion_from_yaw(row[2])) for row in rows]
    return {"timestamp": stamp(time), "frame_id": "map", "poses": poses}


def _transform(parent: str, child: str, position: Any, rotation: Any, time: float) -> dict[str, Any]:
    return {
        "timestamp": stamp(time),
        "parent_frame_id": parent,
        "child_frame_id": child,
        "translation": point(position),
        "rotation": quaternion(rotation),
    }


def _mounted(robot: str, name: str, mount: SensorMount, turn: FloatArray | None, time: float) -> dict[str, Any]:
    rotation = quaternion_from_rpy(mount.roll, mount.pitch, mount.yaw)
    if turn is not None:
        rotation = quaternion_multiply(rotation, turn)
    return _transform(f"{robot}/base_link", f"{robot}/{name}", (mount.x, mount.y, mount.z), rotation, time)


def _cloud(robot: int, spots: FloatArray, time: float) -> dict[str, Any]:
    """Return a ``foxglove.PointCloud`` of points (N, 3) [m] in a robot's ``laser`` frame."""
    return {
        "timestamp": stamp(time),
        "frame_id": f"robot_{robot}/laser",
        "pose": pose((0.0, 0.0, 0.0)),
        "point_stride": 12,
        "fields": [{"name": name, "offset": 4 * k, "type": 7} for k, name in enumerate("xyz")],
        "data": base64.b64encode(spots.astype("<f4").tobytes()).decode(),
    }
