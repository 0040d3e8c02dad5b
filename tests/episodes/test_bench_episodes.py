"""The benchmark of episodes: both sides do the same work in the same hall, and the parts add up."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from floorcast.common.errors import FloorcastError, InputError
from floorcast.episodes.bench import parts
from floorcast.episodes.bench.episodes import bench_episodes
from floorcast.episodes.bench.naive import run_naive
from floorcast.episodes.bench.ours import run_ours
from floorcast.episodes.bench.parts import Stopwatch
from floorcast.episodes.bench.setting import Case, Drivers
from floorcast.episodes.bench.worker import require_same_work

CASE = Case(robots=2, people=1, area=200.0, camera=(32, 24), seconds=3.0)


def test_both_sides_do_the_same_work_in_the_same_hall(tmp_path):
    ours = run_ours(CASE, 1, tmp_path)
    assert ours.pictures == 15
    assert ours.scans.shape == (30, 2, 360)
    assert list(tmp_path.iterdir()) == [tmp_path / "record.npz"]
    peer = run_naive(CASE.scenario(), ours.plan, ours.record, Drivers(ours.plan.routes), tmp_path, CASE.seed, 1)
    assert require_same_work(ours, peer) > 0.95
    # One driver, two kinds of robots: those on wheel joints stay near ours, and both get somewhere.
    gap = np.linalg.norm((peer.pose - ours.record.pose)[..., :2], axis=2)
    way = np.linalg.norm(np.diff(ours.record.pose[..., :2], axis=0), axis=2).sum(axis=0)
    assert way.max() > 0.5
    assert gap.max() < 0.4
    assert len(list(tmp_path.glob("*.jpg"))) == 15

    elsewhere = dataclasses.replace(peer, first_scan=np.roll(peer.first_scan, 60, axis=1))
    with pytest.raises(FloorcastError, match="first scans agree"):
        require_same_work(ours, elsewhere)
    with pytest.raises(FloorcastError, match="pictures differ"):
        require_same_work(ours, dataclasses.replace(peer, pictures=14))


def test_parts_are_exclusive_and_everything_is_given_back(tmp_path):
    watch = Stopwatch()

    def work(count):
        return sum(k * k for k in range(count))

    inner = watch.part("inner", lambda: work(300_000))
    outer = watch.part("outer", lambda: (work(100_000), inner()))
    start = time.process_time()
    outer()
    spent = time.process_time() - start
    assert watch.seconds["inner"] + watch.seconds["outer"] == pytest.approx(spent, rel=0.1)
    assert watch.seconds["inner"] > watch.seconds["outer"] > 0.0

    before = [getattr(owner, name) for _, targets in parts.PARTS for owner, name in targets]
    watch = Stopwatch()
    run = run_ours(dataclasses.replace(CASE, seconds=1.0), 0, tmp_path, stopwatch=watch)
    assert [getattr(owner, name) for _, targets in parts.PARTS for owner, name in targets] == before
    # Every part of a drive with pictures was really reached by what is said to make it up, and none counts twice.
    idle = {name for name, spent in watch.seconds.items() if spent == 0.0}
    assert idle <= {"physics, touching", parts.REST}
    assert 0.5 * run.seconds < sum(watch.seconds.values()) <= run.seconds


def test_the_bench_refuses_what_there_is_not():
    with pytest.raises(InputError, match="no group 'sensors'"):
        bench_episodes(only=("sensors",))
    with pytest.raises(InputError, match="repeat is 0"):
        bench_episodes(repeat=0)
