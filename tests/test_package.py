"""The package as it is installed: folders, data, light imports, floors without their upper neighbours."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def settings():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_folder_with_code_is_in_the_package_list():
    listed = set(settings()["tool"]["setuptools"]["packages"])
    beside = {"tests", "benchmarks", "docs", "deploy"}
    found = {"floorcast"}
    for init in ROOT.rglob("__init__.py"):
        parts = init.relative_to(ROOT).parent.parts
        if parts and parts[0] not in beside and not any(part.startswith(".") or part == "build" for part in parts):
            found.add(".".join(("floorcast", *parts)))
    assert listed == found


def loaded_after(code):
    script = f"import sys\n{code}\nprint(' '.join(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_import_of_the_package_is_light():
    heavy = {"pybullet", "ray", "torch", "numba", "cv2", "matplotlib", "numpy", "scipy"}
    assert not loaded_after("import floorcast") & heavy


@pytest.mark.parametrize(
    "module", ["layouts.model", "robots.model", "perception.config", "episodes.scenario", "validation.gates"]
)
def test_configuration_imports_no_simulator(module):
    assert not loaded_after(f"import floorcast.{module}") & {"pybullet", "ray", "torch", "cv2"}


@pytest.mark.parametrize(
    "module", ["scene", "lidar", "camera", "labels", "datasets.shards", "datasets.check", "bench.sensors"]
)
def test_perception_runs_without_pybullet(module):
    blocked = f"import sys; sys.modules['pybullet'] = None; import floorcast.perception.{module}"
    assert f"floorcast.perception.{module}" in loaded_after(blocked)


def test_the_command_line_starts_without_loading_a_simulator():
    assert not loaded_after("import floorcast.cli") & {"pybullet", "ray", "torch", "numba", "cv2", "matplotlib"}


def test_constraints_hold_the_environment_that_runs_the_tests():
    from importlib.metadata import PackageNotFoundError, version

    wrong = []
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, pinned = line.partition("==")
        if not pinned:
            continue
        try:
            found = version(name)
        except PackageNotFoundError:
            continue
        if found.split("+")[0] != pinned.split("+")[0]:
            wrong.append(f"{name} {found} (pinned {pinned})")
    assert not wrong, "run 'pip install -c constraints.txt -e .[dev]': " + ", ".join(wrong)
