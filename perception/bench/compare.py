"""Comparisons of one peer with ours, by turns, and the check that both see the same."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ...common.config import parse_model
from ...common.errors import InputError
from ...common.geometry import FloatArray, quaternion_from_yaw, rotation_matrix
from ..camera import Camera
from ..config import CameraConfig, LidarConfig, Lighting
from ..lidar import Lidar
from .hall import LIDAR_2D_HEIGHT, LIDAR_3D_HEIGHT, BenchHall, camera_pose, lidar_pose
from .ours import VARIANTS, Pose, Work, picture_work, quiet, scan_work
from .peer import Peer, PictureAgreement, RayFan, View, picture_agreement, ray_agreement
from .worker import Job

TURN = 5
"""Timed calls of one side in a row before it is the other side's turn."""
SLOW = 0.05
"""A call of more seconds is not repeated within a turn, nor warmed up before each."""
DENSE_RAYS = 3600


@dataclass(frozen=True)
class SensorCase:
    """A sensor of the benchmark; ``height`` above the floor [m] is of lidars only."""

    config: LidarConfig | CameraConfig
    height: float = 0.0


SENSORS = ("lidar 360 beams", "lidar 16 x 1024", "camera 128 x 128", "camera 640 x 480")
_NAME = re.compile(
    r"(?:lidar (?P<flat>\d+) beams|lidar (?P<rings>\d+) x (?P<beams>\d+)|camera (?P<w>\d+) x (?P<h>\d+))"
)


