"""A field log in canonical tables: what a real robot was told or counted, and where it really was."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray, compose, relative
from ..robots.model import DriveParameters, RobotModel
from ..robots.tricycle import TricycleParameters

IntArray = NDArray[np.int64]

SECOND = 1_000_000_000
"""Nanoseconds in one second."""
MAX_BAD_SHARE = 0.05
"""Share of records that may be skipped before a file is refused."""


@dataclass(frozen=True)
class Finding:
    """A kind of fault found in a file: how often, and the first line (1-based) that shows it."""

    reason: str
    count: int
    first_line: int


@dataclass(frozen=True)
class FileReport:
    """What the import of one file found.

    Attributes:
        path: the file.
        sha256: of its bytes.
        records: data lines in the file.
        used: records that reached the tables.
        skipped: bad records, left out.
        notes: records that were kept but mended, or left out without being bad (duplicate stamps).
    """

    path: str
    sha256: str
    records: int
    used: int
    skipped: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()

    def lines(self) -> list[str]:
        """Return the report as sentences for people, one per finding; empty for a clean file."""
        name = Path(self.path).name
        return [
            f"{name}: {item.count} x {item.reason} (first at line {item.first_line})"
            for item in (*self.skipped, *self.notes)
        ]


@dataclass(frozen=True)
class LogReport:
    """What the import of one log found, by file."""

    files: tuple[FileReport, ...]

    @property
    def skipped(self) -> int:
        """Number of bad records left out."""
        return sum(item.count for file in self.files for item in file.skipped)

    def lines(self) -> list[str]:
        """Return all findings as sentences."""
        return [line for file in self.files for line in file.lines()]


@dataclass(frozen=True)
class FieldLog:
    """One robot's log. All stamps are int64 nanoseconds of one clock, strictly increasing within a table.

    Attributes:
        robot: its name, unique in a set.
        drive: what moves it; ``differential`` logs hold commands, ``tricycle`` logs hold encoder ticks.
        pose_t_ns: (N,) int64.
        pose: (N, 3) float64 x [m], y [m], yaw [rad]: the true pose of ``pose_frame`` in ``map``.
        pose_frame: ``base_link``, or ``laser`` where the tracker follows the laser.
        cmd_t_ns: (M,) int64.
        cmd: (M, 2) float64 forward speed [m/s] and yaw rate [rad/s] as asked, each held until the next one.
        ticks_t_ns: (K,) int64.
        ticks: (K, 2) int64 steering angle (signed, absolute) and traction (unwrapped, cumulative) [encoder ticks].
        model: the robot as its data sheet or the log's header describes it; the start of every calibration.
        tricycle: the same for a tricycle; None for a differential drive.
        report: what the import found.
    """

    robot: str
    drive: Literal["differential", "tricycle"]
    pose_t_ns: IntArray
    pose: FloatArray
    report: LogReport
    pose_frame: Literal["base_link", "laser"] = "base_link"
    cmd_t_ns: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    cmd: FloatArray = field(default_factory=lambda: np.empty((0, 2)))
    ticks_t_ns: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    ticks: IntArray = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    model: RobotModel = field(default_factory=RobotModel)
    tricycle: TricycleParameters | None = None

    @property
    def input_t_ns(self) -> IntArray:
        """(M,) int64 stamps of what drives the replay: commands or ticks."""
        return self.cmd_t_ns if self.drive == "differential" else self.ticks_t_ns

    @property
    def span_ns(self) -> tuple[int, int]:
        """First and last stamp [ns] at which both truth and inputs exist.

        Raises:
            InputError: truth and inputs do not overlap in time, or a table is empty.
        """
        inputs = self.input_t_ns
        if len(inputs) < 2 or len(self.pose_t_ns) < 2:
            raise InputError(
                "the log holds fewer than two records of commands (or ticks) or of true poses", where=self.robot
            )
        start = max(int(inputs[0]), int(self.pose_t_ns[0]))
        end = min(int(inputs[-1]), int(self.pose_t_ns[-1]))
        if end <= start:
            raise InputError(
                "commands (or ticks) and true poses do not overlap in time",
                where=self.robot,
                mend="check that both were stamped by the same clock",
            )
        return start, end

    @property
    def duration(self) -> float:
        """Length of ``span_ns`` [s]."""
        start, end = self.span_ns
        return (end - start) / SECOND

    def cut(self, start_ns: int, end_ns: int) -> FieldLog:
        """Return the part of the log between two stamps [ns], both included."""
        pose = (self.pose_t_ns >= start_ns) & (self.pose_t_ns <= end_ns)
        cmd = (self.cmd_t_ns >= start_ns) & (self.cmd_t_ns <= end_ns)
        ticks = (self.ticks_t_ns >= start_ns) & (self.ticks_t_ns <= end_ns)
        return replace(
            self,
            pose_t_ns=self.pose_t_ns[pose],
            pose=self.pose[pose],
            cmd_t_ns=self.cmd_t_ns[cmd],
            cmd=self.cmd[cmd],
            ticks_t_ns=self.ticks_t_ns[ticks],
            ticks=self.ticks[ticks],
        )

    def split(self, share: float) -> tuple[FieldLog, FieldLog]:
        """Return the first ``share`` (0..1) of the common time span and the rest; they share no record."""
        if not 0.0 < share < 1.0:
            raise InputError(
                f"the share to train on is {share}", mend="give a number between 0 and 1, for example 0.65"
            )
        start, end = self.span_ns
        border = start + round(share * (end - start))
        return self.cut(start, border), self.cut(border + 1, end)


def interpolate_pose(t_ns: ArrayLike, pose_t_ns: IntArray, pose: FloatArray) -> FloatArray:
    """Interpolate poses on SE(2): along the screw (constant body twist) between neighbouring samples.

    Args:
        t_ns: int64 stamps, any shape; those outside the table get its first or last pose.
        pose_t_ns: (N,) int64, strictly increasing.
        pose: (N, 3) x [m], y [m], yaw [rad].

    Returns:
        Poses of shape ``t_ns.shape + (3,)``.
    """
    t = np.clip(np.asarray(t_ns, dtype=np.int64), pose_t_ns[0], pose_t_ns[-1])
    after = np.clip(np.searchsorted(pose_t_ns, t, side="right"), 1, len(pose_t_ns) - 1)
    before = after - 1
    fraction = (t - pose_t_ns[before]) / (pose_t_ns[after] - pose_t_ns[before])
    step = relative(pose[before], pose[after])
    # Logarithm: the body twist (vx, vy, w) that leads from one sample to the next in unit time.
    half = 0.5 * step[..., 2]
    safe = np.where(np.abs(half) < 1e-9, 1.0, half)
    cotangent = np.where(np.abs(half) < 1e-9, 1.0, safe / np.tan(safe))
    twist_x = cotangent * step[..., 0] + half * step[..., 1]
    twist_y = -half * step[..., 0] + cotangent * step[..., 1]
    # Exponential of the fraction of the twist.
    turned = fraction * step[..., 2]
    chord = np.sinc(turned / (2.0 * np.pi))  # numpy's sinc(x) is sin(pi x) / (pi x)
    cos, sin = np.cos(0.5 * turned), np.sin(0.5 * turned)
    x = fraction * chord * (cos * twist_x - sin * twist_y)
    y = fraction * chord * (sin * twist_x + cos * twist_y)
    return compose(pose[before], np.stack([x, y, turned], axis=-1))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


CREATE_MODEL = RobotModel(
    name="irobot_create",
    length=0.34,
    width=0.34,
    height=0.12,
    drive=DriveParameters(
        wheel_radius=0.0325,
        track_width=0.26,
        mass=5.0,
        inertia=0.08,
        command_delay=0.0,
        motor_lag=0.02,
        max_wheel_torque=1.0,
        max_speed=0.5,
        max_yaw_rate=4.0,
        max_acceleration=5.0,
        max_deceleration=5.0,
        max_yaw_acceleration=40.0,
    ),
)
"""iRobot Create with a laptop. Body, track and top speed from its data sheet; mass and inertia are estimates; ramps are
set so high that they do not act, because the log's speeds (about 0.07 m/s) say nothing about them."""
