"""What disturbances change while they last.

Every effect acts on what is real; policies meet it through their sensors alone.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING

import numpy as np

from ...common.geometry import wrap_angle
from ...common.seeding import generator
from ..routes import FloatArray
from ..windows import Dirt
from .config import (
    BatteryFade,
    BlockedSensor,
    DeadSensor,
    DirtyLidar,
    LostLocalisation,
    NetworkDelay,
)
from .plan import Occurrence

if TYPE_CHECKING:
    from ..live import LiveEpisode


class Effect:
    """One occurrence at work.

    Args:
        episode: that it happens in.
        what: the occurrence.
    """

    late = False
    """Whether it changes commands after those effects that do not."""

    def __init__(self, episode: LiveEpisode, what: Occurrence) -> None:
        self.episode, self.what = episode, what

    def begin(self, time: float) -> bool:
        """Begin at ``time`` [s]; returns False if it cannot yet: it is then asked again at the next step."""
        return True

    def hold(self, step: int, time: float) -> None:
        """Do what is to be done at the beginning of every control step, the first and the last included."""

    def command(self, time: float, commands: FloatArray) -> None:
        """Change in place what the drives are told (R, 2 or 3)."""

    def end(self, time: float) -> bool:
        """End at ``time`` [s]; returns False if it cannot yet."""
        return True

    def place(self, robot: int) -> tuple[float, float]:
        """Return where it happens [m]: at its place, at what it strikes, or at the robot."""
        if self.what.place is not None:
            return float(self.what.place[0]), float(self.what.place[1])
        layout = self.episode.sampled.layout
        for conveyor in layout.conveyors:
            if conveyor.id == self.what.target:
                (x0, y0), (x1, y1) = conveyor.start, conveyor.end
                return 0.5 * (x0 + x1), 0.5 * (y0 + y1)
        for thing in (*layout.stations, *layout.chargers):
            if thing.id == self.what.target:
                return thing.x, thing.y
        x, y = self.episode.fleet.pose[max(robot, 0), :2]
        return float(x), float(y)

    def drawn(self, name: str) -> float:
        """Return a drawn value, in SI units."""
        return self.what.values[name]

    def random(self, purpose: str) -> np.random.Generator:
        """Return the occurrence's own stream for a purpose."""
        return generator(self.episode.seed, self.episode.index, f"{self.what.label}.{purpose}")


class WindowEffect(Effect):
    """Dirt on lidar windows, things before them, dead lidars and cameras."""

    def begin(self, time: float) -> bool:
        """Soil the windows, or switch the sensors off."""
        settings = self.what.settings
        if isinstance(settings, DeadSensor):
            self._dead().update(self.what.robots)
            return True
        assert isinstance(settings, (DirtyLidar, BlockedSensor))
        bearing = self.what.values.get("bearing", float(self.random("bearing").uniform(-math.pi, math.pi)))
        if isinstance(settings, DirtyLidar):
            self._dirt = Dirt(bearing, self.drawn("sector"), self.drawn("loss"), self.drawn("short_returns"))
        else:
            self._dirt = Dirt(bearing, self.drawn("sector"), distance=self.drawn("distance"))
        for robot in self.what.robots:
            self.episode.windows.dirt[robot].append(self._dirt)
        return True

    def end(self, time: float) -> bool:
        """Wipe them, or switch the sensors on again."""
        if isinstance(self.what.settings, DeadSensor):
            self._dead().subtract(self.what.robots)
            return True
        for robot in self.what.robots:
            self.episode.windows.dirt[robot].remove(self._dirt)
        return True

    def _dead(self) -> Counter[int]:
        settings = self.what.settings
        assert isinstance(settings, DeadSensor)
        return self.episode.windows.dead if settings.sensor == "lidar" else self.episode.photographer.dead


class LocalisationEffect(Effect):
    """An estimate that jumps and drifts away, or stands still."""

    def begin(self, time: float) -> bool:
        """Draw the directions; note what the robots believe."""
        direction, side = self.random("direction").random(2)
        self._heading = 2.0 * math.pi * direction
        self._side = 1.0 if side < 0.5 else -1.0
        self._since = time
        self._frozen: FloatArray | None = None
        return True

    def hold(self, step: int, time: float) -> None:
        """Add to the error of this step."""
        settings, error = self.what.settings, self.episode.error[step]
        assert isinstance(settings, LostLocalisation)
        robots = list(self.what.robots)
        if settings.frozen:
            pose = self.episode.fleet.pose[robots]
            if self._frozen is None:
                self._frozen = pose + error[robots]
            error[robots] = self._frozen - pose
            error[robots, 2] = wrap_angle(error[robots, 2])
            return
        away = self.drawn("jump") + self.drawn("drift") * (time - self._since)
        error[robots, 0] += away * math.cos(self._heading)
        error[robots, 1] += away * math.sin(self._heading)
        error[robots, 2] += self._side * self.drawn("turn")


