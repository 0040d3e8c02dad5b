import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.common.errors import InputError
from floorcast.layouts.generator import LayoutRecipe, generate_layout
from floorcast.layouts.model import Good, Layout, Rack

from .hall import small_hall


@settings(max_examples=10, deadline=None)
@given(st.floats(100, 300), st.integers(0, 2**32))
def test_yaml_gives_the_same_hall_back(tmp_path_factory, area, seed):
    path = tmp_path_factory.mktemp("yaml") / "hall.yaml"
    layout = generate_layout(LayoutRecipe(area=area, fill=0.3), seed)
    layout.save(path)
    assert Layout.load(path) == layout


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e4, 1e4), st.floats(-2 * math.pi, 2 * math.pi), st.text(min_size=1, max_size=40))
def test_yaml_keeps_every_digit_and_letter(tmp_path_factory, x, yaw, name):
    path = tmp_path_factory.mktemp("yaml") / "hall.yaml"
    good = Good(id="null", x=x, y=1e-7, yaw=yaw, size=(1 / 3, 2e-5, 1.0))
    layout = Layout(name=name, length=10, width=10, goods=(good,), racks=(Rack(id="1e5", x=1, y=x, yaw=yaw, bays=1),))
    layout.save(path)
    assert Layout.load(path) == layout


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("heigth", "", ["line 3", "heigth", "did you mean 'height'"]),
        ("height: 6.0", "height: -6.0", ["line 5", "height", "greater than 0"]),
        ("height: 6.0", "height: .nan", ["height", "finite"]),
        ("bays: 3", "bays: 2.5", ["bays", "integer"]),
        ("kind: drop", "kind: dorp", ["kind", "pick"]),
        ("id: R2", "id: 'R 2'", ["racks.1.id"]),
        ("schema_version: 1", "schema_version: 9", ["schema_version"]),
        ("length: 20.0\n", "", ["length", "required"]),
        ("width: 12.0", "width: 12.0\nwidth: 13.0", ["'width' stands twice"]),
        ("walls:", "walls: [", ["not valid YAML", "line"]),
    ],
)
def test_bad_files_name_line_and_field(tmp_path, old, new, words):
    path = tmp_path / "hall.yaml"
    small_hall().save(path)
    text = path.read_text()
    if old == "heigth":
        text = text.replace("length: 20.0", "heigth: 20.0", 1)
    else:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        Layout.load(path)
    for word in (*words, "hall.yaml"):
        assert word in str(caught.value)


def test_a_truncated_file_is_an_error(tmp_path):
    path = tmp_path / "hall.yaml"
    small_hall().save(path)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(InputError):
        Layout.load(path)
