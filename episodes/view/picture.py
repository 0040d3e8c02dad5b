"""One picture of an episode from above: the floor plan, and on it all that moves; beside it time, robots and KPIs.

A picture depends on the record and the time alone: equal ones are equal to the bit.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from ...layouts.drawing import plan_picture
from ...layouts.plan import plan_marks
from ...physics.handling import HIDDEN_BELOW
from ...robots.model import RobotModel
from ..routes import FloatArray
from .lettering import Color, Picture, write
from .marks import (
    EVENT_COLORS,
    INK,
    LOAD,
    PERSON,
    ROBOTS,
    SHIFT,
    WHITE,
    circle,
    color_of,
    draw_mark,
    event_words,
    fixed,
)
from .panel import Panel
from .playback import Moment, Playback

PAGE_WIDTH = 1280.0
"""Units across a whole picture: sizes are given in these, so that pictures of all widths look alike."""
LEAST_HEIGHT = 680.0
HALL_HEIGHT = 590.0
"""Units that the hall takes at most from top to bottom."""
PANEL_WIDTH, CAMERA_PANEL_WIDTH = 300.0, 400.0
TRAIL_TIME = 12.0
"""Seconds of a robot's way that are shown behind it."""
PERSON_TRAIL_TIME = 5.0
MARK_TIME = 8.0
"""Seconds for which an incident that is neither contact nor near miss stays on the plan."""
FRESH_TIME = 2.5
"""Seconds for which something new is ringed and named."""
MOVED = 0.05
"""A loose good counts as moved from this distance on [m]."""
PAPER: Color = (255, 255, 255)
FORKLIFT: Color = (245, 184, 20)
MARKED = ("collision", "near_miss", "estop", "stuck", "timeout", "planning_failed", "fault", "disturbance")
SPILL: Color = (176, 204, 222)
LASTING = ("collision", "near_miss")


