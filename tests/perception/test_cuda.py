"""The CUDA side: in numba's simulator here, as PTX where the compiler is, and on a GPU where there is one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.perception.device import missing_for_cuda, resolve_device

HERE = Path(__file__).parent


def run(arguments, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, **environment},
        cwd=HERE.parents[1],
    )


@pytest.mark.slow
def test_the_simulator_sees_what_the_cpu_sees():
    pytest.importorskip("numba_cuda")
    done = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "on_device.py")], NUMBA_ENABLE_CUDASIM="1")
    assert done.returncode == 0, done.stdout[-4000:]


@pytest.mark.gpu
def test_a_gpu_sees_what_the_cpu_sees():
    missing = missing_for_cuda()
    if missing:
        pytest.skip(missing[0])
    done = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "on_device.py")])
    assert done.returncode == 0, done.stdout[-4000:]


def nvvm():
    """A CUDA home whose compiler is there, or None."""
    for home in (os.environ.get("CUDA_HOME"), "/usr/local/cuda", "/usr/local/cuda-13.0"):
        if home and (Path(home) / "nvvm" / "libdevice").is_dir():
            return home
    return None


@pytest.mark.slow
@pytest.mark.skipif(nvvm() is None, reason="libnvvm is not there")
def test_every_kernel_compiles_to_ptx():
    pytest.importorskip("numba_cuda")
    done = run([str(HERE / "ptx.py"), "9", "0"], CUDA_HOME=nvvm() or "")
    assert done.returncode == 0, done.stderr[-4000:]
    kernels = json.loads(done.stdout)
    assert {(k["kernel"], k["real"]) for k in kernels} >= {
        (name, real) for name in ("place_bodies", "scan_beams", "render_pixels") for real in ("float32", "float64")
    }
    assert all(k["bytes"] > 0 and k["calls"] <= 2 for k in kernels)
    # The calls are those of sine and cosine for huge angles.
    # 32-bit kernels do their geometry in 32 bits: what is left of 64 bits is the noise.
    narrow, wide = (
        np.median([k["f64"] for k in kernels if k["kernel"] == "scan_beams" and k["real"] == real])
        for real in ("float32", "float64")
    )
    assert narrow < 0.25 * wide


def test_a_missing_gpu_is_explained(monkeypatch):
    monkeypatch.setattr("floorcast.perception.device.missing_for_cuda", lambda: ("no GPU answers", "buy one"))
    assert resolve_device("auto") == "cpu"
    with pytest.raises(InputError, match="no GPU answers") as error:
        resolve_device("cuda")
    assert error.value.mend == "buy one"
