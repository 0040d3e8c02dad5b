"""What the sensors may not need: boxes with a GPU often have numpy and numba and little else."""

import subprocess
import sys

import pytest

BLOCKED = ("pydantic", "pybullet", "yaml", "cv2", "scipy", "ray", "trimesh", "torch")


@pytest.mark.parametrize("module", ["scene", "lidar", "camera", "worlds", "device", "bench.worlds"])
def test_imports_with_numpy_and_numba_alone(module):
    lines = [
        "import sys",
        f"sys.modules.update(dict.fromkeys({BLOCKED!r}))",  # None in sys.modules makes an import fail.
        f"import floorcast.perception.{module}",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
