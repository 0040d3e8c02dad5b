"""Render the pictures of a generated warehouse that the documentation shows.

    python benchmarks/render_pictures.py docs/images

Rendered at twice the size and averaged down; the same seed gives the same pictures.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from floorcast.common.geometry import mounted, optical
from floorcast.common.primitives import Primitives
from floorcast.common.seeding import generator
from floorcast.episodes.people import person_shape
from floorcast.episodes.randomization import sample_scenario
from floorcast.episodes.scenario import LayoutSource, load_scenario
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.geometry import layout_solids
from floorcast.layouts.model import Layout
from floorcast.layouts.recipe import LayoutRecipe
from floorcast.perception.appearance import Appearance
from floorcast.perception.camera import Camera
from floorcast.perception.config import CameraConfig, Lighting
from floorcast.perception.datasets.overlay import draw_labels
from floorcast.perception.frames import CameraFrame
from floorcast.perception.labels import label_frame
from floorcast.perception.scene import Scene
from floorcast.robots.urdf import load_shape

SEED = 4
SUPERSAMPLING = 2
LIGHT = Lighting(key=0.55, ambient=0.3, lamps=0.5)


def moved(shape: Primitives, body: int, instance_id: int) -> Primitives:
    count = len(shape)
    fields = {"body": np.full(count, body, np.int32), "instance_id": np.full(count, instance_id, np.int32)}
    return Primitives(**{**vars(shape), **fields})


def place_along(layout: Layout, aisle: int, share: float, side: float, turn: float) -> list[float]:
    """Pose (7,) at a share of an aisle's length, ``side`` metres left of its middle, turned from its direction."""
    line = layout.aisles[aisle]
    start, end = np.array(line.start), np.array(line.end)
    along = (end - start) / np.linalg.norm(end - start)
    x, y = start + share * (end - start) + side * np.array([-along[1], along[0]])
    yaw = float(np.arctan2(along[1], along[0])) + turn
    return [x, y, 0.0, 0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2)]


def build(layout: Layout, appearance: Appearance | None = None) -> Scene:
    solids = layout_solids(layout)
    rng = generator(SEED, "pictures")
    poses: list[list[float]] = []
    parts: list[Primitives] = []
    for aisle in range(len(layout.aisles)):
        for robot, share, side, turn in ((True, 0.42, 0.35, 0.1), (False, 0.3, -0.7, 2.6), (False, 0.6, 0.5, 0.4)):
            body, instance = len(poses), solids.next_instance_id + len(poses)
            shape = load_shape("amr.urdf") if robot else person_shape(body, rng, body=body, instance_id=instance)
            parts.append(moved(shape, body, instance))
            poses.append(place_along(layout, aisle, share, side, turn + float(rng.normal(0, 0.2))))
    loose = solids.loose
    parts.append(Primitives(**{**vars(loose), "body": (loose.body + len(poses)).astype(np.int32)}))
    pose = np.vstack([np.array(poses), solids.loose_pose])
    scene = Scene(solids.static, Primitives.concatenate(parts), len(pose), lamps=solids.lamps, appearance=appearance)
    scene.update(pose)
    return scene


def take(
    scene: Scene, base: list[float], height: float, pitch: float, size: tuple[int, int], fov: float
) -> CameraFrame:
    yaw = 2 * np.arctan2(base[5], base[6])
    position, rotation = mounted(np.array([base[0], base[1], yaw]), np.array([0, 0, height, 0, pitch, 0]))
    config = CameraConfig(
        width=SUPERSAMPLING * size[0],
        height=SUPERSAMPLING * size[1],
        horizontal_fov=fov,
        noise=1.5 * SUPERSAMPLING,
        shot_noise=1.0,
    )
    return Camera(config).render(scene, position, optical(rotation), LIGHT, stream=SEED, sensor=0, frame=0)


