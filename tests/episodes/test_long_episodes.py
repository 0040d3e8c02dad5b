"""Long episodes: recorded part by part, with the sums, minima and incidents of all control steps."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from floorcast.episodes import chronicle
from floorcast.episodes.loop import run_episode
from floorcast.episodes.record import EpisodeRecord
from floorcast.episodes.scenario import Scenario, load_scenario
from floorcast.episodes.store import load_record, record_bytes, save_record
from floorcast.policies.registry import load_policy

from .hall import Steer, quick


def run(scenario: Scenario, **more: object) -> EpisodeRecord:
    return run_episode(scenario, load_policy("navigator"), policy_name="navigator", seed=0, index=0, **more)


def test_a_decimated_record_tells_what_the_full_one_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(chronicle, "PART", 4.0)
    base = load_scenario("peak_demand")
    orders = base.orders.model_copy(update={"rate": 600.0})
    layout = base.layout.model_copy(update={"recipe": base.layout.recipe.model_copy(update={"area": 300.0})})
    given = base.model_copy(update={"duration": 26.3, "orders": orders, "layout": layout})
    parts: list[EpisodeRecord] = []
    kept = run(given.model_copy(update={"record_rate": 2}), watch=lambda part, episode: parts.append(part))
    full = run(given.model_copy(update={"record_rate": None}))
    assert np.array_equal(kept.time, full.time[::5])
    for name in ("pose", "velocity", "goal", "person_pose"):
        assert np.array_equal(getattr(kept, name), getattr(full, name)[::5], equal_nan=True), name
    assert np.array_equal(np.concatenate([part.pose for part in parts]), full.pose[: 40 * len(parts)])
    starts = np.arange(0, len(full.time), 5)
    assert np.array_equal(kept.min_clearance, np.minimum.reduceat(full.min_clearance, starts))
    assert kept.events == full.events
    assert kept.floor is not None
    assert np.array_equal(kept.floor.stock.moves, full.floor.stock.moves)
    assert len(full.floor.stock.time) > 2
    for name, value in full.kpis.items():
        assert kept.kpis[name] == (None if value is None else pytest.approx(value, rel=1e-9)), name
    assert record_bytes(load_record(_saved(kept, tmp_path))) == record_bytes(kept)


def test_pictures_are_taken_to_the_end_when_the_work_is_done_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chronicle, "PART", 2.0)
    given = quick(duration=60.0, people=0, frames=3).model_copy(update={"record_rate": 5})
    taken: list[float] = []
    records = [
        run_episode(given, Steer, policy_name="steer", seed=2, index=0, capture=capture)
        for capture in (None, lambda picture: taken.append(picture.time))
    ]
    assert records[0].duration + 10.0 < taken[-1]
    assert len(taken) == 3
    assert record_bytes(records[0]) == record_bytes(records[1])


def _saved(record: EpisodeRecord, folder: Path) -> Path:
    save_record(record, folder / "record.npz")
    return folder / "record.npz"


def _script(name: str) -> ModuleType:
    """Return a script of the benchmarks, which are no package."""
    path = Path(__file__).resolve().parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_twenty_minutes_of_peak_demand() -> None:
    watch = _script("long_run").Watch(quiet=True)
    base = load_scenario("peak_demand")
    orders = base.orders.model_copy(update={"start_hour": 10.0})
    record = run(base.model_copy(update={"duration": 1200.0, "orders": orders}), watch=watch)
    assert record.floor is not None
    assert record.floor.stock.conserved()
    assert watch.in_wall == 0
    assert record.kpis["tasks_per_h"] > 40
    assert len(record.time) == 1200
