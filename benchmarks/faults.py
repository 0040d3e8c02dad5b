"""A predictive-maintenance data set from the simulator, and how well a plain detector does on it.

    python benchmarks/faults.py --robots 240 --seconds 600

Robots drive stop-and-go over a free floor with changing payloads while their operation passes quickly (``time_scale``),
so that a run covers the hours in which the asked Weibull lets most of them fail. Robots differ: resistances, torque
constants and wear vary by a few per cent. Told are

- **labels**: rows whose label differs from the level that the injected fault has at that time (must be none);
- **times to failure**: read from the labels of the telemetry (first row that is active; robots that outlive the run are
  censored there) against the asked Weibull, by the Kolmogorov-Smirnov distance over the observed range; its floor is
  the 95 % quantile of the same distance of samples that come from that Weibull;
- **detector**: logistic regression on windows of 10 s (mean and spread of every measured column, and ratios that take
  out the load), fitted on half of the robots, judged on the other half: ROC AUC with a 95 % interval from a bootstrap
  over robots. A window is positive if its fault's level is above the threshold at its end; windows in between (a fault
  has begun, but is below it) are left out. Without it: the same for the best single feature.
- **cost**: processor time for each robot and second, with and without the condition.
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
from floorcast.robots.faults import FAULT_KINDS, FaultModel, draw_faults
from floorcast.robots.fleet import Fleet
from floorcast.robots.model import RobotModel

SHAPE, SCALE = 2.0, 564.19
"""Asked Weibull: a mean of 500 h."""
HOURS = 1000.0
"""Operation that a run covers [h]."""
WINDOW = 10 * TELEMETRY_RATE
THRESHOLD = 0.25
"""Level of a fault above which a window is positive."""
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


def run(robots: int, seconds: float, seed: int, with_condition: bool = True) -> tuple[FleetCondition | None, float]:
    """Drive the fleet; returns its condition and the processor time of the stepping [s]."""
    world = World(PrimitiveBuilder().build(), (), ())
    fleet = Fleet(world, [RobotModel()] * robots)
    # Far apart, so that they never meet.
    side = int(np.ceil(np.sqrt(robots)))
    start = np.array([[2000.0 * (r % side), 2000.0 * (r // side), 0.0] for r in range(robots)])
    fleet.reset(start)
    condition = None
    if with_condition:
        scale = HOURS * 3600.0 / seconds
        starts = []
        for r in range(robots):
            model = FaultModel(kind=FAULT_KINDS[r % len(FAULT_KINDS)], shape=SHAPE, scale_h=SCALE)
            faults = draw_faults((model,), 0.0, r, seed, 0, scale)
            starts.append(RobotStart(parameters(generator(seed, r, "build")), 0.0, 0.95, faults))
        condition = FleetCondition(fleet, starts, seed + 1, seconds, scale)
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
        drawn = SCALE * rng.weibull(SHAPE, robots)
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
    """Return the features (W, R, F) of windows of telemetry (N, R, C)."""
    count = len(rows) // WINDOW
    cut = rows[: count * WINDOW, :, 1 : len(MEASURED)].reshape(count, WINDOW, rows.shape[1], len(MEASURED) - 1)
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
    rows = condition.telemetry
    made = features(rows)
    count, robots = made.shape[:2]
    ends = rows[WINDOW - 1 : count * WINDOW : WINDOW]
    level, code = ends[..., COLUMNS.index("severity")], ends[..., COLUMNS.index("fault")].astype(int)
    kind = np.array([start.faults[0].kind for start in condition.starts])
    robot = np.broadcast_to(np.arange(robots), (count, robots)).ravel()
    level, x = level.ravel(), made.reshape(count * robots, -1)
    usable = np.isin(kind, DETECTABLE)[robot] & ((level > THRESHOLD) | (code.ravel() == 0))
    positive = level > THRESHOLD
    # By turns within each kind.
    train = usable & ((robot // len(FAULT_KINDS)) % 2 == 0)
    test = usable & ~train
    center, width = x[train].mean(axis=0), x[train].std(axis=0) + 1e-9
    z = np.column_stack([np.clip((x - center) / width, -8, 8), np.ones(len(x))])
    score = z @ fitted(z[train], positive[train])
    single = [auc(z[train][:, k], positive[train]) for k in range(z.shape[1] - 1)]
    best = int(np.argmax(np.abs(np.array(single) - 0.5)))
    toward = 1.0 if single[best] > 0.5 else -1.0
    result: dict[str, Any] = {
        "windows": [int(train.sum()), int(test.sum())],
        "positive": round(float(positive[test].mean()), 3),
        "robots": [len(np.unique(robot[train])), len(np.unique(robot[test]))],
        "auc": with_interval(score[test], positive[test], robot[test], seed),
        "auc_single_feature": with_interval(toward * z[test][:, best], positive[test], robot[test], seed),
    }
    for name in FAULT_KINDS:
        part = (kind[robot] == name) & ((robot // len(FAULT_KINDS)) % 2 == 1)
        part &= (level > THRESHOLD) | (code.ravel() == 0)
        result[f"auc_{name}"] = with_interval(score[part], positive[part], robot[part], seed)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--robots", type=int, default=240)
    parser.add_argument("--seconds", type=float, default=600.0, help="length of the run (default 600)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    run(7, 8.0, options.seed)
    condition, spent = run(options.robots, options.seconds, options.seed)
    assert condition is not None
    _, bare = run(options.robots, min(options.seconds, 60.0), options.seed, with_condition=False)
    print(
        json.dumps(
            {
                "rows": int(np.prod(condition.telemetry.shape[:2])),
                "wrong_labels": label_errors(condition),
                "weibull": weibull_fit(condition, options.seed),
                "detector": detector(condition, options.seed),
                "ledger_imbalance_j": float(np.abs(condition.imbalance).max()),
                "us_per_robot_second": round(1e6 * spent / (options.robots * options.seconds), 2),
                "us_per_robot_second_bare": round(1e6 * bare / (options.robots * min(options.seconds, 60.0)), 2),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
