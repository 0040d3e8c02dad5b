"""What physics costs: 30 s of robots on a generated hall, in processor time on one core.

Run: python benchmarks/physics.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable

os.environ.setdefault("NUMBA_NUM_THREADS", "1")

import numpy as np

from floorcast.layouts.generator import generate_layout
from floorcast.layouts.geometry import LayoutSolids, layout_solids
from floorcast.layouts.recipe import LayoutRecipe
from floorcast.physics.bodies import Bodies
from floorcast.physics.bullet import pybullet
from floorcast.physics.proximity import touchable
from floorcast.physics.settings import PhysicsSettings
from floorcast.physics.world import World
from floorcast.robots.drive import parameter_array, rollout
from floorcast.robots.fleet import Fleet
from floorcast.robots.model import DriveParameters, RobotModel
from floorcast.robots.urdf import load_shape

SECONDS = 30
RATE = 20
WIDE = 6.0
"""A margin [m] that keeps robots on this hall in Bullet at every step."""


def processor_time(work: Callable[[], None], repeat: int = 3) -> float:
    """Return the best processor time [s] of some runs: other work on the machine only ever adds."""
    best = float("inf")
    for _ in range(repeat):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def free_poses(world: World, count: int, seed: int) -> list[list[float]]:
    rng = np.random.default_rng(seed)
    low, high = world.static_table[:, :2].min(axis=0), world.static_table[:, :2].max(axis=0)
    poses: list[list[float]] = []
    while len(poses) < count:
        pose = [*rng.uniform(low, high), rng.uniform(-np.pi, np.pi)]
        apart = all(np.hypot(pose[0] - p[0], pose[1] - p[1]) > 1.3 for p in poses)
        if apart and not world.obstacles_at(0, pose):
            poses.append(pose)
    return poses


def episode(world: World, count: int, command: np.ndarray) -> tuple[float, int]:
    """Return processor time [s] of 30 s under a constant command (R, 2), resetting included, and the contacts."""
    fleet = Fleet(world, [RobotModel()] * count)
    poses = free_poses(world, count, 1)
    contacts = 0

    def run() -> None:
        nonlocal contacts
        fleet.reset(poses)
        for _ in range(SECONDS * RATE):
            fleet.command(command)
            fleet.step(240 // RATE)
        contacts = len(world.contacts())

    return processor_time(run), contacts


def bare_bullet(hall: LayoutSolids) -> float:
    """Return processor time [s] of 30 s in which 8 boxes in the same hall are only given velocities and stepped."""
    bodies = Bodies(PhysicsSettings())
    solids = hall.static.take(touchable(hall.static, 2.0))
    for group in np.unique(solids.body).tolist():
        bodies.load_group(group, solids.take(solids.body == group), ("rack", str(group)))
    shape = load_shape("amr.urdf")
    for i in range(8):
        bodies.create_robot(i, shape, 0.2, 90.0, 8.0)
        bodies.place_robot(i, -2.0, 2.0 * i, 0.0, 0.2)

    def run() -> None:
        for _ in range(SECONDS * 240):
            for i in range(8):
                pybullet.resetBaseVelocity(bodies.robot[i], (0.0, 0.0, 9.81 / 240), (0.0, 0.0, 0.6), bodies.client)
            pybullet.stepSimulation(bodies.client)

    seconds = processor_time(run)
    bodies.close()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", help="write the rows to this file")
    arguments = parser.parse_args()
    rows = []

    def report(name: str, value: float, unit: str, note: str = "") -> None:
        rows.append({"name": name, "value": value, "unit": unit, "note": note})
        print(f"{name:58s} {value:10.3f} {unit:12s} {note}")

    hall = layout_solids(generate_layout(LayoutRecipe(area=1000), 0))
    big = layout_solids(generate_layout(LayoutRecipe(area=10_000), 0))
    seconds = bare_bullet(hall)
    note = f"{seconds / SECONDS / 240 * 1e6:.1f} us a step: the floor under what follows"
    report("30 s of 8 boxes in Bullet, velocities written only", seconds, "s", note)
    wide = PhysicsSettings(margin=WIDE, release_margin=WIDE)
    cases = [
        ("8 AMRs turning in place or waiting", hall, 8, PhysicsSettings(), (0.0, 0.6)),
        (
            "8 AMRs turning, all in Bullet",
            hall,
            8,
            wide,
            (0.0, 0.6),
        ),
        ("8 AMRs driving circles, bumping at times", hall, 8, PhysicsSettings(), (0.3, 0.7)),
        ("8 AMRs pushing against what they meet", hall, 8, PhysicsSettings(), (0.8, 0.0)),
        ("64 AMRs driving circles, 10,000 m2", big, 64, PhysicsSettings(), (0.3, 0.7)),
    ]
    for name, solids, count, settings, command in cases:
        world = World.from_solids(solids, settings=settings)
        asked = np.tile(command, (count, 1))
        seconds, contacts = episode(world, count, asked)
        note = f"{contacts} contacts, {seconds / SECONDS / 240 * 1e6:.1f} us a step, {SECONDS / seconds:.0f}x real time"
        report(f"30 s of {name}", seconds, "s", note)
        if count == 8 and settings is not wide:
            report("  reset of that world", 1e3 * processor_time(world.reset, 1), "ms")
        world.close()

    table = parameter_array([DriveParameters()] * 2000)
    rng = np.random.default_rng(0)
    commands = np.repeat(rng.uniform(-1, 1, (2000, 30, 2)), 20, axis=1)
    start = np.zeros((2000, 3))
    rollout(table[:1], start[:1], start[:1, :2], commands[:1], 0.05)

    def drive_all() -> None:
        rollout(table, start, start[:, :2], commands, 0.05)

    seconds = processor_time(drive_all)
    report("batched drive model, 2,000 robots x 600 steps", 1e9 * seconds / commands[..., 0].size, "ns a step")
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file, indent=2)


if __name__ == "__main__":
    main()
