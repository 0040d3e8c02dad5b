"""From a scenario's ``condition`` to that of a fleet: ages, charge, parameters and faults drawn for each robot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..common.errors import InputError
from ..common.seeding import generator
from ..robots.condition import FleetCondition, RobotStart
from ..robots.condition_model import ConditionParameters
from ..robots.faults import draw_faults
from .scenario import MAX_FULL_DURATION

if TYPE_CHECKING:
    from ..robots.fleet import Fleet
    from .scenario import ConditionRanges, Scenario


def fleet_condition(
    scenario: Scenario, fleet: Fleet, seed: int, index: int, stream: int, values: dict[str, Any]
) -> FleetCondition | None:
    """Return the condition of a fleet that has just been reset; None if the scenario has none.

    Args:
        seed, index: the episode. Every quantity draws from a stream of its own.
        stream: of the episode's noise.
        values: gets what was drawn, by dotted name, in SI units.

    Raises:
        InputError: a drawn value does not fit the model, or a fault names a robot that the fleet does not have.
    """
    given = scenario.condition
    if given is None:
        return None
    robots = len(fleet.models)
    for model in given.faults:
        if model.robot is not None and model.robot >= robots:
            raise InputError(
                f"a fault is planned for robot {model.robot}, the fleet has {robots}",
                where=f"scenario '{scenario.name}', condition.faults",
                mend=f"robots are 0 to {robots - 1}",
            )
    starts = []
    for robot in range(robots):
        label = f"robots.{robot}.condition"
        drawn = {}
        for name in ("age", "charge"):
            drawn[name] = float(getattr(given, name).sample(generator(seed, index, f"{label}.{name}")))
            values[f"{label}.{name}"] = drawn[name]
        age_h = drawn["age"] / 3600.0
        faults = draw_faults(given.faults, age_h, robot, seed, index, given.time_scale)
        parameters = _varied(given, label, seed, index, values)
        starts.append(RobotStart(parameters, age_h, drawn["charge"], faults))
    telemetry = scenario.duration if scenario.record_rate is None else min(scenario.duration, MAX_FULL_DURATION)
    return FleetCondition(fleet, starts, stream, telemetry, given.time_scale)


def _varied(given: ConditionRanges, label: str, seed: int, index: int, values: dict[str, Any]) -> ConditionParameters:
    """Return the parameters of one robot, times what its ranges draw."""
    content = given.model.model_dump()
    for part in ("battery", "motor", "wear"):
        ranges = getattr(given, part)
        for name in type(ranges).model_fields:
            source = getattr(ranges, name)
            if source is not None:
                key = f"{label}.{part}.{name}"
                content[part][name] *= float(source.sample(generator(seed, index, key)))
                values[key] = content[part][name]
    try:
        return ConditionParameters.model_validate(content)
    except ValueError as error:
        raise InputError(
            f"the condition drawn is impossible: {error}", where=label, mend="narrow the ranges"
        ) from error
