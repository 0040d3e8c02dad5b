"""Episodes played back: positions, pictures, films, MCAP files and Rerun recordings."""

import base64
import json

import cv2
import numpy as np
import pytest
from PIL import Image

from floorcast.common.errors import InputError
from floorcast.common.geometry import rotation_matrix
from floorcast.common.primitives import BOX
from floorcast.episodes.loop import run_episode
from floorcast.episodes.sensing import ScanQueue
from floorcast.episodes.view import film, foxglove, rerun_export
from floorcast.episodes.view.film import FilmSettings, film_times, frames, write_film
from floorcast.episodes.view.marks import PERSON, ROBOTS
from floorcast.episodes.view.picture import TopView
from floorcast.episodes.view.playback import Playback, Rebuilt
from floorcast.layouts.model import Good
from floorcast.perception.lidar import Lidar

from .hall import Steer, empty_hall, quick


class Pusher(Steer):
    """Straight ahead, whatever stands there."""

    def act(self, observation):
        return 1.0, 0.0


@pytest.fixture(scope="module")
def scenario():
    return quick(duration=6.0)


@pytest.fixture(scope="module")
def playback(scenario):
    return Playback(run_episode(scenario, Steer, policy_name="steer", seed=0, index=0), scenario)


@pytest.fixture(scope="module")
def pushed():
    """A robot in a hall full of cartons that it drives through."""
    goods = tuple(
        Good(id=f"G{i}{j}", x=1.5 + 1.6 * i, y=1.0 + 1.4 * j, size=(0.4, 0.3, 0.3)) for i in range(8) for j in range(5)
    )
    hall = empty_hall().model_copy(update={"goods": goods})
    scenario = quick(duration=3.0, people=0, layout=hall)
    return Playback(run_episode(scenario, Pusher, policy_name="pusher", seed=0, index=0), scenario)


def test_a_moment_lies_between_its_control_steps(playback):
    record = playback.record
    np.testing.assert_array_equal(playback.at(record.time[7]).pose, record.pose[7])
    half = playback.at(0.5 * (record.time[7] + record.time[8]))
    np.testing.assert_allclose(half.pose[:, :2], 0.5 * (record.pose[7] + record.pose[8])[:, :2], atol=1e-12)
    np.testing.assert_array_equal(playback.at(1e9).pose, record.pose[-1])


def test_pushed_goods_are_where_the_lidar_met_them(pushed):
    """Scans of the rebuilt scene equal the episode's own to the bit, so that goods, noise and poses are the same."""
    seen = {}

    class Watcher(Pusher):
        def act(self, observation):
            seen.setdefault(observation.scan_time, observation.scan.copy())
            return super().act(observation)

    scenario = pushed.scenario
    again = run_episode(scenario, Watcher, policy_name="pusher", seed=0, index=0)
    np.testing.assert_array_equal(again.loose_moves, pushed.record.loose_moves)
    assert len(np.unique(again.loose_moves[:, 1])) >= 1
    moved = pushed.at(pushed.duration).loose_pose - pushed.solids.loose_pose
    assert np.abs(moved).max() > 0.05
    rebuilt = Rebuilt(pushed)
    queue = ScanQueue(Lidar(pushed.sampled.lidar), pushed.sampled.models, 0.0, rebuilt.stream)
    for step in range(0, len(pushed.record.time), scenario.scan_every):
        moment = pushed.at(pushed.record.time[step])
        queue.take(rebuilt.scene(moment), moment.pose, moment.time, moment.velocity)
        if moment.time in seen:
            np.testing.assert_array_equal(queue.newest(moment.time)[1][0], seen.pop(moment.time))
    assert not seen


def test_pictures_are_equal_to_the_bit_and_show_who_is_where(playback):
    view = TopView(playback, 640)
    moment = playback.at(2.0)
    picture = view.draw(moment)
    np.testing.assert_array_equal(picture, TopView(playback, 640).draw(playback.at(2.0)))
    assert picture.shape == (view.height, view.width, 3)

    def centre_of(color, within):
        rows, columns = np.nonzero(np.all(picture[within] == color, axis=-1))
        return np.array([columns.mean(), rows.mean()])

    plan = np.s_[:, : round(640 * (1 - 300 / 1280)) - 1]
    person = view.pixels(moment.person_pose[:, :2])[0]
    np.testing.assert_allclose(centre_of(PERSON, plan), person, atol=1.5)
    x, y = np.round(view.pixels(moment.pose[:, :2])[0]).astype(int)
    assert ROBOTS[0] in {tuple(int(v) for v in pixel) for pixel in picture[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3)}


