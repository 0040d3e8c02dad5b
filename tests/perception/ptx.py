"""Compiling every kernel to PTX without a device: python ptx.py MAJOR MINOR prints what came out as JSON."""

import json
import re
import sys
import time

import numpy as np
from numba import cuda, types

from floorcast.perception.cuda import ceilings, kernels, pictures
from floorcast.perception.cuda.tables import WorldTables
from floorcast.perception.cuda.translate import rebound


def array(dtype, ndim):
    return types.Array(getattr(types, np.dtype(dtype).name), ndim, "C")


def tables_type(real):
    dims = {
        "hot": (real, 2),
        "solid": (real, 2),
        "shape": (np.uint8, 1),
        "info": (np.int32, 2),
        "look": (np.float32, 2),
        "hall": (np.int32, 2),
        "grid": (real, 2),
        "cells": (np.int32, 2),
        "entries": (np.int32, 2),
        "planes": (np.int32, 1),
        "hall_of_world": (np.int32, 1),
        "body_first": (np.int32, 1),
        "body_parts": (np.int32, 1),
        "body_box": (real, 2),
        "static": (np.int32, 1),
    }
    return types.NamedTuple([array(*dims[name]) for name in WorldTables._fields], WorldTables)


def signatures(real):
    """Arguments of each kernel as CudaWorlds passes them: function, width of its own arithmetic, types."""
    f32, f64, i32, u8, u64 = np.float32, np.float64, np.int32, np.uint8, np.uint64
    tables = tables_type(real)
    yield ceilings.multiply_add.py_func, real, [array(real, 1), types.int64]
    if real is f32:
        yield ceilings.copy_values.py_func, real, [array(f32, 1), array(f32, 1)]
    parts = [array(np.uint8, 1), array(f64, 2), array(f64, 2), array(f64, 3)]
    keys = [array(i32, 1), *[array(u64, 1)] * 3]
    for pose in (f32,) if real is f32 else (f64,):
        yield kernels.place_bodies, f64, [tables, *parts, array(i32, 1), array(pose, 3)]
        position, rotation = array(pose, 2), array(pose, 3)
        yield kernels.scan_beams, real, [
            tables, array(real, 2), array(real, 1), array(f32, 1), types.int64, position, rotation, *keys,
            *[array(f32, 2)] * 3, *[array(i32, 2)] * 2,
        ]  # fmt: skip
        yield pictures.render_pixels, real, [
            tables, array(f32, 4), array(real, 2), array(real, 1), array(f32, 1), array(f32, 1), array(real, 1),
            position, rotation, *keys, array(u8, 4), array(f32, 3), array(i32, 3), array(u8, 3),
        ]  # fmt: skip


def without_device(cc):
    """Let numba-cuda compile device functions where there is neither a driver nor NVRTC, which PTX does not need."""
    from numba.cuda import cuda_paths, dispatcher
    from numba.cuda.cudadrv import nvrtc

    class Device:
        compute_capability = cc

    dispatcher.get_current_device = lambda: Device
    try:
        nvrtc.get_supported_ccs()
    except Exception:
        nvrtc.get_supported_ccs = lambda: [(8, 0), (8, 6), (8, 9), (9, 0)]
        cuda_paths._get_nvrtc_path = lambda: None


def compile_all(cc):
    without_device(cc)
    for real in (np.float32, np.float64):
        for function, width, arguments in signatures(real):
            started = time.perf_counter()
            ptx, _ = cuda.compile_ptx(rebound(function, width), types.void(*arguments), cc=cc)
            wide = re.findall(r"\.f64", ptx)
            yield {
                "kernel": function.__name__,
                "real": np.dtype(real).name,
                "bytes": len(ptx),
                "seconds": time.perf_counter() - started,
                "f64": len(wide),
                "calls": len(re.findall(r"\bcall\b", ptx)),
                "local": max([int(n) for n in re.findall(r"\.local .*\[(\d+)\]", ptx)], default=0),
                "ptx": ptx if "--ptx" in sys.argv else "",
            }


if __name__ == "__main__":
    print(json.dumps(list(compile_all((int(sys.argv[1]), int(sys.argv[2]))))))
