"""Worlds resident on a CUDA device: placing bodies and scanning there, results left there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import cuda
from numpy.typing import NDArray

from ...common.primitives import Primitives
from ..grid import IntArray
from . import kernels, pictures
from .tables import WorldTables, pack_worlds
from .translate import kernel

DTYPES = {
    "ranges": np.float32,
    "intensity": np.float32,
    "true_ranges": np.float32,
    "instance_id": np.int32,
    "class_id": np.int32,
}

PICTURE_DTYPES = {"rgb": np.uint8, "depth": np.float32, "instance_id": np.int32, "class_id": np.uint8}


class CudaWorlds:
    """The tables of W worlds on the current CUDA device. Arguments as ``tables.pack_worlds``.

    Args:
        precision: ``float32`` or ``float64``: width of the rays' arithmetic.
        threads: of a block, a multiple of 32.

    Launches go to numba's default stream, which is also that of torch unless told otherwise; nothing here waits for
    the device. Results are overwritten by the next call with the same shape.
    """

    def __init__(
        self,
        halls: Sequence[Primitives],
        moving: Primitives,
        body_count: int,
        hall_of_world: IntArray,
        looks: Sequence[NDArray[np.float32]],
        *,
        cell_size: float,
        precision: str = "float32",
        threads: int = 128,
    ) -> None:
        self.real: type = np.float64 if precision == "float64" else np.float32
        self.threads, self.body_count, self.world_count = threads, body_count, len(hall_of_world)
        host, parts = pack_worlds(halls, moving, body_count, hall_of_world, looks, cell_size=cell_size, real=self.real)
        self.tables = WorldTables(*(cuda.to_device(np.ascontiguousarray(array)) for array in host))
        self.nbytes = sum(array.nbytes for array in host)
        """Memory of the tables on the device [bytes]."""
        self._parts = tuple(cuda.to_device(a) for a in (parts.kind, parts.size, parts.position, parts.axes))
        self._every_world = cuda.to_device(np.arange(self.world_count, dtype=np.int32))
        self._outputs: dict[Any, dict[str, Any]] = {}
        self._constants: dict[Any, Any] = {}

    def update(self, pose: Any, worlds: Any = None) -> None:
        """Place all bodies of all worlds, or of those that ``worlds`` (K,) names: pose (K, B, 7), host or device."""
        if self.body_count == 0:
            return
        which = self._every_world if worlds is None else on_device(worlds, np.int32)
        pose = on_device(pose)
        blocks = -(-pose.shape[0] * self.body_count // self.threads)
        kernel(kernels.place_bodies, np.float64)[blocks, self.threads](self.tables, *self._parts, which, pose)

    def scan(
        self,
        directions: NDArray[np.float64],
        rows: int,
        settings: NDArray[np.float64],
        quantiles: NDArray[np.float32],
        position: Any,
        rotation: Any,
        exclude: Any,
        stream: Any,
        sensors: Any,
        frame: Any,
    ) -> dict[str, Any]:
        """Scan with S lidars in each of the W worlds; see ``kernels.scan_beams``.

        Args:
            directions: (N, 3) unit vectors in ``laser``. rows: rings.
            settings: of ``lidar_signal.lidar_settings``. quantiles: ``noise.QUANTILES``.
            position: (W, S, 3) and rotation: (W, S, 3, 3), host or device, of 32 or 64 bits.
            exclude: (W, S) int32. stream, frame: (W,) uint64. sensors: (S,) uint64; host or device.

        Returns:
            Device arrays (W, S, rows, N / rows) by name: see DTYPES. They are overwritten by the next scan of the
            same shape.
        """
        beams, (worlds, count) = len(directions), position.shape[:2]
        shape = (worlds * count, beams)
        out = self._buffers(("scan", worlds, count, rows, beams), DTYPES, shape)
        tile = kernels.tile_shape(rows, beams // rows, self.threads)
        tiles = -(-(beams // rows) // tile[0]) * -(-rows // tile[1])
        kernel(kernels.scan_beams, self.real)[tiles * worlds * count, tile](
            self.tables,
            self._constant(directions, lambda: directions.T.astype(self.real)),
            on_device(settings, self.real),
            self._constant(quantiles, lambda: quantiles),
            beams // rows,
            reshaped(on_device(position), (-1, 3)),
            reshaped(on_device(rotation), (-1, 3, 3)),
            reshaped(on_device(exclude, np.int32), (-1,)),
            on_device(stream, np.uint64),
            on_device(sensors, np.uint64),
            on_device(frame, np.uint64),
            *(out[name] for name in ("true_ranges", "ranges", "intensity", "instance_id", "class_id")),
        )
        return {name: reshaped(array, (worlds, count, rows, beams // rows)) for name, array in out.items()}

    def render(
        self,
        size: tuple[int, int],
        view: NDArray[np.float64],
        lights: tuple[NDArray[Any], ...],
        crowding: Callable[[], tuple[NDArray[np.float32], NDArray[np.float64]]],
        position: Any,
        rotation: Any,
        exclude: Any,
        stream: Any,
        sensors: Any,
        frame: Any,
    ) -> dict[str, Any]:
        """Render with S cameras in each of the W worlds; see ``pictures.render_pixels``.

        Args:
            size: height and width [pixels]. view: (7,). lights: light table (15,), encoding and quantiles.
            crowding: gives the volumes (H, nz, ny, nx) and their corners (H, 4); asked once.
            others: as in ``scan``.

        Returns:
            Device arrays (W, S, h, w), rgb with a last axis of 3, by name: see PICTURE_DTYPES. They are overwritten by
            the next pictures of the same shape.
        """
        worlds, count = position.shape[:2]
        height, width = size
        shape = (worlds * count, height, width)
        out = self._buffers(("render", shape), PICTURE_DTYPES, shape)
        if "crowding" not in self._constants:
            volumes, corners = crowding()
            self._constants["crowding"] = (cuda.to_device(volumes), cuda.to_device(corners.astype(self.real)))
        tile = kernels.tile_shape(height, width, self.threads)
        tiles = -(-width // tile[0]) * -(-height // tile[1])
        light, encoding, quantiles = lights
        kernel(pictures.render_pixels, self.real)[tiles * worlds * count, tile](
            self.tables,
            *self._constants["crowding"],
            on_device(light, self.real),
            self._constant(encoding, lambda: encoding),
            self._constant(quantiles, lambda: quantiles),
            on_device(view, self.real),
            reshaped(on_device(position), (-1, 3)),
            reshaped(on_device(rotation), (-1, 3, 3)),
            reshaped(on_device(exclude, np.int32), (-1,)),
            on_device(stream, np.uint64),
            on_device(sensors, np.uint64),
            on_device(frame, np.uint64),
            *(out[name] for name in ("rgb", "depth", "instance_id", "class_id")),
        )
        return {name: reshaped(array, (worlds, count, height, width, *array.shape[3:])) for name, array in out.items()}

    def host_tables(self) -> WorldTables:
        """Return a copy of the tables on the host."""
        return WorldTables(*(np.asarray(array.copy_to_host()) for array in self.tables))

    def _buffers(self, key: Any, dtypes: dict[str, Any], shape: tuple[int, ...]) -> dict[str, Any]:
        if key not in self._outputs:
            self._outputs[key] = {
                name: cuda.device_array((*shape, 3) if name == "rgb" else shape, dtype)
                for name, dtype in dtypes.items()
            }
        return self._outputs[key]

    def _constant(self, owner: NDArray[Any], make: Callable[[], NDArray[Any]]) -> Any:
        """Return the device's copy of what ``make`` makes of a host array, made once for each such array."""
        if id(owner) not in self._constants:
            self._constants[id(owner)] = (owner, cuda.to_device(np.ascontiguousarray(make())))
        return self._constants[id(owner)][1]


def on_device(array: Any, dtype: Any = None) -> Any:
    """Return an array as numba's device array: device arrays of any library (torch, cupy) without a copy.

    Args:
        array: on the host, or with ``__cuda_array_interface__``. dtype: that the host's array is turned to.
    """
    if hasattr(array, "copy_to_host"):
        return array
    if hasattr(array, "__cuda_array_interface__"):
        return cuda.as_cuda_array(array)
    host = np.ascontiguousarray(array, dtype=dtype)
    if dtype is None and host.dtype != np.float32:
        host = host.astype(np.float64)
    return cuda.to_device(host)


def reshaped(array: Any, shape: tuple[int, ...]) -> Any:
    """Return a contiguous device array in another shape, without a copy."""
    total = int(np.prod(array.shape))
    rest = int(np.prod([n for n in shape if n >= 0]))
    return array.reshape(*(total // rest if n < 0 else n for n in shape))
