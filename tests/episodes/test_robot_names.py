"""Scenarios that name their robots: built-in ones, files, and what is wrong with a name."""

from __future__ import annotations

import re

import pytest

from floorcast.common.config import config_hash, to_yaml
from floorcast.common.errors import InputError
from floorcast.common.primitives import PrimitiveBuilder
from floorcast.episodes.scenario import Scenario, load_scenario
from floorcast.physics.world import World
from floorcast.robots.fleet import Fleet
from floorcast.robots.load import ROBOT_FOLDER, built_in_robots, load_robot
from floorcast.robots.urdf import load_shape


@pytest.mark.parametrize("name", built_in_robots())
def test_a_name_stands_for_the_fields_of_its_file(name):
    scenario = Scenario.model_validate({"robots": {"model": name}})
    assert scenario.robots.model == load_robot(name)
    inline = Scenario.model_validate({"robots": {"model": load_robot(name).model_dump(mode="json")}})
    assert config_hash(scenario) == config_hash(inline)


@pytest.mark.parametrize("name", built_in_robots())
def test_built_in_robots_fill_their_footprints(name):
    model = load_robot(name)
    shape = load_shape(model.shape, model.class_name)
    world = World(PrimitiveBuilder().build(), (), ())
    world.set_robots([shape])
    assert 0.9 * model.radius < world.robot_radius[0] <= model.radius + 1e-6
    world.close()


def test_a_file_is_read_from_beside_the_scenario_and_covered_by_its_hash(tmp_path):
    own = (ROBOT_FOLDER / "mecanum.yaml").read_text()
    (tmp_path / "mine.yaml").write_text(own.replace("mecanum.urdf", "mine.urdf"))
    (tmp_path / "mine.urdf").write_text((ROBOT_FOLDER / "mecanum.urdf").read_text())
    (tmp_path / "day.yaml").write_text("robots: {model: mine.yaml}\n")
    first = load_scenario(tmp_path / "day.yaml")
    assert first.robots.model.drive == load_robot("mecanum").drive
    assert first.robots.model.shape == str(tmp_path / "mine.urdf")
    (tmp_path / "kept.yaml").write_text(to_yaml(first))
    assert config_hash(load_scenario(tmp_path / "kept.yaml")) == config_hash(first)
    (tmp_path / "mine.yaml").write_text(own.replace("mass: 150", "mass: 151"))
    assert config_hash(load_scenario(tmp_path / "day.yaml")) != config_hash(first)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("forklif", "line 3.*did you mean 'forklift'"),
        ("nowhere.yaml", "no such file"),
        ("{kind: mecanum, drive: {max_steering_angle: 1}}", "unknown key"),
        ("{kind: tricycle, drive: {wheel_base: -1}}", "wheel_base"),
    ],
)
def test_a_wrong_robot_is_explained(tmp_path, model, text):
    (tmp_path / "day.yaml").write_text(f"name: day\nrobots:\n  model: {model}\n")
    with pytest.raises(InputError) as caught:
        load_scenario(tmp_path / "day.yaml")
    assert re.search(text, str(caught.value), re.DOTALL)


def test_contacts_name_the_class_of_what_was_met():
    world = World(PrimitiveBuilder().build(), (), ())
    fleet = Fleet(world, [load_robot("amr_100"), load_robot("forklift")])
    fleet.reset([[-3.5, 0.0, 0.0], [0.0, 0.0, 1.5708]])
    fleet.command([[1.0, 0.0], [0.0, 0.0]])
    fleet.step(240 * 5)
    met = {(contact.robot, contact.other_class) for contact in world.contacts()}
    assert (0, "forklift") in met
    world.close()
