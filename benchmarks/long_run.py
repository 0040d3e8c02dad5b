"""A day of a scenario with orders, watched: no exception, no leak, no robot in a wall, no carton unaccounted for.

    python benchmarks/long_run.py --hours 24 --scenario peak_demand --seed 0

After every simulated hour it prints what has been served, how fast that went, and the memory of the process. It checks

- **stock**: the books are sound (``episodes.stock``): after every hour, and at the end by a replay of all moves;
- **walls**: at every control step the middle of every robot is at least half its width, less 3 cm, from everything
  fixed that reaches into the robots' height, by exact distances (a robot may stand under a conveyor's belt);
- **leak**: what the process holds grows by no more than ``--growth`` MB for each hour from the third on, which is
  less than the rows of the record and the moves of the stock take.

The exit code is 0 if all hold, else 1. ``--out`` keeps the record, and orders and stock as CSV beside it.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from floorcast.episodes.clearance import clearances, footprints
from floorcast.episodes.dispatch import Dispatcher
from floorcast.episodes.live import LiveEpisode
from floorcast.episodes.loop import run_episode
from floorcast.episodes.record import EpisodeRecord
from floorcast.episodes.scenario import load_scenario
from floorcast.episodes.stock_file import write_floor
from floorcast.episodes.store import save_record
from floorcast.policies.registry import load_policy

_GIVE = 0.03
"""How far Bullet may let a robot sink into what it pushes against [m]."""
_WARM_UP_HOURS = 2
"""Memory still settles in the first hours: caches of the hall and of ways fill."""


def resident_mb() -> float:
    """Return the memory that this process holds now [MB]."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return float(line.split()[1]) / 1024.0
    return math.nan


class Watch:
    """Looks at every minute of the episode, and says a line for every hour."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self.in_wall = 0
        self.least = math.inf
        self.nearest: tuple[float, ...] = ()
        self.unsound: list[float] = []
        self.memory: list[float] = []
        self.rows: list[dict[str, Any]] = []
        self._static: np.ndarray | None = None
        self._hour = 0
        self._begun = time.perf_counter()
        self._cpu = time.process_time()
        self._before, self._told = (0, 0), 0

    def __call__(self, part: EpisodeRecord, episode: LiveEpisode) -> None:
        """Check a minute."""
        if self._static is None:
            tallest = max(model.height for model in episode.sampled.models)
            self._static = footprints(episode.hall.solids.static, 0.01, tallest)
        nothing, steps = np.zeros((1, 2)), len(part.time)
        around = (self._static, np.zeros((steps, 0, 7)), np.zeros((steps, 0, 2)), np.zeros(0))
        middles = [clearances(part.pose[:, r : r + 1], nothing, *around)[0] for r in range(part.pose.shape[1])]
        free = np.concatenate(middles, axis=1)
        if float(free.min()) < self.least:
            step, robot = np.unravel_index(int(np.argmin(free)), free.shape)
            self.nearest = (float(part.time[step]), int(robot), *(round(float(v), 2) for v in part.pose[step, robot]))
        self.least = min(self.least, float(free.min()))
        self.in_wall += int(np.count_nonzero(free < 0.5 * min(m.width for m in episode.sampled.models) - _GIVE))
        hour = int((part.time[-1] + episode.period) // 3600)
        if hour > self._hour:
            self._hour = hour
            self._tell(episode)

    def _tell(self, episode: LiveEpisode) -> None:
        floor, dispatcher = episode.errands.floor(), episode.errands
        assert floor is not None
        assert isinstance(dispatcher, Dispatcher)
        if not dispatcher.warehouse.ledger.conserved():
            self.unsound.append(self._hour)
        done = sum(math.isfinite(order.end_time) for order in floor.orders)
        trips = len(dispatcher.tasks)
        assert episode.chronicle is not None
        contacts = [event for event in episode.chronicle.incidents if event.kind == "collision"]
        now, cpu = time.perf_counter(), time.process_time()
        self.memory.append(resident_mb())
        charge = [] if episode.condition is None else [round(float(x), 2) for x in episode.condition.health[:, 0]]
        row = {
            "hour": self._hour,
            "orders": done - self._before[0],
            "open": len(floor.orders) - done,
            "trips": trips - self._before[1],
            "waiting": len(dispatcher.warehouse.waiting),
            "cartons": floor.stock.by_kind(),
            "charge": charge,
            "blockades": floor.deadlocks,
            "withdrawals": floor.withdrawals,
            "contacts": [(e.time, e.robot, e.other, e.other_id, round(e.value, 2)) for e in contacts[self._told :]],
            "rss_mb": round(self.memory[-1], 1),
            "times_real": round(3600.0 / (now - self._begun), 1),
            "times_real_cpu": round(3600.0 / (cpu - self._cpu), 1),
        }
        self._begun, self._cpu, self._before = now, cpu, (done, trips)
        self._told = len(contacts)
        self.rows.append(row)
        if not self.quiet:
            print(json.dumps(row), flush=True)

    def growth(self) -> float:
        """Return by how much the memory grew for each hour after the first ones [MB/h], by a straight line."""
        settled = self.memory[_WARM_UP_HOURS:]
        if len(settled) < 2:
            return 0.0
        return float(np.polyfit(np.arange(len(settled)), settled, 1)[0])


def main() -> int:
    """Run, check, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--scenario", default="peak_demand")
    parser.add_argument("--policy", default="navigator")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--episode", type=int, default=0)
    parser.add_argument("--growth", type=float, default=8.0, help="MB an hour that may be added at most")
    parser.add_argument("--out", type=Path, default=None, help="folder for record and moves")
    given = parser.parse_args()
    scenario = load_scenario(given.scenario).model_copy(update={"duration": 3600.0 * given.hours})
    watch, begun, cpu = Watch(), time.perf_counter(), time.process_time()
    record = run_episode(
        scenario,
        load_policy(given.policy),
        policy_name=given.policy,
        seed=given.seed,
        index=given.episode,
        watch=watch,
    )
    floor = record.floor
    assert floor is not None
    checks = {
        "stock_conserved": floor.stock.conserved() and not watch.unsound,
        "no_robot_in_a_wall": watch.in_wall == 0,
        "no_leak": watch.growth() <= given.growth,
    }
    report = {
        "hours": record.duration / 3600.0,
        "wall_s": round(time.perf_counter() - begun, 1),
        "times_real": round(record.duration / (time.perf_counter() - begun), 1),
        "cpu_s": round(time.process_time() - cpu, 1),
        "moves": len(floor.stock.time),
        "cartons": floor.stock.by_kind(),
        "least_clearance_of_a_middle_m": round(watch.least, 3),
        "least_clearance_at": watch.nearest,
        "steps_in_a_wall": watch.in_wall,
        "growth_mb_per_h": round(watch.growth(), 2),
        "kpis": {name: value for name, value in record.kpis.items() if value is not None},
        "checks": checks,
    }
    print(json.dumps(report, indent=1))
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        save_record(record, given.out / "record.npz")
        write_floor(floor, given.out)
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
