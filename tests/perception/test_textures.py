from typing import get_args

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from floorcast.common.errors import InputError
from floorcast.common.primitives import PLANE, PrimitiveBuilder
from floorcast.perception import textures
from floorcast.perception.appearance import Appearance, MaterialName, MaterialTexture, TextureImage
from floorcast.perception.config import Lighting
from floorcast.perception.materials import FILM, GLOSS, LABEL, MATERIAL_NAMES, MATERIALS, TAPE, material_table
from floorcast.perception.scene import Scene
from floorcast.perception.shading import looks, srgb_to_linear
from floorcast.perception.textures import (
    BAR_MODULES,
    FIRST_LEVEL,
    LABEL_MARGIN,
    LABEL_WIDTH,
    LEVELS,
    barcode,
    built_in_atlas,
    dressed_atlas,
    image_texture,
    label,
    make_atlas,
    procedural_images,
    read_atlas,
    write_atlas,
)  # fmt: skip

from .shading_views import AHEAD, DOWN, builder_with_floor, picture, places, scene_of

EVEN = Lighting(direction=(0, 0, -1), key=0.0, ambient=1.0)


def test_the_atlas_is_small_and_the_same_every_time():
    atlas, rows = built_in_atlas()
    procedural_images.cache_clear()
    again = make_atlas(list(procedural_images().values()))
    assert_array_equal(atlas.texels, again.texels)
    assert atlas.texels.nbytes < 20e6
    assert len(rows) == len(atlas.table)


def test_an_atlas_from_a_file_is_the_one_that_was_drawn_and_a_damaged_one_is_not_used(tmp_path):
    drawn, file = built_in_atlas()[0], tmp_path / "kept" / "textures.atlas"
    assert read_atlas(file) is None
    write_atlas(file, drawn)
    kept = read_atlas(file)
    for name in ("texels", "table"):
        mine, other = getattr(drawn, name), getattr(kept, name)
        assert_array_equal(mine, other)
        # Otherwise the camera's kernel would be compiled for it anew.
        assert (mine.dtype, mine.flags.c_contiguous) == (other.dtype, other.flags.c_contiguous)
        assert mine.flags.writeable
        assert other.flags.writeable
    whole = file.read_bytes()
    for place in (3, len(whole) // 2):  # in what says who drew it, and in the texels
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert read_atlas(file) is None
    for length in (0, 20, 40, len(whole) - 4, len(whole) - 1):
        file.write_bytes(whole[:length])
        assert read_atlas(file) is None


def test_the_atlas_is_drawn_where_its_file_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "a file").touch()
    monkeypatch.setattr(textures, "cache_folder", lambda kernel: tmp_path / "a file" / "folder")
    again, rows = built_in_atlas.__wrapped__()
    assert_array_equal(again.texels, built_in_atlas()[0].texels)
    assert list(rows) == list(procedural_images())


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


def texture_of(tmp_path, pixels, material="concrete", **size):
    Image.fromarray(pixels).save(tmp_path / "texture.png")
    image = TextureImage(file="texture.png", **size).embedded(tmp_path, "test")
    return MaterialTexture(material=material, image=image)


def test_a_picture_lies_on_the_floor_the_right_way_up(tmp_path):
    """Red to the left, green to the right, white in the upper half: 4 m x 4 m of floor."""
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:, :32, 0] = pixels[:, 32:, 1] = 255
    pixels[:32] = 255
    appearance = Appearance(textures=(texture_of(tmp_path, pixels, width=4, height=4),))
    builder = PrimitiveBuilder()
    builder.add(PLANE, (0, 0, 0), (0, 0, 0), class_name="floor", instance_id=0, color=(188, 188, 188))
    scene = Scene(builder.build(), PrimitiveBuilder().build(), 0, appearance=appearance)
    lighting = Lighting(direction=(0, 0, -1), key=0.0, ambient=1.0)
    light, inverse, _ = picture(scene, (2, 2, 3), lighting=lighting)
    x, y = np.moveaxis(places(inverse, (2, 2, 3), DOWN)[..., :2], -1, 0)
    inside = (np.abs(x % 2 - 1) < 0.9) & (np.abs(y % 2 - 1) < 0.9)
    upper, left = y % 4 > 2, x % 4 < 2
    expected = np.where(upper[..., None], 1.0, np.where(left[..., None], [1.0, 0, 0], [0, 1.0, 0]))
    assert_allclose(light[inside], (expected * [1.02, 1.06, 1.12])[inside], atol=0.01)


def test_wear_changes_the_contrast_of_patterns_only():
    plain, worn = dressed_atlas(Appearance(wear=0.0))[0], dressed_atlas(Appearance(wear=1.0))[0]
    rows = built_in_atlas()[1]
    for name, same in (("concrete", False), ("hazard", True), ("label0", True)):
        first = plain.table[rows[name], FIRST_LEVEL]
        assert (plain.texels[first : first + 64] == worn.texels[first : first + 64]).all() == same
    assert np.unique(plain.texels[plain.table[rows["concrete"], FIRST_LEVEL] :][:4096] & 255).tolist() == [128]


def test_shares_and_hues_of_objects():
    builder = PrimitiveBuilder()
    for instance in range(1, 2001):
        builder.box((1, 1, 1), (0, 0, 0), class_name="box", instance_id=instance, color=(160, 120, 80))
    builder.box((1, 1, 1), (0, 0, 0), class_name="wall", instance_id=0, color=(160, 120, 80))
    solids = builder.build()
    before, after = looks(solids), looks(solids, Appearance(wrap=0.3, hue=0.3, seed=5))
    wrapped = after[:-1, 3] == FILM
    assert abs(wrapped.mean() - 0.3) < 0.04
    assert (before[:, 3] != FILM).all()
    assert_array_equal(after[-1], before[-1])
    # A turn about grey keeps sum and length, and brings colours up to 0.3 rad apart.
    assert_allclose(after[:, :3].sum(axis=1), before[:, :3].sum(axis=1), rtol=1e-5)
    one, two = (table[:, :3] - table[:, :3].mean(axis=1, keepdims=True) for table in (before, after))
    cosine = (one * two).sum(axis=1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    assert 0.28 < np.arccos(np.clip(cosine, -1, 1)).max() <= 0.301
    assert (looks(solids, Appearance(wrap=0.3, seed=6))[:-1, 3] == FILM).tolist() != wrapped.tolist()


def test_gloss_and_shares_reach_the_table_of_materials():
    rows = dict.fromkeys(procedural_images(), 0)
    table = material_table(MATERIALS, rows, Appearance(gloss=2.0, labels=0.2, tape=0.9, texture_scale=3.0))
    base = material_table(MATERIALS, rows, Appearance())
    assert_array_equal(base, material_table(MATERIALS, rows))
    assert get_args(MaterialName) == MATERIAL_NAMES
    assert_allclose(table[:, GLOSS], 2 * base[:, GLOSS])
    assert_allclose(table[:, (TAPE, LABEL)], np.broadcast_to([0.1, 0.8], (len(table), 2)), atol=1e-6)
    assert_allclose(table[:, (1, 2, 4, 5)], 3 * base[:, (1, 2, 4, 5)])
