"""Random streams that depend on names and indices, never on order, workers or the clock."""

from __future__ import annotations

import zlib

import numpy as np


def seed_sequence(seed: int, *path: int | str) -> np.random.SeedSequence:
    """Return the seed sequence of a named stream.

    Args:
        seed: the user's seed, >= 0 (0 is as valid as any).
        path: what the stream is for, from coarse to fine, for example ``(episode_index, "layout")``.

    Returns:
        A sequence that is equal for equal arguments and independent of every other path.
    """
    # Words are told apart from numbers by a leading tag, so that ("7",) and (7,) differ.
    key: list[int] = []
    for part in path:
        key.extend((1, zlib.crc32(part.encode())) if isinstance(part, str) else (0, int(part)))
    return np.random.SeedSequence(entropy=seed, spawn_key=tuple(key))


def generator(seed: int, *path: int | str) -> np.random.Generator:
    """Return a PCG64 generator for the named stream (see ``seed_sequence``)."""
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, *path)))
