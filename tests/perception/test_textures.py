import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from floorcast.common.errors import InputError
from floorcast.perception.config import Lighting
from floorcast.perception.shading import srgb_to_linear
from floorcast.perception.textures import (
    BAR_MODULES,
    FIRST_LEVEL,
    LABEL_MARGIN,
    LABEL_WIDTH,
    LEVELS,
    barcode,
    built_in_atlas,
    image_texture,
    label,
    make_atlas,
    procedural_images,
)  # fmt: skip

from .shading_views import AHEAD, builder_with_floor, picture, places, scene_of

EVEN = Lighting(direction=(0, 0, -1), key=0.0, ambient=1.0)


def test_the_atlas_is_small_and_the_same_every_time():
    atlas, rows = built_in_atlas()
    procedural_images.cache_clear()
    again = make_atlas(list(procedural_images().values()))
    assert_array_equal(atlas.texels, again.texels)
    assert atlas.texels.nbytes < 20e6
    assert len(rows) == len(atlas.table)


def test_each_level_is_the_mean_of_the_one_before():
    rng = np.random.default_rng(0)
    image = np.floor(rng.random((8, 16, 4)) * 256).clip(0, 255).astype(np.float32)
    atlas = make_atlas([image])
    assert atlas.table[0, LEVELS] == 5
    last = atlas.texels[atlas.table[0, FIRST_LEVEL + 4] :].view(np.uint8)
    assert_allclose(last, image.mean(axis=(0, 1)), atol=1.0)


def test_a_barcode_is_as_wide_as_it_says():
    """On the picture of a carton's face the bars span 57 modules of a 64-module label 0.15 m wide."""
    builder = builder_with_floor()
    builder.box((0.3, 0.3, 0.3), (1.0, 0, 0.3), class_name="box", instance_id=2, color=(181, 136, 92))
    scene = scene_of(builder)
    scene.looks[1, 4] = 0.7
    view = np.array([900.0, 900.0, 127.5, 127.5, 0.05, 60.0])
    a, b = (0.5 * 0.7 - 0.1) * 0.3, 0.3 - 0.25 * 0.3
    # The face looks along -x: its right is -y.
    place = (0.0, -a, b)
    light, inverse, face = picture(scene, place, AHEAD, EVEN, view, 256)
    assert face[128, 128] == 8
    point = places(inverse, place, AHEAD, view)
    row = int(np.argmin(np.abs(point[:, 128, 2] - (b - 0.05 + 0.1 * 54 / 128))))
    bright = light[row, :, 1] > 0.5 * light[row, :, 1].max()
    white = np.flatnonzero(light[row, :, 2] > 0.45)
    y = point[row, :, 1]
    assert abs((y[white[0]] - y[white[-1]]) - 0.15) < 0.004
    inner = slice(white[0], white[-1] + 1)
    printed = np.flatnonzero(~bright[inner]) + white[0]
    assert abs((y[printed[0]] - y[printed[-1]]) - 0.15 * 4 * BAR_MODULES / LABEL_WIDTH) < 0.004
    # From the left, not mirrored: each module as the code has it.
    variant = int(0.7 * 997) % 4
    code = barcode(variant)
    left = -a + 0.075 - 0.15 * LABEL_MARGIN / LABEL_WIDTH
    middle = left - 0.15 * 4 / LABEL_WIDTH * (np.arange(BAR_MODULES) + 0.5)
    seen = ~bright[[int(np.argmin(np.abs(y - m))) for m in middle]]
    assert (seen == (code > 0.5)).mean() > 0.9


def test_labels_differ():
    assert len({label(k).tobytes() for k in range(4)}) == 4


def test_an_image_file_is_the_albedo(tmp_path):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:8] = (255, 0, 0)
    pixels[8:] = (0, 128, 0)
    Image.fromarray(pixels).save(tmp_path / "picture.png")
    image = image_texture(tmp_path / "picture.png")
    assert image.shape == (16, 32, 4)
    assert_allclose(image[0, 0], [0, 255 * srgb_to_linear(128), 0, 255], rtol=1e-5)  # row 0 is the lowest
    assert_allclose(image[-1, 0], [255, 0, 0, 255], rtol=1e-5)


def test_image_files_that_cannot_be_used(tmp_path):
    with pytest.raises(InputError, match="there is no image"):
        image_texture(tmp_path / "none.png")
    (tmp_path / "text.png").write_text("not a picture")
    with pytest.raises(InputError, match="cannot be read"):
        image_texture(tmp_path / "text.png")
    Image.new("1", (9000, 9000)).save(tmp_path / "huge.png")
    with pytest.raises(InputError, match="9000 x 9000"):
        image_texture(tmp_path / "huge.png")
