"""Disturbances: their schedules, and for each kind what it changes against the same episode without it."""

import math

import numpy as np
import pytest
import yaml

from floorcast.common.errors import InputError
from floorcast.episodes.disturbances.plan import occurrence_times
from floorcast.episodes.live import LiveEpisode
from floorcast.episodes.loop import run_episode
from floorcast.episodes.scenario import Scenario, load_scenario
from floorcast.episodes.store import record_bytes
from floorcast.episodes.windows import Dirt, Windows
from floorcast.layouts.model import Light
from floorcast.perception.config import LidarConfig
from floorcast.robots.condition_model import COLUMNS
from floorcast.robots.model import RobotModel

from .hall import Steer, empty_hall, quick


def fixed(value, unit):
    return {"distribution": "constant", "value": value, "unit": unit}


def run(disturbances=(), policy=Steer, index=0, **changes):
    scenario = quick(**{"duration": 12.0, "people": 0, "disturbances": list(disturbances), **changes})
    return run_episode(scenario, policy, policy_name="steer", seed=5, index=index)


def told(record):
    return [(e.other, e.other_id, e.robot, e.time) for e in record.events if e.kind == "disturbance"]


class Straight:
    """Drives ahead at 1 m/s and keeps what it saw."""

    seen: list = []  # noqa: RUF012

    def reset(self, info):
        self.info = info

    def act(self, observation):
        Straight.seen.append(observation)
        return 1.0, 0.0


# -- schedules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"kind": "spill"}, "one of at, rate and probability, not none"),
        ({"kind": "spill", "at": 3, "rate": 4}, "not at and rate"),
        ({"kind": "spill", "at": 3, "window": [0, 5]}, "'window' belongs to"),
        ({"kind": "spill", "rate": 3, "window": [5, 2]}, "upside down"),
        ({"kind": "spill", "at": -1}, "greater than or equal to 0"),
        ({"kind": "spill", "at": 200}, "after the episode"),
        ({"kind": "spill", "at": 3, "friction": fixed(3, "1")}, "allowed is"),
        ({"kind": "spill", "at": 3, "friction": 0.2}, "write a range"),
        ({"kind": "flood", "at": 3}, "does not match any of the expected tags"),
        ({"kind": "dead_sensor", "at": 3, "robots": [4]}, "raise robots.count"),
        ({"kind": "battery_fade", "at": 3}, "add a section 'condition'"),
        ({"kind": "dim_light", "at": 3, "place": "route"}, "raise light.lamps"),
        ({"kind": "spill", "rate": 90000, "place": {"x": 1, "y": 1, "depth": 2}}, "depth"),
    ],
)
def test_wrong_disturbances_are_refused(content, words, tmp_path):
    path = tmp_path / "s.yaml"
    quick_content = quick().model_dump(mode="json")
    path.write_text(yaml.safe_dump({**quick_content, "disturbances": [content]}))
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    assert words in str(caught.value)


def test_without_disturbances_a_scenario_keeps_its_hash():
    assert "disturbances" not in quick().model_dump(mode="json")
    scenario = quick(disturbances=[{"kind": "spill", "at": [1, 2]}])
    assert Scenario.model_validate(scenario.model_dump(mode="json")) == scenario
    assert scenario.disturbances[0].at == (1.0, 2.0)


def test_a_rate_is_a_poisson_process_and_a_probability_a_coin():
    rate = quick(duration=600.0, disturbances=[{"kind": "spill", "rate": 60.0, "window": [100, 400]}])
    times = [[row[2] for row in occurrence_times(rate, 0, index)] for index in range(300)]
    counts = np.array([len(row) for row in times])
    # Five in five minutes on average: of 300 draws the mean lies within 4 deviations, and mean equals variance.
    assert abs(counts.mean() - 5.0) < 4 * math.sqrt(5.0 / 300)
    assert 0.7 < counts.var() / 5.0 < 1.35
    flat = np.concatenate(times)
    assert flat.min() >= 100
    assert flat.max() < 400
    assert abs(flat.mean() - 250.0) < 4 * 300 / math.sqrt(12 * len(flat))
    once = quick(duration=60.0, disturbances=[{"kind": "spill", "probability": 0.3}])
    drawn = [occurrence_times(once, 0, index) for index in range(400)]
    assert {len(row) for row in drawn} == {0, 1}
    assert abs(sum(map(len, drawn)) / 400 - 0.3) < 4 * math.sqrt(0.21 / 400)


