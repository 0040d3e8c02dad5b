"""Independent pieces of work, done here or elsewhere: what lets a calibration run on many cores without knowing of any.

A fit cuts its work into tasks that are pure in ``(shared, task)`` and hands them to an ``Evaluate``; whoever calls it
may pass one that farms them out (``cluster.calibration``). Results come back in the order of the tasks, so that they
are equal bit for bit whoever did the work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

Shared = TypeVar("Shared")
Task = TypeVar("Task")
Result = TypeVar("Result")


class Evaluate(Protocol):
    """Calls a function on every task and returns the results in the order of the tasks."""

    def __call__(
        self, function: Callable[[Any, Any], Result], shared: Any, tasks: Sequence[Any], /
    ) -> list[Result]:  # pragma: no cover - a protocol
        """Return ``[function(shared, task) for task in tasks]``.

        Args:
            function: importable by name; pure in its arguments, of which it changes none.
            shared: what all tasks need; may be large.
            tasks: small.
        """
        ...


def in_process(function: Callable[[Shared, Task], Result], shared: Shared, tasks: Sequence[Task]) -> list[Result]:
    """Do the tasks one after another in this process."""
    return [function(shared, task) for task in tasks]


def in_chunks(count: int, size: int) -> list[range]:
    """Cut the numbers 0..count - 1 into runs of at most ``size``: tiny tasks cost more to send than to do."""
    return [range(first, min(first + size, count)) for first in range(0, count, size)]
