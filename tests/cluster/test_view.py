"""Episodes found in a run's folder."""

import numpy as np
import pytest

from floorcast.cluster.evaluate import rollout
from floorcast.cluster.jobs import record_path
from floorcast.cluster.run import Resources
from floorcast.cluster.view import EpisodeChoice, open_episode, view
from floorcast.common.errors import InputError
from floorcast.episodes.view.film import FilmSettings


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    rollout("small", policy="navigator", episodes=(1,), seed=3, out=folder, resources=Resources(workers=0))
    return folder


def test_an_episode_of_a_run_is_the_one_made_anew(run):
    kept = open_episode(EpisodeChoice(1, run))
    anew = open_episode(EpisodeChoice(1, scenario="small", policy="navigator", seed=3))
    assert kept.layout == anew.layout
    for step in (0, len(kept.record.time) // 2):
        first, second = kept.at(kept.record.time[step]), anew.at(anew.record.time[step])
        for name in ("pose", "person_pose", "loose_pose", "carrying"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_a_film_of_a_run(run, tmp_path):
    settings = FilmSettings(start=1.0, end=2.0, width=320, fps=10.0, speed=2.0)
    summary = view(EpisodeChoice(1, run), tmp_path / "film.gif", settings)
    assert summary["pictures"] == 6
    assert summary["bytes"] == (tmp_path / "film.gif").stat().st_size


def test_what_a_run_does_not_hold_is_refused(run, tmp_path):
    with pytest.raises(InputError, match="no record of episode 0"):
        open_episode(EpisodeChoice(0, run))
    with pytest.raises(InputError, match="no run"):
        open_episode(EpisodeChoice(0, tmp_path))
    broken = tmp_path / "broken"
    record_path(broken, 1).parent.mkdir(parents=True)
    for name in ("run.json", "scenario.yaml"):
        (broken / name).write_bytes((run / name).read_bytes())
    record_path(broken, 1).write_bytes(record_path(run, 1).read_bytes()[:4000])
    with pytest.raises(InputError, match="not a whole episode record"):
        view(EpisodeChoice(1, broken), tmp_path / "film.mp4", FilmSettings())
    assert not (tmp_path / "film.mp4").exists()
    record_path(broken, 1).write_bytes(record_path(run, 1).read_bytes())
    (broken / "scenario.yaml").unlink()
    with pytest.raises(InputError, match=r"does not hold its scenario\.yaml"):
        open_episode(EpisodeChoice(1, broken))
