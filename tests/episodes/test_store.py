import math

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.episodes import store
from floorcast.episodes.record import EpisodeRecord, Event, FloorResult, OrderResult, TaskResult
from floorcast.episodes.stock import OUTSIDE, Ledger
from floorcast.episodes.store import load_record, record_bytes, save_record


def record():
    rng = np.random.default_rng(0)
    steps, robots, people = 7, 2, 1
    goal = rng.random((steps, robots, 3))
    goal[2] = np.nan
    return EpisodeRecord(
        scenario_hash="abc",
        twin_version="site@2",
        policy="navigator",
        seed=0,
        index=3,
        layout_hash="def",
        duration=0.35,
        time=np.arange(steps) * 0.05,
        pose=rng.random((steps, robots, 3)),
        velocity=rng.random((steps, robots, 2)),
        command=rng.random((steps, robots, 2)),
        goal=goal,
        min_clearance=rng.random((steps, robots)),
        person_distance=np.full((steps, robots), np.inf),
        person_pose=rng.random((steps, people, 3)),
        person_velocity=rng.random((steps, people, 2)),
        robot_radius=np.full(robots, 0.55),
        person_radius=np.full(people, 0.25),
        energy_wh=rng.random(robots),
        loose_moves=rng.random((3, 9)),
        events=[Event(0.1, "collision", 1, "rack", "R01", 0.4, 12.0, (1.5, 2.5)), Event(0.2, "pick", 0)],
        tasks=[TaskResult(0, "P1", "D1", 0.0, math.nan, math.nan, 1.2, 3.4, False)],
        kpis={"success": 0.0, "ttc_min_s": None},
        sampled={"floor.friction": 0.7},
    )


def same(a, b):
    for name, value in vars(a).items():
        other = getattr(b, name)
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, other)
        else:
            assert repr(value) == repr(other), name


def test_round_trip_and_equal_bytes(tmp_path):
    save_record(record(), tmp_path / "a" / "0003.npz")
    save_record(record(), tmp_path / "b.npz")
    first = (tmp_path / "a" / "0003.npz").read_bytes()
    assert first == (tmp_path / "b.npz").read_bytes()
    back = load_record(tmp_path / "b.npz")
    same(record(), back)
    assert record_bytes(back) == first
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_episode_without_people_or_steps(tmp_path):
    item = record()
    item.person_pose, item.person_radius = np.zeros((7, 0, 3)), np.zeros(0)
    save_record(item, tmp_path / "x.npz")
    assert load_record(tmp_path / "x.npz").person_pose.shape == (7, 0, 3)


def test_numpy_reads_the_arrays_without_us(tmp_path):
    save_record(record(), tmp_path / "x.npz")
    with np.load(tmp_path / "x.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["pose"], record().pose)


def refuse(path, match):
    with pytest.raises(InputError, match=match) as caught:
        load_record(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("cut", [0, 10, 300, -1])
def test_cut_off_files_are_refused(tmp_path, cut):
    path = tmp_path / "x.npz"
    path.write_bytes(record_bytes(record())[:cut])
    refuse(path, "not a whole episode record")


def test_damaged_missing_and_foreign_files_are_refused(tmp_path, monkeypatch):
    refuse(tmp_path / "none.npz", "no such episode record")
    path = tmp_path / "x.npz"
    data = bytearray(record_bytes(record()))
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    refuse(path, "not a whole episode record")
    np.savez(path, pose=np.zeros(3))
    refuse(path, "not a whole episode record")
    with monkeypatch.context() as later:
        later.setattr(store, "FORMAT", 9)
        save_record(record(), path)
    refuse(path, "format 9; this version reads formats 2 and 3")


def test_not_finite_values_never_reach_the_json(tmp_path):
    item = record()
    item.sampled = {"x": math.inf}
    with pytest.raises(ValueError, match="JSON"):
        save_record(item, tmp_path / "x.npz")
    assert not (tmp_path / "x.npz").exists()


def test_orders_and_stock_come_back_and_leave_other_records_as_they_were(tmp_path):
    plain = record_bytes(record())
    ledger = Ledger({("slot:a", "x"): 3})
    ledger.move(1.5, "slot:a", "station:p", "x", 2, "pick")
    ledger.move(2.5, OUTSIDE, "inbound", "y", 1, "return")
    given = record()
    given.record_period = 1.0
    given.floor = FloorResult(
        orders=[
            OrderResult("O1", "out", 0.0, 60.0, 31.5, 1, 2, 0),
            OrderResult("O2", "out", 5.0, 9.0, math.nan, 2, 3, 1),
        ],
        stock=ledger.table(),
        charging_s=np.array([0.0, 12.5]),
        deadlocks=1,
        withdrawals=2,
        skipped={"no sku": 4},
    )
    save_record(given, tmp_path / "x.npz")
    found = load_record(tmp_path / "x.npz")
    assert record_bytes(found) == record_bytes(given) != plain
    assert found.record_period == 1.0
    assert found.floor is not None
    assert found.floor.orders[0] == given.floor.orders[0]
    assert math.isnan(found.floor.orders[1].end_time)
    assert found.floor.stock.by_kind() == {"inbound": 1, "outside": -1, "slot": 1, "station": 2}
    assert found.floor.stock.conserved()
    assert found.floor.skipped == {"no sku": 4}
    assert b"floor" not in plain, "an episode without orders has the bytes that it had"
