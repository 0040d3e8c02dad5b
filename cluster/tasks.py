"""Doing the independent tasks of a calibration on Ray (see ``gap.tasks``)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

from ..common.errors import FloorcastError
from ..gap.tasks import Evaluate
from .farm import ray_session
from .kept import WORTH_KEEPING_S, KeptTasks

Result = TypeVar("Result")

RETRIES = 3
"""How often a task is done again whose worker died."""
KEPT = 4
"""Shared arguments that stay in Ray's store: a fit comes back to the same one for many generations."""


_Ended = Iterator[tuple[int, Any, float]]
"""Tasks as they end: number, result, seconds."""


@contextlib.contextmanager
def evaluating(workers: int, address: str | None = None, kept: KeptTasks | None = None) -> Iterator[Evaluate]:
    """Give what does tasks: in this process with 0 workers and no address, else on Ray.

    Results come in the order of the tasks and do not depend on who did them, nor on when: those that an earlier start
    of the same run kept are not done again.

    Args:
        workers: worker processes; with an address, 0 means all CPUs of the cluster.
        address: of a running Ray cluster.
        kept: the run's kept results; None keeps none.

    Raises:
        InputError: the cluster cannot be reached.
    """
    if workers == 0 and address is None:
        yield _Evaluating(_here, kept)
        return
    with ray_session(workers, address):
        yield _Evaluating(_OnRay(), kept)


class _Evaluating:
    """Takes over what is kept, has the rest done, and keeps what took long as soon as it ends."""

    def __init__(self, do: Callable[[Callable[[Any, Any], Any], Any, Sequence[Any]], _Ended], kept: KeptTasks | None):
        self._do, self._kept = do, kept

    def __call__(self, function: Callable[[Any, Any], Result], shared: Any, tasks: Sequence[Any]) -> list[Result]:
        if self._kept is None:
            found = {number: result for number, result, _ in self._do(function, shared, tasks)}
        else:
            found = self._with_kept(self._kept, function, shared, tasks)
        return [found[number] for number in range(len(tasks))]

    def _with_kept(
        self, kept: KeptTasks, function: Callable[[Any, Any], Result], shared: Any, tasks: Sequence[Any]
    ) -> dict[int, Result]:
        *keys, together = kept.keys(function, tasks)
        known, held = kept.find(together)
        found: dict[int, Result] = dict(held) if known else {}
        for number, key in enumerate(keys):
            if number not in found:
                known, held = kept.find(key)
                found |= {number: held} if known else {}
        kept.taken += len(found)
        missing = [number for number in range(len(tasks)) if number not in found]
        short: dict[int, Result] = {}
        spent = 0.0
        for place, result, seconds in self._do(function, shared, [tasks[number] for number in missing]):
            number = missing[place]
            found[number] = result
            if seconds >= WORTH_KEEPING_S:
                kept.keep(keys[number], result)
            else:
                short[number], spent = result, spent + seconds
        if spent >= WORTH_KEEPING_S:
            kept.keep(together, short)
        return found


def _here(function: Callable[[Any, Any], Any], shared: Any, tasks: Sequence[Any]) -> _Ended:
    """Do the tasks one after another in this process."""
    for number, task in enumerate(tasks):
        yield number, *_do(function, shared, task)


class _OnRay:
    """Does tasks on Ray; what they share is sent once."""

    def __init__(self) -> None:
        import ray

        self._ray = ray
        self._remote: Any = ray.remote(num_cpus=1, max_retries=RETRIES)(_do)
        # The object itself is kept beside its reference, so that its id is not given to another one.
        self._sent: dict[int, tuple[Any, Any]] = {}

    def __call__(self, function: Callable[[Any, Any], Any], shared: Any, tasks: Sequence[Any]) -> _Ended:
        sent = self._reference(shared)
        numbers = {self._remote.remote(function, sent, task): number for number, task in enumerate(tasks)}
        running, failed = list(numbers), {}
        while running:
            ended, running = self._ray.wait(running)
            for reference in ended:
                try:
                    result, seconds = self._ray.get(reference)
                except self._ray.exceptions.RayError as error:
                    failed[numbers[reference]] = error
                    continue
                yield numbers[reference], result, seconds
        if failed:  # that of the first task, so that the message does not depend on who was faster
            self._explain(failed[min(failed)])

    def _explain(self, error: Exception) -> NoReturn:
        if isinstance(error, self._ray.exceptions.RayTaskError):
            cause = getattr(error, "cause", None)
            if isinstance(cause, FloorcastError):
                raise cause from None
            raise FloorcastError(f"a task of the calibration failed: {error}") from error
        raise FloorcastError(f"a worker of the calibration died {RETRIES + 1} times: {error}") from error

    def _reference(self, shared: Any) -> Any:
        if id(shared) not in self._sent:
            self._sent[id(shared)] = shared, self._ray.put(shared)
            while len(self._sent) > KEPT:
                del self._sent[next(iter(self._sent))]
        return self._sent[id(shared)][1]


def _do(function: Callable[[Any, Any], Result], shared: Any, task: Any) -> tuple[Result, float]:
    """Return a task's result and the seconds that it took."""
    begun = time.perf_counter()
    return function(shared, task), time.perf_counter() - begun