def test_other_disturbances_change_nothing_that_one_draws():
    wet = {
        "kind": "spill",
        "probability": 1.0,
        "radius": {"distribution": "uniform", "low": 0.3, "high": 2, "unit": "m"},
    }
    carton = {"kind": "dropped_carton", "rate": 2000.0}
    alone, among = run([wet], duration=2.0), run([carton, wet, wet], duration=2.0)
    names = [name for name in alone.sampled if name.startswith("disturbances.spill.0")]
    assert len(names) == 5
    assert {name: among.sampled[name] for name in names} == {name: alone.sampled[name] for name in names}
    assert among.sampled["disturbances.spill.1.0.radius"] != among.sampled["disturbances.spill.0.0.radius"]


def test_before_it_begins_and_once_it_is_over_all_is_as_it_was():
    spell = {"at": 3, "duration": fixed(2, "s")}
    kinds = ("spill", "dirty_lidar", "dead_sensor", "lost_localisation", "network_delay", "blocked_aisle")
    calm, wild = run(duration=8.0), run([{"kind": kind, **spell} for kind in kinds], duration=8.0)
    first = 60
    assert (calm.pose[:first] == wild.pose[:first]).all()
    begun = {row[0]: row[3] for row in told(wild) if row[1] == "begin"}
    ended = {row[0]: row[3] for row in told(wild) if row[1] == "end"}
    assert set(begun) == set(kinds)
    assert all(time == 3.0 for kind, time in begun.items() if kind != "blocked_aisle")
    assert all(ended[kind] == 5.0 for kind in kinds if kind != "blocked_aisle")
    assert not np.array_equal(calm.pose[first:], wild.pose[first : len(calm.pose)])


# -- what each kind does -----------------------------------------------------------------------------------------------


def test_on_a_spill_braking_takes_as_long_as_its_friction_says():
    class Brake(Straight):
        def act(self, observation):
            return (1.2, 0.0) if observation.time < 1.0 else (0.0, 0.0)

    wet = {"kind": "spill", "at": 1.0, "place": {"x": 30.0, "y": 30.0}, "radius": fixed(20, "m")}
    record = run([{**wet, "friction": fixed(0.05, "1")}], Brake, duration=5.0, layout=empty_hall(60.0, 60.0))
    inside = np.hypot(*(record.pose[:, 0, :2] - 30.0).T) < 19.5
    braking = (record.velocity[:, 0, 0] > 0.1) & (record.time > 1.3) & inside
    assert braking.sum() > 20
    slope = np.polyfit(record.time[braking], record.velocity[braking, 0, 0], 1)[0]
    # Only the driven wheels brake, with their share of the weight.
    assert -slope == pytest.approx(0.05 * RobotModel().drive.drive_wheel_load * 9.81, rel=0.01)


def test_goods_block_an_aisle_only_where_nobody_stands_and_are_taken_away_again():
    block = {"kind": "blocked_aisle", "at": 1, "goods": fixed(2, "1"), "duration": fixed(5, "s")}
    for index in range(4):
        record = run([block], index=index)
        begin, end = told(record)
        assert begin[3] >= 1.0
        assert end[3] >= 6.0 - 1e-9
        moves = record.loose_moves
        placed = moves[moves[:, 0] == moves[0, 0]]
        assert len(placed) == 2
        for place in placed[:, 2:5]:
            assert place[2] == pytest.approx(0.5, abs=0.1)
            gap = np.hypot(*(record.pose[int(moves[0, 0]), 0, :2] - place[:2]))
            assert gap > record.robot_radius[0] + 0.4
        assert (moves[-2:, 4] < -500).all()


