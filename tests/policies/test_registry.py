from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from floorcast.common.errors import InputError
from floorcast.episodes.policy import Policy
from floorcast.policies.registry import BUILT_IN, load_policy

GOOD = """
class Still:
    def reset(self, info): ...
    def act(self, observation): return 0.0, 0.0

class NeedsMore:
    def __init__(self, weight): ...
    def reset(self, info): ...
    def act(self, observation): return 0.0, 0.0

class NoAct:
    def reset(self, info): ...

NUMBER = 3
"""


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_built_in_names_give_new_policies_and_can_be_sent_to_workers(name: str) -> None:
    make = load_policy(name)
    assert isinstance(make(), Policy)
    assert make() is not make()
    assert pickle.loads(pickle.dumps(make)) is make


@pytest.mark.parametrize("spec", ["navigater", "", "navigator.yaml", "os.path"])
def test_unknown_name_lists_the_known_ones(spec: str) -> None:
    with pytest.raises(InputError) as caught:
        load_policy(spec)
    assert all(name in str(caught.value) for name in BUILT_IN)


def test_close_name_is_suggested() -> None:
    with pytest.raises(InputError, match="did you mean 'navigator'"):
        load_policy("navigater")


def test_class_in_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_fleet_policies.py").write_text(GOOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load_policy("my_fleet_policies:Still")().act(None) == (0.0, 0.0)  # type: ignore[arg-type]
    sys.modules.pop("my_fleet_policies", None)


def test_class_in_a_file_with_its_own_directory_of_that_name(tmp_path: Path) -> None:
    for folder, value in (("a", "1.0"), ("b", "2.0")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(GOOD.replace("return 0.0, 0.0", f"return {value}, 0.0"))
    first, second = (load_policy(f"{tmp_path / folder / 'mine.py'}:Still")() for folder in "ab")
    assert first.act(None)[0] == 1.0  # type: ignore[arg-type]
    assert second.act(None)[0] == 2.0  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("suffix", "says", "mends"),
    [
        (":Missing", "there is no 'Missing'", "NeedsMore, NoAct, Still"),
        (":NoAct", "no method 'act'", "reset(info) and act"),
        (":NeedsMore", "cannot be made without arguments", "default"),
        (":NUMBER", "is not a class", "name a class"),
        ("", "unknown policy", "name its class"),
        (":", "does not name a class", "file.py:Class"),
    ],
)
def test_wrong_class_in_a_file(tmp_path: Path, suffix: str, says: str, mends: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    with pytest.raises(InputError) as caught:
        load_policy(f"{path}{suffix}")
    assert says in str(caught.value)
    if suffix == ":Missing":
        mends = "NeedsMore, Still"
    assert mends in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("floorcast.no_such:Thing", "there is no module 'floorcast.no_such'"),
        ("no_such_package.inner:Thing", "there is no module 'no_such_package'"),
        ("/no/such/file.py:Thing", "no such file"),
        ("floorcast.policies.registry:nothing", "there is no 'nothing'"),
    ],
)
def test_missing_module_file_or_attribute(spec: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        load_policy(spec)
    assert says in str(caught.value)
    assert "mend" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import no_such_thing_at_all\n", "ModuleNotFoundError"),
        ("def broken(:\n", "SyntaxError"),
        ("raise RuntimeError('on purpose')\n", "on purpose"),
    ],
)
def test_file_that_fails_to_load_is_bad_input(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_policy(f"{path}:Thing")
    assert says in str(caught.value)


def test_a_files_code_runs_only_if_the_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trap = tmp_path / "navigatorx.py"
    trap.write_text("raise SystemExit('must not run')\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="unknown policy"):
        load_policy("navigatorx")
    with pytest.raises(InputError, match="unknown policy"):
        load_policy("navigatorx.py")
