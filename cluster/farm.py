"""Farming independent units of work on Ray: back-pressure, retries, time limits, worker recycling."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ..common.errors import FloorcastError, InputError, OutputError
from ..common.threads import ONE_BLAS_THREAD

Job = TypeVar("Job")
Value = TypeVar("Value")

THREAD_LIMITS = {"NUMBA_NUM_THREADS": "1", **ONE_BLAS_THREAD}
"""One thread in each worker: Ray already runs one worker on each core."""


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """How one unit of work ended: ``value``, or the ``traceback`` of its last attempt.

    ``bad_input`` is the error itself if the unit failed for what the user gave.
    """

    index: int
    value: Value | None
    traceback: str | None
    attempts: int
    wall_s: float
    bad_input: InputError | None = None


@dataclass(frozen=True)
class _Attempt(Generic[Value]):
    """How one attempt ended; ``final`` if another would end no better."""

    value: Value | None
    traceback: str | None
    final: bool
    bad_input: InputError | None = None


@dataclass
class _Running(Generic[Job]):
    index: int
    job: Job
    attempt: int
    started: float


@contextlib.contextmanager
def ray_session(workers: int, address: str | None = None) -> Iterator[int]:
    """Start Ray on this machine with so many workers, or connect to a cluster; shut it down at the end.

    Args:
        workers: worker processes, >= 1; with an address, 0 means all CPUs of the cluster.
        address: of a running Ray cluster.

    Yields:
        The number of units to keep in flight.

    Raises:
        InputError: no cluster answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    # An idle worker holds the compiled kernels: keep it until the run ends.
    os.environ.setdefault("RAY_idle_worker_killing_time_threshold_ms", "600000")
    if address is not None:
        _check_reachable(address)
    import ray

    quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    try:
        if address is None:
            os.environ.update({key: os.environ.get(key, value) for key, value in THREAD_LIMITS.items()})
            # "local" and not None, with which Ray would join a cluster that RAY_ADDRESS or 'ray start' names.
            ray.init(address="local", num_cpus=workers, object_store_memory=256 * 1024 * 1024, **quiet)
        else:
            ray.init(
                address=address,
                log_to_driver=False,
                logging_level=logging.ERROR,
                runtime_env={"env_vars": THREAD_LIMITS},
            )
            workers = workers or int(ray.cluster_resources().get("CPU", 1))
    except (ConnectionError, ValueError) as error:
        raise InputError(
            f"Ray could not be started or reached: {error}",
            where="this machine" if address is None else f"--address {address}",
            mend="give --workers 0 to do without Ray" if address is None else "check 'ray status' there",
        ) from error
    try:
        yield workers
    finally:
        ray.shutdown()


def farm(
    function: Callable[[Job], Value],
    jobs: Sequence[tuple[int, Job]],
    *,
    workers: int = 1,
    address: str | None = None,
    attempts: int = 3,
    timeout_s: float = 900.0,
    recycle_after: int = 500,
) -> Iterator[Outcome[Value]]:
    """Run ``function`` on every job and yield outcomes as they come (in no certain order).

    A unit that throws, dies with its worker or runs past the time limit is started again elsewhere, ``attempts`` times
    in all, and then yielded with its traceback; the others go on. A ``FloorcastError`` was raised on purpose and would
    come again: it counts as the last attempt. No more units are in flight than there are workers.
    ``workers=0`` without an address runs everything in this process, one after another: for debuggers.

    Args:
        function: pure in its job; importable by name in a worker.
        jobs: (index, job) pairs.
        workers: worker processes.
        address: of a Ray cluster, or None for this machine.
        attempts: how often a unit may be started.
        timeout_s: wall-clock limit of one attempt.
        recycle_after: units after which a worker process is replaced, to bound its memory.

    Raises:
        OutputError: a unit could not write (a full disk, say), so that no other could.
        InputError: the cluster cannot be reached.
    """
    if workers == 0 and address is None:
        yield from _farm_here(function, jobs)
        return
    if not jobs:
        return
    with ray_session(workers, address) as in_flight:
        yield from _farm_on_ray(function, jobs, in_flight, attempts, timeout_s, recycle_after)


def _farm_here(function: Callable[[Job], Value], jobs: Sequence[tuple[int, Job]]) -> Iterator[Outcome[Value]]:
    for index, job in jobs:
        started = time.perf_counter()
        end = _attempt(function, job)
        yield Outcome(index, end.value, end.traceback, 1, time.perf_counter() - started, end.bad_input)


def _farm_on_ray(
    function: Callable[[Job], Value],
    jobs: Sequence[tuple[int, Job]],
    in_flight: int,
    attempts: int,
    timeout_s: float,
    recycle_after: int,
) -> Iterator[Outcome[Value]]:
    import ray

    remote: Any = ray.remote(num_cpus=1, max_retries=0, max_calls=recycle_after)(_attempt)
    waiting: deque[tuple[int, Job, int]] = deque((index, job, 1) for index, job in jobs)
    running: dict[Any, _Running[Job]] = {}
    while waiting or running:
        while waiting and len(running) < in_flight:
            index, job, attempt = waiting.popleft()
            running[remote.remote(function, job)] = _Running(index, job, attempt, time.perf_counter())
        ready, _ = ray.wait(list(running), num_returns=1, timeout=1.0)
        late = [
            reference
            for reference, unit in running.items()
            if reference not in ready and time.perf_counter() - unit.started > timeout_s
        ]
        for reference in [*ready, *late]:
            unit = running.pop(reference)
            if reference in ready:
                end = _collect(reference)
            else:
                ray.cancel(reference, force=True)
                end = _Attempt(None, f"no result within {timeout_s:g} s: the worker was stopped", final=False)
            if not end.final and unit.attempt < attempts:
                waiting.appendleft((unit.index, unit.job, unit.attempt + 1))
                continue
            took = time.perf_counter() - unit.started
            yield Outcome(unit.index, end.value, end.traceback, unit.attempt, took, end.bad_input)


def _check_reachable(address: str) -> None:
    """Ray itself waits for minutes when nothing listens at an address: ask the port first."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address in {"auto", "local"}:
        return
    mend = "give HOST:PORT of the head node, as 'ray start --head' printed it; check 'ray status' there"
    if not host or not port.isdigit():
        raise InputError("not an address of a Ray cluster", where=f"--address {address}", mend=mend)
    try:
        socket.create_connection((host, int(port)), timeout=5.0).close()
    except OSError as error:
        raise InputError(f"no Ray cluster answers: {error}", where=f"--address {address}", mend=mend) from error


def _collect(reference: Any) -> _Attempt[Any]:
    import ray

    try:
        end: _Attempt[Any] = ray.get(reference)
        return end
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, OutputError):
            raise cause from None
        return _Attempt(None, str(error), final=False)
    except ray.exceptions.RayError as error:
        return _Attempt(None, f"the worker died: {type(error).__name__}: {error}", final=False)


def _attempt(function: Callable[[Job], Value], job: Job) -> _Attempt[Value]:
    """Run a unit in a worker; an output that cannot be written goes up as it is, any other failure comes back."""
    try:
        return _Attempt(function(job), None, final=True)
    except OutputError:
        raise
    except FloorcastError as error:
        bad_input = error if isinstance(error, InputError) else None
        return _Attempt(None, f"{error}\n\n{traceback.format_exc()}", final=True, bad_input=bad_input)
    except (Exception, SystemExit):  # a policy that exits must not end the run, least of all with code 0
        return _Attempt(None, traceback.format_exc(), final=False)