def sensor_case(name: str) -> SensorCase:
    """Return the sensor of a name: "lidar 360 beams", "lidar 16 x 1024" (rings, beams) or "camera 640 x 480".

    A lidar of several rings has them from -15 to 15 degrees and sees 60 m.

    Raises:
        InputError: a name of no such form, or numbers that no sensor can have.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise InputError(
            f"there is no sensor {name!r}", where="bench sensors", mend=f"give names like {', '.join(SENSORS)}"
        )
    numbers = {key: int(value) for key, value in match.groupdict().items() if value is not None}
    if "flat" in numbers:
        return SensorCase(parse_model({"beams": numbers["flat"]}, LidarConfig, source=name), LIDAR_2D_HEIGHT)
    if "w" in numbers:
        return SensorCase(parse_model({"width": numbers["w"], "height": numbers["h"]}, CameraConfig, source=name))
    rings = np.radians(np.linspace(-15, 15, numbers["rings"])).tolist()
    values = {"beams": numbers["beams"], "elevations": rings, "range_max": 60.0}
    return SensorCase(parse_model(values, LidarConfig, source=name), LIDAR_3D_HEIGHT)


@dataclass(frozen=True)
class Comparison:
    """Times of ours and of a peer for one sensor, in milliseconds for one scan or picture, bodies placed.

    Attributes:
        name: of the sensor. peer: label of the peer. cores: of both sides. batch: sensors that were served at once.
        ours_ms, peer_ms: medians; ours_min_ms, peer_min_ms: the least.
        agree: share of rays or pixels (depth) in which the peer and we agree within 1 cm, in the worst pose; agree_near
            the same with leave at edges (``peer.ray_agreement``, ``peer.picture_agreement``); agree_ids the share of
            pixels of equal instance and class, with leave at edges; None where there is nothing to compare.
        shadows: the peer's picture has shadows (True for scans). note: how the peer was used.
    """

    name: str
    peer: str
    cores: int
    batch: int
    ours_ms: float
    peer_ms: float
    ours_min_ms: float
    peer_min_ms: float
    agree: float | None = None
    agree_near: float | None = None
    agree_ids: float | None = None
    shadows: bool = True
    note: str = ""


Times = list[tuple[float, float]]


def compare_peer(job: Job, hall: BenchHall, peer: Peer) -> Iterator[Comparison]:
    """Time a peer against ours and check it; one comparison for each sensor that it has."""
    for name in job.sensors or SENSORS:
        case = sensor_case(name)
        if isinstance(case.config, LidarConfig):
            if peer.scan_label is not None:
                yield _compare_scans(job, name, case.config, case.height, hall, peer)
        elif peer.picture_label is not None:
            yield _compare_pictures(job, name, case.config, hall, peer)


def compare_ours(job: Job, hall: BenchHall) -> list[Comparison]:
    """Time our sensors with noise and labels against the same without."""
    rows = []
    for name in job.sensors or SENSORS:
        case = sensor_case(name)
        for variant in ("noise", "labels", "all"):
            times: Times = []
            for poses in _batches(job, case, hall):
                both = [_our_work(hall, case, poses, kind) for kind in ("geometry", variant)]
                times += alternate(both[0], both[1], hall.poses, job.repeat, job.seconds / (3 * job.places))
            rows.append(_comparison(job, name, VARIANTS[variant], times))
    return rows


def alternate(ours: Work, theirs: Work, poses: FloatArray, repeat: int, seconds: float) -> Times:
    """Return seconds of each repetition, ours and theirs by turns, moving bodies in another frame each time.

    Each turn is a few calls in a row, as in a simulation that steps many robots, after one that is not counted. It ends
    after ``repeat`` repetitions, or sooner when the time is up, but not before one.
    """
    slowest = max(_spent(work, poses[0]) for work in (ours, theirs))
    turn = TURN if slowest < SLOW else 1
    found: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds - slowest
    while len(found) < repeat:
        count = min(turn, repeat - len(found))
        sides = []
        for work in (ours, theirs):
            if slowest < SLOW or work is ours:
                work(poses[0])
            sides.append([_spent(work, poses[(len(found) + k + 1) % len(poses)]) for k in range(count)])
        found += list(zip(*sides, strict=True))
        if time.perf_counter() > end:
            break
    return found


def _spent(work: Work, bodies: FloatArray) -> float:
    start = time.perf_counter()
    work(bodies)
    return time.perf_counter() - start


def _compare_scans(job: Job, name: str, config: LidarConfig, height: float, hall: BenchHall, peer: Peer) -> Comparison:
    case = SensorCase(config, height)
    directions = Lidar(quiet(config)).directions
    times: Times = []
    for poses in _batches(job, case, hall):
        fans = [RayFan(position, directions @ rotation.T, config.range_max) for position, rotation in poses]
        work = _peer_scans(peer, fans)
        if not times:
            peer.tune(work)
        ours = _our_work(hall, case, poses, "geometry")
        times += alternate(ours, work, hall.poses, job.repeat, job.seconds / job.places)
    label = peer.scan_label or peer.name
    if not job.check:
        return _comparison(job, name, label, times, note=peer.note)
    shares = []
    for k, place in enumerate(hall.places[: job.places]):
        position, rotation = lidar_pose(place, height)
        bodies = hall.poses[(3 * k) % len(hall.poses)]
        hall.scene.update(bodies)
        peer.update(bodies)
        fan = RayFan(position, _denser(directions, rotation), config.range_max)
        found = peer.ranges(peer.cast(peer.lay_out([fan])))
        found = np.where(found > config.range_max, np.inf, found)
        shares.append(ray_agreement(hall.scene, position, fan.direction, config.range_max, found))
    plain, near = np.min(shares, axis=0).tolist()
    return _comparison(job, name, label, times, agree=plain, agree_near=near, note=peer.note)


def _compare_pictures(job: Job, name: str, config: CameraConfig, hall: BenchHall, peer: Peer) -> Comparison:
    case = SensorCase(config)
    times: Times = []
    for poses in _batches(job, case, hall):
        aimed = [peer.aim(View(config, position, rotation, Lighting())) for position, rotation in poses]

        def work(bodies: FloatArray, views: list[object] = aimed) -> None:
            peer.update(bodies)
            for view in views:
                peer.picture(view)

        ours = _our_work(hall, case, poses, "geometry")
        times += alternate(ours, work, hall.poses, job.repeat, job.seconds / job.places)
    label = peer.picture_label or peer.name
    if not job.check:
        return _comparison(job, name, label, times, shadows=peer.shadows, note=peer.note)
    camera = Camera(quiet(config))
    shares: list[PictureAgreement] = []
    for k, place in enumerate(hall.places[: job.places]):
        view = View(config, *camera_pose(place), Lighting())
        bodies = hall.poses[(3 * k) % len(hall.poses)]
        hall.scene.update(bodies)
        peer.update(bodies)
        frame = camera.render(hall.scene, view.position, view.rotation, view.lighting, stream=0, sensor=0, frame=0)
        shares.append(picture_agreement(frame, hall.scene, peer.show(peer.picture(peer.aim(view)))))
    ids = [share.ids_near for share in shares]
    return _comparison(
        job,
        name,
        label,
        times,
        agree=min(share.depth for share in shares),
        agree_near=min(share.depth_near for share in shares),
        agree_ids=None if np.isnan(ids).any() else min(ids),
        shadows=peer.shadows,
        note=peer.note,
    )


def _comparison(
    job: Job,
    name: str,
    peer: str,
    times: Times,
    *,
    agree: float | None = None,
    agree_near: float | None = None,
    agree_ids: float | None = None,
    shadows: bool = True,
    note: str = "",
) -> Comparison:
    each = 1e3 * np.array(times) / job.batch
    ours, theirs = np.median(each, axis=0).tolist()
    least, their_least = each.min(axis=0).tolist()
    return Comparison(
        name, peer, job.cores, job.batch, ours, theirs, least, their_least, agree, agree_near, agree_ids, shadows, note
    )


def _peer_scans(peer: Peer, fans: list[RayFan]) -> Callable[[FloatArray], None]:
    rays = peer.lay_out(fans)

    def work(bodies: FloatArray) -> None:
        peer.update(bodies)
        peer.cast(rays)

    return work


def _our_work(hall: BenchHall, case: SensorCase, poses: list[Pose], variant: str) -> Work:
    if isinstance(case.config, LidarConfig):
        return scan_work(hall, case.config, poses, variant)
    return picture_work(hall, case.config, poses, variant)


def _batches(job: Job, case: SensorCase, hall: BenchHall) -> Iterator[list[Pose]]:
    """Yield sensor poses, as many at a time as the job serves at once: the places in turn, each turned further."""
    for k in range(job.places):
        batch = []
        for s in range(job.batch):
            place = hall.places[(k + s) % len(hall.places)].copy()
            place[2] += 0.4 * (s // len(hall.places))
            lidar = isinstance(case.config, LidarConfig)
            batch.append(lidar_pose(place, case.height) if lidar else camera_pose(place))
        yield batch


def _denser(directions: FloatArray, rotation: FloatArray) -> FloatArray:
    """Return directions (N, 3) in ``map``; those of few rays ten times over, turned a little each time."""
    if len(directions) >= DENSE_RAYS:
        return directions @ rotation.T
    turns = rotation_matrix(quaternion_from_yaw(np.arange(10) * 2.0 * np.pi / len(directions) / 10.0))
    return np.concatenate([directions @ turn.T @ rotation.T for turn in turns])
