import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from floorcast.common.errors import InputError
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.geometry import layout_solids
from floorcast.layouts.model import Layout
from floorcast.layouts.recipe import LayoutRecipe
from floorcast.perception.config import Lighting
from floorcast.perception.lamps import REACH, STANDARD_INTENSITY, check_lamps, lamp_volume
from floorcast.perception.shading import light_color

from .shading_views import builder_with_floor, picture, scene_of

DARK = Lighting(direction=(0, 0, -1), key=0.0, ambient=0.0)
ALBEDO = 0.5028865


def middle_light(height, power=1.0, lighting=DARK, temperature=5000.0):
    scene = scene_of(builder_with_floor(), lamps=[[0, 0, height, power, temperature, 1.9]])
    light, _, _ = picture(scene, (0, 0, 1.0), lighting=lighting)
    return light[32, 32]


def test_light_falls_off_with_the_square_of_distance():
    for height in (3.0, 6.0, 9.0):
        expected = ALBEDO * STANDARD_INTENSITY / height**2 * (1 - (height / REACH) ** 4) ** 2
        assert_allclose(middle_light(height)[1], expected, rtol=0.05)  # the floor is looked up 5 cm above it


def test_power_scale_and_colour():
    one = middle_light(5.0)
    assert_allclose(middle_light(5.0, power=2.0), 2.0 * one, rtol=1e-4)
    assert_allclose(middle_light(5.0, lighting=Lighting(**{**DARK.model_dump(), "lamps": 3.0})), 3.0 * one, rtol=1e-4)
    warm = middle_light(5.0, temperature=3000.0)
    assert_allclose(warm / one, light_color(3000.0), rtol=1e-4)
    assert_allclose(
        middle_light(5.0, lighting=Lighting(**{**DARK.model_dump(), "lamp_temperature": 3000})), warm, rtol=1e-4
    )


def test_solids_keep_light_out():
    builder = builder_with_floor()
    builder.box((2.5, 2.5, 0.1), (0, 0, 3), class_name="sign", instance_id=2)
    scene = scene_of(builder, lamps=[[0, 0, 5, 1.0, 5000, 1.9]])
    light, _, _ = picture(scene, (0, 0, 1.0), lighting=DARK)
    assert light.max() < 1e-6


def test_failing_lamps_follow_the_seed():
    rng = np.random.default_rng(0)
    lamps = np.column_stack([rng.random((20, 2)) * 30, np.full((20, 4), [6, 1, 4000, 1.9])])
    scene = scene_of(builder_with_floor())

    def bake(**options):
        return lamp_volume(scene.tables, scene._bounds, scene.static_count, lamps, **options).light

    assert_array_equal(bake(failing=0.5, seed=3), bake(failing=0.5, seed=3))
    assert not np.array_equal(bake(failing=0.5, seed=3), bake(failing=0.5, seed=4))
    assert bake(failing=0.5, seed=3).sum() < bake().sum()
    assert bake(failing=1.0).sum() == 0.0


def test_a_scene_without_lamps_is_as_before():
    bright = Lighting(key=0.5, ambient=0.3)
    plain, _, _ = picture(scene_of(builder_with_floor()), (0, 0, 2), lighting=bright)
    off = Lighting(**{**bright.model_dump(), "lamps": 0.0})
    dark, _, _ = picture(scene_of(builder_with_floor(), lamps=[[0, 0, 5, 1, 5000, 1.9]]), (0, 0, 2), lighting=off)
    assert_array_equal(plain, dark)


@pytest.mark.parametrize(
    "lamps", [[[0, 0, 5]], [[0, 0, np.nan, 1, 4000, 1.9]], [[0, 0, 5, -1, 4000, 1.9]], [[0, 0, 5, 1, 100, 1.9]],
              [[0, 0, 5, 1, 4000, 4.0]]]
)  # fmt: skip
def test_bad_lamps_are_refused(lamps):
    with pytest.raises(InputError):
        check_lamps(lamps)


def test_layouts_carry_their_lamps(tmp_path):
    layout = generate_layout(LayoutRecipe(area=300, fill=0.5), 1)
    lamps = layout_solids(layout).lamps
    assert lamps.shape == (len(layout.lights), 6)
    layout.save(tmp_path / "hall.yaml")
    assert Layout.load(tmp_path / "hall.yaml") == layout
    off = layout.model_copy(update={"lights": tuple(x.model_copy(update={"lit": False}) for x in layout.lights)})
    assert layout_solids(off).lamps.shape == (0, 6)
    assert check_lamps(lamps) is not None
