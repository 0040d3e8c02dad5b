"""Strict configuration names file, line and field; atomic files leave nothing half-written."""

import os

import pytest
from pydantic import Field

from floorcast.common.config import StrictModel, config_hash, load_model, save_model
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
