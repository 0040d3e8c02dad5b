"""The episode loop: one scenario, one policy, one seed and index in; one record out, and pictures on the way.

Physics runs at 240 Hz, the policy at the scenario's control rate, the lidars at theirs. The record is pure in
(scenario, twin, policy, seed, index): neither what the process has run before nor whether pictures are taken changes a
bit of it.

An episode is over for its record once every task is done, or at the scenario's duration. If pictures are taken, the
hall goes on after that, people walking and robots doing their tasks once more, until the last picture: so an episode
always gives exactly ``scenario.capture.frames`` of them, spread over its whole duration.

What an episode consists of is in ``live``, what acts beside the policies in ``actors``, the record in ``closing``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from .capture import Capture, capture_schedule
from .closing import close_record, telemetry_of
from .live import LiveEpisode
from .pilots import Pilots, PolicyError
from .policy import Observation, Policy
from .record import EpisodeRecord
from .routes import FloatArray
from .scenario import Scenario
from .sensing import localised
from .telemetry import Telemetry

if TYPE_CHECKING:
    from ..robots.twin import Twin

__all__ = ["Capture", "PolicyError", "run_episode"]


def run_episode(
    scenario: Scenario,
    make_policy: Callable[[], Policy],
    *,
    policy_name: str,
    seed: int,
    index: int,
    twin: Twin | None = None,
    capture: Callable[[Capture], None] | None = None,
    telemetry: Callable[[Telemetry], None] | None = None,
    watch: Callable[[EpisodeRecord, LiveEpisode], None] | None = None,
) -> EpisodeRecord:
    """Run one episode.

    Args:
        scenario: what to draw from.
        make_policy: gives a new policy for each robot.
        policy_name: for the record and for errors.
        seed, index: which episode.
        twin: calibrated parameters; the true drives are drawn around them.
        capture: called with every picture, in order of time; None takes none.
        telemetry: called once with the robots' telemetry over the duration of the record, if the scenario has a
            ``condition``.
        watch: called after every minute of an episode with a ``record_rate``, with the trajectories of all control
            steps of that minute (nothing else in that record is filled in) and the episode as it stands, to look at.

    Returns:
        The record, KPIs included.

    Raises:
        InputError: the scenario cannot be realised (no hall can be built, no stations, no room to start).
        PolicyError: the policy raised, or answered NaN or something that is not two numbers; names policy, robot and
            step.
    """
    episode = LiveEpisode(scenario, seed, index, twin)
    pilots = Pilots(make_policy, policy_name, episode.infos())
    steps, rate = scenario.control_steps, scenario.control_rate
    due = capture_schedule(scenario, len(episode.radius), seed, index) if capture is not None else []

    def close(after: int) -> EpisodeRecord:
        record = close_record(episode, policy_name, after)
        rows = telemetry_of(episode)
        if telemetry is not None and rows is not None:
            telemetry(rows)
        return record

    record: EpisodeRecord | None = None
    for k in range(steps):
        for actor in episode.actors:
            actor.begin(k, k / rate)
        pose = episode.fleet.pose
        scan_now = k % scenario.scan_every == 0
        if scan_now or (due and due[0][0] == k):
            episode.stage.update(episode.fleet.body_pose(), episode.unnamed_loads())
        while due and due[0][0] == k and capture is not None:
            _, robot, number = due.pop(0)
            machines = episode.machines
            moving = episode.stage.body_velocity(machines.pose, machines.velocity, episode.people.velocity)
            velocity = episode.fleet.velocity[robot]
            take = episode.photographer.take
            capture(take(episode.stage.scene, pose[robot], robot, number, k / rate, velocity, moving))
        if record is not None and not due:
            break
        # Where nobody is asked, nobody has to sense.
        idle = all(episode.errands.holds(robot) for robot in range(len(episode.radius)))
        if scan_now and (k == 0 or not idle):
            episode.scan(k / rate, pose)
        _control(episode, pilots, k, pose, idle)
        episode.advance(k / rate)
        settled = episode.settle((k + 1) / rate)
        if episode.chronicle is not None:
            # The log rolls on after the record too: pictures may still be due.
            episode.chronicle.note(k, watch if record is None else None)
        if settled:
            record = record or close(k + 1)
            episode.errands = episode.errands.again(episode.fleet.pose)
    return record or close(steps)


def _control(episode: LiveEpisode, pilots: Pilots, k: int, pose: FloatArray, idle: bool) -> None:
    """Write control step k down, let every robot at its true pose (R, 3) observe and answer, and tell the drives."""
    now = k / episode.scenario.control_rate
    log, errands = episode.log, episode.errands
    row = log.row(k)
    episode.write_down(k, pose)
    goals = [errands.goal(robot) for robot in range(len(episode.radius))]
    for robot, goal in enumerate(goals):
        if goal is not None:
            log.goal[row, robot] = goal
    if idle:
        _tell(episode, now, log.command[row].copy())
        return
    measured = episode.fleet.encoder_velocity
    odometry, imu = episode.reckoning.read(episode.fleet.odometry, log.velocity[row])
    scan_times, scans = episode.scans.newest(now)
    carrying = errands.carrying.tolist()
    believed = localised(pose, episode.error[k])
    for robot, goal in enumerate(goals):
        if errands.holds(robot):
            continue
        observation = Observation(
            time=now,
            pose=believed[robot].copy(),
            velocity=measured[robot].copy(),
            odometry=odometry[robot].copy(),
            imu=imu[robot].copy(),
            scan=scans[robot].copy(),
            scan_time=float(scan_times[robot]),
            goal=goal,
            carrying=carrying[robot],
        )
        log.command[row, robot] = pilots.ask(robot, k, observation)
    _tell(episode, now, log.command[row].copy())


def _tell(episode: LiveEpisode, now: float, commands: FloatArray) -> None:
    """Tell the drives what was asked for, (R, 2), and what the actors make of it."""
    for actor in episode.actors:
        actor.command(now, commands)
    episode.told = commands
    episode.fleet.command(commands)
