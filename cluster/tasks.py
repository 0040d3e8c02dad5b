"""Doing the independent tasks of a calibration on Ray (see ``gap.tasks``)."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ..common.errors import FloorcastError
from ..gap.tasks import Evaluate, in_process
from .farm import ray_session

Result = TypeVar("Result")

RETRIES = 3
"""How often a task is done again whose worker died."""
KEPT = 4
"""Shared arguments that stay in Ray's store: a fit comes back to the same one for many generations."""


@contextlib.contextmanager
def evaluating(workers: int, address: str | None = None) -> Iterator[Evaluate]:
    """Give what does tasks: in this process with 0 workers and no address, else on Ray.

    Results come in the order of the tasks and do not depend on who did them.

    Args:
        workers: worker processes; with an address, 0 means all CPUs of the cluster.
        address: of a running Ray cluster.

    Raises:
        InputError: the cluster cannot be reached.
    """
    if workers == 0 and address is None:
        yield in_process
        return
    with ray_session(workers, address):
        yield _OnRay()


class _OnRay:
    """Does tasks on Ray; what they share is sent once."""

    def __init__(self) -> None:
        import ray

        self._ray = ray
        self._remote: Any = ray.remote(num_cpus=1, max_retries=RETRIES)(_do)
        # The object itself is kept beside its reference, so that its id is not given to another one.
        self._sent: dict[int, tuple[Any, Any]] = {}

    def __call__(self, function: Callable[[Any, Any], Result], shared: Any, tasks: Sequence[Any]) -> list[Result]:
        kept = self._reference(shared)
        try:
            found: list[Result] = self._ray.get([self._remote.remote(function, kept, task) for task in tasks])
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, FloorcastError):
                raise error.cause from None
            raise FloorcastError(f"a task of the calibration failed: {error}") from error
        except self._ray.exceptions.RayError as error:
            raise FloorcastError(f"a worker of the calibration died {RETRIES + 1} times: {error}") from error
        return found

    def _reference(self, shared: Any) -> Any:
        if id(shared) not in self._sent:
            self._sent[id(shared)] = shared, self._ray.put(shared)
            while len(self._sent) > KEPT:
                del self._sent[next(iter(self._sent))]
        return self._sent[id(shared)][1]


def _do(function: Callable[[Any, Any], Result], shared: Any, task: Any) -> Result:
    return function(shared, task)