class NetworkEffect(Effect):
    """Commands that come late or never; drives that hear nothing for too long stand still."""

    def begin(self, time: float) -> bool:
        """Begin with the lines empty: the last command that got through still holds."""
        self._lines: dict[int, deque[tuple[float, FloatArray]]] = {robot: deque() for robot in self.what.robots}
        self._heard = dict.fromkeys(self.what.robots, time)
        self._holds: dict[int, FloatArray] = {}
        self._luck = self.random("luck")
        return True

    def command(self, time: float, commands: FloatArray) -> None:
        """Send this step's commands on their way, and pass on what has arrived."""
        settings, latency, loss = self.what.settings, self.drawn("latency"), self.drawn("loss")
        assert isinstance(settings, NetworkDelay)
        for robot in self.what.robots:
            line = self._lines[robot]
            held = self._holds.setdefault(robot, self.episode.told[robot].copy())
            if self._luck.random() >= loss:
                line.append((time + latency, commands[robot].copy()))
            while line and line[0][0] <= time + 1e-9:
                held = self._holds[robot] = line.popleft()[1]
                self._heard[robot] = time
            commands[robot] = held if time - self._heard[robot] <= settings.watchdog + 1e-9 else 0.0


class BatteryEffect(Effect):
    """Batteries that have lost capacity and gained resistance."""

    def begin(self, time: float) -> bool:
        """Take both away."""
        self._scale(self.drawn("capacity"), self.drawn("resistance"))
        return True

    def end(self, time: float) -> bool:
        """Give both back."""
        self._scale(1.0 / self.drawn("capacity"), 1.0 / self.drawn("resistance"))
        return True

    def _scale(self, capacity: float, resistance: float) -> None:
        assert isinstance(self.what.settings, BatteryFade)
        assert self.episode.condition is not None
        for robot in self.what.robots:
            self.episode.condition.scale_battery(robot, capacity, resistance)


class LightEffect(Effect):
    """Light that fails, flickering or not; ``Lights`` puts all that fails at one time together."""

    def share(self, time: float) -> float:
        """Return the share of the light that is left at a time [s]."""
        level, rate = self.drawn("level"), self.drawn("flicker")
        back = rate > 0.0 and (time - self.what.begin) * rate % 1.0 >= 0.5
        return 1.0 if back else level


class Lights:
    """The light of an episode, less what fails."""

    def __init__(self, episode: LiveEpisode) -> None:
        self._episode = episode
        self._whole, self._lamps = episode.photographer.lighting, episode.stage.scene.lamps
        self._shown: tuple[tuple[str, float], ...] = ()

    def set(self, effects: list[LightEffect], time: float) -> None:
        """Let the light of a time [s] be what the effects leave of it."""
        shares = tuple((effect.what.label, effect.share(time)) for effect in effects)
        if shares == self._shown:
            return
        self._shown = shares
        everywhere, lamps = 1.0, self._lamps
        for effect, (_, share) in zip(effects, shares, strict=True):
            place = effect.what.place
            if place is None:
                everywhere *= share
            elif share < 1.0:
                near = np.hypot(*(lamps[:, :2] - place[:2]).T) <= effect.drawn("radius")
                lamps = lamps.copy()
                lamps[near, 3] *= share
        whole = self._whole
        dimmed = {name: everywhere * getattr(whole, name) for name in ("key", "ambient", "lamps")}
        self._episode.photographer.lighting = whole if everywhere == 1.0 else whole.model_copy(update=dimmed)
        self._episode.stage.scene.lamps = lamps


EFFECTS: dict[str, type[Effect]] = {
    "dirty_lidar": WindowEffect,
    "blocked_sensor": WindowEffect,
    "dead_sensor": WindowEffect,
    "lost_localisation": LocalisationEffect,
    "network_delay": NetworkEffect,
    "battery_fade": BatteryEffect,
    "dim_light": LightEffect,
}