def reduced(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def hues(ids: np.ndarray) -> np.ndarray:
    """Colour whole numbers so that neighbours differ; 0 is dark grey. RGB."""
    hue = ((ids.astype(np.int64) * 67) % 180).astype(np.uint8)
    value = (170 + (ids.astype(np.int64) * 37) % 86).astype(np.uint8)
    hsv = np.stack([hue, np.full_like(hue, 170), value], axis=-1)
    rgb = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    rgb[ids == 0] = 58
    return rgb


def depth_colors(depth: np.ndarray) -> np.ndarray:
    near = np.where(np.isinf(depth), 0.0, 1.0 / np.maximum(depth, 0.8))
    colored = cv2.applyColorMap((255 * near / near.max()).astype(np.uint8), cv2.COLORMAP_TURBO)
    return cv2.cvtColor(colored, cv2.COLOR_BGR2RGB)


def save(path: Path, rgb: np.ndarray) -> None:
    cv2.imwrite(str(path), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    print(f"{path}  {rgb.shape[1]} x {rgb.shape[0]}, {path.stat().st_size // 1024} KiB")


def randomizations(layout: Layout, count: int, size: tuple[int, int]) -> list[np.ndarray]:
    """One aisle as the scenario ``nominal`` randomizes it from episode to episode, with the labels drawn."""
    nominal = load_scenario("nominal")
    scenario = nominal.model_copy(update={"layout": LayoutSource(fixed=layout)})
    lanes = [i for i, aisle in enumerate(layout.aisles) if np.hypot(*np.subtract(aisle.end, aisle.start)) > 15]
    eye = place_along(layout, lanes[len(lanes) // 2], 0.16, 0.1, -0.12)
    position, rotation = mounted(
        np.array([eye[0], eye[1], 2 * np.arctan2(eye[5], eye[6])]), np.array([0, 0, 0.9, 0, 0.04, 0])
    )
    pictures = []
    for index in range(count):
        sampled = sample_scenario(scenario, SEED, index)
        scene = build(sampled.layout, sampled.appearance)
        config = sampled.camera.model_copy(update={"width": size[0], "height": size[1]})
        frame = Camera(config).render(
            scene, position, optical(rotation), sampled.lighting, stream=SEED, sensor=0, frame=index
        )
        labels = label_frame(frame, scene.world_primitives())
        near = [label for label in labels if label.distance_m < 9.0 and label.class_name != "rack"]
        pictures.append(draw_labels(frame.rgb, near, opacity=0.15, text=False))
    return pictures


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    layout = generate_layout(LayoutRecipe(area=1000, fill=0.8), SEED)
    scene = build(layout)
    corner = [
        1.2,
        1.2,
        0,
        0,
        0,
        *(f(0.5 * np.arctan2(0.62 * layout.width, 0.8 * layout.length)) for f in (np.sin, np.cos)),
    ]
    wide = (1200, 640)
    save(folder / "warehouse.jpg", reduced(take(scene, corner, 5.4, 0.36, wide, 1.3).rgb, wide))
    lanes = [i for i, aisle in enumerate(layout.aisles) if np.hypot(*np.subtract(aisle.end, aisle.start)) > 15]
    size = (600, 400)
    eye = place_along(layout, lanes[len(lanes) // 2], 0.16, 0.1, -0.12)
    frame = take(scene, eye, 1.1, 0.06, size, 1.25)
    step = slice(None, None, SUPERSAMPLING)
    panels = [
        reduced(frame.rgb, size),
        depth_colors(frame.depth[step, step]),
        hues(frame.instance[step, step]),
        hues(frame.semantic[step, step]),
    ]
    save(folder / "camera.jpg", np.vstack([np.hstack(panels[:2]), np.hstack(panels[2:])]))

    sheet = randomizations(layout, 12, (480, 320))
    save(folder / "randomization.jpg", np.vstack([np.hstack(sheet[k : k + 4]) for k in (0, 4, 8)]))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