def test_a_carton_falls_freely_and_stays_on_the_floor():
    drop = {"kind": "dropped_carton", "at": 1, "height": fixed(2.0, "m"), "edge": fixed(0.3, "m")}
    record = run([drop], policy=Steer, duration=6.0)
    (begin,) = told(record)
    moves = record.loose_moves
    fall = moves[moves[:, 4] > 0.2]
    time = fall[:, 0] / 20.0 - begin[3]
    expected = 2.15 - 0.5 * 9.81 * time**2
    free = expected > 0.3
    assert free.sum() > 8
    np.testing.assert_allclose(fall[free, 4], expected[free], atol=0.06)
    assert moves[-1, 4] == pytest.approx(0.15, abs=0.01)


def test_a_carton_slides_off_a_laden_robot():
    record = run([{"kind": "dropped_carton", "at": 0.5, "source": "load"}], duration=40.0, index=1)
    (begin,) = told(record)
    picked = next(event.time for event in record.events if event.kind == "pick")
    assert begin[3] > picked
    k = int(record.loose_moves[0, 0])
    gap = np.hypot(*(record.loose_moves[0, 2:4] - record.pose[k, 0, :2]))
    assert record.robot_radius[0] < gap < record.robot_radius[0] + 0.6


def test_light_fails_for_cameras_and_a_dead_one_is_black():
    def brightness(*disturbances):
        shown = []
        scenario = quick(duration=4.0, people=0, frames=4, disturbances=list(disturbances))
        run_episode(
            scenario, Steer, policy_name="steer", seed=5, index=0, capture=lambda c: shown.append(c.frame.rgb.mean())
        )
        return np.array(shown)

    light, late = brightness(), {"at": 2, "duration": fixed(1, "s")}
    dim, dead = (
        brightness({"kind": "dim_light", **late}),
        brightness({"kind": "dead_sensor", "sensor": "camera", **late}),
    )
    assert (dim[[0, 1, 3]] == light[[0, 1, 3]]).all()
    assert dim[2] < 0.7 * light[2]
    assert (dead == [light[0], light[1], 0.0, light[3]]).all()


def test_lamps_fail_where_one_failure_follows_another():
    lights = tuple(Light(position=(x, 4.0, 6.0)) for x in (2.0, 12.0))
    kinds = [
        {"kind": "dim_light", "at": at, "duration": fixed(1, "s"), "place": {"x": x, "y": 4.0}, "radius": fixed(2, "m")}
        for at, x in ((1, 2.0), (2, 12.0))
    ]
    layout = empty_hall().model_copy(update={"lights": lights})
    light = {"lamps": fixed(1, "1")}
    scenario = quick(duration=4.0, people=0, layout=layout, light=light, disturbances=kinds)
    episode, shares = LiveEpisode(scenario, 5, 0, None), []
    whole = episode.stage.scene.lamps[:, 3]
    for step in range(4 * 20):
        for actor in episode.actors:
            actor.begin(step, step / 20)
        shares.append(episode.stage.scene.lamps[:, 3] / whole)
    np.testing.assert_allclose(shares[::20], [[1.0, 1.0], [0.2, 1.0], [1.0, 0.2], [1.0, 1.0]], rtol=1e-6)


def test_dirt_takes_the_light_that_it_says():
    config = LidarConfig(beams=360, range_max=20.0, range_at_10_percent=10.0, detection_noise=0.0)
    angles = np.linspace(-math.pi, math.pi, 360, endpoint=False)
    windows = Windows(config, angles, 1, seed=0, index=0)
    ranges = np.tile(np.linspace(0.5, 19.5, 40), 9).astype(np.float32)
    intensity = np.full(360, 0.4, np.float32)
    clean = windows.look_through(0, 0, ranges, intensity)
    assert clean is ranges
    windows.dirt[0].append(Dirt(bearing=0.0, sector=math.pi, loss=0.75))
    seen = windows.look_through(0, 0, ranges, intensity)
    dirty = np.abs(angles) <= 0.5 * math.pi + 1e-9
    # A quarter of the light: signal 0.25 * 4 * (10 / r)^2 is over the threshold up to 10 m.
    assert (seen[~dirty] == ranges[~dirty]).all()
    assert (np.isfinite(seen[dirty]) == (ranges[dirty] < 10.0)).all()
    windows.dirt[0] = [Dirt(bearing=math.pi, sector=1.0, distance=0.3)]
    blocked = np.abs(np.abs(angles) - math.pi) <= 0.5
    seen = windows.look_through(1, 0, ranges, intensity)
    assert (seen[blocked] == np.float32(0.3)).all()
    windows.dirt[0] = [Dirt(bearing=math.pi, sector=1.0, distance=0.01)]
    assert np.isinf(windows.look_through(1, 0, ranges, intensity)[blocked]).all()
    windows.dirt[0] = []
    windows.worn[0] = 0.75
    assert (np.isfinite(windows.look_through(2, 0, ranges, intensity)) == (ranges < 10.0)).all()


