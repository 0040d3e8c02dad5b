"""The scenario library: every scenario loads, says what it is, and draws an episode with what it promises."""

import pytest

from floorcast.episodes.disturbances.plan import occurrence_times
from floorcast.episodes.library import scenario_library
from floorcast.episodes.scenario import SCENARIO_FOLDER, load_scenario

PROMISED = {
    "blocked_aisle": {"blocked_aisle", "dropped_carton"},
    "spill": {"spill"},
    "dark_aisle": {"dim_light"},
    "dirty_lidar": {"dirty_lidar", "blocked_sensor", "dead_sensor"},
    "equipment_failure": {"equipment_failure"},
    "battery_fade": {"battery_fade"},
    "lost_localisation": {"lost_localisation", "network_delay"},
    "conveyor_jam": {"conveyor_jam", "equipment_failure"},
    "mass_returns": {"mass_returns", "demand_surge"},
}


def test_the_library_says_what_each_scenario_is():
    entries = {entry.name: entry for entry in scenario_library()}
    assert set(entries) == {path.stem for path in SCENARIO_FOLDER.glob("*.yaml")}
    for name, entry in entries.items():
        assert 20 < len(entry.description) < 130, name
        assert set(entry.disturbances) == PROMISED.get(name, set()), name


@pytest.mark.parametrize("name", sorted(PROMISED))
def test_what_a_scenario_promises_happens_in_most_episodes(name):
    scenario = load_scenario(name)
    kinds = [{row[0].kind for row in occurrence_times(scenario, 0, index)} for index in range(40)]
    assert set().union(*kinds) == PROMISED[name]
    assert sum(map(bool, kinds)) > 30
