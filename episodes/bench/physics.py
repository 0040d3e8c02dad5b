"""What physics alone costs: robots on a generated hall, nothing sensed, nothing logged."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...common.errors import FloorcastError
from ...layouts.generator import generate_layout
from ...layouts.geometry import LayoutSolids, layout_solids
from ...layouts.recipe import LayoutRecipe
from ...physics.bodies import Bodies
from ...physics.bullet import pybullet
from ...physics.proximity import touchable
from ...physics.settings import PhysicsSettings
from ...physics.world import World
from ...robots.fleet import Fleet
from ...robots.model import RobotModel
from ...robots.urdf import load_shape
from ..hall import world_of
from .ours import run_ours
from .setting import Case

SECONDS, RATE, STEPS = 30, 20, 240
WIDE = 6.0
"""A margin [m] that keeps all robots on this hall in Bullet at every step."""

FloatArray = NDArray[np.float64]


def physics_times(repeat: int) -> dict[str, tuple[float, str]]:
    """Return the least processor time [s] of 30 s of each case, resets included, and what happened meanwhile.

    The robots get a command 20 times a second: what the scripted driver said in an episode without people; or they
    turn, drive circles, or push straight on against what they meet. The first row is what cannot be undercut while all
    robots are in Bullet: velocities written, steps made, no more.
    """
    hall = layout_solids(generate_layout(LayoutRecipe(area=1000, fill=0.8), 0))
    big = layout_solids(generate_layout(LayoutRecipe(area=10_000), 0))
    wide = PhysicsSettings(margin=WIDE, release_margin=WIDE)
    plain = PhysicsSettings()
    rows = {"8 boxes in Bullet, velocities written and stepped, no more": (_bare_bullet(hall, repeat), "")}
    rows["8 AMRs, the drive of a scripted episode"] = _scripted(repeat)
    for name, solids, robots, settings, command in (
        ("8 AMRs turning on the spot, nothing touched", hall, 8, plain, (0.0, 0.6)),
        ("8 AMRs turning on the spot, all in Bullet", hall, 8, wide, (0.0, 0.6)),
        ("8 AMRs driving circles, one of them into a rack", hall, 8, plain, (0.3, 0.7)),
        ("8 AMRs pushing on against what they meet", hall, 8, plain, (0.8, 0.0)),
        ("64 AMRs driving circles, 10,000 m2", big, 64, plain, (0.3, 0.7)),
    ):
        world = World.from_solids(solids, settings=settings)
        rows[name] = _driven(world, robots, np.tile(command, (robots, 1)), repeat)
        world.close()
    return rows


def _scripted(repeat: int) -> tuple[float, str]:
    """Drive an episode's robots once more by the commands of its record, which they must follow to the bit."""
    with tempfile.TemporaryDirectory(prefix="floorcast_bench_") as folder:
        run = run_ours(Case(people=0), 1, Path(folder))
    sampled, command = run.plan.sampled, run.record.command
    world = world_of(run.plan.hall, sampled.loose_mass)
    fleet = Fleet(world, list(sampled.models), list(sampled.drives), sampled.motions)
    best, contacts = np.inf, 0
    for _ in range(repeat):
        world.contacts()
        start = time.process_time()
        fleet.reset(run.plan.assignment.start, np.zeros(len(fleet.models)), sampled.friction)
        for k in range(len(command) - 1):
            fleet.command(command[k])
            fleet.step(STEPS // RATE)
        best = min(best, time.process_time() - start)
        if not np.array_equal(fleet.pose, run.record.pose[-1]):
            raise FloorcastError("the same commands have led elsewhere")
        contacts = len(world.contacts())
    return best, f"{contacts} contacts, {np.abs(command[..., 0]).mean():.2f} m/s asked for on average"


def free_poses(world: World, count: int, seed: int) -> FloatArray:
    """Return poses (R, 3) x, y [m], yaw [rad] for robots at places that are free and 1.3 m apart."""
    rng = np.random.default_rng(seed)
    low, high = world.static_table[:, :2].min(axis=0), world.static_table[:, :2].max(axis=0)
    poses: list[list[float]] = []
    while len(poses) < count:
        pose = [*rng.uniform(low, high), rng.uniform(-np.pi, np.pi)]
        apart = all(np.hypot(pose[0] - p[0], pose[1] - p[1]) > 1.3 for p in poses)
        if apart and not world.obstacles_at(0, pose):
            poses.append(pose)
    return np.array(poses)


def _driven(world: World, robots: int, command: FloatArray, repeat: int) -> tuple[float, str]:
    fleet = Fleet(world, [RobotModel()] * robots)
    poses = free_poses(world, robots, 1)
    best, contacts = np.inf, 0
    for _ in range(repeat):
        start = time.process_time()
        fleet.reset(poses)
        for _ in range(SECONDS * RATE):
            fleet.command(command)
            fleet.step(STEPS // RATE)
        best = min(best, time.process_time() - start)
        contacts = len(world.contacts())
    return best, f"{contacts} contacts"


def _bare_bullet(hall: LayoutSolids, repeat: int) -> float:
    bodies = Bodies(PhysicsSettings())
    solids = hall.static.take(touchable(hall.static, 2.0))
    for group in np.unique(solids.body).tolist():
        bodies.load_group(group, solids.take(solids.body == group), ("rack", str(group)))
    shape = load_shape("amr.urdf")
    for i in range(8):
        bodies.create_robot(i, shape, 0.2, 90.0, 8.0)
        bodies.place_robot(i, -2.0, 2.0 * i, 0.0, 0.2)
    best = np.inf
    for _ in range(repeat):
        start = time.process_time()
        for _ in range(SECONDS * STEPS):
            for i in range(8):
                pybullet.resetBaseVelocity(bodies.robot[i], (0.0, 0.0, 9.81 / STEPS), (0.0, 0.0, 0.6), bodies.client)
            pybullet.stepSimulation(bodies.client)
        best = min(best, time.process_time() - start)
    bodies.close()
    return best
