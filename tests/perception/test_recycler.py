"""Memory is used again only when nobody can see it."""

from __future__ import annotations

import numpy as np
import pytest

from floorcast.perception.recycler import Recycler


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize(
    "hold",
    [
        lambda array: array,
        lambda array: array[1:, ::2],
        lambda array: memoryview(array),
        lambda array: np.frombuffer(array, np.uint8)[3:],
    ],
    ids=["whole", "part", "memoryview", "buffer"],
)
def test_what_is_held_is_not_handed_out_again(hold):
    recycler = Recycler((3, 4), np.int32)
    first = recycler()
    place, held = address(first), hold(first)
    del first
    others = [recycler() for _ in range(8)]
    assert place not in {address(other) for other in others}
    assert len({address(other) for other in others}) == 8
    del held
    assert address(recycler()) == place


def test_memory_kept_is_limited():
    recycler = Recycler((1000,), np.uint8, most=2)
    held = [recycler() for _ in range(5)]
    assert len(recycler._kept) == 2
    assert len({address(array) for array in held}) == 5
    assert {(array.shape, array.dtype.name) for array in held} == {((1000,), "uint8")}
