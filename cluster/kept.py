"""Finished tasks of a calibration kept on disk, so that a run that was killed goes on where it was.

A calibration is pure in what its run folder was opened with (logs' hashes, settings, seed, version: the run's id), so
the data that its n-th call shares follow from the run's id and n. A task's key is the hash of the run's id, n, the
function's name and the task's own arguments.

A kept file is a SHA-256 followed by a pickle. It is opened only where the sum is right, and only numpy's arrays, plain
values and classes of this package are made from it: a file that somebody else put there can call nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel

from ..gap.fieldlog import FieldLog
from .run_folder import TASK_FOLDER, RunFolder

WORTH_KEEPING_S = 0.2
"""What took less is sooner done again than kept; short tasks of a call are kept together where their sum is longer."""
MOST_BYTES = 1 << 30
"""Of all kept files of a run; what is beyond is done again after a kill."""
_SUM_BYTES = hashlib.sha256().digest_size
_PACKAGE = __name__.split(".", maxsplit=1)[0]
_TEMPORARY = ".part"
_PLAIN = {
    ("builtins", "complex"),
    ("builtins", "frozenset"),
    ("builtins", "range"),
    ("builtins", "set"),
    ("builtins", "slice"),
    ("collections", "OrderedDict"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *((f"numpy.{core}.{name}", what) for core in ("core", "_core") for name, what in (
        ("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"),
    )),
}  # fmt: skip


class KeptTasks:
    """The kept results of one run. Only its driver reads and writes them, so workers need no common disk.

    Args:
        folder: the run's folder, open (its lock keeps others out).

    Attributes:
        taken: how many results were taken over.
        notes: what a user should know: damaged files, results that could not be written.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder, self._run_id = folder.path / TASK_FOLDER, folder.run_id
        self._calls = 0
        self._writing = True
        self.taken = 0
        self.notes: list[str] = []
        self._bytes = 0
        for path in list(self._folder.iterdir()) if self._folder.is_dir() else []:
            if path.suffix == _TEMPORARY:  # a kill came while it was written
                path.unlink()
            else:
                self._bytes += path.stat().st_size

    def keys(self, function: Callable[[Any, Any], Any], tasks: Sequence[Any]) -> list[str]:
        """Return the keys of the run's next call: one for each task, and at the end one for its short tasks."""
        self._calls += 1
        call = hashlib.sha256(
            f"{self._run_id} {self._calls} {function.__module__}.{function.__qualname__}".encode()
        ).digest()
        keys = []
        for number, task in enumerate(tasks):
            found = hashlib.sha256(call + number.to_bytes(8, "big"))
            _add(found, task)
            keys.append(found.hexdigest())
        return [*keys, hashlib.sha256(call + "".join(keys).encode()).hexdigest()]

    def find(self, key: str) -> tuple[bool, Any]:
        """Return whether a result is kept, and the result; a damaged one is dropped."""
        path = self._folder / key
        try:
            held = path.read_bytes()
        except FileNotFoundError:
            return False, None
        except OSError as error:
            self.notes.append(f"the kept task {path} cannot be read ({error.strerror}): it was done again")
            return False, None
        with contextlib.suppress(Exception):  # damaged bytes make pickle raise nearly anything
            if hashlib.sha256(held[_SUM_BYTES:]).digest() == held[:_SUM_BYTES]:
                return True, _Reader(io.BytesIO(held[_SUM_BYTES:])).load()
        self.notes.append(f"the kept task {path} was damaged: it was done again")
        self._bytes -= len(held)
        with contextlib.suppress(OSError):
            path.unlink()
        return False, None

    def keep(self, key: str, result: Any) -> None:
        """Write a result, whole or not at all. What cannot be kept is only noted: the run itself is sound."""
        if not self._writing:
            return
        try:
            data = pickle.dumps(result, protocol=5)
        except Exception as error:  # whatever a result's own class raises
            self._stop(f"a result cannot be written ({error})")
            return
        if self._bytes + len(data) + _SUM_BYTES > MOST_BYTES:
            self._stop(f"they fill {MOST_BYTES >> 30} GiB")
            return
        path = self._folder / key
        try:
            self._folder.mkdir(exist_ok=True)
            # Not waited for until it is on the disk: a file that a power cut tears fails its sum.
            part = path.with_suffix(_TEMPORARY)
            part.write_bytes(hashlib.sha256(data).digest() + data)
            os.replace(part, path)
        except OSError as error:
            self._stop(error.strerror or str(error))
            return
        self._bytes += len(data) + _SUM_BYTES

    def clear(self) -> None:
        """Remove all kept results: the run is done."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def lines(self) -> list[str]:
        """Return the notes, the number of results taken over first."""
        return [*([f"went on: {self.taken} finished tasks taken over"] if self.taken else []), *self.notes]

    def _stop(self, why: str) -> None:
        self._writing = False
        self.notes.append(f"no further tasks were kept: {why}")


class _Reader(pickle.Unpickler):
    """Makes only what a result consists of."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        if module.split(".", maxsplit=1)[0] == _PACKAGE and "." not in name:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module:
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is no part of a result")


def _add(found: Any, value: Any) -> None:
    """Add a task's arguments to a hash.

    Logs count by their files' hashes and the spans of their tables, functions by name; the run's id decides the rest.
    """
    found.update(f"{type(value).__module__}.{type(value).__qualname__};".encode())
    if isinstance(value, np.ndarray | np.generic):
        found.update(f"{value.dtype.str}{value.shape};".encode())
        found.update(value.tobytes())
    elif isinstance(value, FieldLog):
        _add(found, [value.name, *(file.sha256 for file in value.report.files), *_spans(value)])
    elif isinstance(value, BaseModel):
        found.update(value.model_dump_json().encode())
    elif isinstance(value, Mapping):
        _add(found, list(value.items()))
    elif isinstance(value, list | tuple | range):
        found.update(f"{len(value)};".encode())
        for item in value:
            _add(found, item)
    elif is_dataclass(value) and not isinstance(value, type):
        for item in fields(value):
            _add(found, getattr(value, item.name))
    elif callable(value):
        found.update(f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', '')};".encode())
    else:
        text = repr(value).encode()
        found.update(f"{len(text)};".encode() + text)


def _spans(log: FieldLog) -> list[int]:
    """Return number, first and last stamp of every table."""
    tables = [log.pose_t_ns, log.cmd_t_ns, log.wheel_cmd_t_ns, log.odom_t_ns, log.ticks_t_ns]
    tables += [log.scans.t_ns] if log.scans is not None else []
    return [number for table in tables for number in (len(table), *(int(t) for t in table[:1]), *map(int, table[-1:]))]