def test_a_film_decodes_again(playback, tmp_path):
    made = write_film(playback, tmp_path / "film.mp4", FilmSettings(end=1.0, width=320, fps=10.0))
    video = cv2.VideoCapture(str(tmp_path / "film.mp4"))
    decoded = []
    while (read := video.read())[0]:
        decoded.append(read[1][..., ::-1])
    assert len(decoded) == made.frames == 11
    drawn = next(frames(playback, FilmSettings(width=320), np.array([1.0])))
    assert np.abs(decoded[-1].astype(int) - drawn).mean() < 8.0
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_a_gif_shows_what_was_drawn(playback, tmp_path):
    settings = FilmSettings(end=0.4, width=320, fps=30.0)
    write_film(playback, tmp_path / "film.gif", settings)
    times, fps = film_times(playback, settings, ".gif")
    assert fps == pytest.approx(100 / 3)
    with Image.open(tmp_path / "film.gif") as gif:
        assert (gif.n_frames, gif.info["duration"]) == (len(times), 30)
        gif.seek(gif.n_frames - 1)
        last = np.array(gif.convert("RGB")).astype(int)
    *_, drawn = frames(playback, settings, times)
    assert np.abs(last - drawn).mean() < 4.0


def test_a_camera_is_shown_beside_the_plan(playback):
    picture = next(frames(playback, FilmSettings(camera=0, width=640), np.array([1.0])))
    panel = picture[:, round(640 * (1 - 400 / 1280)) :]
    assert len(np.unique(panel.reshape(-1, 3), axis=0)) > 500
    with pytest.raises(InputError, match="no robot 1"):
        next(frames(playback, FilmSettings(camera=1), np.array([1.0])))


@pytest.mark.parametrize(
    "changes",
    [{"start": 6.0}, {"start": 2.0, "end": 2.0}, {"start": -1.0}, {"fps": 0.0}, {"width": 10}, {"speed": 0.0}],
)
def test_films_without_length_are_refused(playback, tmp_path, changes):
    with pytest.raises(InputError):
        write_film(playback, tmp_path / "film.mp4", FilmSettings(**changes))
    assert not list(tmp_path.iterdir())


def test_a_film_that_breaks_off_leaves_nothing(playback, tmp_path, monkeypatch):
    def broken(self, moment):
        if moment.time > 0.3:
            raise RuntimeError("broken")
        return sound(self, moment)

    sound = TopView.draw
    monkeypatch.setattr(TopView, "draw", lambda self, moment, camera=None, out=None: broken(self, moment))
    for name in ("film.mp4", "film.gif"):
        with pytest.raises(RuntimeError):
            write_film(playback, tmp_path / name, FilmSettings(width=320))
    assert not list(tmp_path.iterdir())


def test_another_scenario_and_misfits_are_refused(playback, scenario):
    with pytest.raises(InputError, match="not made with the scenario"):
        Playback(playback.record, quick(duration=5.0))
    record = playback.record
    for name, value in (("goal", record.goal[:-1]), ("time", record.time[:0])):
        with pytest.raises(InputError):
            Playback(type(record)(**{**vars(record), name: value}), scenario)


@pytest.fixture(scope="module")
def messages(pushed, tmp_path_factory):
    pytest.importorskip("mcap")
    from mcap.reader import make_reader

    path = tmp_path_factory.mktemp("mcap") / "episode.mcap"
    counts = foxglove.write_mcap(pushed, path)
    with open(path, "rb") as file:
        reader = make_reader(file, validate_crcs=True)
        rows = list(reader.iter_messages())
        assert reader.get_summary().statistics.message_count == sum(counts.values()) == len(rows)
    return rows


def test_mcap_messages_fit_their_schemas_and_times(messages, pushed):
    from jsonschema import Draft202012Validator

    record, counts = pushed.record, {}
    for schema, channel, message in messages:
        content, rules = json.loads(message.data), json.loads(schema.data)
        Draft202012Validator.check_schema(rules)
        Draft202012Validator(rules).validate(content)
        assert schema.name == rules["title"]
        counts[channel.topic] = counts.get(channel.topic, 0) + 1
        if "timestamp" in content:
            assert content["timestamp"]["sec"] * 10**9 + content["timestamp"]["nsec"] == message.log_time
    steps = len(record.time)
    assert counts["/tf"] == steps + 1
    assert counts["/robots"] == counts["/robot_0/state"] == steps
    assert counts["/robot_0/points"] == len(range(0, steps, pushed.scenario.scan_every))
    assert counts["/log"] == len(record.events) > 0
    times = [message.log_time for _, channel, message in messages if channel.topic == "/robots"]
    assert times == [round(time * 1e9) for time in record.time]


