import numpy as np
import pytest
import yaml
from PIL import Image

from floorcast.common.config import config_hash, to_yaml
from floorcast.common.errors import InputError
from floorcast.episodes.randomization import sample_scenario
from floorcast.episodes.scenario import (
    DRIVE_QUANTITIES,
    RECIPE_QUANTITIES,
    Scenario,
    built_in_scenarios,
    load_scenario,
)
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.model import Layout, Station, Wall
from floorcast.layouts.recipe import LayoutRecipe
from floorcast.robots.model import DriveParameters


def write(tmp_path, text, name="mine.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def refusal(path):
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    return str(caught.value)


@pytest.mark.parametrize("name", ["nominal", "crossing_people", "small", "slippery_floor"])
def test_built_in_scenarios_load_and_survive_yaml(name):
    assert name in built_in_scenarios()
    scenario = load_scenario(name)
    assert scenario.name == name
    assert scenario.description
    again = Scenario.model_validate(yaml.safe_load(to_yaml(scenario)))
    assert again == scenario
    assert config_hash(again) == config_hash(scenario)


def test_every_randomizable_field_exists():
    assert set(DRIVE_QUANTITIES) <= set(DriveParameters.model_fields)
    assert set(RECIPE_QUANTITIES) <= set(LayoutRecipe.model_fields)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("nmae: x", ["line 1", "nmae", "did you mean 'name'"]),
        ("people:\n  cuont: {distribution: constant, value: 1, unit: 1}", ["line 2", "people.cuont", "'count'"]),
        (
            "floor:\n  friction: {distribution: uniform, low: 0.9, high: 0.6, unit: 1}",
            ["line 2", "floor.friction", "upside down"],
        ),
        (
            "robots:\n  drive:\n    motor_lag: {distribution: uniform, low: 1, high: 2, unit: kg}",
            ["line 3", "robots.drive.motor_lag", "kg", "ms"],
        ),
        (
            "robots:\n  drive:\n    motor_leg: {distribution: constant, value: 1, unit: s}",
            ["line 3", "motor_leg", "motor_lag"],
        ),
        (
            "layout:\n  vary:\n    area: {distribution: uniform, low: 50, high: 200, unit: m2}",
            ["line 3", "layout.vary.area", ">= 100"],
        ),
        ("duration: -1", ["line 1", "duration"]),
        ("control_rate: 7", ["control_rate 7 Hz must divide"]),
        ("sensors: {lidar: {rate: 15}}", ["multiple of sensors.lidar.rate"]),
        ("duration: 1\ncapture: {frames: 21}", ["capture.frames 21", "20 control steps"]),
        ("sensors: {lidar: {elevations: [0, 0.1]}}", ["one ring"]),
        ("layout: {recipe: {area: 300}, file: hall.yaml}", ["only one of", "recipe and file"]),
        ("layout: {file: hall.yaml, variants: 3}", ["cannot be varied"]),
        ("name: a\nname: b", ["'name' stands twice"]),
        ("[1, 2", ["not valid YAML"]),
        ("", ["empty"]),
    ],
)
def test_bad_scenarios_name_file_line_and_field(tmp_path, text, parts):
    message = refusal(write(tmp_path, text))
    for part in [*parts, "mine.yaml"]:
        assert part in message
    assert len(message.splitlines()) < 25


def test_unknown_names_and_missing_files(tmp_path):
    assert "did you mean 'nominal'" in refusal("nominall")
    assert "crossing_people" in refusal("zzzz")
    assert "no such file" in refusal(tmp_path / "none.yaml")


def test_a_layout_file_is_checked_for_the_robots_of_the_scenario(tmp_path):
    """A door of 0.6 m keeps the default robot out, which is 0.65 m wide, and lets a small one through."""
    walls = tuple(
        Wall(id=f"W{i}", start=(5.0, low), end=(5.0, high)) for i, (low, high) in enumerate(((0.0, 3.0), (3.6, 6.0)))
    )
    stations = Station(id="A", x=2.0, y=3.0), Station(id="B", x=8.0, y=3.0, kind="drop")
    Layout(length=10.0, width=6.0, walls=walls, stations=stations).save(tmp_path / "hall.yaml")
    assert "cannot be reached" in refusal(write(tmp_path, "layout: {file: hall.yaml}"))
    small = "robots: {model: {length: 0.45, width: 0.4, drive: {track_width: 0.3}}}"
    assert load_scenario(write(tmp_path, "layout: {file: hall.yaml}\n" + small)).layout.fixed is not None


def test_layout_file_is_read_checked_and_part_of_the_hash(tmp_path):
    layout = generate_layout(LayoutRecipe(area=120), 3)
    layout.save(tmp_path / "hall.yaml")
    path = write(tmp_path, "layout: {file: hall.yaml}")
    scenario = load_scenario(path)
    assert scenario.layout.fixed == layout
    assert sample_scenario(scenario, 0, 0).layout == sample_scenario(scenario, 1, 7).layout == layout
    changed = layout.model_copy(update={"name": "other"})
    changed.save(tmp_path / "hall.yaml")
    assert config_hash(load_scenario(path)) != config_hash(scenario)

    through = layout.racks[0].model_copy(update={"x": layout.length})
    layout.model_copy(update={"racks": (through, *layout.racks[1:])}).save(tmp_path / "hall.yaml")
    message = refusal(path)
    assert "hall.yaml" in message
    assert "rack" in message
    assert "hall2.yaml" in refusal(write(tmp_path, "layout: {file: hall2.yaml}"))


def test_texture_files_are_read_checked_and_part_of_the_hash(tmp_path):
    picture = np.zeros((4, 8, 3), np.uint8)
    text = "materials: {textures: {concrete: [{file: floor.png, width: 2, height: 1}]}}"
    path = write(tmp_path, text)
    assert "floor.png" in refusal(path)
    (tmp_path / "floor.png").write_text("not a picture")
    assert "cannot be read as an image" in refusal(path)
    Image.fromarray(picture).save(tmp_path / "floor.png")
    scenario = load_scenario(path)
    drawn = sample_scenario(scenario, 0, 0).appearance.textures
    assert [(one.material, one.image.width) for one in drawn] == [("concrete", 2.0)]
    assert drawn[0].image.content() == (tmp_path / "floor.png").read_bytes()
    assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario
    Image.fromarray(picture + 9).save(tmp_path / "floor.png")
    assert config_hash(load_scenario(path)) != config_hash(scenario)
    with pytest.raises(InputError, match="was not read"):
        sample_scenario(Scenario.model_validate(yaml.safe_load(text)), 0, 0)
    assert "materials.textures.conrete" in refusal(write(tmp_path, text.replace("concrete", "conrete")))
