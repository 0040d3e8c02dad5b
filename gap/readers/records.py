"""Numeric text records, parsed as arrays; only what is wrong is looked at line by line."""

from __future__ import annotations

import bisect
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...common.errors import InputError
from ...common.geometry import FloatArray
from ..fieldlog import MAX_BAD_SHARE, FileReport, Finding, IntArray
from .stream import LineStream, Rows

MAX_COORDINATE = 1e6
"""Values beyond this [m, m/s, rad, rad/s] are taken for damage."""
_MICROSECOND = 1000


@dataclass
class Table:
    """Rows of a file while they are sifted.

    Attributes:
        path: the file.
        values: (N, C) float64, the rows that still stand.
        line: (N,) int64, 1-based line of each row.
        records: number of data lines in the file.
        sha256: of the file.
        skipped: bad records found so far.
        notes: other findings.
    """

    path: Path
    values: FloatArray
    line: IntArray
    records: int
    sha256: str
    skipped: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)

    def drop(self, bad: ArrayLike, reason: str) -> None:
        """Leave out bad rows (N,) bool and count them."""
        mask = np.asarray(bad, dtype=bool)
        if mask.any():
            self.skipped.append(Finding(reason, int(mask.sum()), int(self.line[mask][0])))
            self.keep(~mask)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Keep only the rows of a mask (N,) bool, without counting the others."""
        self.values, self.line = self.values[mask], self.line[mask]

    def require_usable(self) -> None:
        """Refuse what no log can be made of.

        Raises:
            InputError: fewer than two records are left, or more than ``MAX_BAD_SHARE`` were bad.
        """
        bad = sum(item.count for item in self.skipped)
        if bad > MAX_BAD_SHARE * self.records or len(self.values) < 2:
            worst = max(self.skipped, key=lambda item: item.count, default=None)
            if worst is None:
                raise InputError(
                    f"only {len(self.values)} records: a log needs at least two", where=str(self.path), mend=_RERECORD
                )
            kinds = "; ".join(
                f"{item.count} x {item.reason} (first at line {item.first_line})" for item in self.skipped
            )
            raise InputError(
                f"{bad} of {self.records} records are bad, over the limit of {MAX_BAD_SHARE:.0%}: {kinds}",
                where=f"{self.path}, line {worst.first_line}",
                mend=_RERECORD,
            )

    def report(self) -> FileReport:
        """Return the counts; raises as ``require_usable`` does."""
        self.require_usable()
        return FileReport(
            path=str(self.path),
            sha256=self.sha256,
            records=self.records,
            used=len(self.values),
            skipped=tuple(self.skipped),
            notes=tuple(self.notes),
        )


_RERECORD = "copy the file again from its source, or remove the damaged part"


def read_table(
    path: Path,
    columns: int,
    *,
    rewrite: Callable[[bytes], bytes] | None = None,
    limit: Sequence[float] | None = None,
) -> Table:
    """Read a text file of numbers in columns; lines that start with ``#`` and blank lines are passed over.

    Bad rows (wrong number of columns, no number, not finite, absurdly large, cut off at the end of the file) are
    left out and counted.

    Args:
        path: the file.
        columns: numbers in a record.
        rewrite: turns the bytes into plain columns and keeps lines as lines; lines it does not know it leaves alone.
        limit: greatest magnitude of every column after the first, ``MAX_COORDINATE`` if not given.

    Returns:
        The rows; the first column is not yet checked to be a rising time (see ``sort_out_times``).

    Raises:
        InputError: no file, a folder, no permission, an empty file, or a file without records.
    """
    stream = LineStream(path)
    rows = Rows(columns + 1)
    table = Table(path, np.empty((0, columns)), np.empty(0, dtype=np.int64), 0, "")
    bound = np.full(columns - 1, MAX_COORDINATE) if limit is None else np.asarray(limit, dtype=np.float64)
    found: dict[str, Finding] = {}
    lines = 0
    for raw in stream:
        text = rewrite(raw) if rewrite is not None else raw
        part, count = _read_block(text, Table(path, table.values, table.line, 0, ""), lines, bound, rewrite is not None)
        table.records += part.records
        for item in part.skipped:
            old = found.get(item.reason, Finding(item.reason, 0, item.first_line))
            found[item.reason] = replace(old, count=old.count + item.count)
        rows.add(np.column_stack([part.values, part.line]))
        lines += count
    if stream.size == 0:
        raise InputError("the file is empty", where=str(path), mend="copy the file again from its source")
    if table.records == 0:
        raise InputError("the file holds no records", where=str(path), mend="give a log with data lines in it")
    kept = rows.values()
    table.values, table.line = kept[:, :columns], kept[:, columns].astype(np.int64)
    table.sha256, table.skipped = stream.sha256, list(found.values())
    note_stream(table.notes, stream, rows, lines)
    return table


def note_stream(notes: list[Finding], stream: LineStream, rows: Rows, lines: int) -> None:
    """Say what reading in bounded memory, or a damaged gzip file, has cost."""
    if stream.cut is not None:
        notes.append(Finding(stream.cut, 1, lines))
    if rows.stride > 1:
        count = rows.seen - len(rows.values())
        notes.append(Finding(f"record let go: one in {rows.stride} is kept, to bound the memory", count, 2))


def _read_block(text: bytes, table: Table, before: int, limit: FloatArray, rewritten: bool) -> tuple[Table, int]:
    """Sift one block of whole lines; ``before``: lines of the file in front of it. Returns rows and number of lines."""
    columns = table.values.shape[1]
    line_of, tokens, starts, ends = _layout(text)
    line_of = line_of + before
    is_data = tokens > 0
    first_byte = np.frombuffer(text, dtype=np.uint8)[np.minimum(starts, len(text) - 1)]
    is_data &= first_byte != ord("#")
    table.records = int(is_data.sum())
    if table.records == 0:
        return table, len(tokens)
    fits = is_data & (tokens == columns)
    last = np.flatnonzero(is_data)[-1]
    if not text.endswith(b"\n") and last == len(tokens) - 1:
        # Nobody can tell a short last number from one that lost its end, so an unfinished line is never used.
        table.skipped.append(Finding("last line cut off (no line end)", 1, int(line_of[last])))
        is_data[last] = fits[last] = False
    wrong = is_data & ~fits
    if wrong.any():
        reason = "record of unknown form" if rewritten else f"record without {columns} columns"
        table.skipped.append(Finding(reason, int(wrong.sum()), int(line_of[wrong][0])))
    values = _parse(text, starts[fits], ends[fits], columns)
    table.values, table.line = values, line_of[fits]
    table.drop(~np.all(np.isfinite(values), axis=1), "record with NaN, infinity or text in place of a number")
    # Column 0 is the epoch in seconds; 1e10 is the year 2286.
    seconds = table.values[:, 0]
    table.drop((seconds < 0.0) | (seconds > 1e10), "record with an impossible time")
    table.drop((np.abs(table.values[:, 1:]) > limit).any(axis=1), "record with an impossible value")
    return table, len(tokens)


def sort_out_times(table: Table) -> IntArray:
    """Drop rows whose time goes backwards and all but the last of rows that share a stamp.

    The longest run of rows in rising order is kept, so that one stamp that leaps ahead costs one row, not the rest.

    Returns:
        (N,) int64 stamps [ns] of the rows that stand, strictly increasing; resolution 1 us.

    Raises:
        InputError: too few rows are left, or too many were bad.
    """
    stamps = np.round(table.values[:, 0] * 1e6).astype(np.int64)
    if (np.diff(stamps) < 0).any():
        bad = np.ones(len(stamps), dtype=bool)
        bad[longest_rising(stamps.tolist())] = False
        table.drop(bad, "record whose time goes backwards (or leaps ahead of all that follow)")
        stamps = stamps[~bad]
    repeated = np.zeros(len(stamps), dtype=bool)
    repeated[:-1] = stamps[:-1] == stamps[1:]
    if repeated.any():
        table.notes.append(
            Finding(
                "record that shares its stamp with the next (the last is used)",
                int(repeated.sum()),
                int(table.line[repeated][0]),
            )
        )
        table.keep(~repeated)
        stamps = stamps[~repeated]
    table.require_usable()
    return stamps * _MICROSECOND


def _layout(text: bytes) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Return, by line: its 1-based number, its number of tokens, the first byte of its first token, its end."""
    data = np.frombuffer(text, dtype=np.uint8)
    blank = data <= 32  # spaces, tabs, line ends and other control characters
    newline = np.flatnonzero(data == 10)
    ends = np.append(newline, len(data)) if text[-1:] != b"\n" else newline
    begins = np.concatenate([[0], ends[:-1] + 1])
    token_start = np.flatnonzero(~blank & np.concatenate([[True], blank[:-1]]))
    first = np.searchsorted(token_start, begins)
    past = np.searchsorted(token_start, ends)
    if len(token_start) == 0:
        return np.arange(1, len(ends) + 1), past - first, begins, ends
    starts = token_start[np.minimum(first, len(token_start) - 1)]
    return np.arange(1, len(ends) + 1), past - first, starts, ends