def test_mcap_points_lie_on_the_walls(messages, pushed):
    """Points of the first scan, taken through the transforms, are inside the hall, and most on a wall or a carton."""
    links, cloud = {}, None
    for _, channel, message in messages:
        content = json.loads(message.data)
        if channel.topic == "/tf" and message.log_time == 0:
            links.update({row["child_frame_id"]: row for row in content["transforms"]})
        if channel.topic == "/robot_0/points" and cloud is None:
            cloud = content
    points = np.frombuffer(base64.b64decode(cloud["data"]), dtype="<f4").reshape(-1, 3).astype(float)
    frame = cloud["frame_id"]
    while frame != "map":
        link = links[frame]
        points = points @ rotation_matrix([link["rotation"][a] for a in "xyzw"]).T
        points += [link["translation"][a] for a in "xyz"]
        frame = link["parent_frame_id"]
    layout = pushed.layout
    assert len(points) > 10
    assert np.all(points[:, :2] > -0.1)
    assert np.all(points[:, :2] < np.array([layout.length, layout.width]) + 0.1)
    walls = np.abs(points[:, None, :2] - np.array([[0.1, 0.1], [layout.length - 0.1, layout.width - 0.1]])).min(
        axis=(1, 2)
    )
    goods = np.abs(points[:, None, :2] - np.array([[g.x, g.y] for g in pushed.loose])).max(axis=2).min(axis=1)
    assert np.mean((walls < 0.1) | (goods < 0.3)) > 0.95


def test_without_mcap_the_extra_is_named(playback, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "mcap.writer", None)
    with pytest.raises(InputError, match="pip install mcap"):
        foxglove.write_mcap(playback, tmp_path / "x.mcap")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def recording(pushed, tmp_path_factory):
    """Chunks by entity of a Rerun recording, read back."""
    chunk = pytest.importorskip("rerun.chunk")
    path = tmp_path_factory.mktemp("rerun") / "episode.rrd"
    rerun_export.write_rerun(pushed, path)
    found = {}
    for part in chunk.RrdReader(path).stream():
        rows = part.to_record_batch()
        stamps = {"episode": rows.column("episode").cast("int64").to_pylist()} if "episode" in rows.schema.names else {}
        content = {name: rows.column(name).to_pylist() for name in rows.schema.names if ":" in name}
        found.setdefault(part.entity_path, []).append({**content, **stamps})
    return found


def _column(recording, entity, name):
    rows = [(t, v) for part in recording[entity] for t, v in zip(part["episode"], part[name], strict=True)]
    rows.sort(key=lambda row: row[0])
    return 1e-9 * np.array([t for t, _ in rows]), [v for _, v in rows]


def test_rerun_recordings_hold_the_poses_of_the_record(recording, pushed):
    record = pushed.record
    time, places = _column(recording, "/map/robot_0", "Transform3D:translation")
    np.testing.assert_allclose(time, record.time, atol=1e-9)
    np.testing.assert_allclose([place[0][:2] for place in places], record.pose[:, 0, :2], atol=1e-5)
    _, speed = _column(recording, "/robot_0/v", "Scalars:scalars")
    np.testing.assert_array_equal([value[0] for value in speed], record.velocity[:, 0, 0])
    for k, name in enumerate(pushed.solids.loose_id):
        _, places = _column(recording, f"/map/goods/{name}", "Transform3D:translation")
        np.testing.assert_allclose(places[-1][0], pushed.loose_pose(len(record.time) - 1)[k, :3], atol=1e-5)
    assert sum(len(part["TextLog:text"]) for part in recording["/log"]) == len(record.events)


def test_rerun_recordings_hold_every_solid_of_the_hall(recording, pushed):
    drawn = sum(
        len(part["Boxes3D:half_sizes"][0])
        for entity, parts in recording.items()
        if entity.startswith("/map/hall") and "floor" not in entity
        for part in parts
        if "Boxes3D:half_sizes" in part
    )
    static = pushed.solids.static
    assert drawn == int(((static.kind == BOX) & (static.body > 0)).sum()) > 0


def test_without_rerun_the_extra_is_named(playback, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "rerun", None)
    with pytest.raises(InputError, match=r"floorcast\[viz\]"):
        rerun_export.write_rerun(playback, tmp_path / "x.rrd")
    assert not list(tmp_path.iterdir())


def test_films_end_in_known_letters(playback, tmp_path):
    with pytest.raises(InputError, match="avi"):
        write_film(playback, tmp_path / "film.avi", FilmSettings())
    assert set(film.SUFFIXES) == {".mp4", ".webm", ".gif"}
