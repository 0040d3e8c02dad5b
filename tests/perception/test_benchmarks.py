"""The benchmark programs that judge (they end with 1 if a bound is broken), in short."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


def run(*arguments):
    return subprocess.run(
        [sys.executable, *(str(argument) for argument in arguments)], capture_output=True, text=True, timeout=600
    )


@pytest.mark.slow
def test_memory_stays_flat_over_scans_pictures_and_scenes():
    # Short, so that single jumps of the allocator weigh more than in the soak itself: hence the wider bound.
    result = run(FOLDER / "soak.py", "--thousands", "0.6", "--rebuild", "10", "--area", "200", "--bound", "4")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "flat" in result.stdout


@pytest.mark.slow
def test_the_sensors_agree_with_the_caster_and_with_embree_pose_by_pose():
    if importlib.util.find_spec("open3d") is None:
        pytest.skip("open3d is not installed")
    result = run(FOLDER / "accuracy.py", "--poses", "12", "--width", "160")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("holds") == 6
