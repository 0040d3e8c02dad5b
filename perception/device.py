"""Where sensors are computed: on the CPU or on a CUDA device. Loads numba's CUDA target only when asked about it."""

from __future__ import annotations

import importlib.util
from typing import Literal, get_args

from ..common.errors import InputError

Device = Literal["auto", "cpu", "cuda"]
"""``auto`` is ``cuda`` where a device can be used, else ``cpu``."""


def resolve_device(device: str = "auto") -> Literal["cpu", "cuda"]:
    """Return ``cpu`` or ``cuda`` for a wish.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        InputError: an unknown name, or ``cuda`` where no device can be used; says why not.
    """
    if device not in get_args(Device):
        raise InputError(f"device {device!r} is unknown", where="device", mend="give auto, cpu or cuda")
    if device == "cpu":
        return "cpu"
    missing = missing_for_cuda()
    if not missing:
        return "cuda"
    if device == "auto":
        return "cpu"
    raise InputError(f"there is no CUDA device to use: {missing[0]}", where="device cuda", mend=missing[1])


def missing_for_cuda() -> tuple[str, str] | None:
    """Return what keeps CUDA from being used and how to mend it; None if a device is there.

    The CUDA simulator of numba (``NUMBA_ENABLE_CUDASIM=1``) counts as a device.
    """
    if importlib.util.find_spec("numba_cuda") is None:
        return "numba-cuda is not installed", "pip install 'floorcast[cuda]', or use --device cpu"
    try:
        from numba import cuda

        if cuda.is_available():
            return None
    except Exception as error:  # A broken driver or toolkit shows itself in many ways.
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}", "mend the driver, or use --device cpu"
    return (
        "no GPU answers, or its driver or the CUDA libraries are missing",
        "check nvidia-smi; pip install 'numba-cuda[cu12]' or 'numba-cuda[cu13]', as your driver has it; or use "
        "--device cpu",
    )


def simulated() -> bool:
    """Return whether CUDA kernels run in numba's simulator, on the CPU and slowly."""
    from numba import config

    return bool(getattr(config, "ENABLE_CUDASIM", False))


def device_name() -> str:
    """Return the name of the CUDA device in use; needs one."""
    if simulated():
        return "numba's CUDA simulator"
    from numba import cuda

    name = cuda.get_current_device().name
    return name.decode() if isinstance(name, bytes) else str(name)
