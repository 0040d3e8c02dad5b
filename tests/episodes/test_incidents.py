import numpy as np

from floorcast.episodes.incidents import find_incidents

DT = 0.05


def find(steps, *, x=None, v=None, asked=None, goal=(20.0, 0.0, 0.0), gap=None):
    time = np.arange(steps) * DT
    pose = np.zeros((steps, 1, 3))
    pose[:, 0, 0] = time if x is None else x
    velocity = np.zeros((steps, 1, 2))
    velocity[:, 0, 0] = 1.0 if v is None else v
    command = np.zeros((steps, 1, 2))
    command[:, 0, 0] = 1.0 if asked is None else asked
    goals = np.tile(np.array(goal), (steps, 1, 1)) if np.ndim(goal) == 1 else np.asarray(goal)
    gaps = np.full((steps, 1), np.inf)
    if gap is not None:
        gaps[:, 0] = gap
    return find_incidents(time, pose, velocity, command, goals, gaps, DT)


def test_a_quiet_drive_has_no_incidents():
    assert find(400) == []


def test_near_misses_count_once_until_the_person_is_gone():
    gap = np.full(200, 2.0)
    gap[20:30], gap[35:40], gap[100:110] = 0.2, 0.2, 0.1
    gap[30:35] = 0.5
    gap[40:100] = 1.0
    events = find(200, gap=gap)
    assert [(event.kind, event.time) for event in events] == [("near_miss", 1.0), ("near_miss", 5.0)]
    assert events[0].other == "person"
    assert find(200, gap=gap, v=0.1, asked=0.1, x=np.arange(200) * 1.0) == []


def test_emergency_stops_are_commands_to_stand_at_speed_away_from_the_goal():
    asked, v = np.ones(200), np.ones(200)
    asked[50:80], v[60:80] = 0.0, 0.1
    asked[120:125] = 0.0
    assert [(e.kind, round(e.time, 2)) for e in find(200, asked=asked, v=v)] == [("estop", 2.5), ("estop", 6.0)]
    assert find(200, asked=asked, v=v, goal=(5.0, 0.0, 0.0), x=np.full(200, 4.5) + np.arange(200) * 0.002) == []


def test_stuck_needs_ten_seconds_with_one_goal():
    x = np.minimum(np.arange(600) * DT, 5.0)
    events = find(600, x=x, v=0.0, asked=0.0)
    assert [event.kind for event in events] == ["stuck"]
    # It stood from 5.0 s on; within the last 0.25 m since 4.75 s.
    assert 14.7 < events[0].time < 15.1
    goals = np.tile(np.array([20.0, 0.0, 0.0]), (600, 1, 1))
    goals[250:] += 1.0
    assert [round(e.time) for e in find(600, x=x, v=0.0, asked=0.0, goal=goals)] == [22]
    goals[:] = np.nan
    assert find(600, x=x, v=0.0, asked=0.0, goal=goals) == []


def test_a_flicker_at_the_limit_is_one_spell():
    steps = np.arange(2400)
    x = 5.0 + 0.25 / 10.0 * DT * steps + np.where(steps % 30 < 15, 0.01, -0.01) * (steps // 200 % 2)
    moved = np.abs(x[200:] - x[:-200]) < 0.25
    assert np.count_nonzero(np.diff(moved.astype(int)) == 1) > 3
    assert len(find(2400, x=x, v=0.0, asked=0.0)) == 1
