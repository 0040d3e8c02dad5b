"""The command line on bad input: one screen that names what, where and how to mend it, exit code 2, nothing written."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from floorcast.episodes.scenario import SCENARIO_FOLDER


def floorcast(*words, cwd, **options):
    environment = {**os.environ, "NUMBA_NUM_THREADS": "1", **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "floorcast", *map(str, words)],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, **options,
    )  # fmt: skip


def assert_refused(done, *parts):
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) <= 24
    assert "Traceback" not in done.stderr
    for part in parts:
        assert part in done.stderr


@pytest.fixture
def scenario(tmp_path):
    """Return a function that writes the small scenario with changes and returns its path."""
    content = yaml.safe_load((SCENARIO_FOLDER / "small.yaml").read_text())

    def write(**changes):
        path = tmp_path / "site.yaml"
        path.write_text(yaml.safe_dump({**content, **changes}, sort_keys=False))
        return path

    return write


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_unknown_key_names_file_line_and_field(tmp_path, scenario):
    path = scenario(florr={"friction": 1})
    done = floorcast("generate", path, "--frames", 4, "--workers", 0, cwd=tmp_path)
    assert_refused(done, "site.yaml", "line", "florr", "did you mean 'floor'")
    assert leftovers(tmp_path) == ["site.yaml"]


def test_a_range_upside_down_is_refused(tmp_path, scenario):
    path = scenario(floor={"friction": {"distribution": "uniform", "low": 0.9, "high": 0.6, "unit": 1}})
    done = floorcast("validate", path, "--episodes", 1, "--workers", 0, cwd=tmp_path)
    assert_refused(done, "site.yaml", "floor.friction", "0.9", "0.6")
    assert leftovers(tmp_path) == ["site.yaml"]


def test_a_rack_through_a_wall_is_refused(tmp_path):
    done = floorcast("layout", "generate", "--area", 200, "--seed", 3, "--out", "hall.yaml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    hall = yaml.safe_load((tmp_path / "hall.yaml").read_text())
    rack = hall["racks"][0]
    hall["walls"].append({"id": "W-new", "start": [rack["x"], 0.5], "end": [rack["x"], hall["width"] - 0.5]})
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(hall))
    done = floorcast("layout", "show", "bad.yaml", "--out", "plan.png", cwd=tmp_path)
    assert_refused(done, "bad.yaml", "racks", "wall")
    assert not (tmp_path / "plan.png").exists()


def test_a_generated_hall_is_shown_and_drawn(tmp_path):
    done = floorcast("layout", "generate", "--area", 150, "--out", "hall.yaml", "--plan", "plan.svg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = floorcast("layout", "show", "hall.yaml", "--out", "plan.png", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["racks"] > 0
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "plan.svg").read_text()


def tricycle_lines():
    from floorcast.gap.readers import bundled_log

    return bundled_log("tricycle").read_text().splitlines()


def test_a_site_file_becomes_a_hall_and_what_is_left_is_told(tmp_path):
    (tmp_path / "site.map").write_text("type octile\nheight 2\nwidth 3\nmap\n..W\n@@@\n")
    words = ("layout", "import", "site.map", "--out", "hall.yaml", "--plan", "plan.svg", "--cell-size", 2, "--json")
    done = floorcast(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["length_m"], summary["walls"], summary["read"]["occupied cells"]) == (6.0, 2, 4)
    assert summary["lanes"] == summary["waypoints"] == summary["obstacles"] == 0
    assert "not used: 1 x water cell" in done.stderr
    assert leftovers(tmp_path) == ["hall.yaml", "plan.svg", "site.map"]
    done = floorcast("layout", "import", "site.map", "--out", "no.yaml", "--cell-size", 0, cwd=tmp_path)
    assert_refused(done, "--cell-size", "0.01 to 100 m")
    assert "no.yaml" not in leftovers(tmp_path)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda lines: [line.replace("tracker_pose: ", "tracker_pose: nan ") for line in lines], "log.txt"),
        (lambda lines: lines[:8] + lines[:7:-1], "back"),
        (lambda lines: [line[:40] for line in lines], "log.txt"),
        (lambda lines: [], "empty"),
    ],
    ids=["nan", "time backwards", "truncated", "empty file"],
)
def test_damaged_logs_are_refused(tmp_path, damage, expected):
    (tmp_path / "log.txt").write_text("\n".join(damage(tricycle_lines())))
    done = floorcast("gap", "log.txt", "--out", "run", cwd=tmp_path)
    assert_refused(done, "log.txt", expected)
    assert leftovers(tmp_path) == ["log.txt"]


def test_one_bad_record_is_skipped_and_reported(tmp_path):
    lines = tricycle_lines()
    lines[100] = lines[100].replace("tracker_pose: ", "tracker_pose: nan ")
    (tmp_path / "log.txt").write_text("\n".join(lines))
    done = floorcast("gap", "log.txt", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "line 101" in done.stderr
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]


def test_empty_folder_and_missing_log(tmp_path):
    (tmp_path / "logs").mkdir()
    assert_refused(floorcast("gap", "logs", cwd=tmp_path), "empty", "logs")
    assert_refused(floorcast("gap", "none.log", cwd=tmp_path), "none.log")
    assert_refused(floorcast("dataset", "check", "logs", cwd=tmp_path), "logs")


def test_an_output_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    done = floorcast("generate", "small", "--frames", 4, "--workers", 0, "--out", "out", cwd=tmp_path)
    assert_refused(done, "out", "notes.txt")
    assert leftovers(tmp_path / "out") == ["notes.txt"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a way to make a full disk")
def test_a_full_disk_is_explained(tmp_path):
    """A tiny file system, where it may be mounted; writes end with 'no space left'."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True)
    if mount.returncode:
        pytest.skip("this user may not mount a small file system")
    try:
        done = floorcast("generate", "small", "--frames", 4, "--workers", 0, "--out", disk / "run", cwd=tmp_path)
        assert_refused(done, "No space left", "free some space")
        assert not (disk / "run" / "summary.json").exists()
        assert not list(disk.rglob("*.part"))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([".", "--out", "film.mp4"], "no run"),
        (["--out", "film.avi"], ".avi"),
        ([".", "--seed", 3, "--policy", "reckless"], "--policy, --seed"),
        (["--out", "x.mcap", "--fps", 3], "--fps"),
    ],
)
def test_what_cannot_be_viewed_is_refused(tmp_path, words, expected):
    assert_refused(floorcast("view", *words, cwd=tmp_path), expected)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("words", [["generate", "--frames", "many"], ["nonsense"], ["generate", "--sead", "1"]])
