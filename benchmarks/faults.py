"""A predictive-maintenance data set from the simulator, and how well a plain detector does on it.

    python benchmarks/faults.py --robots 280 --seconds 300

Robots drive stop-and-go over a free floor with changing payloads; resistances, torque constants, surroundings and sound
vibration differ from robot to robot. Two runs:

**A life.** Operation passes quickly (``time_scale``), so that the run covers 1000 h, in which most robots fail.

- wrong_labels: rows whose label differs from the level that the injected fault has at that time (must be none);
- weibull: times to failure as the telemetry's labels tell them (first active row; robots that outlive the run are
  censored there) against the asked Weibull, by the Kolmogorov-Smirnov distance over the observed range; its floor is
  the 95 % quantile of the same distance of samples that come from that Weibull.

**A shift.** Robots of any age at its normal pace; half of them, whatever their age and charge, have a fault of a level
between 0.05 and 1, so that no clock tells the classes apart.

- auc: logistic regression on windows of 10 s (mean and spread of every measured column but the state of charge, and
  ratios that take out the load), fitted on half of the robots, judged on the other half: ROC AUC with a 95 % interval
  from a bootstrap over robots; beside it the best single feature, and every kind alone. Encoders and lidar windows act
  on nothing that is measured here: they are controls, and their intervals should hold 0.5.

Cost is processor time for each robot and second, with and without the condition.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.stats import rankdata, weibull_min

from floorcast.common.primitives import PrimitiveBuilder
from floorcast.common.seeding import generator
from floorcast.physics.world import World
from floorcast.robots.condition import FleetCondition, RobotStart
from floorcast.robots.condition_model import COLUMNS, MEASURED, TELEMETRY_RATE, ConditionParameters
from floorcast.robots.faults import FAULT_KINDS, WARNINGS, Fault, FaultModel, draw_faults
from floorcast.robots.fleet import Fleet
from floorcast.robots.model import RobotModel

SHAPE, SCALE = 2.0, 564.19
"""Asked Weibull: a mean of 500 h."""
HOURS = 1000.0
"""Operation that a run covers [h]."""
WINDOW = 10 * TELEMETRY_RATE
LOWEST_LEVEL = 0.05
"""Least level of the faults that the detector is to find."""
DETECTABLE = ("bearing", "motor", "brake", "drive_unit", "battery")
"""Kinds that act on what is measured; an encoder or a lidar window does not."""


def parameters(rng: np.random.Generator) -> ConditionParameters:
    """Return a robot that differs from its sisters by what manufacture lets differ."""
    base = ConditionParameters()
    battery, motor, vibration = base.battery, base.motor, base.vibration
    factor = np.exp(0.05 * rng.standard_normal(6))
    return base.model_copy(
        update={
            "battery": battery.model_copy(
                update={
                    "resistance": battery.resistance * factor[0],
                    "capacity_ah": battery.capacity_ah * min(factor[1], 1.0),
                }
            ),
            "motor": motor.model_copy(
                update={
                    "torque_constant": motor.torque_constant * factor[2],
                    "resistance": motor.resistance * factor[3],
                    "thermal_resistance": motor.thermal_resistance * factor[4],
                }
            ),
            "vibration": vibration.model_copy(update={"rolling": vibration.rolling * factor[5] ** 4}),
            "surroundings_c": float(rng.uniform(14.0, 26.0)),
        }
    )


def lives(robots: int, seed: int, scale: float) -> list[RobotStart]:
    """Return new robots, each with one kind of fault to come."""
    starts = []
    for r in range(robots):
        model = FaultModel(kind=FAULT_KINDS[r % len(FAULT_KINDS)], shape=SHAPE, scale_h=SCALE)
        faults = draw_faults((model,), 0.0, r, seed, 0, scale)
        starts.append(RobotStart(parameters(generator(seed, r, "build")), 0.0, 0.95, faults))
    return starts


def shifts(robots: int, seed: int) -> list[RobotStart]:
    """Return robots of any age and charge, of which half have a fault."""
    starts = []
    for r in range(robots):
        rng = generator(seed, r, "shift")
        kind = FAULT_KINDS[r % len(FAULT_KINDS)]
        age, soc, level = rng.uniform(10.0, HOURS), rng.uniform(0.3, 0.95), rng.uniform(LOWEST_LEVEL, 1.0)
        side = ("left", "right")[int(rng.integers(2))]
        warning = WARNINGS[kind]
        failure = age + warning * (1.0 - level**0.5) if warning > 0.0 else age - 1.0
        severity = 1.0 if warning > 0.0 else level
        faults = (Fault(r, kind, side, failure - warning, failure, severity, 2.0),) if faulty(r) else ()
        starts.append(RobotStart(parameters(rng), age, soc, faults))
    return starts


def faulty(robot: Any) -> Any:
    """Return whether a robot of the shift has a fault: by turns within each kind."""
    return (robot // len(FAULT_KINDS)) % 2 == 1


def run(
    robots: int, seconds: float, seed: int, starts: list[RobotStart] | None, scale: float = 1.0
) -> tuple[FleetCondition | None, float]:
    """Drive the fleet; returns its condition and the processor time of the stepping [s]."""
    world = World(PrimitiveBuilder().build(), (), ())
    fleet = Fleet(world, [RobotModel()] * robots)
    # Far apart, so that they never meet.
    side = int(np.ceil(np.sqrt(robots)))
    fleet.reset(np.array([[2000.0 * (r % side), 2000.0 * (r // side), 0.0] for r in range(robots)]))
    condition = None if starts is None else FleetCondition(fleet, starts, seed + 1, seconds, scale)
    rng = generator(seed, "duty")
    spent = 0.0
    for k in range(round(seconds * 2)):
        if k % 16 == 0:
            command = np.stack([rng.uniform(0.4, 1.4, robots), rng.uniform(-0.3, 0.3, robots)], axis=1)
            for r in range(robots):
                fleet.set_payload(r, float(rng.choice([0.0, 40.0, 100.0])))
        fleet.command(command if k % 16 < 12 else np.zeros((robots, 2)))
        before = time.process_time()
        (fleet.step if condition is None else condition.advance)(120)
        spent += time.process_time() - before
    world.close()
    return condition, spent


def label_errors(condition: FleetCondition) -> int:
    """Return the number of rows whose labels are not what was injected."""
    rows = condition.telemetry
    hours = np.arange(1, len(rows) + 1) / TELEMETRY_RATE * condition.time_scale / 3600.0
    wrong = 0
    for r, start in enumerate(condition.starts):
        (fault,) = start.faults
        code, active, level, left = rows[:, r, len(MEASURED) :].T
        growing = (hours - fault.onset_h) / max(fault.failure_h - fault.onset_h, 1e-12)
        # Within rounding of the clock at the very moment of onset or failure either answer is right.
        edge = np.minimum(np.abs(hours - fault.failure_h), np.abs(hours - fault.onset_h)) < 1e-6
        failed = hours >= fault.failure_h
        expected = np.where(failed, 1.0, np.clip(growing, 0.0, 1.0) ** fault.progression) * fault.severity
        right = (
            (np.abs(level - expected) < 1e-6)
            & (active == failed)
            & (code == np.where(expected > 0, FAULT_KINDS.index(fault.kind) + 1, 0))
            & (np.abs(left - np.maximum(fault.failure_h - hours, 0.0)) < 1e-6)
        )
        wrong += int(np.sum(~right & ~edge))
    return wrong


def distance(times: np.ndarray, robots: int, end: float) -> float:
    """Return the Kolmogorov-Smirnov distance from the asked Weibull up to ``end`` [h], beyond which robots outlive."""
    law = weibull_min(SHAPE, scale=SCALE)
    expected = law.cdf(np.sort(times))
    place = np.arange(len(times)) / robots
    ends = [abs(len(times) / robots - law.cdf(end))]
    return float(max(np.max(np.abs(place - expected)), np.max(np.abs(place + 1.0 / robots - expected)), *ends))


def weibull_fit(condition: FleetCondition, seed: int) -> dict[str, Any]:
    rows = condition.telemetry
    active = rows[:, :, COLUMNS.index("fault_active")] > 0
    first = np.argmax(active, axis=0)[active.any(axis=0)] + 1
    times = first / TELEMETRY_RATE * condition.time_scale / 3600.0
    robots = rows.shape[1]
    rng = generator(seed, "floor")
    floor = []
    for _ in range(2000):
        drawn = np.asarray(SCALE * rng.weibull(SHAPE, robots))
        floor.append(distance(drawn[drawn <= HOURS], robots, HOURS))
    found = distance(times, robots, HOURS)
    return {
        "robots": robots,
        "failed": len(times),
        "distance": round(found, 4),
        "floor_95": round(float(np.quantile(floor, 0.95)), 4),
        "p": round(float(np.mean(np.array(floor) >= found)), 3),
    }


def features(rows: np.ndarray) -> np.ndarray:
    """Return the features (W, R, F) of windows of telemetry (N, R, C); the last measured column is left out."""
    count = len(rows) // WINDOW
    used = len(MEASURED) - 1
    cut = rows[: count * WINDOW, :, 1:used].reshape(count, WINDOW, rows.shape[1], used - 1)
    mean, spread = cut.mean(axis=1), cut.std(axis=1)
    name = {column: k for k, column in enumerate(MEASURED[1:])}
    current, voltage = cut[..., name["current_a"]], cut[..., name["voltage_v"]]
    # Slope of voltage over current: what sags.
    both = (current - current.mean(axis=1, keepdims=True)) * (voltage - voltage.mean(axis=1, keepdims=True))
    slope = both.mean(axis=1) / np.maximum(current.var(axis=1), 1e-3)
    moving = np.maximum(mean[..., name["speed_m_s"]], 0.05)
    left, right = mean[..., name["motor_current_left_a"]], mean[..., name["motor_current_right_a"]]
    warm = mean[..., name["temperature_left_c"]] - mean[..., name["temperature_right_c"]]
    extra = [
        slope,
        np.abs(left - right) / (left + right + 0.1),
        (left + right) / moving,
        mean[..., name["vibration_rms_mm_s"]] / moving,
        np.abs(warm),
    ]
    return np.concatenate([mean, spread, np.stack(extra, axis=-1)], axis=-1)


def fitted(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the weights of a logistic regression with a small ridge, classes weighed alike."""
    weight = np.where(y, 0.5 / max(y.mean(), 1e-9), 0.5 / max(1.0 - y.mean(), 1e-9))
    sign = np.where(y, 1.0, -1.0)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = sign * (x @ w)
        slope = -weight * sign / (1.0 + np.exp(np.clip(z, -50, 50)))
        value = np.mean(weight * np.logaddexp(0.0, -z)) + 1e-3 * (w @ w)
        return float(value), x.T @ slope / len(y) + 2e-3 * w

    found: np.ndarray = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B").x
    return found


