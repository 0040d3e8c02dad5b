"""Lenses against OpenCV's projection, and pictures through them against the ray caster pixel by pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.testing import assert_allclose
from pydantic import ValidationError

from floorcast.common.geometry import mounted, optical, rotation_matrix
from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, TRIANGLE, PrimitiveBuilder
from floorcast.perception.camera import Camera
from floorcast.perception.config import CameraConfig, Lighting
from floorcast.perception.optics import pixel_rays, project, unproject
from floorcast.perception.scene import Scene, empty_primitives

BARREL = CameraConfig(
    width=160, height=120, horizontal_fov=1.8, k1=-0.28, k2=0.07, p1=0.001, p2=-0.0006, k3=-0.004, center_offset=(3, -5)
)
FISHEYE = CameraConfig(
    width=160, height=120, lens="fisheye", horizontal_fov=3.49, k1=-0.02, k2=0.003, k3=-0.0004, k4=1e-5
)
ALLOWED = 1e-4
"""Share of pixels of any one picture that may differ from the caster's."""


def matrix(config):
    return np.array([[config.focal, 0, config.center[0]], [0, config.focal, config.center[1]], [0, 0, 1]])


def points(rng, count=2000):
    return rng.uniform((-1.2, -0.9, 1), (1.2, 0.9, 1), (count, 3)) * rng.uniform(0.3, 30, (count, 1))


def test_brown_conrady_is_opencvs():
    xyz = points(np.random.default_rng(1))
    c = BARREL
    expected = cv2.projectPoints(xyz, np.zeros(3), np.zeros(3), matrix(c), np.array([c.k1, c.k2, c.p1, c.p2, c.k3]))
    pixels, seen = project(xyz, c)
    assert seen.all()
    assert_allclose(pixels, expected[0][:, 0], atol=1e-9)
    assert_allclose(unproject(pixels, c), xyz / xyz[:, 2:], atol=1e-9)


def test_fisheye_is_opencvs_and_goes_on_beyond_90_degrees():
    rng = np.random.default_rng(2)
    xyz, c = points(rng), FISHEYE
    expected = cv2.fisheye.projectPoints(
        xyz[:, None], np.zeros(3), np.zeros(3), matrix(c), np.array([c.k1, c.k2, c.k3, c.k4])
    )
    pixels, seen = project(xyz, c)
    assert seen.all()
    assert_allclose(pixels, expected[0][:, 0], atol=1e-9)
    around = rng.normal(size=(3000, 3))
    around /= np.linalg.norm(around, axis=1, keepdims=True)
    pixels, seen = project(around, c)
    assert seen[around[:, 2] > -0.5].all()
    assert_allclose(unproject(pixels[seen], c), around[seen], atol=1e-9)
    # The picture's edges see half the stated angle off the axis.
    left = unproject([[-0.5, c.center[1]]], c)[0]
    assert np.arccos(left[2]) == pytest.approx(c.horizontal_fov / 2, abs=1e-9)


def test_the_inverse_converges_right_up_to_the_fold():
    for k1 in (-0.05, -0.2, -0.35):
        fold = np.sqrt(-1 / (3 * k1))
        config = CameraConfig(width=8, height=8, horizontal_fov=0.5, k1=k1)
        r = np.linspace(0, 0.9999, 500) * fold
        angle = np.linspace(0, 6, 500)
        xyz = np.stack([r * np.cos(angle), r * np.sin(angle), np.ones(500)], axis=1)
        pixels, seen = project(xyz, config)
        assert seen.all()
        assert_allclose(unproject(pixels, config), xyz, atol=1e-5)
        beyond, seen = project([[1.01 * fold, 0, 1], [0, 0, -1], [0, 0, 0]], config)
        assert not seen.any()
        assert np.isnan(beyond).all()


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"k1": -2.0}, "k1, k2, k3, p1, p2"),
        ({"k1": 1.0, "k2": -3.0}, "k1, k2, k3, p1, p2"),
        ({"p1": 1.0}, "k1, k2, k3, p1, p2"),
        ({"lens": "fisheye", "horizontal_fov": 3.4, "k1": -0.3}, "k1, k2, k3, k4"),
        ({"k4": 0.1}, "k4"),
        ({"lens": "fisheye", "p1": 0.1}, "p1 and p2"),
        ({"horizontal_fov": 3.2}, "horizontal_fov"),
        ({"k1": float("nan")}, "k1"),
        ({"center_offset": (1e9, 0)}, "center_offset"),
        ({"exposure": 0}, "exposure"),
        ({"exposure_limits": (2, 1)}, "exposure_limits"),
        ({"read_noise": 3}, "full_well"),
        ({"white_balance": (1, 0, 1)}, "white_balance"),
    ],
)
def test_absurd_settings_are_refused_by_name(settings, match):
    with pytest.raises(ValidationError, match=match):
        CameraConfig(**settings)


