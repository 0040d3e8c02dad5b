"""Many worlds at once, on a GPU or on the CPU: built, checked against the CPU's ray caster, and timed in one go.

Needs numpy, numba and (for a GPU) numba-cuda, nothing else: where pydantic is not installed, the hall comes from a file
that ``--export`` has written elsewhere. Times count the placing of all movers of all worlds and the reset of some.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...common.errors import InputError
from ...common.files import write_json_atomic
from ...common.geometry import FloatArray, mounted, optical
from ...common.primitives import PrimitiveBuilder, Primitives
from ..device import device_name, resolve_device
from ..scene import Scene
from ..worlds import Worlds

if TYPE_CHECKING:
    from ..cuda.counts import Tally

WORLD_COUNTS = (1, 64, 1024, 4096)
HEIGHTS = {"lidar_2d": 0.25, "lidar_3d": 0.6, "camera": 1.2}
CAMERA_TILT = 0.1
AGREE_M = 0.01
EDGE_M = 0.001
"""A ray may be shifted by this much [m] to explain a difference: it then passes an edge within that."""
MUST_AGREE = 0.9999
"""Share of the rays of every pose that must agree, edges explained."""
RESET_SHARE = 64
"""One world in so many is reset at every step."""
COUNTED_RAYS = 200
FIELDS = ("kind", "size", "position", "quaternion", "color", "class_id", "instance_id", "body")


@dataclass(frozen=True)
class WorldsHall:
    """A hall for the benchmark: static solids, parts of B moving bodies, poses (F, B, 7), sensor places (S, 3)."""

    static: Primitives
    moving: Primitives
    poses: FloatArray
    places: FloatArray

    def save(self, path: str | Path) -> None:
        """Write the hall as an .npz file."""
        arrays = {f"static_{name}": getattr(self.static, name) for name in FIELDS}
        arrays |= {f"moving_{name}": getattr(self.moving, name) for name in FIELDS}
        np.savez_compressed(path, poses=self.poses, places=self.places, **arrays)  # type: ignore[arg-type]


def read_hall(path: str | Path) -> WorldsHall:
    """Read a hall that ``WorldsHall.save`` has written.

    Raises:
        InputError: no such file, or not one of these.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            static, moving = (
                Primitives(**{name: file[f"{group}_{name}"] for name in FIELDS}) for group in ("static", "moving")
            )
            return WorldsHall(static, moving, file["poses"], file["places"])
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"this is no hall: {error}", where=str(path), mend="write one with benchmarks/gpu.py --export FILE"
        ) from error


def generated_hall(seed: int = 0) -> WorldsHall:
    """Generate the benchmark's hall (1,000 m^2, about 2,400 solids, 8 robots, 4 people, loose goods).

    Raises:
        InputError: pydantic is not installed, which the generator needs.
    """
    if not _have("pydantic"):
        raise InputError(
            "pydantic is not installed, and the generator needs it",
            where="benchmark of worlds",
            mend="give --scene FILE, which --export FILE writes on a machine that has it",
        )
    from .hall import bench_hall

    hall = bench_hall(seed)
    return WorldsHall(hall.scene.static, hall.scene.moving, hall.poses, hall.places)


def tiny_hall() -> WorldsHall:
    """Return a room with a few solids, for trying everything in a simulator."""
    builder = PrimitiveBuilder()
    builder.add(4, (1.0,), (0.0, 0.0, 0.0), class_name="floor")
    for i in range(6):
        angle = i * np.pi / 3.0
        place = (4.0 * np.cos(angle), 4.0 * np.sin(angle), 0.5)
        builder.box((0.8, 0.5, 0.7), place, class_name="rack", instance_id=i + 1, yaw=0.4 * i)
    parts = PrimitiveBuilder()
    parts.box((0.4, 0.3, 0.2), (0.0, 0.0, 0.3), class_name="amr", instance_id=101, body=0)
    parts.cylinder(0.2, 0.8, (0.0, 0.0, 0.8), class_name="person", instance_id=102, body=1)
    poses = np.zeros((4, 2, 7))
    poses[..., 6] = 1.0
    poses[:, 0, :2], poses[:, 1, :2] = [[2.0, 0.1 * f] for f in range(4)], [[-1.5, 0.2 * f] for f in range(4)]
    return WorldsHall(builder.build(), parts.build(), poses, np.array([[0.0, 0.0, 0.3], [0.5, -0.5, 2.0]]))


