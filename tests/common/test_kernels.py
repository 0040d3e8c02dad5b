"""A cached kernel is compiled anew when what it calls changes in another file."""

import subprocess
import sys

import pytest

HELPER = "from numba import njit\n\n\n@njit(cache=True)\ndef amount():\n    return {}\n"
KERNEL = """
from numba import njit
from floorcast.common.kernels import content_stamp, stamped
import helper

STAMP = content_stamp([helper.__file__])


def kernel():
    return helper.amount()


kernel = njit(cache=True)(kernel)
if {stamped}:
    stamped(kernel, STAMP)
print(kernel())
"""


@pytest.mark.parametrize(("uses_stamp", "after"), [(True, "2"), (False, "1")], ids=["stamped", "numba alone"])
def test_a_changed_helper_reaches_the_kernel(tmp_path, uses_stamp, after):
    (tmp_path / "entry.py").write_text(KERNEL.format(stamped=uses_stamp))

    def run(amount):
        (tmp_path / "helper.py").write_text(HELPER.format(amount))
        done = subprocess.run(
            [sys.executable, "-B", "entry.py"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert run("1") == "1"
    assert run("2") == after  # without the stamp numba goes on with the old code: the reason for the stamp


def test_the_fleet_is_stamped_with_all_that_it_calls():
    from floorcast.robots import fleet_kernels

    for kernel in (fleet_kernels.advance_all, fleet_kernels.free_run):
        assert fleet_kernels._STAMP in kernel._cache._cache_file._source_stamp


KEPT = """
import sys
import time
from pathlib import Path

from numba import njit
from floorcast.common.kernels import is_kept, kept


def kernel(x):
    return x + 1.5


kernel = kept(njit(cache=True)(kernel), "stamp")
before = is_kept(kernel)
Path(sys.argv[1]).touch()
while not all(Path(name).exists() for name in sys.argv[2:]):
    time.sleep(0.002)
kernel(1.0)
print(sum(kernel.stats.cache_misses.values()), before, is_kept(kernel), "numba.np.arraymath" in sys.modules)
"""


def start(folder, name, *wait_for):
    command = [sys.executable, "-B", "entry.py", name, *wait_for]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)


def test_processes_that_want_a_kernel_at_once_compile_it_once_and_later_ones_load_only_it(tmp_path):
    (tmp_path / "entry.py").write_text(KEPT)
    both = [start(tmp_path, name, "a", "b") for name in ("a", "b")]
    said = sorted(process.communicate(timeout=120)[0].split() for process in both)
    assert [words[:3] for words in said] == [["0", "False", "True"], ["1", "False", "True"]]
    # Compiling needs all that numba knows; loading does not.
    assert start(tmp_path, "c").communicate(timeout=120)[0].split() == ["0", "True", "True", "False"]
