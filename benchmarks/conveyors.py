"""Conveyors against closed forms, and what they cost.

    python benchmarks/conveyors.py [--out FOLDER]

Prints the time of a carton to 95 % of a conveyor's speed against v / (mu g), in one dimension and in Bullet, and the
time of a step for 1,000 goods on 100 conveyors (of the process, on one core). With ``--out`` it draws speeds.png.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floorcast.layouts.geometry import layout_solids
from floorcast.layouts.model import Conveyor, Good, Layout, PhotoEye
from floorcast.physics.belt_bodies import BeltBodies
from floorcast.physics.conveyor_network import network_of
from floorcast.physics.conveyors import ConveyorSystem
from floorcast.physics.handling import with_spares
from floorcast.physics.world import World

FloatArray = NDArray[np.float64]

GRAVITY = 9.81
NOBODY = np.zeros((0, 3))


def ride(speed: float, friction: float, mass: float) -> tuple[FloatArray, FloatArray]:
    """Return the speed [m/s] of a carton put on at rest, after each step: in one dimension and in Bullet, (T,) each."""
    conveyor = Conveyor(id="A", start=(1, 2), end=(11, 2), speed=speed, friction=friction)
    layout = Layout(name="bench", length=20, width=10, conveyors=(conveyor,))
    carton = Good(id="G", x=0, y=0, size=(0.4, 0.3, 0.2), mass=mass)
    steps = round(240 * (1.5 * speed / (friction * GRAVITY) + 0.1))
    lines = []
    for always in (False, True):
        world = World.from_solids(with_spares(layout_solids(layout), [carton]))
        world.set_robots([])
        world.reset()
        belts = ConveyorSystem(network_of(layout), [(0.4, 0.3)], [mass])
        bodies = BeltBodies(belts, world, always=always)
        belts.insert("A", 0, at=1.0)
        bodies.update(NOBODY, 0.3)
        line = []
        for _ in range(steps):
            if world.must_touch(NOBODY):
                world.touch_step(NOBODY, NOBODY)
            else:
                world.advance_free(1)
            belts.advance(1)
            bodies.update(NOBODY, 0.3)
            line.append(world.good_velocity(0)[0] if always else belts.state(0)[1])
        world.close()
        lines.append(np.array(line))
    return lines[0], lines[1]


def time_to_speed(line: FloatArray, speed: float) -> float:
    """Return the time [s] at which a line of speeds, one a step, first crosses 95 % of a speed."""
    step = int(np.argmax(line >= 0.95 * speed))
    before = line[step - 1] if step else 0.0
    return float(step + (0.95 * speed - before) / (line[step] - before)) / 240.0


def cost(goods: int = 1000, rows: int = 20, columns: int = 5) -> float:
    """Return the time [ns] of the process for one good and step, riding on rows of conveyors with a photo-eye each."""
    conveyors = [
        Conveyor(
            id=f"C{r}_{c}",
            start=(2 + 8 * c, 1.5 * r + 1),
            end=(10 + 8 * c, 1.5 * r + 1),
            next=f"C{r}_{c + 1}" if c + 1 < columns else None,
            eyes=(PhotoEye(id=f"E{r}_{c}", at=6.0),),
        )
        for r in range(rows)
        for c in range(columns)
    ]
    layout = Layout(name="bench", length=60, width=40, conveyors=tuple(conveyors))
    belts = ConveyorSystem(network_of(layout), [(0.4, 0.3)] * goods, [5.0] * goods)
    each = goods // len(conveyors)
    for number in range(goods):
        belts.insert(conveyors[number // each].id, number, at=0.3 + 0.7 * (number % each), speed=0.5)
    belts.advance(24)
    best = np.inf
    for _ in range(5):
        start = time.process_time()
        belts.advance(100)
        best = min(best, (time.process_time() - start) / 100 / goods)
    return 1e9 * best


def draw(path: Path, rides: list[tuple[float, float, float]]) -> None:
    """Draw speeds over time against the closed form."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 4.6), dpi=130)
    FigureCanvasAgg(figure)
    axes: Any = figure.add_subplot(111)
    for number, (speed, friction, mass) in enumerate(rides):
        one, bullet = ride(speed, friction, mass)
        at = (np.arange(len(one)) + 1) / 240.0
        color = f"C{number}"
        form = np.minimum(speed, friction * GRAVITY * at)
        label = f"{speed:g} m/s, mu {friction:g}, {mass:g} kg"
        axes.plot(at, form, color=color, linewidth=6.0, alpha=0.25, label=f"{label}: closed form")
        axes.plot(at, one, color=color, linewidth=1.4, label="one dimension")
        axes.plot(at[::4], bullet[::4], "o", color=color, markersize=3.0, label="Bullet")
    axes.set_xlabel("time since it was put on [s]")
    axes.set_ylabel("speed of the carton [m/s]")
    axes.set_ylim(-0.4, None)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncols=len(rides), loc="lower right")
    figure.tight_layout()
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    print("time to 95 % of the speed over 0.95 v / (mu g), and last speed over v")
    print(f"{'v m/s':>6} {'mu':>5} {'kg':>5} {'1-D':>8} {'Bullet':>8} {'1-D':>8} {'Bullet':>8}")
    for speed, friction, mass in [(v, mu, m) for v in (0.2, 0.5, 1.0, 2.0) for mu in (0.2, 0.5, 0.8) for m in (1, 50)]:
        form = 0.95 * speed / (friction * GRAVITY)
        lines = ride(speed, friction, mass)
        ratios = [time_to_speed(line, speed) / form for line in lines] + [float(line[-1]) / speed for line in lines]
        print(f"{speed:6.1f} {friction:5.1f} {mass:5.0f} " + " ".join(f"{ratio:8.4f}" for ratio in ratios))
    print(f"1,000 goods on 100 conveyors: {cost():.0f} ns a good and step")
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        draw(given.out / "speeds.png", [(0.5, 0.25, 8.0), (1.0, 0.5, 8.0), (1.5, 0.3, 40.0)])


if __name__ == "__main__":
    main()
