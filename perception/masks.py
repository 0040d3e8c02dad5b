"""From an id buffer to runs, boxes and COCO run-length codes, without a loop over pixels in Python."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled


@dataclass(frozen=True)
class InstanceRuns:
    """The pixels of every instance of an id buffer (H, W), as runs in column-major order (COCO's order).

    S instances with an id above 0, in ascending order; R runs grouped by instance. Runs never overlap, since each pixel
    of the buffer holds one id: masks made of them are disjoint by construction.

    Attributes:
        shape: (H, W).
        instance_id: (S,) int32, ascending.
        offset: (S + 1,) int64; runs ``offset[s]:offset[s + 1]`` belong to instance s.
        start, stop: (R,) int64, pixel index ``x * H + y`` of the first pixel and past the last.
        area: (S,) int64 [pixels].
        box: (S, 4) int64, tight x, y, width, height [pixels].
    """

    shape: tuple[int, int]
    instance_id: NDArray[np.int32]
    offset: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    area: NDArray[np.int64]
    box: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.instance_id)

    def keep(self, selected: NDArray[np.bool_]) -> InstanceRuns:
        """Return only the instances that a mask (S,) selects."""
        run_count = np.diff(self.offset)
        runs = np.repeat(selected, run_count)
        return InstanceRuns(
            shape=self.shape,
            instance_id=self.instance_id[selected],
            offset=np.concatenate([[0], np.cumsum(run_count[selected])]).astype(np.int64),
            start=self.start[runs],
            stop=self.stop[runs],
            area=self.area[selected],
            box=self.box[selected],
        )


def instance_runs(instance: NDArray[np.integer]) -> InstanceRuns:
    """Split an id buffer (H, W) into the runs of its instances; ids of 0 are background."""
    height, width = instance.shape
    flat = np.ascontiguousarray(instance.T).reshape(-1)
    edge = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    start = np.concatenate([[0], edge])
    stop = np.concatenate([edge, [flat.size]])
    value = flat[start]
    things = value > 0
    order = np.argsort(value[things], kind="stable")
    start, stop, value = start[things][order], stop[things][order], value[things][order]
    if len(value) == 0:
        empty = np.zeros(0, dtype=np.int64)
        return InstanceRuns(
            (height, width), empty.astype(np.int32), np.zeros(1, np.int64), empty, empty, empty, empty.reshape(0, 4)
        )
    first = np.concatenate([[0], np.flatnonzero(value[1:] != value[:-1]) + 1])
    left, right = start // height, (stop - 1) // height
    # A run that goes on into the next column fills the columns between from top to bottom.
    one_column = left == right
    top = np.where(one_column, start % height, 0)
    bottom = np.where(one_column, (stop - 1) % height, height - 1)
    x = np.minimum.reduceat(left, first)
    y = np.minimum.reduceat(top, first)
    box = np.stack(
        [x, y, np.maximum.reduceat(right, first) - x + 1, np.maximum.reduceat(bottom, first) - y + 1], axis=1
    )
    return InstanceRuns(
        shape=(height, width),
        instance_id=value[first].astype(np.int32),
        offset=np.concatenate([first, [len(value)]]).astype(np.int64),
        start=start.astype(np.int64),
        stop=stop.astype(np.int64),
        area=np.add.reduceat(stop - start, first),
        box=box.astype(np.int64),
    )


def run_length_codes(runs: InstanceRuns) -> list[bytes]:
    """Return COCO's compressed run-length code of each instance: the bytes ``pycocotools`` makes of its mask."""
    code, offset = _encode(runs.offset, runs.start, runs.stop, runs.shape[0] * runs.shape[1])
    text = code.tobytes()
    return [text[a:b] for a, b in zip(offset[:-1].tolist(), offset[1:].tolist(), strict=True)]


@compiled
def _encode(
    offset: NDArray[np.int64], start: NDArray[np.int64], stop: NDArray[np.int64], pixels: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Write the counts of zeros and ones in turn, each less the count two before it, five bits to a character.

    The format is that of ``rleToString`` in the COCO toolbox (maskApi.c): the first three counts as they are.
    """
    # A difference of two counts below 2^35 takes eight characters at most; there are two counts to a run and one more.
    code = np.empty((2 * len(start) + len(offset)) * 8, dtype=np.uint8)
    code_offset = np.zeros(len(offset), dtype=np.int64)
    at = 0
    for s in range(len(offset) - 1):
        before_1 = np.int64(0)
        before_2 = np.int64(0)
        position = np.int64(0)
        first, last = offset[s], offset[s + 1]
        for i in range(2 * (last - first) + 1):
            run = first + i // 2
            if i % 2 == 1:
                edge = stop[run]
            elif run < last:
                edge = start[run]
            else:
                edge = pixels
            count = edge - position
            if run == last and count == 0:
                break
            position = edge
            rest = count - before_2 if i > 2 else count
            before_2, before_1 = before_1, count
            more = True
            while more:
                bits = rest & 0x1F
                rest >>= 5
                more = rest != -1 if bits & 0x10 else rest != 0
                if more:
                    bits |= 0x20
                code[at] = bits + 48
                at += 1
        code_offset[s + 1] = at
    return code[:at], code_offset