def test_wrong_words_end_with_two(tmp_path, words):
    assert floorcast(*words, cwd=tmp_path).returncode == 2


def test_json_on_standard_output_is_nothing_but_json(tmp_path):
    done = floorcast("rollout", "small", "--episode", 0, "--out", "run", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["episodes"] == 1


def test_a_terminal_that_lacks_a_letter_shows_its_code(tmp_path):
    assert floorcast("layout", "generate", "--area", 120, "--out", "hall.yaml", cwd=tmp_path).returncode == 0
    hall = yaml.safe_load((tmp_path / "hall.yaml").read_text())
    (tmp_path / "hall.yaml").write_text(yaml.safe_dump({**hall, "name": "Hälfte"}))
    done = floorcast("layout", "show", "hall.yaml", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert "H\\xe4lfte" in done.stdout


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_outputs_do_not_matter(tmp_path, closed):
    line = f'"$0" -m floorcast layout generate --area 120 --out hall.yaml {closed}'
    done = subprocess.run(["sh", "-c", line, sys.executable], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert leftovers(tmp_path) == ["hall.yaml"]


def test_every_interval_says_its_confidence(tmp_path):
    """Gates are decided one-sided: their two-sided interval is not the 95 % one of the other KPIs."""
    (tmp_path / "gates.yaml").write_text("confidence: 0.9\ngates:\n- {metric: collision, max: 0.5}\n")
    words = ["validate", "small", "--gates", "gates.yaml", "--episodes", 1, "--workers", 0, "--out", "run"]
    done = floorcast(*words, cwd=tmp_path)
    shown = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "(80 %)" in shown["collision"]
    assert "(95 %)" in shown["success"]


def test_the_gap_of_a_log_needs_no_further_word_and_its_other_commands_do(tmp_path):
    """``floorcast gap LOG`` and ``floorcast gap measure LOG`` are one; options may stand before the log."""
    assert_refused(floorcast("gap", "--seed", 3, "none.log", cwd=tmp_path), "none.log")
    assert_refused(floorcast("gap", "measure", "none.log", cwd=tmp_path), "none.log")
    help_text = floorcast("gap", "--help", cwd=tmp_path).stdout
    assert "measure" in help_text
    assert "task" in help_text


def test_the_task_gap_of_a_table(tmp_path):
    rows = [f"policy{i},success,{0.1 * i},{0.1 * i + 0.05},20" for i in range(1, 6)]
    (tmp_path / "kpis.csv").write_text("\n".join(["policy,kpi,real,sim,n", *rows]))
    done = floorcast("gap", "task", "kpis.csv", "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "only 5 policies" in done.stderr
    found = {row["name"]: row for row in json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]}
    assert found["success.mmrv"]["value"] == 0.0
    assert found["success.bias"]["value"] == pytest.approx(0.05)
    fields = {"name", "robot", "horizon_s", "value", "ci_low", "ci_high", "n", "floor", "ratio", "unit"}
    assert set(found["success.bias"]) == fields
    (tmp_path / "kpis.csv").write_text("policy,kpi,real\na,b,1\n")
    assert_refused(floorcast("gap", "task", "kpis.csv", cwd=tmp_path), "kpis.csv", "'sim'", "columns policy, kpi, real")


def test_a_log_named_twice_is_refused(tmp_path):
    assert_refused(floorcast("gap", "tricycle", "tricycle", cwd=tmp_path), "several logs of tricycle", "once")
