"""Kernels kept on disk are dropped when any file that they are made of changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from floorcast.common.kernels import import_stamp, imported_files, read_module
from floorcast.perception import camera, lidar, raycast


@pytest.mark.parametrize("kernel", [raycast.cast_rays, lidar.scan_kernel, camera.render_kernel])
def test_the_stamp_of_a_kernel_covers_all_that_its_module_imports(kernel):
    # A private attribute: this fails if another Numba keeps its stamp elsewhere, and stale kernels would be used.
    assert import_stamp(kernel.py_func.__code__.co_filename) in kernel._cache._cache_file._source_stamp


def test_imported_files_follows_imports_through_other_modules():
    names = {path.stem for path in imported_files(Path(lidar.__file__))}
    assert {"lidar", "raycast", "intersect", "grid", "noise", "compiled", "kernels", "primitives"} <= names


def test_a_change_in_an_indirect_import_changes_the_stamp(tmp_path):
    (tmp_path / "a.py").write_text("from .b import x\n")
    (tmp_path / "b.py").write_text("from .deep import y\nx = y\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "__init__.py").write_text("y = 1\n")
    before = import_stamp(str(tmp_path / "a.py"))
    (tmp_path / "deep" / "__init__.py").write_text("y = 2\n")
    import_stamp.cache_clear()
    read_module.cache_clear()
    assert import_stamp(str(tmp_path / "a.py")) != before
