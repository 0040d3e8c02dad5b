"""Errors that a user can act on."""

from __future__ import annotations


class FloorcastError(Exception):
    """Base of all errors that Floorcast raises on purpose."""

    exit_code = 1


class InputError(FloorcastError):
    """Bad input from the user: what is wrong, where it stands and how to mend it.

    The command line shows it on one screen and ends with exit code 2.

    Args:
        what: what is wrong, in one sentence.
        where: file, line or field.
        mend: what the user can do about it.
    """

    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, mend: str | None = None) -> None:
        self.what = what
        self.where = where
        self.mend = mend
        super().__init__(what, where, mend)

    def __reduce__(self) -> tuple[object, tuple[type[InputError], str, str | None, str | None]]:
        return _rebuild_input_error, (type(self), self.what, self.where, self.mend)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.mend:
            lines.append(f"  mend:  {self.mend}")
        return "\n".join(lines)


class OutputError(InputError):
    """The place for the output cannot be written: whatever else is to be done would end the same way."""


def _rebuild_input_error(kind: type[InputError], what: str, where: str | None, mend: str | None) -> InputError:
    return kind(what, where=where, mend=mend)
