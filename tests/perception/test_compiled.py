"""Kernels kept on disk are dropped when any file that they are made of changes."""

from __future__ import annotations

import ast
from pathlib import Path

from floorcast.perception import camera, compiled, lidar, raycast


def test_the_stamp_of_every_kernel_covers_all_kernel_files():
    for kernel in (raycast.cast_rays, lidar.scan_kernel, camera.render_kernel):
        # A private attribute: this fails if another Numba keeps its stamp elsewhere, and stale kernels would be used.
        assert compiled.CONTENT_STAMP in kernel._cache._cache_file._source_stamp


def test_all_files_with_kernels_are_covered():
    folder = Path(compiled.__file__).parent
    using = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module == "compiled":
                using.add(path.stem)
    assert using | {"compiled"} == set(compiled.KERNEL_MODULES)
