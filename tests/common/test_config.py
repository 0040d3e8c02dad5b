"""Strict configuration names file, line and field; atomic files leave nothing half-written."""

import os
import time

import pytest
from pydantic import Field

from floorcast.common.config import StrictModel, config_hash, load_model, save_model, yaml_lines
from floorcast.common.errors import InputError
from floorcast.common.files import explained_os_errors, write_bytes_atomic


class Inner(StrictModel):
    speed: float = Field(default=1.0, gt=0)
    count: int = 1


class Outer(StrictModel):
    name: str
    inner: Inner = Inner()
    many: tuple[Inner, ...] = ()


def load(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    return load_model(path, Outer)


def test_round_trip_and_hash(tmp_path):
    model = Outer(name="å", many=(Inner(speed=0.1), Inner(count=3)))
    save_model(model, tmp_path / "m.yaml")
    again = load_model(tmp_path / "m.yaml", Outer)
    assert again == model
    assert config_hash(again) == config_hash(model)
    assert config_hash(Outer(name="b")) != config_hash(Outer(name="a"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a\ninner:\n  sped: 2\n", ["x.yaml", "line 3", "inner.sped", "did you mean 'speed'"]),
        ("name: a\nmany:\n- speed: 1\n- speed: -1\n", ["line 4", "many.1.speed", "greater than 0"]),
        ("name: a\ninner:\n  speed: .nan\n", ["inner.speed", "finite"]),
        ("inner: {}\n", ["name", "required"]),
        ("name: [\n", ["x.yaml", "line"]),
        ("", ["empty"]),
        ("name: a\nname: b\n", ["'name' stands twice", "line 2"]),
        ("- 1\n", ["x.yaml"]),
    ],
)
def test_errors_name_file_line_and_field(tmp_path, text, expected):
    with pytest.raises(InputError) as error:
        load(tmp_path, text)
    for part in expected:
        assert part in str(error.value)
    assert len(str(error.value).splitlines()) < 24


def test_missing_file_and_folder_and_binary(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_model(tmp_path / "none.yaml", Outer)
    with pytest.raises(InputError, match="folder"):
        load_model(tmp_path, Outer)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="UTF-8"):
        load_model(tmp_path / "b.yaml", Outer)


def test_python_tags_are_refused(tmp_path):
    with pytest.raises(InputError):
        load(tmp_path, "name: !!python/object/apply:os.system ['true']\n")


def aliases_of_aliases(count):
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    return "\n".join(rows + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, count)]) + "\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (aliases_of_aliases(12), ["aliases", "line"]),
        ("a0: &a0 {x: 1}\n" + "".join(f"a{i}: &a{i}\n  <<: [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)),
         ["aliases", "line"]),
        ("name: a\nmany: &a [*a]\n", ["'*a' stands within", "line 2"]),
        ("many: " + "[" * 100_000 + "]" * 100_000, ["nested", "line 1"]),
        ("name: a\nmany:" + "\n- " * 200 + "1\n", ["x.yaml"]),
        ("name: a\nmany: " + "- " * 200 + "1\n", ["x.yaml", "line 2"]),
        ("name: 1" + ":59" * 100_000 + "\n", ["without quotes", "line 1"]),
        ("name: " + "9" * 5000 + "\n", ["without quotes"]),
        ("name: 2020-13-45\n", ["x.yaml", "month"]),
        ("name: !!int ''\n", ["x.yaml", "cannot be read"]),
        ("name: !!bool maybe\n", ["x.yaml", "cannot be read"]),
        ("name: !!timestamp soon\n", ["x.yaml", "cannot be read"]),
    ],
    ids=["laughs", "merged", "cycle", "deep", "empty items", "compact", "sexagesimal", "digits", "month 13",
         "empty integer", "no bool", "no time"],
)  # fmt: skip
def test_hostile_files_are_refused_at_once(tmp_path, text, expected):
    before = time.monotonic()
    with pytest.raises(InputError) as error:
        load(tmp_path, text)
    assert time.monotonic() - before < 5.0
    for part in expected:
        assert part in str(error.value)


def test_honest_aliases_are_read(tmp_path):
    model = load(tmp_path, "name: a\ninner: &slow {speed: 0.5}\nmany: [*slow, *slow]\n")
    assert model.many == (Inner(speed=0.5), Inner(speed=0.5))


def test_lines_of_fields_are_found_after_reading(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: a\nmany:\n- speed: 1\n- count: 2\n  speed: 3\n")
    wanted = [("many", 1, "speed"), ("many", 1), ("many", 1, "width"), ("name",)]
    assert yaml_lines(path, wanted) == [5, 4, 4, 1]
    path.write_text("name: [")
    assert yaml_lines(path, wanted) == [None] * 4
    assert yaml_lines(tmp_path / "none.yaml", wanted[:1]) == [None]


def test_a_failed_write_keeps_the_old_file_and_leaves_no_part(tmp_path, monkeypatch):
    path = tmp_path / "data.bin"
    write_bytes_atomic(path, b"old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left") as error:
        write_bytes_atomic(path, b"new")
    assert "free some space" in str(error.value)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["data.bin"]


def test_os_errors_are_explained(tmp_path):
    with pytest.raises(InputError), explained_os_errors(tmp_path):
        raise PermissionError(13, "Permission denied")
