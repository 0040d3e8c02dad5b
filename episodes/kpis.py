"""Key performance indicators of one episode: what is measured, in which unit, by which formula, after which source."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from ..common.config import StrictModel
from .kpi_sums import TrajectorySums, trajectory_sums
from .record import EpisodeRecord, TaskResult

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]

Better = Literal["higher", "lower", "neither"]
Kind = Literal["rate", "count", "value"]


class KpiSettings(StrictModel):
    """Constants of the formulas. They are part of what a number means: change them and old numbers do not compare."""

    reference_speed: Positive = 2.0
    """Speed [m/s] of the optimal time OT = shortest length / reference_speed, as BARN has it for its 2 m/s robot."""
    barn_low: Positive = 2.0
    barn_high: Positive = 8.0
    """Multiples of OT between which BARN clips the actual time: 2 and 8 since 2023 (best score 0.5); 4 and 8 before
    (best score 0.25)."""
    reaction_time: NonNegative = 0.3
    """t_r [s] of the stop margin: detection, computing and brake delay."""
    deceleration: Positive = 1.0
    """a [m/s^2] of the stop margin: braking that a laden robot on the worst permitted floor can promise."""
    stop_reserve: NonNegative = 0.1
    """z [m] of the stop margin: measuring error and brake wear."""
    intrusion_distance: Positive = 0.45
    """Intimate distance after Hall [m]."""
    moving_speed: Positive = 0.02
    """Below this speed [m/s], and below five times as much yaw rate [rad/s], a robot stands still."""
    speed_limit: Positive = 2.0
    """Site limit [m/s]; 2 % on top is tolerated."""
    person_zone: Positive = 0.5
    person_zone_speed: Positive = 0.3
    """Nearer to a person than person_zone [m] a robot may drive no faster than this [m/s] (after ISO 3691-4, which
    permits 0.3 m/s where the clearance is under 0.5 m)."""
    stuck_window: Positive = 10.0
    stuck_distance: Positive = 0.25
    stuck_turn: Positive = 0.5
    """A robot with a goal is stuck once it moved less than stuck_distance [m] and turned less than stuck_turn [rad]
    over the last stuck_window [s]."""
    deadlock_distance: Positive = 3.0
    """Robots stuck at the same time and nearer to each other than this [m] are in deadlock."""
    on_time_factor: Positive = 3.0
    on_time_allowance: NonNegative = 20.0
    """A task is on time if it took no longer than factor * shortest length / reference_speed + allowance [s]."""
    robot_cost_per_hour: NonNegative = 4.0
    """Depreciation, service and software of one robot [EUR/h]."""
    energy_price: NonNegative = 0.25
    """[EUR/kWh]"""

    @model_validator(mode="after")
    def _order(self) -> KpiSettings:
        if self.barn_high < self.barn_low:
            raise ValueError(f"barn_high {self.barn_high} must not be below barn_low {self.barn_low}")
        return self


@dataclass(frozen=True)
class KpiDefinition:
    """What a KPI means.

    Attributes:
        name: as in the records.
        unit: SI or plain; "1" for ratios and 0/1 outcomes.
        kind: "rate" is 0 or 1 per episode (its mean is a proportion), "count" a whole number, "value" a real number.
        better: which direction is better.
        description: one sentence for the report.
        formula: how it is computed from the record.
        source: where the formula comes from.
        fleet: whether it describes the fleet rather than the driving.
    """

    name: str
    unit: str
    kind: Kind
    better: Better
    description: str
    formula: str
    source: str
    fleet: bool = False


_OWN = "Floorcast"

KPI_DEFINITIONS: dict[str, KpiDefinition] = {
    item.name: item
    for item in (
        KpiDefinition(
            "success",
            "1",
            "rate",
            "higher",
            "Every task was finished and nothing was touched",
            "1 if all tasks succeeded and there is no collision event, else 0; an episode without tasks succeeds "
            "if nothing was touched",
            _OWN,
        ),
        KpiDefinition(
            "collision",
            "1",
            "rate",
            "lower",
            "A robot touched a person, another robot, goods or the building",
            "1 if there is a collision event, else 0",
            "BARN challenge",
        ),
        KpiDefinition(
            "collision_speed_mps",
            "m/s",
            "value",
            "lower",
            "Fastest approach speed of any contact; 0 without contact",
            "max of the speeds of the collision events",
            "ISO/TS 15066 (contact severity)",
        ),
        KpiDefinition(
            "contact_impulse_ns",
            "N s",
            "value",
            "lower",
            "Largest impulse of any contact; 0 without contact",
            "max of the impulses of the collision events",
            "ISO/TS 15066 (contact severity)",
        ),
        KpiDefinition(
            "timeout",
            "1",
            "rate",
            "lower",
            "Time ran out before all tasks were done",
            "1 if there is a timeout event, or a task that neither ended nor met a collision; else 0",
            "BARN challenge",
        ),
        KpiDefinition(
            "time_s",
            "s",
            "value",
            "lower",
            "Time until the last task ended; the whole episode if one never did",
            "max of the tasks' end times",
            _OWN,
        ),
        KpiDefinition(
            "path_m",
            "m",
            "value",
            "lower",
            "Distance driven, all robots together",
            "sum of |p(t+1) - p(t)|",
            "Anderson et al. 2018",
        ),
        KpiDefinition(
            "spl",
            "1",
            "value",
            "higher",
            "Success weighted by path length",
            "mean over tasks of S l / max(p, l); l shortest length, p length driven",
            "Anderson et al. 2018, On Evaluation of Embodied Navigation Agents",
        ),
        KpiDefinition(
            "barn",
            "1",
            "value",
            "higher",
            "Success weighted by time, best 0.5",
            "mean over tasks of S OT / clip(AT, 2 OT, 8 OT); OT = l / 2 m/s, AT time taken",
            "BARN challenge, scripts since 2023 (before: 4 OT to 8 OT)",
        ),
        KpiDefinition(
            "min_sep_m",
            "m",
            "value",
            "higher",
            "Smallest distance from a robot's footprint to anything",
            "min over time and robots of the clearance",
            "SEAN, SocNavBench",
        ),
        KpiDefinition(
            "min_sep_person_m",
            "m",
            "value",
            "higher",
            "Smallest distance from a robot's footprint to a person",
            "min over time and robots of the distance to persons; none without people",
            "SEAN, SocNavBench",
        ),
        KpiDefinition(
            "ttc_min_s",
            "s",
            "value",
            "higher",
            "Smallest time to collision between robots, and between robots and people, at constant velocity",
            "min of [-p.v - sqrt((p.v)^2 - |v|^2 (|p|^2 - R^2))] / |v|^2 where p.v < 0; none if never closing",
            "Hayward 1972; closed form for discs",
        ),
        KpiDefinition(
            "stop_margin_min_m",
            "m",
            "value",
            "higher",
            "Distance to the nearest person left after an emergency stop, at the worst moment of driving",
            "min over moving steps of d_person - (v t_r + v^2 / 2a + z); none without people",
            "after ISO 13855 and ISO 3691-4",
        ),
        KpiDefinition(
            "estop_count",
            "1",
            "count",
            "lower",
            "Emergency stops",
            "number of estop events",
            _OWN,
        ),
        KpiDefinition(
            "near_miss_count",
            "1",
            "count",
            "lower",
            "Near misses",
            "number of near_miss events",
            _OWN,
        ),
        KpiDefinition(
            "intrusion_s",
            "s",
            "value",
            "lower",
            "Robot time nearer than 0.45 m to a person",
            "control period * number of (step, robot) with d_person < 0.45 m",
            "Hall 1966, intimate distance; SocNavBench",
        ),
        KpiDefinition(
            "overspeed_s",
            "s",
            "value",
            "lower",
            "Robot time above the site's speed limit, or above 0.3 m/s nearer than 0.5 m to a person",
            "control period * number of (step, robot) with |v| > 1.02 limit or (d_person < 0.5 m and |v| > 0.3 m/s)",
            "after ISO 3691-4",
        ),
        KpiDefinition(
            "jerk_rms",
            "m/s^3",
            "value",
            "lower",
            "Roughness of driving",
            "root of the mean square of (v(t+1) - 2 v(t) + v(t-1)) / dt^2 over the steps with a goal",
            "SocNavBench",
        ),
        KpiDefinition(
            "stuck_s",
            "s",
            "value",
            "lower",
            "Robot time spent without progress although there was a goal",
            "control period * number of (step, robot) that moved < 0.25 m and turned < 0.5 rad in the last 10 s",
            _OWN,
        ),
        KpiDefinition(
            "energy_wh",
            "Wh",
            "value",
            "lower",
            "Electrical energy, all robots together",
            "sum of the robots' energy",
            _OWN,
        ),
        KpiDefinition(
            "tasks_per_h",
            "1/h",
            "value",
            "higher",
            "Finished tasks in an hour, all robots together",
            "3600 * number of successful tasks / time_s",
            "VDI 2710",
            fleet=True,
        ),
        KpiDefinition(
            "on_time_rate",
            "1",
            "value",
            "higher",
            "Share of tasks finished in time",
            "share of tasks with success and AT <= 3 l / 2 m/s + 20 s",
            _OWN,
            fleet=True,
        ),
        KpiDefinition(
            "deadlock_count",
            "1",
            "count",
            "lower",
            "Times that robots blocked each other",
            "number of spells in which two robots nearer than 3 m were stuck at once, summed over pairs",
            _OWN,
            fleet=True,
        ),
        KpiDefinition(
            "wait_ratio",
            "1",
            "value",
            "lower",
            "Share of the time with a goal that robots stood still",
            "(steps with a goal, |v| < 0.02 m/s and |omega| < 0.1 rad/s) / (steps with a goal)",
            _OWN,
            fleet=True,
        ),
        KpiDefinition(
            "utilisation",
            "1",
            "value",
            "higher",
            "Share of robot time with a goal",
            "(steps with a goal) / (all steps), over robots",
            "VDI 2710",
            fleet=True,
        ),
        KpiDefinition(
            "cost_per_task",
            "EUR",
            "value",
            "lower",
            "Robot hours and energy for each finished task",
            "(robots * time_s / 3600 * 4 EUR/h + energy_wh / 1000 * 0.25 EUR/kWh) / successful tasks; none without one",
            _OWN,
            fleet=True,
        ),
    )
}

KPI_UNITS: dict[str, str] = {name: item.unit for name, item in KPI_DEFINITIONS.items()}
KPI_DESCRIPTIONS: dict[str, str] = {name: item.description for name, item in KPI_DEFINITIONS.items()}
KPI_BETTER: dict[str, Better] = {name: item.better for name, item in KPI_DEFINITIONS.items()}
KPI_KINDS: dict[str, Kind] = {name: item.kind for name, item in KPI_DEFINITIONS.items()}


def episode_kpis(
    record: EpisodeRecord,
    *,
    control_period: float,
    settings: KpiSettings | None = None,
    sums: TrajectorySums | None = None,
) -> dict[str, float | None]:
    """Return every KPI of ``KPI_DEFINITIONS`` for one episode, in that order.

    Args:
        record: the episode; its ``kpis`` are neither read nor written.
        control_period: time between two rows of the record [s], > 0.
        settings: constants of the formulas.
        sums: of all control steps, if the record holds only some of them; else they are taken from the record.

    Returns:
        Finite floats; None where a KPI has no value (for example the distance to people in an empty hall).

    Raises:
        ValueError: ``control_period`` is not positive.
    """
    if not control_period > 0:
        raise ValueError(f"control_period must be positive, not {control_period}")
    settings = settings or KpiSettings()
    values: dict[str, float] = {}
    values.update(_outcome(record))
    sums = sums if sums is not None else trajectory_sums(record, control_period, settings)
    values.update(_effort(record, sums, settings))
    values.update(sums.kpis(control_period))
    values.update(_fleet(record, values, settings))
    return {name: _finite(values[name]) for name in KPI_DEFINITIONS}


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _outcome(record: EpisodeRecord) -> dict[str, float]:
    collisions = [event for event in record.events if event.kind == "collision"]
    done = all(task.success for task in record.tasks)
    open_tasks = any(not task.success and not math.isfinite(task.end_time) for task in record.tasks)
    timed_out = any(event.kind == "timeout" for event in record.events) or (open_tasks and not collisions)
    return {
        "success": float(done and not collisions),
        "collision": float(bool(collisions)),
        "collision_speed_mps": max((abs(event.value) for event in collisions), default=0.0),
        "contact_impulse_ns": max((abs(event.impulse) for event in collisions), default=0.0),
        "timeout": float(timed_out),
        "estop_count": float(sum(event.kind == "estop" for event in record.events)),
        "near_miss_count": float(sum(event.kind == "near_miss" for event in record.events)),
    }


def _effort(record: EpisodeRecord, sums: TrajectorySums, settings: KpiSettings) -> dict[str, float]:
    ends = [task.end_time for task in record.tasks]
    all_ended = bool(ends) and all(math.isfinite(end) for end in ends) and record.floor is None
    return {
        "time_s": max(ends) if all_ended else record.duration,
        "path_m": sums.path,
        "spl": _mean([_spl(task) for task in record.tasks]),
        "barn": _mean([_barn(task, settings) for task in record.tasks]),
        "jerk_rms": float(np.sqrt(sums.jerk_square / sums.jerk_rows)) if sums.jerk_rows else math.nan,
        "energy_wh": float(np.sum(record.energy_wh)),
    }


def _spl(task: TaskResult) -> float:
    if not task.success:
        return 0.0
    longest = max(task.path_length, task.shortest_length)
    # A task whose goal is where the robot already stands takes no path and is done in the best possible way.
    return task.shortest_length / longest if longest > 0 else 1.0


def _barn(task: TaskResult, settings: KpiSettings) -> float:
    if not task.success:
        return 0.0
    optimal = task.shortest_length / settings.reference_speed
    if optimal <= 0:
        return 1.0 / settings.barn_low
    actual = task.end_time - task.start_time
    return optimal / min(max(actual, settings.barn_low * optimal), settings.barn_high * optimal)


def _fleet(record: EpisodeRecord, values: dict[str, float], settings: KpiSettings) -> dict[str, float]:
    done = [task for task in record.tasks if task.success]
    hours = values["time_s"] / 3600.0
    cost = len(record.energy_wh) * hours * settings.robot_cost_per_hour
    cost += values["energy_wh"] / 1000.0 * settings.energy_price
    return {
        "tasks_per_h": len(done) / hours if hours > 0 else math.nan,
        "on_time_rate": _mean([float(_on_time(task, settings)) for task in record.tasks]),
        "cost_per_task": cost / len(done) if done else math.nan,
    }


def _on_time(task: TaskResult, settings: KpiSettings) -> bool:
    due = settings.on_time_factor * task.shortest_length / settings.reference_speed + settings.on_time_allowance
    return task.success and task.end_time - task.start_time <= due


def _mean(values: list[float]) -> float:
    return sum(values) / len(values) if values else math.nan