class TopView:
    """Draws an episode.

    Args:
        playback: the episode.
        width: of a picture [pixels]; made even.
        camera: robot whose picture is shown beside the plan, and its aspect ratio, width to height; None for none.

    Attributes:
        width, height: of a picture [pixels], both even.
    """

    def __init__(self, playback: Playback, width: int, camera: tuple[int, float] | None = None) -> None:
        self._playback, self._unit = playback, width / PAGE_WIDTH
        panel = PANEL_WIDTH if camera is None else CAMERA_PANEL_WIDTH
        layout = playback.layout.model_copy(
            update={"goods": tuple(good for good in playback.layout.goods if good.rack is not None)}
        )
        # Of the page, some 90 units are the axis and the walls.
        plan = plan_marks(layout, limits=(PAGE_WIDTH - panel - 90.0, HALL_HEIGHT))
        shown = plan_picture(plan, self._unit)
        self.width = 2 * (width // 2)
        self.height = 2 * math.ceil(0.5 * self._unit * max(plan.height, LEAST_HEIGHT))
        self._page = np.empty((self.height, self.width, 3), dtype=np.uint8)
        self._page[:] = PAPER
        rows, columns = min(len(shown), self.height), min(shown.shape[1], self.width)
        self._page[:rows, :columns] = shown[:rows, :columns]
        self._scale = plan.scale * self._unit
        self._origin = self._unit * np.array(plan.origin)
        self._panel = Panel(playback, self._page, (PAGE_WIDTH - panel) * self._unit, self._unit, camera)
        self._outlines = np.array([[0.5 * good.size[0], 0.5 * good.size[1]] for good in playback.loose]).reshape(-1, 2)
        self._marked = [event for event in playback.record.events if event.kind in MARKED]

    def draw(self, moment: Moment, camera: Picture | None = None, *, out: Picture | None = None) -> Picture:
        """Return the picture (H, W, 3) uint8 RGB of a moment.

        Args:
            moment: what to draw.
            camera: what a robot's camera shows then.
            out: a picture to draw over and return; a new one if None.
        """
        picture = np.empty_like(self._page) if out is None else out
        picture[:] = self._page
        self._draw_spills(picture, moment.time)
        self._draw_goods(picture, moment)
        self._draw_trails(picture, moment)
        self._draw_goals(picture, moment)
        self._draw_forklifts(picture, moment)
        self._draw_people(picture, moment)
        self._draw_robots(picture, moment)
        self._draw_events(picture, moment.time)
        self._panel.draw(picture, moment, camera)
        return picture

    def _draw_goods(self, picture: Picture, moment: Moment) -> None:
        start = self._playback.solids.loose_pose
        for k, good in enumerate(self._playback.loose):
            if moment.loose_pose[k, 2] < HIDDEN_BELOW:
                continue
            half = np.maximum(self._outlines[k], 1.5 * self._unit / self._scale)
            moved = math.dist(moment.loose_pose[k, :3], start[k, :3]) > MOVED
            if moved and start[k, 2] > HIDDEN_BELOW:
                self._outline(picture, _corners(_planar(start[k]), half), (150, 150, 150), 1.0)
                way = self.pixels(np.stack([start[k, :2], moment.loose_pose[k, :2]]))
                self._line(picture, way, (150, 150, 150), 1.0)
            corners = _corners(_planar(moment.loose_pose[k]), half)
            self._fill(picture, corners, good.color)
            edge = EVENT_COLORS["collision"] if moved else color_of("good", stroke=True)
            self._outline(picture, corners, edge, 2.0 if moved else 1.0)

    def _draw_spills(self, picture: Picture, time: float) -> None:
        for place, radius in zip(self._playback.patches(time), self._playback.patch_radii, strict=True):
            if place is not None:
                at = self.pixels(place[None])[0]
                self._disc(picture, at, radius * self._scale / self._unit, SPILL)
                self._circle(picture, at, radius * self._scale / self._unit, EVENT_COLORS["disturbance"], 1.2)

    def _draw_trails(self, picture: Picture, moment: Moment) -> None:
        record = self._playback.record
        for p in range(self._playback.people):
            way = self._past(record.person_pose[:, p], moment, PERSON_TRAIL_TIME, moment.person_pose[p])
            self._line(picture, way, (150, 154, 160), 1.4)
        for r in range(self._playback.robots):
            way = self._past(record.pose[:, r], moment, TRAIL_TIME, moment.pose[r])
            self._line(picture, way, WHITE, 4.2)
            self._line(picture, way, ROBOTS[r % len(ROBOTS)], 2.4)

    def _draw_goals(self, picture: Picture, moment: Moment) -> None:
        for r in range(self._playback.robots):
            goal = moment.goal[r]
            if not np.isfinite(goal).all():
                continue
            color = ROBOTS[r % len(ROBOTS)]
            place, at = self.pixels(np.stack([moment.pose[r, :2], goal[:2]]))
            self._dashes(picture, place, at, color)
            self._circle(picture, at, 7.5, WHITE, 4.0)
            self._circle(picture, at, 7.5, color, 2.0)
            tip = at + 13.0 * self._unit * np.array([math.cos(goal[2]), -math.sin(goal[2])])
            self._line(picture, np.stack([at, tip]), color, 2.0)

    def _draw_people(self, picture: Picture, moment: Moment) -> None:
        for p in range(self._playback.people):
            x, y, yaw = moment.person_pose[p]
            at = self.pixels(np.array([[x, y]]))[0]
            radius = max(self._playback.record.person_radius[p] * self._scale / self._unit, 4.5)
            nose = at + 1.7 * radius * self._unit * np.array([math.cos(yaw), -math.sin(yaw)])
            self._line(picture, np.stack([at, nose]), INK, 2.0)
            self._disc(picture, at, radius + 1.2, INK)
            self._disc(picture, at, radius, PERSON)
            self._disc(picture, at, 0.42 * radius, WHITE)

    def _draw_robots(self, picture: Picture, moment: Moment) -> None:
        halves = [self._drawn_half(model) for model in self._playback.sampled.models]
        for r, half in enumerate(halves):
            pose = moment.pose[r]
            color = ROBOTS[r % len(ROBOTS)]
            self._fill(picture, _corners(pose, half + 1.6 * self._unit / self._scale), WHITE)
            self._fill(picture, _corners(pose, half), color)
            if moment.carrying[r]:
                load = _corners(pose, half * (0.62, 0.74), ahead=-0.3 * half[0])
                self._fill(picture, load, LOAD)
                self._outline(picture, load, INK, 1.2)
            nose = np.array([[half[0] * 0.92, 0.0], [half[0] * 0.42, half[1] * 0.8], [half[0] * 0.42, -half[1] * 0.8]])
            self._fill(picture, _turned(pose, nose), WHITE)
            self._outline(picture, _corners(pose, half), INK, 1.2)
        for r, half in enumerate(halves):
            at = self.pixels(moment.pose[r : r + 1, :2])[0]
            away = (math.hypot(*half) * self._scale) + 3.0 * self._unit
            self._label(picture, f"#{r}", (at[0] + 0.75 * away, at[1] - 0.75 * away), 11.5, ROBOTS[r % len(ROBOTS)])

    def _drawn_half(self, model: RobotModel) -> FloatArray:
        """Return half the length and width [m] at which a robot is drawn."""
        # A robot in a large hall is drawn larger than it is, or nobody would find it.
        grow = max(1.0, 15.0 * self._unit / (model.length * self._scale))
        return 0.5 * grow * np.array([model.length, model.width])

    def _draw_forklifts(self, picture: Picture, moment: Moment) -> None:
        """Draw the forklifts that people drive, forks behind, with the load on them."""
        models = self._playback.models[self._playback.robots :]
        for f, (pose, model) in enumerate(zip(moment.forklift_pose, models, strict=True)):
            way = self._past(self._playback.forklift_pose[:, f], moment, PERSON_TRAIL_TIME, pose)
            self._line(picture, way, (150, 154, 160), 1.4)
            half = self._drawn_half(model)
            body = half * (0.6, 1.0)
            for side in (-0.56, 0.56):
                fork = _turned(pose, np.array([[-half[0], side * half[1]], [0.0, side * half[1]]]))
                self._line(picture, self.pixels(fork), INK, 2.4)
            if moment.forklift_load[f]:
                load = _corners(pose, half * (0.4, 0.8), ahead=-0.58 * half[0])
                self._fill(picture, load, LOAD)
                self._outline(picture, load, INK, 1.2)
            self._fill(picture, _corners(pose, body, ahead=0.4 * half[0]), FORKLIFT)
            self._outline(picture, _corners(pose, body, ahead=0.4 * half[0]), INK, 1.2)
            self._label(picture, f"F{f}", tuple(self.pixels(pose[None, :2])[0] + (6.0, -12.0)), 11.5, INK)

    def _draw_events(self, picture: Picture, time: float) -> None:
        for event in self._marked:
            age = time - event.time
            if age < 0 or (event.kind not in LASTING and age > MARK_TIME):
                continue
            at = self.pixels(np.array([event.position]))[0]
            color = EVENT_COLORS[event.kind]
            if age <= FRESH_TIME:
                self._circle(picture, at, 12.0 + 10.0 * (1.0 - age / FRESH_TIME), color, 2.5)
                self._label(picture, event_words(event), (at[0] + 16.0 * self._unit, at[1] + 4.0), 12.5, color)
            draw_mark(picture, event.kind, at, self._unit)

    def _past(self, pose: FloatArray, moment: Moment, seconds: float, now: FloatArray) -> FloatArray:
        """Return the pixels (N, 2) of a way (T, 3) over the last seconds, up to where it has come now."""
        time = self._playback.record.time
        first = int(np.searchsorted(time, moment.time - seconds))
        stride = max(1, (moment.step - first) // 150)
        # Every stride-th step of the whole record, so that the way does not flicker from picture to picture.
        steps = np.arange(-(-first // stride) * stride, moment.step + 1, stride)
        return self.pixels(np.concatenate([pose[steps, :2], now[None, :2]]))

    def pixels(self, points: FloatArray) -> FloatArray:
        """Return where points (N, 2) [m] of ``map`` are in the picture: (N, 2) x, y [pixels]."""
        return np.asarray(self._origin + self._scale * points * (1.0, -1.0))

    def _label(self, picture: Picture, words: str, at: tuple[float, float], size: float, color: Color) -> None:
        write(picture, words, at, size * self._unit, color, bold=True, rim=1.6 * self._unit)

    def _fill(self, picture: Picture, corners: FloatArray, color: Color) -> None:
        cv2.fillConvexPoly(picture, fixed(self.pixels(corners)), color, cv2.LINE_AA, SHIFT)

    def _outline(self, picture: Picture, corners: FloatArray, color: Color, width: float) -> None:
        points = fixed(self.pixels(corners))
        cv2.polylines(picture, [points], True, color, self._pen(width), cv2.LINE_AA, SHIFT)

    def _line(self, picture: Picture, pixels: FloatArray, color: Color, width: float) -> None:
        cv2.polylines(picture, [fixed(pixels)], False, color, self._pen(width), cv2.LINE_AA, SHIFT)

    def _dashes(self, picture: Picture, start: FloatArray, end: FloatArray, color: Color) -> None:
        length, pitch = float(np.hypot(*(end - start))), 9.0 * self._unit
        direction = (end - start) / max(length, 1e-9)
        # Counted from the goal, so that dashes stand still while the robot comes nearer.
        begin = pitch * np.arange(int(length / pitch))
        ends = np.stack([begin, np.minimum(begin + 0.5 * pitch, length)], axis=1)
        dashes = fixed(end - ends[..., None] * direction)
        cv2.polylines(picture, list(dashes), False, color, self._pen(1.5), cv2.LINE_AA, SHIFT)

    def _circle(self, picture: Picture, at: FloatArray, radius: float, color: Color, width: float) -> None:
        circle(picture, at, radius * self._unit, color, self._pen(width))

    def _disc(self, picture: Picture, at: FloatArray, radius: float, color: Color) -> None:
        circle(picture, at, radius * self._unit, color, -1)

    def _pen(self, width: float) -> int:
        return max(1, round(width * self._unit))


def _planar(pose: FloatArray) -> FloatArray:
    """Return x, y, yaw (3,) of a pose (7,)."""
    qx, qy, qz, qw = pose[3:]
    return np.array([pose[0], pose[1], math.atan2(2.0 * (qw * qz + qx * qy), 1.0 - 2.0 * (qy * qy + qz * qz))])


def _corners(pose: FloatArray, half: FloatArray, *, ahead: float = 0.0) -> FloatArray:
    """Return the corners (4, 2) [m] of a rectangle of half extents (2,) at a pose (3,), moved ahead along its x."""
    signs = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    return _turned(pose, signs * half + (ahead, 0.0))


def _turned(pose: FloatArray, points: FloatArray) -> FloatArray:
    """Return points (N, 2) [m] of the frame of a pose (3,) in ``map``."""
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    return np.asarray(pose[:2] + points @ np.array([[cos, sin], [-sin, cos]]))