def _parse(text: bytes, starts: IntArray, ends: IntArray, columns: int) -> FloatArray:
    """Parse the lines that begin and end at the given bytes; a row that is no row of numbers becomes NaN."""
    if len(starts) == 0:
        return np.empty((0, columns))
    gapless = b"\n".join([text[a:b] for a, b in zip(starts.tolist(), ends.tolist(), strict=True)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            values = np.fromstring(gapless, dtype=np.float64, sep=" ")
        except (DeprecationWarning, ValueError):
            values = np.empty(0)
    if len(values) == len(starts) * columns:
        return values.reshape(-1, columns)
    rows = [_parse_line(line, columns) for line in gapless.split(b"\n")]
    return np.array(rows, dtype=np.float64).reshape(-1, columns)


def _parse_line(line: bytes, columns: int) -> Sequence[float]:
    try:
        row = [float(token) for token in line.split()]
    except ValueError:
        return [np.nan] * columns
    return row if len(row) == columns else [np.nan] * columns


def longest_rising(values: list[int]) -> list[int]:
    """Return the indices of the longest non-decreasing subsequence (patience sorting, O(n log n))."""
    tails: list[int] = []
    tail_index: list[int] = []
    before = [-1] * len(values)
    for index, value in enumerate(values):
        place = bisect.bisect_right(tails, value)
        if place == len(tails):
            tails.append(value)
            tail_index.append(index)
        else:
            tails[place] = value
            tail_index[place] = index
        before[index] = tail_index[place - 1] if place else -1
    chain, index = [], tail_index[-1]
    while index >= 0:
        chain.append(index)
        index = before[index]
    return chain[::-1]
