"""Made logs with known truth, from an integrator that shares no code with the product."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from floorcast.gap.fieldlog import CREATE_MODEL, FieldLog, FileReport, LogReport

SECOND = 1_000_000_000
START = 1_600_000_000


def wander(seconds: float, seed: int, hold: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Commands every 50 ms that change at random every ``hold`` seconds: times (M,), v and omega (M, 2)."""
    rng = np.random.default_rng(seed)
    times = np.arange(0.0, seconds, 0.05)
    block = (times / hold).astype(int)
    speed = rng.uniform(0.05, 0.3, block[-1] + 1)
    turn = rng.uniform(-0.6, 0.6, block[-1] + 1)
    return times, np.column_stack([speed[block], turn[block]])


def drive(times, commands, *, gain=(1.0, 1.0), delay=0.0, lag=0.0, step=0.002):
    """True poses every 10 ms of a robot that follows the commands late, with gains and a first-order lag (Euler)."""
    count = int(times[-1] / step)
    v = w = x = y = yaw = 0.0
    out = []
    for i in range(count):
        t = i * step
        k = max(int(np.searchsorted(times, t - delay, side="right")) - 1, 0)
        blend = 1.0 if lag <= 0 else 1.0 - np.exp(-step / lag)
        v += blend * (gain[0] * commands[k, 0] - v)
        w += blend * (gain[1] * commands[k, 1] - w)
        if i % 5 == 0:
            out.append((t, x, y, yaw))
        middle = yaw + 0.5 * w * step
        x += v * step * np.cos(middle)
        y += v * step * np.sin(middle)
        yaw += w * step
    return np.array(out)


def make_log(seconds=120.0, seed=0, robot="robot1", noise=0.0, **options) -> FieldLog:
    times, commands = wander(seconds, seed)
    truth = drive(times, commands, **options)
    rng = np.random.default_rng(seed + 1000)
    pose = truth[:, 1:] + noise * rng.standard_normal((len(truth), 3))
    pose[:, 2] = (pose[:, 2] + np.pi) % (2 * np.pi) - np.pi
    return FieldLog(
        robot=robot,
        drive="differential",
        pose_t_ns=START * SECOND + np.round(truth[:, 0] * 1e9).astype(np.int64),
        pose=pose,
        cmd_t_ns=START * SECOND + np.round(times * 1e9).astype(np.int64),
        cmd=commands,
        model=CREATE_MODEL,
        report=LogReport((FileReport(f"{robot}.dat", "0" * 64, len(times), len(times)),)),
    )


def write_mrclam(folder: Path, number: int = 1, seconds: float = 20.0) -> tuple[Path, Path]:
    """Write a small, sound MRCLAM robot. Returns the odometry and the ground-truth file."""
    times, commands = wander(seconds, number)
    truth = drive(times, commands)
    odometry, ground = folder / f"Robot{number}_Odometry.dat", folder / f"Robot{number}_Groundtruth.dat"
    head = "# set\n# producer\n# format\n# Time\n"
    odometry.write_text(
        head + "".join(f"{START + t:.3f} \t {v:6.3f} \t {w:6.3f} \n" for t, (v, w) in zip(times, commands, strict=True))
    )
    ground.write_text(head + "".join(f"{START + t:.3f} \t {x:.8f} \t {y:.8f} \t {a:.8f} \n" for t, x, y, a in truth))
    return odometry, ground