def lidar_of(beams: int, elevations: Sequence[float], range_max: float) -> Any:
    """Return a lidar: a ``Lidar`` where pydantic is, else a plain object with what ``Worlds.scan`` reads on a GPU."""
    settings = {"beams": beams, "elevations": tuple(elevations), "range_max": range_max}
    if _have("pydantic"):
        from ..config import LidarConfig
        from ..lidar import Lidar

        return Lidar(LidarConfig(**settings))  # type: ignore[arg-type]
    angles = -np.pi + 2.0 * np.pi * np.arange(beams) / beams
    e, a = (grid.reshape(-1) for grid in np.meshgrid(elevations, angles, indexing="ij"))
    directions = np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=1)
    config = PlainSettings(range_min=0.05, range_noise=0.01, dropout=0.002, grazing_dropout=0.3, **settings)
    return SimpleNamespace(config=config, angles=angles, elevations=np.asarray(elevations), directions=directions)


class PlainSettings(SimpleNamespace):
    """Settings of a sensor without pydantic: what is not given is 0, but for the few that may not be."""

    returns = 1
    return_mode = "strongest"
    rate = 10.0
    detection_noise = 0.2
    angle_min = -np.pi
    angle_max = np.pi
    range_drift_time = 60.0
    shared_angle = 0.05
    outlier_short_shape = 1.0
    outlier_long_shape = 1.0

    def __getattr__(self, name: str) -> float:
        if name.startswith("__"):
            raise AttributeError(name)
        return 0.0


def camera_of(width: int, height: int) -> Any:
    """Return a camera; see ``lidar_of``."""
    if _have("pydantic"):
        from ..camera import Camera
        from ..config import CameraConfig

        return Camera(CameraConfig(width=width, height=height))
    focal = 0.5 * width / np.tan(0.5 * 1.39)
    center = (0.5 * (width - 1), 0.5 * (height - 1))
    config = PlainSettings(
        width=width, height=height, focal=focal, center=center, near=0.05, far=60.0, noise=2.0, shot_noise=1.0
    )
    return SimpleNamespace(config=config)


def lighting_of() -> Any:
    """Return the light of the hall; see ``lidar_of``."""
    if _have("pydantic"):
        from ..config import Lighting

        return Lighting()
    return PlainSettings(direction=(0.35, 0.2, -1.0), key=0.65, ambient=0.35, temperature=5000.0)


