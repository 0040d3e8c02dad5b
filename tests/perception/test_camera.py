"""Cameras: geometry, light and shadow against closed forms, noise against its stated distribution."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from floorcast.common.classes import CLASS_IDS
from floorcast.common.errors import InputError
from floorcast.common.geometry import mounted, optical
from floorcast.common.primitives import BOX, PLANE, SPHERE, PrimitiveBuilder
from floorcast.perception.camera import Camera
from floorcast.perception.config import CameraConfig, Lighting
from floorcast.perception.frames import CameraMotion, EarlierView
from floorcast.perception.scene import Scene, empty_primitives
from floorcast.perception.shading import light_color, linear_to_srgb, srgb_to_linear
from floorcast.perception.threads import set_threads

NOISELESS = {"noise": 0.0, "shot_noise": 0.0}
SMALL = CameraConfig(width=96, height=72, **NOISELESS)
DOWN = np.array([[1.0, 0, 0], [0, -1.0, 0], [0, 0, -1.0]])
"""Looks straight down: image x along map x, image y against map y."""
OVERHEAD = Lighting(direction=(0.0, 0.0, -1.0), key=0.6, ambient=0.3)


def floor_scene(*solids, color=(160, 160, 160), moving=None):
    builder = PrimitiveBuilder()
    # Class "charger" is painted plain: its colour is what the light formula says, up to the tint of the object.
    builder.add(PLANE, (0,), (0, 0, 0), class_name="charger", color=color, instance_id=0)
    for number, (kind, size, position, quaternion) in enumerate(solids, start=1):
        builder.add(kind, size, position, class_name="box", instance_id=number, quaternion=quaternion)
    return Scene(builder.build(), moving if moving is not None else empty_primitives(), 0 if moving is None else 1)


def take(scene, position, rotation, config=SMALL, lighting=OVERHEAD, frame=0, **options):
    return Camera(config).render(scene, position, rotation, lighting, stream=3, sensor=1, frame=frame, **options)


def world_points(frame):
    """Points (H, W, 3) in map that the pixels show, from depth and intrinsics alone."""
    k = Camera(frame.config).intrinsics
    v, u = np.indices(frame.depth.shape)
    rays = np.stack([(u - k[0, 2]) / k[0, 0], (v - k[1, 2]) / k[1, 1], np.ones(u.shape)], axis=-1)
    return frame.position + (rays * frame.depth[..., None]) @ frame.rotation.T


FLAT = (0.0, 0.0, 0.0, 1.0)


def test_intrinsics():
    k = Camera(CameraConfig(width=101, height=51, horizontal_fov=np.pi / 2)).intrinsics
    assert_allclose(k, [[50.5, 0, 50], [0, 50.5, 25], [0, 0, 1]])


def test_depth_is_planar_not_radial():
    frame = take(floor_scene(), (0.3, -0.2, 4.0), DOWN)
    assert_allclose(frame.depth, 4.0, rtol=1e-6)
    assert frame.depth.dtype == np.float32
    assert (frame.semantic == CLASS_IDS["charger"]).all()
    assert (frame.instance == 0).all()


def test_a_box_fills_the_pixels_that_projection_says():
    frame = take(floor_scene((BOX, (0.5, 0.3, 0.25), (0.4, 0.2, 0.25), FLAT)), (0, 0, 3.0), DOWN)
    k = Camera(SMALL).intrinsics
    u0, u1 = (k[0, 0] * np.array([-0.1, 0.9]) / 2.5 + k[0, 2]).tolist()
    v0, v1 = (k[1, 1] * np.array([-0.5, 0.1]) / 2.5 + k[1, 2]).tolist()
    v, u = np.indices(frame.depth.shape)
    lid = (u > u0) & (u < u1) & (v > v0) & (v < v1)
    assert_allclose(frame.depth[lid], 2.5, rtol=1e-6)
    assert (frame.instance[lid] == 1).all()
    assert (frame.semantic[lid] == CLASS_IDS["box"]).all()
    # Outside the lid only side faces, deeper than it, may belong to the box.
    assert (frame.depth[(frame.instance == 1) & ~lid] > 2.5).all()


def test_pixels_of_a_tilted_camera_lie_on_what_they_name():
    scene = floor_scene((SPHERE, (0.6,), (4, 0.5, 0.6), FLAT), (BOX, (0.2, 2, 1), (6, 0, 1), FLAT))
    position, rotation = mounted(np.array([0, 0, 0.1]), np.array([0, 0, 1.2, 0.1, 0.15, 0]))
    frame = take(scene, position, optical(rotation))
    sky = np.isinf(frame.depth)
    points = world_points(dataclasses.replace(frame, depth=np.where(sky, 0, frame.depth)))
    ball, floor, box = frame.instance == 1, frame.semantic == CLASS_IDS["charger"], frame.instance == 2
    assert min(ball.sum(), floor.sum(), box.sum()) > 100
    assert_allclose(np.linalg.norm(points[ball] - [4, 0.5, 0.6], axis=1), 0.6, atol=1e-5)
    assert_allclose(points[floor][:, 2], 0, atol=1e-5)
    assert_allclose(np.abs((points[box] - [6, 0, 1]) / [0.2, 2, 1]).max(axis=1), 1, atol=1e-4)
    assert sky.any()
    assert (frame.semantic[sky] == 0).all()
    assert (frame.instance[sky] == 0).all()


def test_far_and_near_limit_the_view():
    scene = floor_scene((BOX, (0.5, 0.5, 0.5), (0, 0, 0.5), FLAT))
    config = CameraConfig(width=96, height=72, far=3.5, **NOISELESS)
    frame = take(scene, (0, 0, 4), DOWN, config)
    assert_allclose(frame.depth[36, 48], 3.0, rtol=1e-6)
    assert np.isinf(frame.depth[0, 0])
    buried = take(scene, (0, 0, 0.5), DOWN)
    assert (buried.depth == np.float32(SMALL.near)).all()
    assert (buried.instance == 1).all()


def expected_level(color, key, ambient_factor, ambient, tint=(1, 1, 1)):
    light = srgb_to_linear(color) * (key * np.array(tint) + ambient * np.array(ambient_factor))
    return linear_to_srgb(light)


SKY = (1.02, 1.06, 1.12)


def test_lambert_in_linear_light():
    for angle in (0.0, 0.7, 1.2):
        lighting = Lighting(direction=(np.sin(angle), 0.0, -np.cos(angle)), key=0.5, ambient=0.2)
        frame = take(floor_scene(color=(150, 120, 90)), (0, 0, 2), DOWN, lighting=lighting)
        expected = expected_level((150, 120, 90), 0.5 * np.cos(angle), SKY, 0.2)
        assert_allclose(frame.rgb.reshape(-1, 3), np.tile(np.rint(expected), (96 * 72, 1)), atol=1.01)


def test_warm_and_cold_light():
    warm, cold = light_color(2700), light_color(9000)
    assert_allclose(light_color(5000), [1, 1, 1], atol=1e-12)
    assert warm[0] > 1.3 > warm[1] > warm[2]
    assert cold[2] > 1.1 > cold[1] > cold[0]
    for color in (warm, cold):
        assert color @ [0.2126, 0.7152, 0.0722] == pytest.approx(1)
    frame = take(floor_scene(), (0, 0, 2), DOWN, lighting=Lighting(direction=(0, 0, -1), temperature=2700))
    assert frame.rgb[0, 0, 0] > frame.rgb[0, 0, 2] + 20


def test_black_body_colours_against_published_chromaticities():
    # Planckian locus, CIE 1931: 3000 K (0.4369, 0.4041), 6500 K (0.3135, 0.3237); ratios to the one at 5000 K.
    def linear(x, y):
        xyz = np.array([x / y, 1, (1 - x - y) / y])
        return np.linalg.solve(
            [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], xyz
        )  # fmt: skip

    neutral = linear(0.3451, 0.3516)
    for kelvin, chromaticity in ((3000, (0.4369, 0.4041)), (6500, (0.3135, 0.3237))):
        expected = linear(*chromaticity) / neutral
        expected /= expected @ [0.2126, 0.7152, 0.0722]
        assert_allclose(light_color(kelvin), expected, rtol=0.02)


def test_a_shadow_falls_where_geometry_says():
    # A plate at 1 m height, light at 45 degrees along +x: the shadow is the plate moved by 1 m.
    lighting = Lighting(direction=(1.0, 0.0, -1.0), key=0.6, ambient=0.3)
    plate = (BOX, (0.3, 0.3, 0.001), (-1.5, 0, 1.0), FLAT)
    frame = take(floor_scene(plate), (0.0, 0, 3.0), DOWN, CameraConfig(width=192, height=144, **NOISELESS), lighting)
    points = world_points(frame)
    floor = frame.semantic == CLASS_IDS["charger"]
    x, y = points[..., 0] + 0.5, points[..., 1]
    inside = floor & (np.maximum(np.abs(x), np.abs(y)) < 0.29)
    outside = floor & (np.maximum(np.abs(x), np.abs(y)) > 0.31)
    lit = np.rint(expected_level((160,) * 3, 0.6 * np.sqrt(0.5), SKY, 0.3))
    dark = np.rint(expected_level((160,) * 3, 0.0, SKY, 0.3))
    assert inside.sum() > 400
    assert_allclose(frame.rgb[outside], np.tile(lit, (outside.sum(), 1)), atol=1.01)
    # Nothing else dims the ambient light of a plate this thin by more than a few levels.
    assert_allclose(frame.rgb[inside], np.tile(dark, (inside.sum(), 1)), atol=4)


def test_corners_get_less_ambient_light():
    walls = [(BOX, (0.2, 2, 2), (x, 0, 2), FLAT) for x in (-0.9, 0.9)]
    lighting = Lighting(direction=(0, 0, -1), key=0.0, ambient=0.6)
    frame = take(floor_scene(*walls), (0, 0, 1.5), DOWN, lighting=lighting)
    open_floor = take(floor_scene(), (0, 0, 1.5), DOWN, lighting=lighting)
    assert frame.rgb[36, 48].mean() < open_floor.rgb[36, 48].mean() - 10


def test_objects_of_one_colour_differ_and_parts_of_one_object_do_not():
    builder = PrimitiveBuilder()
    for number in range(12):
        for part in range(2):
            builder.box(
                (0.1, 0.1, 0.1), (number, part, 0), class_name="charger", instance_id=number + 1, color=(180, 140, 90)
            )
    scene = Scene(builder.build(), empty_primitives(), 0)
    tint = scene.looks[:, 0] / srgb_to_linear(180)
    assert_array_equal(scene.looks[0::2], scene.looks[1::2])
    assert len(set(tint.tolist())) == 12
    assert 0.92 < tint.min() < tint.max() < 1.08


def test_read_and_shot_noise_have_the_stated_deviation():
    for color, noise, shot in (((128, 128, 128), 4.0, 0.0), ((190, 190, 190), 0.0, 6.0), ((90, 90, 90), 3.0, 5.0)):
        config = CameraConfig(width=200, height=150, noise=noise, shot_noise=shot)
        scene = floor_scene(color=color)
        noisy = take(scene, (0, 0, 2), DOWN, config).rgb.astype(float)
        level = expected_level(color, 0.6, SKY, 0.3)
        deviation = np.sqrt(noise**2 + shot**2 * level / 255 + 1 / 12)  # Rounding adds 1/12.
        assert_allclose(noisy.mean(axis=(0, 1)), level, atol=0.15)
        assert_allclose(noisy.std(axis=(0, 1)), deviation, rtol=0.03)
        channels = noisy.reshape(-1, 3)
        assert np.abs(np.corrcoef(channels.T) - np.eye(3)).max() < 0.03


def test_noise_touches_only_the_picture_and_depends_on_the_frame():
    scene = floor_scene((SPHERE, (0.6,), (0.2, 0.1, 0.6), FLAT))
    noisy = CameraConfig(width=96, height=72, noise=5.0)
    clean, one, again, two = (
        take(scene, (0, 0, 3), DOWN, SMALL),
        take(scene, (0, 0, 3), DOWN, noisy),
        take(scene, (0, 0, 3), DOWN, noisy),
        take(scene, (0, 0, 3), DOWN, noisy, frame=1),
    )
    assert_array_equal(one.rgb, again.rgb)
    assert (one.rgb != two.rgb).mean() > 0.5
    for other in (one, two):
        for name in ("depth", "instance", "semantic"):
            assert_array_equal(getattr(other, name), getattr(clean, name))


def test_the_carrier_is_not_seen_but_its_shadow_is():
    body = PrimitiveBuilder()
    body.box((0.3, 0.3, 0.05), (0, 0, 0), class_name="amr", instance_id=9, body=0)
    scene = floor_scene(moving=body.build())
    scene.update([[0, 0, 1.0, 0, 0, 0, 1]])
    seen = take(scene, (0, 0, 3), DOWN)
    hidden = take(scene, (0, 0, 3), DOWN, exclude_body=0)
    assert (seen.instance == 9).any()
    assert not (hidden.instance == 9).any()
    assert hidden.rgb[36, 48].mean() < hidden.rgb[2, 2].mean() - 20


def test_an_empty_scene_is_a_plain_picture():
    frame = take(Scene(empty_primitives(), empty_primitives(), 0), (0, 0, 1), DOWN)
    assert np.isinf(frame.depth).all()
    assert (frame.semantic == 0).all()
    assert np.ptp(frame.rgb.reshape(-1, 3), axis=0).max() < 30


def test_srgb_round_trip_and_known_values():
    levels = np.arange(256)
    assert_allclose(linear_to_srgb(srgb_to_linear(levels)), levels, atol=1e-3)
    assert_allclose(srgb_to_linear([0, 10, 188, 255]), [0, 0.0030353, 0.5028865, 1], rtol=1e-4)
    assert_allclose(linear_to_srgb([-1.0, 2.0]), [0, 255])


@pytest.mark.parametrize(
    ("position", "rotation"),
    [
        ((0, np.nan, 1), DOWN),
        ((0, 0, 1), np.full((3, 3), np.inf)),
        ((0, 0, 1), DOWN * 1.01),
        ((0, 0, 1), -DOWN),
        ((0, 0, 1, 0), DOWN),
        ((0, 0, 1), np.zeros((3, 4))),
    ],
)
def test_bad_poses_are_refused(position, rotation):
    with pytest.raises(InputError, match=r"the pose is not finite|do not fit"):
        take(floor_scene(), position, rotation)


def edge_scene(half=2.0):
    """A white wall at x = 5 m whose edge at y = 0 faces the camera; nothing else."""
    builder = PrimitiveBuilder()
    builder.box((0.1, half, 20.0), (5.1, -half, 0), class_name="charger", instance_id=1, color=(255, 255, 255))
    return Scene(builder.build(), empty_primitives(), 0)


def edge_columns(frame):
    """Column at which the wall's edge crosses each row, from the ids: the wall is to the right of it."""
    return frame.instance.shape[1] - (frame.instance == 1).sum(axis=1)