def test_dirt_sends_some_light_back():
    windows = Windows(LidarConfig(), np.linspace(-math.pi, math.pi, 360, endpoint=False), 1, seed=0, index=0)
    windows.dirt[0].append(Dirt(loss=0.0, short_returns=0.1))
    far, bright = np.full(360, 20.0, np.float32), np.full(360, 1.0, np.float32)
    rows = np.array([windows.look_through(frame, 0, far, bright) for frame in range(40)])
    assert abs((rows < 20.0).mean() - 0.1) < 4 * math.sqrt(0.09 / rows.size)
    assert (rows[rows < 20.0] - 0.05).mean() == pytest.approx(0.3, rel=0.12)


def test_worn_windows_of_old_robots_reach_the_policy():
    def farthest(dirt):
        Straight.seen = []
        wear = {"window_dirt": dirt, "radius_loss": 0, "torque_constant_loss": 0, "friction_growth": 0}
        condition = {"age": fixed(1000, "h"), "model": {"wear": wear}}
        run(policy=Straight, duration=0.3, condition=condition, layout=empty_hall(40.0, 16.0))
        scan = Straight.seen[-1].scan
        return scan[np.isfinite(scan)].max()

    # Three per cent of the light reach 25 m * sqrt(0.03 * 10 a), a being at most 1.
    assert farthest(0.0) > 15.0
    assert 4.0 < farthest(0.97) < 25.0 * math.sqrt(0.3)


def test_a_dead_lidar_reports_its_last_scan():
    Straight.seen = []
    run([{"kind": "dead_sensor", "at": 0.55, "duration": fixed(0.5, "s")}], Straight, duration=1.6)
    age = np.array([seen.time - seen.scan_time for seen in Straight.seen])
    assert age.max() == pytest.approx(0.6, abs=0.06)
    assert age[-1] < 0.11
    Straight.seen = []
    run([{"kind": "dead_sensor", "at": 0}], Straight, duration=0.2)
    assert Straight.seen[-1].scan_time == -math.inf
    assert np.isinf(Straight.seen[-1].scan).all()


def test_a_sensor_is_dead_until_the_last_that_holds_it_dead_is_over():
    kinds = [{"kind": "dead_sensor", "sensor": s, "at": [1, 2], "duration": fixed(3, "s")} for s in ("lidar", "camera")]
    episode = LiveEpisode(quick(duration=8.0, people=0, disturbances=kinds), 5, 0, None)
    clear, dead = np.ones(36, np.float32), []
    for step in range(8 * 20):
        for actor in episode.actors:
            actor.begin(step, step / 20)
        lidar = episode.windows.look_through(step, 0, clear, clear)
        dead.append((lidar is None, episode.photographer.dead[0] > 0))
    assert [np.flatnonzero(column)[[0, -1]].tolist() for column in np.array(dead).T] == [[20, 99]] * 2
    assert np.sum(dead) == 2 * 80


def test_lost_localisation_jumps_turns_and_drifts_or_stands_still():
    def error(**settings):
        Straight.seen = []
        record = run([{"kind": "lost_localisation", "at": 1.0, **settings}], Straight, duration=3.0)
        return np.array([seen.pose for seen in Straight.seen]), record.pose[:, 0]

    quiet = {"jump": fixed(2, "m"), "turn": fixed(10, "deg"), "drift": fixed(0.5, "m/s")}
    believed, true = error(**quiet)
    away = np.hypot(*(believed - true)[:, :2].T)
    assert away[:20].max() < 0.15
    np.testing.assert_allclose(away[20:], 2.0 + 0.5 * (np.arange(20, 60) / 20.0 - 1.0), atol=0.15)
    turned = (believed - true)[20:, 2]
    assert np.abs(np.abs((turned + math.pi) % (2 * math.pi) - math.pi) - math.radians(10)).max() < 0.06
    believed, true = error(frozen=True)
    np.testing.assert_allclose(believed[20:], np.tile(believed[20], (40, 1)), atol=1e-12)
    assert np.hypot(*(true[-1] - true[20])[:2]) > 0.5


