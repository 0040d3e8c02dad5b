"""A job whose scenario has a condition leaves telemetry in the run folder, with checksums for the ledger."""

from floorcast.cluster.jobs import EpisodeJob, is_whole, run_job
from floorcast.episodes.telemetry import load_telemetry

from ..episodes.hall import quick


def test_telemetry_is_an_artefact_of_the_episode(tmp_path):
    condition = {"faults": [{"kind": "brake", "at_s": 1.0}]}
    for name, scenario in (("with", quick(duration=2.0, frames=0, condition=condition)), ("without", quick(2.0, 0))):
        job = EpisodeJob(scenario, "quick", None, "reckless", 0, 3, tmp_path / name, record=False, dataset=False)
        artefacts = run_job(job).artefacts
        assert is_whole(job.folder, artefacts)
        expected = ["telemetry/000003/robot_000.csv", "telemetry/000003/telemetry.json"] if name == "with" else []
        assert sorted(artefacts) == expected
    telemetry = load_telemetry(tmp_path / "with" / "telemetry" / "000003")
    assert telemetry.index == 3
    assert telemetry.rows[-1, 0, -3] == 1.0
