"""One scenario with all that moves, touches and goes wrong, and the digest of its episodes."""

import hashlib

import numpy as np

from floorcast.episodes.loop import run_episode
from floorcast.episodes.scenario import Scenario, load_scenario
from floorcast.episodes.store import record_bytes
from floorcast.policies.registry import load_policy


def constant(value, unit="1"):
    return {"distribution": "constant", "value": value, "unit": unit}


def busy(duration=60.0):
    """Three robots that drive through whatever is not on their map, people, a conveyor, wear, faults, disturbances."""
    content = load_scenario("small").model_dump(mode="json")
    content.update(
        name="busy",
        duration=duration,
        layout={"recipe": {"area": 180, "bays_per_row": [2, 4], "loose_goods": 14, "conveyors": 1}},
        conveyors={"interval": constant(5, "s")},
        condition={"age": constant(1500, "h"), "faults": [{"kind": "brake", "at_s": 20.0, "warning_h": 0.005}]},
    )
    content["robots"]["count"] = constant(3)
    content["people"].update(
        count=constant(4),
        model="social_force",
        careless=constant(60, "%"),
        groups=constant(50, "%"),
        sudden=constant(1),
    )
    content["tasks"]["per_robot"] = constant(4)
    content["sensors"]["camera"].update(width=64, height=48)
    lasting = {"distribution": "uniform", "low": 2, "high": 12, "unit": "s"}
    kinds = (
        "spill",
        "blocked_aisle",
        "dropped_carton",
        "dim_light",
        "dirty_lidar",
        "blocked_sensor",
        "dead_sensor",
        "lost_localisation",
        "network_delay",
        "equipment_failure",
        "battery_fade",
        "conveyor_jam",
    )
    content["disturbances"] = [
        {"kind": kind, "at": [1.0 + 2.0 * number, 30.0 + 2.0 * number], "duration": lasting}
        for number, kind in enumerate(kinds)
        if 1.0 + 2.0 * number < duration
    ]
    content["disturbances"].append({"kind": "dropped_carton", "source": "load", "rate": 200.0})
    return Scenario.model_validate(content)


def run_busy(index, duration=60.0, scenario=None):
    """Return the record of an episode and a digest of it, of its telemetry and its pictures."""
    state = hashlib.sha256()

    def take(capture):
        for array in (capture.frame.rgb, capture.frame.depth, capture.frame.instance):
            state.update(np.ascontiguousarray(array).tobytes())

    record = run_episode(
        scenario or busy(duration),
        load_policy("reckless"),
        policy_name="reckless",
        seed=3,
        index=index,
        capture=take,
        telemetry=lambda telemetry: state.update(np.ascontiguousarray(telemetry.rows).tobytes()),
    )
    state.update(record_bytes(record))
    return record, state.hexdigest()
