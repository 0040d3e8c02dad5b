"""The panel beside the plan: time, what each robot does, KPIs so far, what happened last, and what marks mean."""

from __future__ import annotations

import cv2
import numpy as np

from ..record import Event
from .lettering import Color, Picture, width_of, write
from .marks import EVENT_COLORS, INK, ROBOTS, draw_mark, draw_sign, event_words
from .playback import Moment, Playback

GREY: Color = (96, 106, 117)
PALE: Color = (224, 228, 233)
GROUND: Color = (246, 247, 249)
ALARM: Color = (200, 16, 46)
GOOD: Color = (22, 128, 84)
MARGIN = 16.0
ROW = 19.0
"""Units from one line of small print to the next."""
MOST_ROBOTS = 8
"""Robots that get a line of their own."""
NEWS = 5
"""Events that are listed."""
SIGNS = (
    ("robot", "robot, front white"),
    ("laden", "with load"),
    ("goal", "where it is to go"),
    ("person", "person"),
    ("moved", "goods pushed"),
)
MARKS = (
    ("fault", "fault"),
    ("stuck", "stuck, timeout"),
    ("collision", "contact"),
    ("near_miss", "near miss"),
    ("estop", "emergency stop"),
)
LEGEND = (*SIGNS, *MARKS)


class Panel:
    """Draws the panel of an episode's pictures.

    Args:
        playback: the episode.
        page: the page that it is on: what never changes is drawn here, in place.
        left: where it begins [pixels].
        unit: pixels of the page's units.
        camera: robot whose picture is shown, and its aspect ratio, width to height; None for none.
    """

    def __init__(
        self, playback: Playback, page: Picture, left: float, unit: float, camera: tuple[int, float] | None
    ) -> None:
        self._playback, self._left, self._unit = playback, left, unit
        self._width = page.shape[1] - left
        self._camera_robot, aspect = camera or (0, np.inf)
        self._camera_height = round((self._width - 2 * MARGIN * unit) / aspect)
        events = playback.record.events
        self._events = [event for event in events if event.kind != "goal_reached"]
        self._times = {
            kind: np.array([event.time for event in events if event.kind == kind])
            for kind in ("near_miss", "estop", "stuck", "drop")
        }
        # Two robots that meet have an event each: one contact.
        self._times["collision"] = np.unique([event.time for event in events if event.kind == "collision"])
        page[:, round(left) :] = GROUND
        cv2.line(page, (round(left), 0), (round(left), len(page)), PALE, max(1, round(unit)))
        record = playback.record
        self._text(page, 28.0, playback.scenario.name, 16.0, bold=True)
        self._text(page, 46.0, f"{record.policy}, seed {record.seed}, episode {record.index}", 11.0, GREY)
        for number, (kind, words) in enumerate(LEGEND):
            x, y = self._legend_place(number, page)
            (draw_mark if (kind, words) in MARKS else draw_sign)(page, kind, (x, y), 0.8 * unit)
            write(page, words, (x + 13.0 * unit, y + 4.0 * unit), 10.0 * unit, GREY)

    def draw(self, picture: Picture, moment: Moment, camera: Picture | None) -> None:
        """Draw a moment, in place; ``camera`` is what a robot's camera shows then."""
        self._text(picture, 80.0, f"{moment.time:.2f} s", 22.0, bold=True)
        self._text(picture, 80.0, f"of {self._playback.duration:.1f} s", 11.0, GREY, end=True)
        if moment.time >= self._playback.duration:
            good = self._playback.record.kpis.get("success") == 1.0
            words = "success" if good else "not a success"
            self._text(
                picture, 80.0, words, 14.0, GOOD if good else ALARM, x=0.36 * self._width / self._unit, bold=True
            )
        self._draw_bar(picture, moment.time)
        y = 112.0
        if camera is not None and self._camera_height:
            y = self._draw_camera(picture, camera, y)
        y = self._draw_robots(picture, moment, y + 6.0)
        y = self._draw_kpis(picture, moment, y + 8.0)
        self._draw_news(picture, moment.time, y + 8.0)

    def _draw_bar(self, picture: Picture, time: float) -> None:
        """Draw how far the episode is, with a tick for each contact and near miss."""
        unit, duration = self._unit, max(self._playback.duration, 1e-9)
        left, right = self._left + MARGIN * unit, self._left + self._width - MARGIN * unit
        top, bottom = round(90.0 * unit), round(97.0 * unit)
        now = round(left + (right - left) * time / duration)
        cv2.rectangle(picture, (round(left), top), (round(right), bottom), PALE, -1)
        cv2.rectangle(picture, (round(left), top), (now, bottom), GREY, -1)
        for kind in ("near_miss", "collision"):
            for at in self._times[kind]:
                x = round(left + (right - left) * min(float(at) / duration, 1.0))
                ends = (x, round(87.0 * unit)), (x, round(100.0 * unit))
                cv2.line(picture, *ends, EVENT_COLORS[kind], max(1, round(2.0 * unit)))

    def _draw_camera(self, picture: Picture, camera: Picture, y: float) -> float:
        unit = self._unit
        left, top = round(self._left + MARGIN * unit), round(y * unit)
        size = (round(self._width - 2 * MARGIN * unit), self._camera_height)
        smaller = size[0] < camera.shape[1]
        shown = cv2.resize(camera, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
        rows = max(0, min(size[1], picture.shape[0] - top))
        picture[top : top + rows, left : left + size[0]] = shown[:rows]
        y += size[1] / unit
        self._text(picture, y + 14.0, f"what the camera of #{self._camera_robot} sees", 10.5, GREY)
        return y + 20.0

    def _draw_robots(self, picture: Picture, moment: Moment, y: float) -> float:
        shown = min(self._playback.robots, MOST_ROBOTS if not self._camera_height else 3)
        for r in range(shown):
            y += ROW
            color = ROBOTS[r % len(ROBOTS)]
            self._text(picture, y, f"#{r}", 12.0, color, bold=True)
            self._text(picture, y, self._doing(r, moment), 11.0, INK, x=30.0)
            self._text(picture, y, f"{moment.velocity[r, 0] + 0.0:.1f} m/s", 11.0, GREY, end=True)
        left_out = self._playback.robots - shown
        if left_out:
            y += ROW
            self._text(picture, y, f"and {left_out} more robots", 11.0, GREY)
        return y

    def _doing(self, robot: int, moment: Moment) -> str:
        task = self._playback.task(robot, moment.time)
        if self._playback.record.floor is not None and (task is None or moment.time < task.start_time):
            return "to a charger or aside" if np.isfinite(moment.goal[robot]).all() else "standing by"
        if task is None:
            return "all tasks done"
        number = 1 + int(np.searchsorted(self._playback.turns[robot], moment.time, side="right")) // 2
        laden = bool(moment.carrying[robot])
        station = task.drop_station if laden else task.pick_station
        count = f"({number} of {len(self._playback.tasks[robot])})"
        if not np.isfinite(moment.goal[robot]).all():
            return f"{'unloading' if laden else 'loading'} at {station} {count}"
        return f"{'load to' if laden else 'to'} {station} {count}"

    def _draw_kpis(self, picture: Picture, moment: Moment, y: float) -> float:
        done = {kind: int(np.searchsorted(times, moment.time, side="right")) for kind, times in self._times.items()}
        closest = float(self._playback.closest[moment.step])
        rows: list[tuple[str, str, bool]] = [
            ("tasks done", f"{done['drop']} of {sum(len(tasks) for tasks in self._playback.tasks)}", False),
            ("contacts", str(done["collision"]), done["collision"] > 0),
            ("near misses", str(done["near_miss"]), done["near_miss"] > 0),
            ("emergency stops, stuck", f"{done['estop']}, {done['stuck']}", False),
        ]
        if self._playback.people:
            rows.append(("closest to a person so far", f"{closest:.2f} m", closest < 0.3))
        self._rule(picture, y)
        for name, value, alarming in rows:
            y += ROW
            self._text(picture, y, name, 11.0, GREY)
            self._text(picture, y, value, 12.0, ALARM if alarming else INK, end=True, bold=True)
        return y

    def _draw_news(self, picture: Picture, time: float, y: float) -> None:
        """List the last events, the newest on top."""
        self._rule(picture, y)
        past = [event for event in self._events if event.time <= time]
        bottom = self._legend_place(0, picture)[1] / self._unit - 12.0
        for event in reversed(past[-NEWS:]):
            y += ROW
            if y > bottom:
                return
            self._text(picture, y, f"{event.time:6.1f} s", 10.5, GREY)
            words = event_words(event) if event.robot < 0 else f"#{event.robot} {event_words(event)}"
            self._text(picture, y, words, 10.5, _news_color(event), x=54.0)

    def _rule(self, picture: Picture, y: float) -> None:
        left, right = self._left + MARGIN * self._unit, self._left + self._width - MARGIN * self._unit
        cv2.line(picture, (round(left), round(y * self._unit)), (round(right), round(y * self._unit)), PALE, 1)

    def _legend_place(self, number: int, page: Picture) -> tuple[float, float]:
        """Return where an entry of the legend stands: from top to bottom, then the next column."""
        columns = 3 if self._camera_height else 2
        rows = -(-len(LEGEND) // columns)
        column, row = number // rows, number % rows
        x = self._left + (MARGIN + 8.0) * self._unit + column * self._width * (0.9 / columns)
        return x, len(page) - (18.0 * (rows - row) - 3.0) * self._unit

    def _text(
        self,
        picture: Picture,
        y: float,
        words: str,
        size: float,
        color: Color = INK,
        *,
        x: float = 0.0,
        end: bool = False,
        bold: bool = False,
    ) -> None:
        unit = self._unit
        room = self._width - (2 * MARGIN + x) * unit
        while len(words) > 4 and width_of(words, size * unit, bold=bold) > room:
            words = words[:-2].rstrip(" .…") + "…"
        place = self._left + self._width - MARGIN * unit if end else self._left + (MARGIN + x) * unit
        write(picture, words, (place, y * unit), size * unit, color, anchor="end" if end else "start", bold=bold)


def _news_color(event: Event) -> Color:
    return ALARM if event.kind in ("collision", "near_miss") else INK