def test_commands_come_late_or_not_at_all():
    class Step(Straight):
        def act(self, observation):
            return (0.8, 0.0) if observation.time >= 1.0 else (0.0, 0.0)

    def start(*disturbances):
        record = run(disturbances, Step, duration=4.0)
        return record.time[np.argmax(record.velocity[:, 0, 0] > 0.05)], record.velocity[:, 0, 0].max()

    prompt, top = start()
    late, _ = start({"kind": "network_delay", "at": 0, "latency": fixed(450, "ms")})
    assert late - prompt == pytest.approx(0.45, abs=0.051)
    _, never = start({"kind": "network_delay", "at": 0, "loss": fixed(1, "1")})
    assert never == 0.0
    assert top > 0.7
    # A link that dies under way: the watchdog stops the robot half a second later.
    record = run([{"kind": "network_delay", "at": 2, "loss": fixed(1, "1")}], Step, duration=4.5)
    speed = record.velocity[:, 0, 0]
    assert speed[48] > 0.7
    assert np.abs(speed[-5:]).max() < 0.02


def test_equipment_fails():
    calm = run(index=1, duration=40.0)
    spell = {"at": 2, "duration": fixed(6, "s")}
    stood = run([{"kind": "equipment_failure", **spell}], index=1, duration=40.0)
    assert stood.duration == pytest.approx(calm.duration + 6.0, abs=1.0)
    slow = run([{"kind": "equipment_failure", "crawl": fixed(0.2, "m/s"), **spell}], index=1, duration=40.0)
    window = (slow.time > 3.5) & (slow.time < 8.0)
    assert np.abs(slow.velocity[window, 0, 0]).max() < 0.22
    assert slow.velocity[window, 0, 0].max() > 0.1
    shut = {"kind": "equipment_failure", "equipment": "station", "id": "P1", "at": 0, "duration": fixed(20, "s")}
    waited = run([shut], index=1, duration=40.0)
    picked = next(event.time for event in waited.events if event.kind == "pick")
    assert picked >= 20.0
    with pytest.raises(InputError, match="none of that name is in use"):
        run([{**shut, "id": "P9"}])


def test_faded_batteries_sag_and_drain():
    def telemetry(*disturbances):
        kept = []
        condition = {"charge": fixed(0.5, "1"), "model": {"noise": {"soc": 0.0}}}
        scenario = quick(duration=4.0, people=0, condition=condition, disturbances=list(disturbances))
        run_episode(scenario, Straight, policy_name="straight", seed=5, index=0, telemetry=kept.append)
        return kept[0].rows[:, 0]

    volt, charge = COLUMNS.index("voltage_v"), COLUMNS.index("soc")
    fade = {"kind": "battery_fade", "at": 2, "capacity": fixed(0.25, "nominal"), "resistance": fixed(20, "nominal")}
    calm, worn = telemetry(), telemetry(fade)
    np.testing.assert_array_equal(calm[:20], worn[:20])
    assert (calm[25:, volt] - worn[25:, volt]).min() > 0.1
    assert (worn[-1, charge] - worn[25, charge]) / (calm[-1, charge] - calm[25, charge]) == pytest.approx(4, rel=0.05)


def test_disturbed_episodes_do_not_depend_on_what_ran_before():
    kinds = ("spill", "blocked_aisle", "dropped_carton", "dirty_lidar", "lost_localisation", "network_delay")
    busy = [{"kind": kind, "rate": 1500.0, "duration": fixed(2, "s")} for kind in kinds]
    first = record_bytes(run(busy, robots=2, duration=6.0))
    run([busy[1]], index=3, duration=3.0)
    assert record_bytes(run(busy, robots=2, duration=6.0)) == first