class WorldsBench:
    """The benchmark on one hall and one device."""

    def __init__(self, hall: WorldsHall, device: str, *, precision: str = "float32", tiny: bool = False) -> None:
        self.hall, self.device, self.precision = hall, resolve_device(device), precision
        self.seconds = 0.0 if tiny else 0.3
        rings = np.radians(np.linspace(-15.0, 15.0, 2 if tiny else 16))
        self.sensors: dict[str, Any] = {
            "lidar_2d": lidar_of(24 if tiny else 360, [0.0], 25.0),
            "lidar_3d": lidar_of(16 if tiny else 1024, rings.tolist(), 60.0),
            "camera": camera_of(*((8, 8) if tiny else (128, 128))),
        }
        self.lighting = lighting_of()

    def worlds(self, count: int) -> Worlds:
        """Return so many worlds of the hall on the device."""
        hall = self.hall
        bodies = hall.poses.shape[1]
        return Worlds(hall.static, hall.moving, bodies, count, device=self.device, precision=self.precision)

    def poses(self, count: int, frame: int) -> FloatArray:
        """Return the poses (W, B, 7) of a frame: each world is at its own point of the recorded motion."""
        return self.hall.poses[(7 * np.arange(count) + frame) % len(self.hall.poses)]

    def places(self, name: str, count: int) -> tuple[FloatArray, FloatArray]:
        """Return positions (W, 1, 3) and rotations (W, 1, 3, 3) of a sensor, one in each world."""
        positions, rotations = np.zeros((count, 1, 3)), np.zeros((count, 1, 3, 3))
        for w in range(count):
            place = self.hall.places[w % len(self.hall.places)]
            tilt = CAMERA_TILT if name == "camera" else 0.0
            turn = place + np.array([0.0, 0.0, 0.37 * (w // len(self.hall.places))])
            positions[w, 0], rotation = mounted(turn, np.array([0.0, 0.0, HEIGHTS[name], 0.0, tilt, 0.0]))
            rotations[w, 0] = optical(rotation) if name == "camera" else rotation
        return positions, rotations

    def sense(self, worlds: Worlds, name: str, positions: Any, rotations: Any, frame: int) -> Any:
        """Return what a sensor reports in every world."""
        if name == "camera":
            return worlds.render(self.sensors[name], positions, rotations, self.lighting, stream=1, frame=frame)
        return worlds.scan(self.sensors[name], positions, rotations, stream=1, frame=frame)

    def directions(self, name: str) -> FloatArray:
        """Return the directions (N, 3) of a sensor's rays in its own frame, of unit length."""
        sensor = self.sensors[name]
        if name != "camera":
            return np.asarray(sensor.directions)
        config = sensor.config
        v, u = np.mgrid[: config.height, : config.width]
        rays = np.stack(
            [u - 0.5 * (config.width - 1), v - 0.5 * (config.height - 1), np.full(u.shape, config.focal)], -1
        )
        rays = rays.reshape(-1, 3)
        return rays / np.linalg.norm(rays, axis=1, keepdims=True)

    def check(self, count: int = 4) -> list[dict[str, Any]]:
        """Hold ranges and ids against the CPU's ray caster (64 bits, another algorithm for movers), pose by pose."""
        worlds, poses = self.worlds(count), self.poses(count, 3)
        worlds.update(poses)
        scene = Scene(self.hall.static, self.hall.moving, poses.shape[1])
        rows = []
        for name in self.sensors:
            positions, rotations = self.places(name, count)
            got = self.sense(worlds, name, positions, rotations, 0).numpy()
            for w in range(count):
                scene.update(poses[w])
                ranges, ids = self._ranges(name, got, w)
                rows.append(
                    {
                        "sensor": name,
                        "world": w,
                        **self._agreement(scene, name, positions[w, 0], rotations[w, 0], ranges, ids),
                    }
                )
        return rows

    def _ranges(self, name: str, got: Any, world: int) -> tuple[FloatArray, NDArray[np.int32]]:
        """Return the true ranges [m] and instance ids of all rays of a sensor."""
        ids = got.instance_id[world, 0].reshape(-1)
        if name != "camera":
            return got.true_ranges[world, 0].reshape(-1).astype(np.float64), ids
        return got.depth[world, 0].reshape(-1).astype(np.float64) / self.directions(name)[:, 2], ids

    def _agreement(
        self,
        scene: Scene,
        name: str,
        position: FloatArray,
        rotation: FloatArray,
        ranges: FloatArray,
        ids: NDArray[np.int32],
    ) -> dict[str, float]:
        local = self.directions(name)
        rays = local @ rotation.T
        config = self.sensors[name].config
        reach = config.far / local[:, 2] if name == "camera" else np.full(len(rays), config.range_max)
        hits = scene.cast(position, rays, reach)
        plain = _same(ranges, hits.range)
        close = plain & (ids == np.where(hits.index >= 0, scene.instance_id[hits.index], 0))
        todo = np.flatnonzero(~close)
        explained = close.copy()
        if len(todo):
            side = np.cross(rays[todo], [0.0, 0.0, 1.0])
            side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
            up = np.cross(side, rays[todo])
            for a in (-EDGE_M, 0.0, EDGE_M):
                for b in (-EDGE_M, 0.0, EDGE_M):
                    near = scene.cast(position + a * side + b * up, rays[todo], reach[todo])
                    explained[todo] |= _same(ranges[todo], near.range)
        both = plain & np.isfinite(ranges)
        return {
            "rays": len(rays),
            "hit": float(np.isfinite(hits.range).mean()),
            "within_1_cm_and_same_id": float(close.mean()),
            "explained_by_1_mm": float(explained.mean()),
            "largest_error_m": float(np.abs(ranges[both] - hits.range[both]).max(initial=0.0)),
        }

    def check_colors(self, count: int = 2) -> dict[str, float] | None:
        """Hold the pictures against the CPU's camera: None where pydantic is not installed."""
        if not _have("pydantic") or self.device == "cpu":
            return None
        positions, rotations = self.places("camera", count)
        reference = Worlds(self.hall.static, self.hall.moving, self.hall.poses.shape[1], count, device="cpu")
        worlds = self.worlds(count)
        pictures = []
        for each in (reference, worlds):
            each.update(self.poses(count, 3))
            pictures.append(self.sense(each, "camera", positions, rotations, 0).numpy().rgb.astype(int))
        apart = np.abs(pictures[0] - pictures[1]).max(axis=-1)
        return {"within_3_levels": float((apart <= 3).mean()), "mean_levels": float(apart.mean())}

    def time(self, name: str, count: int, ceilings: dict[str, float] | None, tally: Tally | None) -> dict[str, Any]:
        """Time a sensor in so many worlds: placing all movers, resetting some worlds, and sensing."""
        worlds = self.worlds(count)
        frames = [self.poses(count, f) for f in range(4)]
        positions, rotations = self.places(name, count)
        reset = np.arange(0, count, RESET_SHARE)
        fresh = [frame[reset] for frame in frames]
        if self.device == "cuda":
            from ..cuda.engine import on_device

            frames, fresh = ([on_device(array) for array in arrays] for arrays in (frames, fresh))
            positions, rotations = on_device(positions), on_device(rotations)
        step = 0

        def update() -> None:
            worlds.update(frames[step % 4])
            worlds.update(fresh[(step + 1) % 4], worlds=reset)

        def whole() -> None:
            nonlocal step
            step += 1
            update()
            self.sense(worlds, name, positions, rotations, step)

        seconds = self._seconds(whole)
        placing = self._seconds(update)
        rays = len(self.directions(name)) * count
        row: dict[str, Any] = {
            "sensor": name,
            "worlds": count,
            "ms": 1e3 * seconds,
            "update_ms": 1e3 * placing,
            "per_second": count / seconds,
            "rays_per_second": rays / seconds,
            "worlds_bytes": worlds.nbytes,
        }
        if ceilings is not None and tally is not None:
            row |= _fractions(tally, ceilings, rays, max(seconds - placing, 1e-9), name, worlds.nbytes)
        return row

    def _seconds(self, work: Callable[[], None]) -> float:
        """Return the time [s] of one call: the least of three runs of many calls each, the device waited for."""
        work()
        self._wait()
        count = 1
        while True:
            started = time.perf_counter()
            for _ in range(count):
                work()
            self._wait()
            took = time.perf_counter() - started
            if took >= self.seconds / 3.0:
                break
            count = max(2 * count, int(0.4 * self.seconds * count / max(took, 1e-9)))
        best = took / count
        for _ in range(0 if self.seconds == 0.0 else 2):
            started = time.perf_counter()
            for _ in range(count):
                work()
            self._wait()
            best = min(best, (time.perf_counter() - started) / count)
        return best

    def _wait(self) -> None:
        if self.device == "cuda":
            from numba import cuda

            cuda.synchronize()

    def count(self, name: str, rays: int) -> Tally:
        """Count what some rays of a sensor (and, of a camera, their shadow rays) do, in a handful of worlds."""
        from ..cuda import pictures
        from ..cuda.counts import Tally
        from ..cuda.rays import info_row, walk

        tally, count = Tally(), 4
        worlds = self.worlds(count)
        assert worlds._cuda is not None
        worlds.update(self.poses(count, 3))
        tables = worlds._cuda.host_tables()
        positions, rotations = self.places(name, count)
        local = self.directions(name)
        config, real = self.sensors[name].config, np.float32
        camera = name == "camera"
        shading = worlds.host_shading(self.lighting) if camera else ()
        plain, lit = tally.function(walk), tally.function(pictures.lit_surface)
        with np.errstate(all="ignore"):
            for i in np.linspace(0, len(local) * count - 1, rays).astype(int).tolist():
                w = i // len(local)
                ray = local[i % len(local)] / (local[i % len(local), 2] if camera else 1.0)
                o = positions[w, 0].astype(real)
                d = (rotations[w, 0] @ ray).astype(real)
                limits = (real(config.near), real(config.far)) if camera else (real(0.0), real(config.range_max))
                tally.primary += 1
                t, p = plain(tables, w, *o, *d, *limits, -1, False)
                if camera and p >= 0:
                    row = int(tally.function(info_row)(tables, w, p))
                    lit(tables, *shading, w, p, row, *(o + t * d), *d, real(t / config.focal))
        return tally


def _fractions(
    tally: Tally, ceilings: dict[str, float], rays: int, seconds: float, name: str, resident: int
) -> dict[str, float]:
    """Return the share of the device's ceilings that a measured time means.

    ``memory_fraction`` counts what must pass through memory: results once, tables once. The loads of all beams, most of
    which the caches serve, stand apart.
    """
    operations, loaded = (total / max(1, tally.primary) for total in tally.totals())
    written = 12 if name == "camera" else 20
    return {
        "operations_per_beam": operations,
        "bytes_loaded_per_beam": loaded,
        "arithmetic_fraction": operations * rays / seconds / ceilings["float32_per_second"],
        "memory_fraction": (written * rays + resident) / seconds / ceilings["bytes_per_second"],
        "loads_over_memory_bandwidth": loaded * rays / seconds / ceilings["bytes_per_second"],
    }


def _have(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def _same(ranges: FloatArray, expected: Any) -> NDArray[np.bool_]:
    mine, other = np.asarray(ranges, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return (np.abs(mine - other) <= AGREE_M) | (np.isinf(mine) & np.isinf(other))


def run(
    hall: WorldsHall,
    *,
    device: str = "auto",
    world_counts: Sequence[int] = WORLD_COUNTS,
    precision: str = "float32",
    tiny: bool = False,
) -> dict[str, Any]:
    """Check and time; returns a report that is JSON.

    Raises:
        InputError: no such device, or a number of worlds below 1.
    """
    if not world_counts or min(world_counts) < 1:
        raise InputError(f"world counts are {list(world_counts)}", where="worlds", mend="give numbers from 1 on")
    bench = WorldsBench(hall, device, precision=precision, tiny=tiny)
    report: dict[str, Any] = {"conditions": _conditions(bench), "checks": bench.check(2 if tiny else 4)}
    worst = min(row["explained_by_1_mm"] for row in report["checks"])
    report["passed"] = worst >= MUST_AGREE
    report["colors"] = bench.check_colors(1 if tiny else 2)
    ceilings, tallies = None, {}
    if bench.device == "cuda":
        from ..cuda.ceilings import measured_ceilings

        small = {"values": 256, "threads": 64, "passes": 2} if tiny else {}
        ceilings = measured_ceilings(**small)
        tallies = {name: bench.count(name, 10 if tiny else COUNTED_RAYS) for name in bench.sensors}
        report["counts"] = {
            name: {event: n / max(1, tally.primary) for event, n in sorted(tally.counts.items())}
            for name, tally in tallies.items()
        }
    report["ceilings"] = ceilings
    report["rows"] = [
        bench.time(name, count, ceilings, tallies.get(name)) for count in world_counts for name in bench.sensors
    ]
    report["torch"] = _torch_shares_memory(bench)
    return report


def _torch_shares_memory(bench: WorldsBench) -> bool | None:
    """Return whether torch sees the device's memory without a copy; None where there is no torch or no GPU."""
    from ..device import simulated

    if bench.device != "cuda" or simulated() or not _have("torch"):
        return None
    worlds = bench.worlds(1)
    worlds.update(bench.poses(1, 0))
    scans = bench.sense(worlds, "lidar_2d", *bench.places("lidar_2d", 1), 0)
    tensor = scans.torch()["ranges"]
    return bool(
        tensor.data_ptr() == scans.ranges.__cuda_array_interface__["data"][0]
        and np.array_equal(tensor.cpu().numpy(), scans.numpy().ranges)
    )


def _conditions(bench: WorldsBench) -> dict[str, Any]:
    import numba

    hall = bench.hall
    conditions: dict[str, Any] = {
        "device": device_name() if bench.device == "cuda" else platform.processor() or platform.machine(),
        "precision": bench.precision if bench.device == "cuda" else "float64",
        "static_solids": len(hall.static),
        "moving_parts": len(hall.moving),
        "moving_bodies": hall.poses.shape[1],
        "numba": numba.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "times": "all movers of all worlds placed and 1 world in 64 reset at every step; poses, sensors and results on "
        "the device; wall time with the device waited for after many steps",
    }
    if bench.device == "cuda":
        conditions["numba_cuda"] = importlib.metadata.version("numba-cuda")
    return conditions


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from a command line; 1 if the check failed, 2 for bad input."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--precision", choices=("float32", "float64"), default="float32")
    parser.add_argument("--worlds", type=int, nargs="+", default=None, help="numbers of worlds")
    parser.add_argument("--scene", type=Path, help="a hall that --export has written")
    parser.add_argument("--export", type=Path, help="write the generated hall to this .npz file, and end")
    parser.add_argument("--json", type=Path, help="write the report to this file")
    parser.add_argument("--seed", type=int, default=0, help="of the generated hall")
    parser.add_argument("--tiny", action="store_true", help="a few rays in a room, to try everything out")
    options = parser.parse_args(arguments)
    try:
        if options.export is not None:
            generated_hall(options.seed).save(options.export)
            return 0
        if options.tiny:
            hall = tiny_hall()
        else:
            hall = read_hall(options.scene) if options.scene is not None else generated_hall(options.seed)
        counts = options.worlds or ((1, 2) if options.tiny else WORLD_COUNTS)
        report = run(hall, device=options.device, world_counts=counts, precision=options.precision, tiny=options.tiny)
        if options.json is not None:
            write_json_atomic(options.json, report)
    except InputError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print("\n".join(lines(report)))
    return 0 if report["passed"] else 1


def lines(report: dict[str, Any]) -> list[str]:
    """Return a report as lines to read."""
    text = [f"{key}: {value}" for key, value in report["conditions"].items()]
    worst = min(report["checks"], key=lambda row: row["explained_by_1_mm"])
    text.append(
        f"check: worst of {len(report['checks'])} poses ({worst['sensor']}, world {worst['world']}): "
        f"{100 * worst['within_1_cm_and_same_id']:.3f} % of rays within 1 cm and of the same id, "
        f"{100 * worst['explained_by_1_mm']:.3f} % with 1 mm of leave at edges"
    )
    text.append(f"colors: {report['colors']}; torch shares memory: {report['torch']}; ceilings: {report['ceilings']}")
    text.append("sensor    worlds        ms  update ms       per s      rays/s  arithmetic  memory")
    for row in report["rows"]:
        shares = "".join(f"{100 * row[key]:9.2f} %" for key in ("arithmetic_fraction", "memory_fraction") if key in row)
        text.append(
            f"{row['sensor']:9s} {row['worlds']:6d} {row['ms']:9.3f} {row['update_ms']:10.4f} "
            f"{row['per_second']:11.0f} {row['rays_per_second']:11.3g} {shares}"
        )
    return text
