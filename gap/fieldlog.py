"""A field log in canonical tables: what a real robot was told or counted, and where it really was."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray, compose, relative
from ..robots.model import DriveParameters, RobotModel
from ..robots.tricycle import TricycleParameters

IntArray = NDArray[np.int64]
Drive = Literal["differential", "tricycle", "mecanum", "unknown"]

SECOND = 1_000_000_000
"""Nanoseconds in one second."""
MAX_BAD_SHARE = 0.05
"""Share of records that may be skipped before a file is refused."""


@dataclass(frozen=True)
class Finding:
    """A kind of fault found in a file: how often, and the first line (1-based) that shows it; 0 for a remark on all."""

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
        unit: what ``first_line`` counts: lines of a text, messages of a topic.
    """

    path: str
    sha256: str
    records: int
    used: int
    skipped: tuple[Finding, ...] = ()
    notes: tuple[Finding, ...] = ()
    unit: Literal["line", "message"] = "line"

    def lines(self) -> list[str]:
        """Return the report as sentences for people, one per finding; empty for a clean file."""
        name = Path(self.path).name
        return [
            f"{name}: {item.count} x {item.reason} (first at {self.unit} {item.first_line})"
            if item.first_line
            else f"{name}: {item.reason}"
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
class Scans:
    """Planar lidar scans of one sensor, as ``sensor_msgs/LaserScan`` and REP-117 have them.

    Attributes:
        t_ns: (S,) int64 stamps of the first beam, strictly increasing.
        ranges: (S, B) float32 [m]; +inf: nothing within reach, -inf: too near, NaN: no valid reading.
        angle_min: direction of beam 0 in the laser's frame [rad], counter-clockwise from its x axis.
        angle_increment: from beam to beam [rad].
        range_min, range_max: what the sensor can tell [m].
        mount: pose of the laser in ``base_link``: x [m], y [m], yaw [rad].
    """

    t_ns: IntArray
    ranges: NDArray[np.float32]
    angle_min: float
    angle_increment: float
    range_min: float
    range_max: float
    mount: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def __len__(self) -> int:
        return len(self.t_ns)

    @property
    def angles(self) -> FloatArray:
        """(B,) direction of each beam in the laser's frame [rad]."""
        return self.angle_min + self.angle_increment * np.arange(self.ranges.shape[1], dtype=np.float64)

    def where(self, mask: NDArray[np.bool_]) -> Scans:
        """Return the scans of a mask (S,) bool."""
        return replace(self, t_ns=self.t_ns[mask], ranges=self.ranges[mask])


@dataclass(frozen=True)
class LogEvent:
    """Something that a log tells in words: an order, an error, a state, a loaded pallet."""

    t_ns: int
    kind: str
    values: dict[str, Any]


def _no_stamps() -> IntArray:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class FieldLog:
    """One run of one robot. All stamps are int64 nanoseconds of one clock, strictly increasing within a table.

    A table that the log does not have is empty; what can be measured follows from what is there.

    Attributes:
        robot: its name.
        run: names the run where a set holds several of one robot; (robot, run) is unique in a set.
        drive: what moves it; ``unknown`` where the log does not say and nobody has.
        pose_t_ns: (N,) int64.
        pose: (N, 3) float64 x [m], y [m], yaw [rad]: the true pose of ``pose_frame`` in ``map``.
        pose_frame: ``base_link``, or ``laser`` where the tracker follows the laser.
        pose_source: what told it: an external ``tracker``, a ``slam`` solution made afterwards, or the robot's own
            ``localisation``, which is no independent truth.
        cmd_t_ns: (M,) int64.
        cmd: (M, 2) float64 forward speed [m/s] and yaw rate [rad/s] as asked, each held until the next one; (M, 3)
            with vx, vy, omega of a robot that can go sideways.
        wheel_cmd_t_ns: (W,) int64.
        wheel_cmd: (W, wheels) float64 what each wheel was told, in ``wheel_cmd_unit``; a mecanum base has the order
            front left, front right, rear left, rear right.
        wheel_cmd_unit: ``rad/s``, or ``raw`` for a controller's own numbers.
        odom_t_ns: (D,) int64.
        odom: (D, 3) float64 x [m], y [m], yaw [rad] of ``base_link`` in ``odom``: what the robot believed to have
            driven, drifting.
        ticks_t_ns: (K,) int64.
        ticks: (K, C) int64 encoders. Tricycle: steering (signed, absolute) and traction (unwrapped, cumulative).
            Others: one cumulative count a wheel, left to right, front to rear.
        scans: of the lidar; None without one.
        events: in order of time. Kind ``jump``: a table leaps at this stamp in a way that no robot can move.
        simulated: nothing of this was measured on a robot; never to be taken for the real half of a gap.
        model: the robot as its data sheet or the log's header describes it; the start of every calibration.
        tricycle: the same for a tricycle's encoders; None for others.
        report: what the import found.
    """

    robot: str
    drive: Drive
    pose_t_ns: IntArray
    pose: FloatArray
    report: LogReport
    pose_frame: Literal["base_link", "laser"] = "base_link"
    cmd_t_ns: IntArray = field(default_factory=_no_stamps)
    cmd: FloatArray = field(default_factory=lambda: np.empty((0, 2)))
    ticks_t_ns: IntArray = field(default_factory=_no_stamps)
    ticks: IntArray = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    model: RobotModel = field(default_factory=RobotModel)
    tricycle: TricycleParameters | None = None
    run: str = ""
    pose_source: Literal["tracker", "slam", "localisation"] = "tracker"
    wheel_cmd_t_ns: IntArray = field(default_factory=_no_stamps)
    wheel_cmd: FloatArray = field(default_factory=lambda: np.empty((0, 4)))
    wheel_cmd_unit: Literal["rad/s", "raw"] = "rad/s"
    odom_t_ns: IntArray = field(default_factory=_no_stamps)
    odom: FloatArray = field(default_factory=lambda: np.empty((0, 3)))
    scans: Scans | None = None
    events: tuple[LogEvent, ...] = ()
    simulated: bool = False

    @property
    def name(self) -> str:
        """The robot, and its run where there are several."""
        return f"{self.robot}/{self.run}" if self.run else self.robot

    def breaks(self, *tables: str) -> IntArray:
        """Return where these tables (all of them if none is named) leap: (J, 2) int64 last stamp before, stamp after.

        Nothing measured across one is to be used.
        """
        leaps = [event for event in self.events if event.kind == "jump"]
        found = [
            (int(event.values.get("from_ns", event.t_ns)), event.t_ns)
            for event in leaps
            if not tables or event.values.get("table") in tables
        ]
        return np.array(found, dtype=np.int64).reshape(-1, 2)

    @property
    def input_t_ns(self) -> IntArray:
        """Stamps of what drives the replay: ticks of a tricycle, else commands, wheel commands or ticks, if any."""
        if self.drive == "tricycle" and len(self.ticks_t_ns):
            return self.ticks_t_ns
        tables = (self.cmd_t_ns, self.wheel_cmd_t_ns, self.ticks_t_ns)
        return next((stamps for stamps in tables if len(stamps)), self.cmd_t_ns)

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
                mend=next(
                    (line for line in self.report.lines() if "shift_s" in line),
                    "check that both were stamped by the same clock; 'floorcast gap inspect' compares the clocks",
                ),
            )
        return start, end

    @property
    def duration(self) -> float:
        """Length of ``span_ns`` [s]."""
        start, end = self.span_ns
        return (end - start) / SECOND

    def cut(self, start_ns: int, end_ns: int) -> FieldLog:
        """Return the part of the log between two stamps [ns], both included."""
        changes: dict[str, Any] = {}
        for name in ("pose", "cmd", "wheel_cmd", "odom", "ticks"):
            stamps = getattr(self, f"{name}_t_ns")
            inside = (stamps >= start_ns) & (stamps <= end_ns)
            changes[f"{name}_t_ns"], changes[name] = stamps[inside], getattr(self, name)[inside]
        if self.scans is not None:
            changes["scans"] = self.scans.where((self.scans.t_ns >= start_ns) & (self.scans.t_ns <= end_ns))
        changes["events"] = tuple(event for event in self.events if start_ns <= event.t_ns <= end_ns)
        return replace(self, **changes)

    def split(self, share: float) -> tuple[FieldLog, FieldLog]:
        """Return the first ``share`` (0..1) of the common time span and the rest; they share no record.

        Of a log without commands and ticks, the time span of its true poses is divided.
        """
        if not 0.0 < share < 1.0:
            raise InputError(
                f"the share to train on is {share}", mend="give a number between 0 and 1, for example 0.65"
            )
        untold = len(self.input_t_ns) == 0 and len(self.pose_t_ns) > 1
        start, end = (int(self.pose_t_ns[0]), int(self.pose_t_ns[-1])) if untold else self.span_ns
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
