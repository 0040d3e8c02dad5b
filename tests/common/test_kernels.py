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
    from floorcast.robots import fleet

    for kernel in (fleet._advance_all, fleet._free_run_kernel):
        assert fleet._STAMP in kernel._cache._cache_file._source_stamp