def clutter(rng, count=120):
    builder = PrimitiveBuilder()
    builder.add(PLANE, (0,), (0, 0, 0), class_name="floor")
    for number in range(count):
        kind = (BOX, CYLINDER, CAPSULE, SPHERE, TRIANGLE)[number % 5]
        quaternion = rng.normal(size=4) if number % 2 else np.array([0, 0, *rng.normal(size=2)])
        size = rng.uniform(0.05, 0.5, 3)
        if kind == TRIANGLE:
            size[1] = rng.uniform(-1, 1) * size[0]
        place = rng.uniform((-8, -8, 0), (8, 8, 3))
        quaternion /= np.linalg.norm(quaternion)
        builder.add(kind, size, place, class_name="box", instance_id=number + 1, quaternion=quaternion)
    return Scene(builder.build(), empty_primitives(), 0)


@pytest.mark.parametrize("config", [BARREL, FISHEYE], ids=["barrel", "fisheye"])
def test_depth_and_ids_through_a_lens_are_the_ray_casters(config):
    rng = np.random.default_rng(5)
    rays = pixel_rays(config)
    lengths = np.linalg.norm(rays, axis=2)
    for _ in range(6):
        scene = clutter(rng)
        turn = rotation_matrix((q := rng.normal(size=4)) / np.linalg.norm(q))
        position = np.array([0.0, 0.0, 1.5])
        frame = Camera(config).render(scene, position, turn, Lighting(), stream=0, sensor=0, frame=0)
        hits = scene.cast(position, (rays / lengths[..., None]).reshape(-1, 3) @ turn.T)
        depth = hits.range.reshape(lengths.shape) / lengths
        ids = np.append(scene.instance_id, 0)[hits.index].reshape(lengths.shape)
        outside = (depth > config.far) | (depth < config.near)
        depth[outside], ids[outside & (depth > config.far)] = np.inf, 0
        same = np.isclose(frame.depth, depth, rtol=1e-4) & (frame.instance == ids)
        near = outside & (hits.range.reshape(lengths.shape) == 0)
        assert (same | near).mean() >= 1 - ALLOWED
        assert not np.isnan(frame.depth).any()


def test_a_lens_without_distortion_is_a_pinhole():
    scene = clutter(np.random.default_rng(7))
    position, rotation = mounted(np.zeros(3), np.array([0, 0, 1.2, 0.1, 0.2, 0.3]))
    plain = CameraConfig(width=96, height=72, noise=0, shot_noise=0)
    bent = plain.model_copy(update={"k3": 1e-15})
    frames = [
        Camera(c).render(scene, position, optical(rotation), Lighting(), stream=0, sensor=0, frame=0)
        for c in (plain, bent)
    ]
    same = np.isclose(frames[0].depth, frames[1].depth, rtol=1e-5)
    assert same.mean() > 0.999
    assert (frames[0].rgb == frames[1].rgb).all(axis=2)[same].mean() > 0.99


def test_a_fisheye_is_black_where_its_lens_images_nothing():
    config = CameraConfig(
        width=120, height=90, lens="fisheye", horizontal_fov=3.4, k1=-0.05, k2=-0.002, k3=-0.002, center_offset=(20, 0)
    )
    blind = np.isnan(pixel_rays(config)).any(axis=2)
    assert 0.02 < blind.mean() < 0.5
    scene = Scene(empty_primitives(), empty_primitives(), 0)
    quiet = config.model_copy(update={"noise": 0.0, "shot_noise": 0.0})
    frame = Camera(quiet).render(scene, (0, 0, 1), np.eye(3), Lighting(), stream=0, sensor=0, frame=0)
    assert (frame.rgb[blind] == 0).all()
    assert (frame.rgb[~blind] > 0).all()