def auc(score: np.ndarray, positive: np.ndarray) -> float:
    """Return the area under the ROC curve; nan without both classes."""
    p, n = int(positive.sum()), int((~positive).sum())
    if p == 0 or n == 0:
        return float("nan")
    return float((rankdata(score)[positive].sum() - p * (p + 1) / 2) / (p * n))


def with_interval(score: np.ndarray, positive: np.ndarray, robot: np.ndarray, seed: int) -> list[float]:
    """Return AUC and the ends of its 95 % interval, from a bootstrap over robots."""
    members = [np.flatnonzero(robot == r) for r in np.unique(robot)]
    rng = generator(seed, "bootstrap")
    drawn = []
    for _ in range(300):
        rows = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        drawn.append(auc(score[rows], positive[rows]))
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return [round(auc(score, positive), 4), round(float(low), 4), round(float(high), 4)]


def detector(condition: FleetCondition, seed: int) -> dict[str, Any]:
    """Fit on one half of the robots and judge on the other."""
    made = features(condition.telemetry)
    count, robots = made.shape[:2]
    everyone = np.arange(robots)
    robot = np.broadcast_to(everyone, (count, robots)).ravel()
    kind = np.array(FAULT_KINDS)[everyone % len(FAULT_KINDS)]
    x, positive = made.reshape(count * robots, -1), faulty(robot)
    usable = np.isin(kind, DETECTABLE)[robot]
    judged = (robot // (2 * len(FAULT_KINDS))) % 2 == 1
    train, test = usable & ~judged, usable & judged
    center, width = x[train].mean(axis=0), x[train].std(axis=0) + 1e-9
    z = np.column_stack([np.clip((x - center) / width, -8, 8), np.ones(len(x))])
    score = z @ fitted(z[train], positive[train])
    single = np.array([auc(z[train][:, k], positive[train]) for k in range(z.shape[1] - 1)])
    best = int(np.argmax(np.abs(single - 0.5)))
    toward = 1.0 if single[best] > 0.5 else -1.0
    result: dict[str, Any] = {
        "windows": [int(train.sum()), int(test.sum())],
        "robots": [len(np.unique(robot[train])), len(np.unique(robot[test]))],
        "auc": with_interval(score[test], positive[test], robot[test], seed),
        "auc_single_feature": with_interval(toward * z[test][:, best], positive[test], robot[test], seed),
    }
    for name in FAULT_KINDS:
        part = (kind[robot] == name) & judged
        result[f"auc_{name}"] = with_interval(score[part], positive[part], robot[part], seed)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--robots", type=int, default=280)
    parser.add_argument("--seconds", type=float, default=300.0, help="length of each run (default 300)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    robots, seconds, seed = options.robots, options.seconds, options.seed
    run(7, 2.0, seed, shifts(7, seed))
    scale = HOURS * 3600.0 / seconds
    life, _ = run(robots, seconds, seed, lives(robots, seed, scale), scale)
    shift, spent = run(robots, seconds, seed, shifts(robots, seed))
    assert life is not None
    assert shift is not None
    _, bare = run(robots, seconds, seed, None)
    result = {
        "rows": int(np.prod(life.telemetry.shape[:2])),
        "wrong_labels": label_errors(life),
        "weibull": weibull_fit(life, seed),
        "detector": detector(shift, seed),
        "ledger_imbalance_j": float(max(np.abs(life.imbalance).max(), np.abs(shift.imbalance).max())),
        "us_per_robot_second": round(1e6 * spent / (robots * seconds), 2),
        "us_per_robot_second_bare": round(1e6 * bare / (robots * seconds), 2),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
