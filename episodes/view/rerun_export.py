"""Episodes as Rerun recordings (``.rrd``): shapes, poses, lidar points, events and curves over the episode's time.

Entities follow the frames of REP-105: ``map``, below it ``map/robot_N`` (``base_link``) with ``laser`` and
``camera_optical``, ``map/person_N`` and ``map/goods/ID``; events are at ``log``, curves below ``robot_N``. The
timeline is called ``episode`` and counts seconds from its start; no wall clock is written, only the row ids of the
format, which Rerun draws from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import InputError
from ...common.files import whole_file
from ...common.geometry import quaternion_from_rpy, quaternion_from_yaw, quaternion_multiply, rotation_matrix
from ...common.primitives import BOX, CAPSULE, CYLINDER, SPHERE, TRIANGLE, Primitives
from ...common.seeding import generator
from ...robots.urdf import load_shape
from ..people import person_shape
from ..routes import FloatArray
from ..sensing import carried_load
from .film import span
from .foxglove import LEVELS
from .marks import ROBOTS, event_words
from .playback import Moment, Playback
from .rescan import OPTICAL, Rescanner

TIMELINE = "episode"
_LEVEL_NAMES = {3: "WARN", 4: "ERROR"}
"""Names of the levels of ``foxglove.LEVELS``; what has none there is news."""
CURVES = ("v", "omega", "command_v", "command_omega", "min_clearance", "person_distance")
"""What is plotted of each robot [m/s, rad/s, m]."""


def write_rerun(
    playback: Playback,
    path: str | Path,
    *,
    start: float = 0.0,
    end: float | None = None,
    points: bool = True,
    advance: Callable[[int], None] = lambda count: None,
) -> dict[str, int]:
    """Write an episode as a Rerun recording, whole or not at all.

    Args:
        playback: the episode.
        path: of the file; ``rerun FILE`` opens it.
        start, end: seconds of the episode; ``end`` None for its last.
        points: whether lidars are scanned again in the rebuilt scene, with the noise of then.
        advance: called with 1 after each control step.

    Returns:
        Rows by entity.

    Raises:
        InputError: the package ``rerun-sdk`` is not installed, or nothing lies between start and end.
        OutputError: the file cannot be written.
    """
    try:
        import rerun
    except ImportError as error:
        raise InputError(
            "Rerun recordings need the package 'rerun-sdk', which is not installed",
            mend="pip install 'floorcast[viz]'",
        ) from error
    first, last = span(playback, start, end)
    record = playback.record
    with whole_file(path) as temporary:
        name = f"{record.scenario_hash}-{record.seed}-{record.index}"
        stream = rerun.RecordingStream("floorcast", recording_id=name, send_properties=False)
        stream.send_recording_name(f"{playback.scenario.name}, seed {record.seed}, episode {record.index}")
        stream.set_log_time_enabled(False)
        stream.set_log_tick_enabled(False)
        stream.save(temporary)
        try:
            writer = _Writer(rerun, stream, playback)
            writer.write(first, last, points, advance)
            stream.flush()
        finally:
            stream.disconnect()
    return writer.rows


class _Writer:
    """Logs an episode to a stream: what changes rarely entity by entity, poses and curves as whole columns."""

    def __init__(self, rerun: Any, stream: Any, playback: Playback) -> None:
        self._rr, self._stream, self._playback = rerun, stream, playback
        self._record = playback.record
        self.rows: dict[str, int] = {}

    def write(self, start: float, end: float, points: bool, advance: Callable[[int], None]) -> None:
        record, playback = self._record, self._playback
        first = int(np.searchsorted(record.time, start, side="left"))
        behind = int(np.searchsorted(record.time, end, side="right"))
        self._blueprint()
        self._write_standing()
        steps = np.arange(first, behind)
        self._write_columns(steps)
        for event in record.events:
            if start <= event.time <= end:
                self._at(event.time)
                level = _LEVEL_NAMES.get(LEVELS.get(event.kind, 2), "INFO")
                self._log("log", self._rr.TextLog(f"robot_{event.robot}: {event_words(event)}", level=level))
        scanner = Rescanner(playback, first) if points else None
        before: Moment | None = None
        for step in steps.tolist():
            moment = playback.at(float(record.time[step]))
            self._at(moment.time)
            self._write_changes(moment, before)
            if scanner is not None and step % playback.scenario.scan_every == 0:
                for r, spots in enumerate(scanner.points(moment)):
                    cloud = self._rr.Points3D(spots, colors=[(220, 40, 40)], radii=[0.025])
                    self._log(f"map/robot_{r}/laser/points", cloud)
            before = moment
            advance(1)

    def _blueprint(self) -> None:
        """Lay out the viewer: the hall, events below, curves beside."""
        import rerun.blueprint as layout

        curves = [
            layout.TimeSeriesView(origin=f"robot_{r}", name=f"robot_{r}") for r in range(min(self._playback.robots, 6))
        ]
        length, width = self._playback.layout.length, self._playback.layout.width
        reach = max(length, width)
        eye = layout.EyeControls3D(
            position=[0.5 * length, 0.5 * width - 0.75 * reach, 0.75 * reach],
            look_target=[0.5 * length, 0.5 * width, 0.0],
            eye_up=[0.0, 0.0, 1.0],
        )
        hall = layout.Spatial3DView(origin="map", name=self._playback.scenario.name, eye_controls=eye)
        left = layout.Vertical(hall, layout.TextLogView(origin="log", name="events"), row_shares=[4, 1])
        self._stream.send_blueprint(
            layout.Blueprint(layout.Horizontal(left, layout.Vertical(*curves), column_shares=[3, 1]))
        )

    def _write_standing(self) -> None:
        """Write what is told once: the hall, where sensors sit, and the shapes of what moves."""
        playback = self._playback
        self._log("map", self._rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        layout, static = playback.layout, playback.solids.static
        half = np.array([[0.5 * layout.length, 0.5 * layout.width, 0.05]])
        floor = self._rr.Boxes3D(
            half_sizes=half,
            centers=[[half[0, 0], half[0, 1], -0.05]],
            colors=[(236, 236, 230)],
            fill_mode=self._rr.components.FillMode.Solid,
        )
        self._log("map/hall/floor", floor, static=True)
        # One entity for each class: a site has tens of thousands of solids.
        classes = sorted({name for group, name in enumerate(playback.solids.group_class) if group})
        of_group = np.array([*playback.solids.group_class], dtype=object)
        for name in classes:
            self._solids(f"map/hall/{name}", static.take((of_group[static.body] == name) & (static.body > 0)))
        for r, model in enumerate(playback.sampled.models):
            self._solids(f"map/robot_{r}/body", load_shape(model.shape, model.class_name))
            label = self._rr.Points3D(
                [[0.0, 0.0, model.height + 0.6]],
                radii=[0.02],
                labels=[f"robot_{r}"],
                colors=[ROBOTS[r % len(ROBOTS)]],
                show_labels=True,
            )
            self._log(f"map/robot_{r}/label", label, static=True)
            for name, mount, turn in (
                ("laser", model.lidar_mount, None),
                ("camera_optical", model.camera_mount, OPTICAL),
            ):
                rotation = quaternion_from_rpy(mount.roll, mount.pitch, mount.yaw)
                rotation = rotation if turn is None else quaternion_multiply(rotation, turn)
                at = self._rr.Transform3D(translation=[mount.x, mount.y, mount.z], quaternion=rotation)
                self._log(f"map/robot_{r}/{name}", at, static=True)
        for f, model in enumerate(playback.models[playback.robots :]):
            self._solids(f"map/forklift_{f}/body", load_shape(model.shape, model.class_name))
        for p in range(playback.people):
            looks = generator(self._record.seed, self._record.index, f"people.{p}.looks")
            self._solids(f"map/person_{p}/body", person_shape(p, looks, body=0, instance_id=0))
        loose = playback.solids.loose
        for k, name in enumerate(playback.solids.loose_id):
            self._solids(f"map/goods/{name}/body", loose.take(loose.body == k))

    def _write_columns(self, steps: np.ndarray) -> None:
        """Write the poses and curves of all control steps, a column for each entity."""
        record, time = self._record, self._record.time[steps]
        moving = (
            ("robot", record.pose),
            ("person", record.person_pose),
            ("forklift", self._playback.forklift_pose),
        )
        for name, rows in moving:
            for k in range(rows.shape[1]):
                self._move(f"map/{name}_{k}", time, _upright(rows[steps, k]))
        for r in range(self._playback.robots):
            values = np.column_stack(
                [
                    record.velocity[steps, r],
                    record.command[steps, r, :2],
                    record.min_clearance[steps, r],
                    record.person_distance[steps, r],
                ]
            )
            for name, column in zip(CURVES, values.T, strict=True):
                known = np.isfinite(column)
                if known.any():
                    self._columns(
                        f"robot_{r}/{name}",
                        time[known],
                        self._rr.Scalars.columns(scalars=np.ascontiguousarray(column[known])),
                    )
        moves = record.loose_moves
        shown = np.isin(moves[:, 0].astype(np.int64), steps)
        for k, name in enumerate(self._playback.solids.loose_id):
            mine = moves[shown & (moves[:, 1] == k)]
            begin = self._playback.loose_pose(int(steps[0]))[k : k + 1] if len(steps) else np.zeros((0, 7))
            later = mine[mine[:, 0] > steps[0]] if len(steps) else mine
            at = np.concatenate([time[:1], record.time[later[:, 0].astype(np.int64)]])
            self._move(f"map/goods/{name}", at, np.concatenate([begin, later[:, 2:]]))

    def _write_changes(self, moment: Moment, before: Moment | None) -> None:
        """Write goals and loads that differ from the moment before."""
        for r in range(self._playback.robots):
            if before is None or not np.array_equal(moment.goal[r], before.goal[r], equal_nan=True):
                x, y, yaw = moment.goal[r].tolist()
                if np.isfinite(moment.goal[r]).all():
                    arrow = self._rr.Arrows3D(
                        origins=[[x, y, 0.05]],
                        vectors=[[0.8 * np.cos(yaw), 0.8 * np.sin(yaw), 0.0]],
                        colors=[ROBOTS[r % len(ROBOTS)]],
                        labels=[f"goal of robot_{r}"],
                    )
                    self._log(f"map/goals/robot_{r}", arrow)
                else:
                    self._log(f"map/goals/robot_{r}", self._rr.Clear(recursive=False))
            if moment.carrying[r] != (before is not None and before.carrying[r]):
                if moment.carrying[r]:
                    load = carried_load(body=0, instance_id=0, model=self._playback.models[r])
                    self._solids(f"map/robot_{r}/load", load, static=False)
                else:
                    self._log(f"map/robot_{r}/load", self._rr.Clear(recursive=True))

    def _solids(self, entity: str, solids: Primitives, static: bool = True) -> None:
        for name, archetype in _archetypes(self._rr, solids):
            self._log(f"{entity}/{name}", archetype, static=static)

    def _move(self, entity: str, time: FloatArray, pose: FloatArray) -> None:
        """Write the poses (N, 7) of an entity at times (N,) [s]."""
        if len(time):
            columns = self._rr.Transform3D.columns(translation=pose[:, :3], quaternion=pose[:, 3:])
            self._columns(entity, time, columns)

    def _columns(self, entity: str, time: FloatArray, columns: Any) -> None:
        nanoseconds = np.round(np.asarray(time) * 1e9).astype("timedelta64[ns]")
        index = self._rr.TimeColumn(TIMELINE, duration=nanoseconds)
        self._stream.send_columns(entity, indexes=[index], columns=columns)
        self.rows[entity] = self.rows.get(entity, 0) + len(time)

    def _at(self, time: float) -> None:
        self._stream.set_time(TIMELINE, duration=np.timedelta64(round(time * 1e9), "ns"))

    def _log(self, entity: str, archetype: Any, static: bool = False) -> None:
        self._stream.log(entity, archetype, static=static)
        self.rows[entity] = self.rows.get(entity, 0) + 1


def _upright(rows: FloatArray) -> FloatArray:
    """Return planar poses (N, 3) as poses (N, 7)."""
    return np.column_stack([rows[:, :2], np.zeros(len(rows)), quaternion_from_yaw(rows[:, 2])])


def _archetypes(rerun: Any, solids: Primitives) -> Iterator[tuple[str, Any]]:
    """Return solids as batches by kind; planes are left out, for they have no end."""
    solid = rerun.components.FillMode.Solid
    for kind, name in ((BOX, "boxes"), (CYLINDER, "cylinders"), (CAPSULE, "capsules"), (SPHERE, "spheres")):
        some = solids.take(solids.kind == kind)
        if not len(some):
            continue
        looks = {"quaternions": some.quaternion, "colors": some.color, "fill_mode": solid}
        size, position = some.size, some.position
        if kind == BOX:
            yield name, rerun.Boxes3D(half_sizes=size, centers=position, **looks)
        elif kind == CYLINDER:
            yield name, rerun.Cylinders3D(lengths=2 * size[:, 1], radii=size[:, 0], centers=position, **looks)
        elif kind == CAPSULE:
            # A capsule of Rerun begins at its lower end.
            down = np.array(
                [rotation_matrix(q) @ [0.0, 0.0, -half] for q, half in zip(some.quaternion, size[:, 1], strict=True)]
            )
            yield (
                name,
                rerun.Capsules3D(lengths=2 * size[:, 1], radii=size[:, 0], translations=position + down, **looks),
            )
        else:
            yield name, rerun.Ellipsoids3D(radii=size[:, 0], centers=position, **looks)
    some = solids.take(solids.kind == TRIANGLE)
    if len(some):
        a, b, c = some.size.T
        zero = np.zeros(len(some))
        local = np.stack([np.stack(corner, 1) for corner in ((-a, -b, zero), (a, -b, zero), (c, b, zero))], axis=1)
        turn = np.array([rotation_matrix(q) for q in some.quaternion])
        corners = np.einsum("nij,nkj->nki", turn, local) + some.position[:, None]
        yield (
            "triangles",
            rerun.Mesh3D(
                vertex_positions=corners.reshape(-1, 3),
                triangle_indices=np.arange(3 * len(some)).reshape(-1, 3),
                vertex_colors=np.repeat(some.color, 3, axis=0),
            ),
        )