LEVEL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""Looks along map x, level."""
HEADLIGHT = Lighting(direction=(1.0, 0.0, -1e-6), key=0.6, ambient=0.0)


def test_supersampling_covers_edges_by_area_and_keeps_the_ids():
    # A plate turned by a small angle: with n x n samples the coverage of an edge pixel is in steps of 1 / n^2.
    c = CameraConfig(width=96, height=72, **NOISELESS)
    scene = floor_scene((BOX, (0.5, 0.5, 0.0005), (0, 0, 1.0), (0, 0, np.sin(0.05), np.cos(0.05))))
    plain = take(scene, (0, 0, 3.0), DOWN, c)
    for n in (2, 3, 4):
        fine = take(scene, (0, 0, 3.0), DOWN, c.model_copy(update={"supersampling": n}))
        for name in ("depth", "instance", "semantic"):
            assert_array_equal(getattr(fine, name), getattr(plain, name))
        # The mean of the light is that of a picture of n times the size, to the rounding of grey levels.
        big = take(scene, (0, 0, 3.0), DOWN, c.model_copy(update={"width": 96 * n, "height": 72 * n}))
        samples = srgb_to_linear(big.rgb).reshape(72, n, 96, n, 3).mean(axis=(1, 3))
        assert_allclose(fine.rgb, np.rint(linear_to_srgb(samples)), atol=3)


def test_a_rolling_shutter_skews_a_vertical_edge():
    rate, readout = 0.8, 0.1
    config = CameraConfig(width=160, height=120, readout_time=readout, **NOISELESS)
    motion = CameraMotion((0, 0, 0), (0, 0, rate))
    frame = take(edge_scene(half=8.0), (0, 0, 0), LEVEL, config, motion=motion)
    # Turning left, an edge straight ahead moves right: u = cx + f tan(rate t), t from -readout / 2 to readout / 2.
    t = (np.arange(120) / 119 - 0.5) * readout
    expected = np.ceil(config.center[0] + config.focal * np.tan(rate * t))
    assert np.abs(edge_columns(frame) - expected).max() <= 1
    assert np.ptp(expected) > 6
    still = take(edge_scene(half=8.0), (0, 0, 0), LEVEL, config)
    assert np.ptp(edge_columns(still)) == 0


def test_motion_blur_is_as_wide_as_the_way():
    speed, exposure = 6.0, 0.05
    config = CameraConfig(width=160, height=24, exposure_time=exposure, blur_samples=48, **NOISELESS)
    scene = edge_scene(half=8.0)
    blurred = take(scene, (0, 0, 0), LEVEL, config, HEADLIGHT, motion=CameraMotion((0, speed, 0), (0, 0, 0)))
    sharp = take(scene, (0, 0, 0), LEVEL, config, HEADLIGHT)
    light = srgb_to_linear(blurred.rgb[12])[:, 1].astype(float)
    ends = srgb_to_linear(sharp.rgb[12])[:, 1].astype(float)
    share = (light - ends[0]) / (ends[-1] - ends[0])
    # Moving left by speed * exposure, the edge moves right by that, times f / depth; light ramps evenly across.
    width = config.focal * speed * exposure / 5.0
    u = np.arange(160) - config.center[0]
    assert width > 4
    assert_allclose(share, np.clip(u / width + 0.5, 0, 1), atol=1.5 / width * 0.5 + 0.02)
    for name in ("depth", "instance"):
        assert_array_equal(getattr(blurred, name), getattr(sharp, name))


def test_moving_bodies_blur_and_the_scene_is_left_as_it_was():
    body = PrimitiveBuilder()
    body.box((0.3, 0.3, 0.05), (0, 0, 0), class_name="amr", instance_id=9, body=0, color=(255, 255, 255))
    scene = floor_scene(moving=body.build(), color=(20, 20, 20))
    pose = np.array([[0, 0, 0.5, 0, 0, 0, 1.0]])
    scene.update(pose)
    config = CameraConfig(width=96, height=72, exposure_time=0.1, blur_samples=9, **NOISELESS)
    motion = CameraMotion((0, 0, 0), (0, 0, 0), [[3.0, 0, 0, 0, 0, 0]])
    blurred = take(scene, (0, 0, 3), DOWN, config, motion=motion)
    sharp = take(scene, (0, 0, 3), DOWN, config)
    assert_array_equal(blurred.instance, sharp.instance)
    row = blurred.rgb[36, :, 1].astype(int)
    assert ((row > row.min() + 10) & (row < row.max() - 10)).sum() > 4
    assert_array_equal(scene.world_primitives().position[-1], [0, 0, 0.5])


def test_normals_are_the_surfaces_own():
    scene = floor_scene((SPHERE, (0.6,), (0.3, 0.2, 0.6), FLAT), (BOX, (0.2, 0.2, 0.4), (-0.9, 0, 0.4), FLAT))
    frame = take(scene, (0, 0, 3.0), DOWN, outputs={"normals"})
    points, normals = world_points(frame), frame.normals @ DOWN.T
    ball = frame.instance == 1
    expected = points - [0.3, 0.2, 0.6]
    assert_allclose(normals[ball], (expected / np.linalg.norm(expected, axis=2, keepdims=True))[ball], atol=1e-4)
    assert_allclose(
        normals[frame.semantic == CLASS_IDS["charger"]], [[0, 0, 1]] * (frame.instance == 0).sum(), atol=1e-6
    )
    lid = (frame.instance == 2) & (np.abs(frame.depth - 2.2) < 1e-4)
    assert lid.any()
    assert_allclose(normals[lid], np.tile([0, 0, 1.0], (lid.sum(), 1)), atol=1e-6)
    assert (frame.rgb == take(scene, (0, 0, 3.0), DOWN).rgb).all()


def test_motion_of_a_moving_box_and_of_a_turning_camera():
    body = PrimitiveBuilder()
    body.box((0.4, 0.4, 0.25), (0, 0, 0.25), class_name="amr", instance_id=9, body=0)
    scene = floor_scene(moving=body.build())
    scene.update([[0, 0, 0, 0, 0, 0, 1]])
    turn = 0.1
    before = [[-0.2, 0.1, 0, 0, 0, np.sin(turn / 2), np.cos(turn / 2)]]
    frame = take(scene, (0, 0, 3), DOWN, outputs={"motion"}, earlier=EarlierView((0, 0, 3), DOWN, before))
    lid = (frame.instance == 9) & (np.abs(frame.depth - 2.5) < 1e-4)
    xy = world_points(frame)[..., :2]
    earlier_xy = xy @ [[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]] + [-0.2, 0.1]
    expected = (xy - earlier_xy) * [1, -1] * SMALL.focal / 2.5
    assert_allclose(frame.motion[lid], expected[lid], atol=1e-3)
    assert_allclose(frame.motion[frame.instance == 0], 0, atol=1e-4)

    # Turning about the vertical takes pixels along, whatever their depth, sky included.
    turned = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]).T @ LEVEL
    view = take(scene, (0, 0, 1), LEVEL, outputs={"motion"}, earlier=EarlierView((0, 0, 1), turned, scene._pose))
    c = SMALL.center
    angle = np.arctan((np.arange(96) - c[0]) / SMALL.focal)
    expected = np.arange(96) - (c[0] + SMALL.focal * np.tan(angle - turn))
    assert_allclose(view.motion[36, :, 0], expected, atol=1e-3)


def test_a_batch_is_the_pictures_one_by_one():
    scene = floor_scene((SPHERE, (0.6,), (0.2, 0.1, 0.6), FLAT))
    camera = Camera(CameraConfig(width=96, height=72, auto_exposure=True, row_nonuniformity=0.01))
    places = [(0, 0, 3), (0.5, 0, 2.5), (0, 0.4, 2)]
    options = {"stream": 4, "frame": 7}
    batch = camera.render_batch(scene, places, [DOWN] * 3, OVERHEAD, sensors=(0, 3, 5), **options)
    set_threads(3)
    try:
        threaded = camera.render_batch(scene, places, [DOWN] * 3, OVERHEAD, sensors=(0, 3, 5), **options)
    finally:
        set_threads(1)
    for one, other in zip(batch, threaded, strict=True):
        assert_array_equal(one.rgb, other.rgb)
        assert_array_equal(one.depth, other.depth)
    for place, sensor, frame in zip(places, (0, 3, 5), batch, strict=True):
        alone = camera.render(scene, place, DOWN, OVERHEAD, sensor=sensor, **options)
        for name in ("rgb", "depth", "instance", "semantic"):
            assert_array_equal(getattr(frame, name), getattr(alone, name))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"outputs": {"flow"}}, "not known"),
        ({"outputs": {"motion"}}, "needs earlier"),
        ({"motion": CameraMotion((0, np.nan, 0), (0, 0, 0))}, "velocity"),
        ({"motion": CameraMotion((0, 0, 0), (0, 0, 0), np.zeros((3, 6)))}, "body_velocity"),
        ({"outputs": {"motion"}, "earlier": EarlierView((0, 0, 1), DOWN, np.zeros((2, 7)))}, "earlier body poses"),
    ],
)
def test_bad_motion_and_outputs_are_refused(options, match):
    with pytest.raises(InputError, match=match):
        take(floor_scene(), (0, 0, 1), DOWN, CameraConfig(width=16, height=12, exposure_time=0.01), **options)
