"""A run folder belongs to one run, survives crashes and refuses strangers."""

import json
import subprocess
import sys

import pytest

from floorcast.cluster.run_folder import LedgerEntry, RunFolder
from floorcast.common.errors import InputError

ASKED = {"scenario": "abc", "seed": 7}


def entry(episode, status="done"):
    return LedgerEntry(episode=episode, seed=7, status=status, attempts=1, wall_s=0.5)


def test_ledger_keeps_the_newest_entry_and_survives_a_torn_line(tmp_path):
    with RunFolder(tmp_path / "run", "generate", ASKED) as run:
        run.append(entry(0, "failed"))
        run.append(entry(1))
        with open(run.path / "ledger.jsonl", "ab") as file:
            file.write(b'{"episode": 2, "see')
        run.append(entry(0))
    with RunFolder(tmp_path / "run", "generate", ASKED) as again:
        entries = again.entries()
    assert {index: e.status for index, e in entries.items()} == {0: "done", 1: "done"}


@pytest.mark.parametrize("other", [{"scenario": "abc", "seed": 8}, {"scenario": "xyz", "seed": 7}])
def test_a_folder_with_another_run_is_refused_and_left_as_it_was(tmp_path, other):
    with RunFolder(tmp_path / "run", "generate", ASKED) as run:
        run.append(entry(0))
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    with pytest.raises(InputError, match="holds another run") as error, RunFolder(tmp_path / "run", "generate", other):
        pass
    assert str(tmp_path / "run") in str(error.value)
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


def test_a_folder_with_strange_files_is_refused_and_gets_no_new_ones(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.tex"), RunFolder(tmp_path, "generate", ASKED):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError), RunFolder(tmp_path / "out" / "run", "generate", ASKED):
        pass


def test_two_processes_cannot_write_one_folder(tmp_path):
    code = (
        "import sys; from floorcast.cluster.run_folder import RunFolder\n"
        "from floorcast.common.errors import InputError\n"
        "try:\n"
        "    RunFolder(sys.argv[1], 'generate', {'scenario': 'abc', 'seed': 7}).__enter__()\n"
        "except InputError as error:\n"
        "    print(error); sys.exit(2)\n"
    )
    with RunFolder(tmp_path / "run", "generate", ASKED):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], capture_output=True, text=True)
    assert done.returncode == 2
    assert "another process" in done.stdout


def test_no_resume_refuses_a_started_run(tmp_path):
    with RunFolder(tmp_path / "run", "generate", ASKED):
        pass
    with pytest.raises(InputError, match="already holds this run"):
        RunFolder(tmp_path / "run", "generate", ASKED, resume=False).__enter__()


def test_summary_is_json(tmp_path):
    with RunFolder(tmp_path / "run", "generate", ASKED) as run:
        path = run.write_summary({"frames": 3})
    assert json.loads(path.read_text()) == {"frames": 3}
