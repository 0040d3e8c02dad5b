"""Tables: CSV of any dialect (comma, semicolon, tab; decimal comma; quotes; BOM; CRLF; gzip) and Parquet.

Columns are found by their usual names or said by the user (see ``columns``); times may be seconds, other units or
ISO 8601. Files are read block by block, so their size does not matter.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from ...common.errors import InputError
from ...common.geometry import FloatArray
from ..fieldlog import FieldLog, Finding, sha256_of
from .columns import FIELDS, Cells, Columns, build_logs, epoch_unit, find_columns, to_si
from .opening import head_of
from .options import ReadOptions
from .sanity import refuse_wrong_units
from .stream import LineStream, Rows

PARQUET = b"PAR1"
_NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
_ISO = re.compile(r"^\s*\"?\d{4}-\d\d-\d\d[T ]\d\d:\d\d")
_SIMULATED = re.compile(r"(^|[_\-. ])(sim|sims|isaac|gazebo|simulated|simulation|simulator)([_\-. ]|$)", re.IGNORECASE)


def looks_simulated(path: Path) -> bool:
    """Tell from the name of a file and of the folder it is in whether a simulator made it."""
    resolved = path.resolve()
    return bool(_SIMULATED.search(resolved.name) or _SIMULATED.match(resolved.parent.name))


def looks_like_csv(head: bytes) -> bool:
    """Tell by the first bytes of a file whether it is a table with a time and something to measure by it."""
    if b"\0" in head:
        return False
    try:
        dialect = find_dialect(head, ReadOptions(), "")
    except InputError:
        return False
    columns = find_columns(dialect.header, ReadOptions(), "")
    return columns.has("t") and len(columns.index) >= 3


def read_csv(path: Path, options: ReadOptions) -> list[FieldLog]:
    """Read a text table.

    Raises:
        InputError: the file cannot be read, a column is missing or unknown, units are evidently wrong, or too much is
            damaged.
    """
    dialect = find_dialect(head_of(path), options, str(path))
    columns = find_columns(dialect.header, options, str(path))
    stream = LineStream(path)
    cells = _Gather(path, columns, options)
    for number, block in enumerate(stream):
        cells.add_block(block, dialect, first=number == 0)
    if stream.cut is not None:
        cells.notes.append(Finding(stream.cut, 1, cells.lines))
    return _finish(cells, columns, options, stream.sha256)


def read_parquet(path: Path, options: ReadOptions) -> list[FieldLog]:
    """Read a Parquet table; raises as ``read_csv`` does."""
    try:
        file = pq.ParquetFile(path)
        columns = find_columns(file.schema_arrow.names, options, str(path))
        wanted = [file.schema_arrow.names[i] for i in columns.index.values()]
        cells = _Gather(path, columns, options)
        for batch in file.iter_batches(batch_size=65536, columns=list(dict.fromkeys(wanted))):
            cells.add_batch({name: batch.column(file.schema_arrow.names[i]) for name, i in columns.index.items()})
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"not a whole Parquet file: {error}", where=str(path), mend="copy the file again from its source"
        ) from error
    return _finish(cells, columns, options, sha256_of(path))


def _finish(cells: _Gather, columns: Columns, options: ReadOptions, sha256: str) -> list[FieldLog]:
    built, columns = cells.cells(columns, options, sha256)
    simulated = looks_simulated(cells.path) if options.simulated is None else options.simulated
    logs = build_logs(built, columns, options, simulated=simulated)
    unsaid = {name for name, source in columns.said.items() if source == "default"}
    for log in logs:
        refuse_wrong_units(log, built.values if len(logs) == 1 else {}, unsaid)
    return logs


@dataclass(frozen=True)
class Dialect:
    """How a text table is written.

    Attributes:
        delimiter: between cells.
        decimal: point or comma.
        header: names of the columns; numbers from 1 where the file has no header.
        skip: lines in front of the data, comments and header.
    """

    delimiter: str
    decimal: str
    header: tuple[str, ...]
    skip: int


def find_dialect(head: bytes, options: ReadOptions, where: str) -> Dialect:
    """Find out how a text table is written, from its first lines.

    Raises:
        InputError: it is no text, or has one column only.
    """
    text = _in_utf8(head.removeprefix(b"\xef\xbb\xbf")).decode()
    lines = text.splitlines()[:50]
    data = [i for i, line in enumerate(lines) if line.strip() and not line.lstrip().startswith("#")]
    if not data:
        raise InputError("the file holds no records", where=where, mend="give a table with rows in it")
    delimiter = options.delimiter or _delimiter([lines[i] for i in data[:20]])
    if delimiter is None:
        raise InputError(
            "no table: the lines are not parted by comma, semicolon, tab, bar or blank into two or more columns",
            where=where,
            mend="give a table, or say its delimiter",
        )
    decimal = options.decimal
    if decimal is None:
        comma = delimiter != "," and any(re.search(r"\d,\d", lines[i]) for i in data[1:20])
        decimal = "," if comma else "."
    first = _split(lines[data[0]], delimiter)
    comments = [line for line in lines[: data[0]] if line.lstrip().startswith("#")]
    named = not any(_is_value(cell, decimal) for cell in first)
    if named:
        return Dialect(delimiter, decimal, tuple(first), data[0] + 1)
    if comments and len(_split(comments[-1].lstrip("# \t"), delimiter)) == len(first):
        return Dialect(delimiter, decimal, tuple(_split(comments[-1].lstrip("# \t"), delimiter)), data[0])
    return Dialect(delimiter, decimal, tuple(str(i + 1) for i in range(len(first))), data[0])


def _split(line: str, delimiter: str) -> list[str]:
    if delimiter == " ":
        return line.split()
    return next(iter(csv.reader([line], delimiter=delimiter)), [])


def _delimiter(lines: Sequence[str]) -> str | None:
    for delimiter in (";", "\t", "|", ",", " "):
        counts = [len(_split(line, delimiter)) for line in lines]
        if counts[0] >= 2 and np.mean([count == counts[0] for count in counts]) >= 0.8:
            return delimiter
    return None


def _is_value(cell: str, decimal: str) -> bool:
    text = cell.strip().strip('"').replace(decimal, ".")
    return bool(re.match(_NUMBER, text) or _ISO.match(cell))


class _Gather:
    """Collects the cells of the columns that matter, block by block."""

    def __init__(self, path: Path, columns: Columns, options: ReadOptions) -> None:
        self.path = path
        self.lines = 0
        self.records = 0
        self.notes: list[Finding] = []
        self._skipped: dict[str, Finding] = {}
        self._columns = columns
        self._texts = [name for name in ("robot", "run") if name in columns.index]
        self._numbers = [name for name in columns.index if name not in self._texts]
        self._rows = Rows(len(self._numbers) + 2)
        self._groups: dict[tuple[str, str], int] = {}
        self._iso = options.units.get("t") == "iso8601"
        self._options = options

    def add_block(self, block: bytes, dialect: Dialect, *, first: bool) -> None:
        """Add a block of whole lines."""
        before = self.lines
        self.lines += block.count(b"\n")
        if first:
            for _ in range(dialect.skip):
                block = block[block.find(b"\n") + 1 :] if b"\n" in block else b""
            before += dialect.skip
        if not block.endswith(b"\n") and block and not _is_whole(block):
            # Nobody can tell a short last number from one that lost its end; the cells before it are whole.
            block = block[: block.rfind(dialect.delimiter.encode()) + 1] + b"\n"
            self.notes.append(Finding("last cell cut off (no line end): left empty", 1, self.lines + 1))
        if dialect.delimiter == " ":
            block = re.sub(rb"[ \t]+", b" ", re.sub(rb"(?m)^[ \t]+|[ \t\r]+$", b"", block))
        if not block.strip():
            return
        block = _in_utf8(block)
        wrong: list[Any] = []

        def pass_over(row: Any) -> str:
            if not row.text.lstrip().startswith("#") and row.text.strip():
                wrong.append(row)
            return "skip"

        try:
            table = self._parsed(block, dialect, pass_over, wrong)
        except pa.ArrowException as error:
            raise InputError(
                f"the table cannot be read: {error}",
                where=f"{self.path}, after line {before}",
                mend="is it a text file?",
            ) from error
        if wrong:
            at = before + (wrong[0].number or 1)
            self._skip(f"row without {len(dialect.header)} columns", len(wrong), at)
            self.records += len(wrong)
        lines = before + 1 + np.arange(table.num_rows)
        if wrong:
            places = np.array([(row.number or 1) - 1 for row in wrong])
            inside = np.ones(table.num_rows + len(wrong), dtype=bool)
            inside[places[places < len(inside)]] = False
            lines = before + 1 + np.flatnonzero(inside)[: table.num_rows]
        self._add({name: table.column(str(i)) for name, i in self._columns.index.items()}, lines, dialect.decimal)

    def _parsed(self, block: bytes, dialect: Dialect, pass_over: Callable[[Any], str], wrong: list[Any]) -> Any:
        """Parse a block: as numbers where all cells are, which is several times as fast, else as text."""
        numbers = {str(self._columns.index[name]) for name in self._numbers if name != "t" or not self._iso}
        try:
            return self._read(block, dialect, pass_over, numbers)
        except pa.ArrowInvalid:
            wrong.clear()
            return self._read(block, dialect, pass_over, set())

    def _read(self, block: bytes, dialect: Dialect, pass_over: Callable[[Any], str], numbers: set[str]) -> Any:
        names = [str(i) for i in range(len(dialect.header))]
        return pacsv.read_csv(
            io.BytesIO(block),
            read_options=pacsv.ReadOptions(use_threads=False, column_names=names, encoding="utf8"),
            parse_options=pacsv.ParseOptions(delimiter=dialect.delimiter, invalid_row_handler=pass_over),
            convert_options=pacsv.ConvertOptions(
                column_types={name: pa.float64() if name in numbers else pa.string() for name in names},
                include_columns=[str(i) for i in sorted(set(self._columns.index.values()))],
                null_values=[""],
                strings_can_be_null=False,
                check_utf8=False,
                decimal_point=dialect.decimal,
            ),
        )

    def add_batch(self, columns: dict[str, Any]) -> None:
        """Add a batch of typed columns."""
        count = len(columns["t"]) if "t" in columns else len(next(iter(columns.values()), []))
        lines = self.lines + 1 + np.arange(count)
        self.lines += count
        self._add(columns, lines, ".")

    def _add(self, columns: dict[str, Any], lines: Any, decimal: str) -> None:
        self.records += len(lines)
        bad = np.zeros(len(lines), dtype=bool)
        parts = []
        for name in self._numbers:
            values, wrong = self._parse(name, columns[name], decimal)
            bad |= wrong
            parts.append(values)
        if "t" in self._numbers:
            bad |= ~np.isfinite(parts[self._numbers.index("t")])
        if bad.any():
            self._skip("row with NaN, infinity or text in place of a number", int(bad.sum()), int(lines[bad][0]))
        group = self._group([columns[name] for name in self._texts], len(lines))
        self._rows.add(np.column_stack([*parts, lines, group])[~bad])

    def _parse(self, name: str, column: Any, decimal: str) -> tuple[FloatArray, Any]:
        """Return values (NaN: empty) and which cells hold something that is no number."""
        if pa.types.is_timestamp(column.type):
            seconds = pc.cast(pc.cast(column, pa.timestamp("ns", tz=column.type.tz)), pa.int64())
            self._iso |= name == "t"
            return _array(pc.divide(pc.cast(seconds, pa.float64(), safe=False), 1e9)), np.zeros(len(column), dtype=bool)
        if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
            values = _array(pc.cast(column, pa.float64(), safe=False))
            return values, _array(pc.is_valid(column)).astype(bool) & ~np.isfinite(values)
        text = pc.replace_substring(pc.utf8_trim_whitespace(column), '"', "")
        if name == "t" and self._is_iso(text):
            values = _iso_seconds(text)
            return values, ~np.isfinite(values)
        if decimal == ",":
            text = pc.replace_substring(text, ",", ".")
        number = pc.match_substring_regex(text, _NUMBER)
        values = _array(pc.cast(pc.if_else(number, text, None), pa.float64()))
        empty = _array(pc.equal(pc.utf8_length(text), 0)).astype(bool)
        return values, ~np.isfinite(values) & ~empty

    def _is_iso(self, text: Any) -> bool:
        if not self._iso:
            first = next((str(item) for item in text.slice(0, 20).to_pylist() if item), "")
            self._iso = _ISO.match(first) is not None
        return self._iso

    def _group(self, texts: list[Any], count: int) -> Any:
        if not texts:
            self._groups.setdefault(("", ""), 0)
            return np.zeros(count)
        words = [[str(value or "").strip() for value in text.to_pylist()] for text in texts]
        empty = [""] * count
        robots = words[self._texts.index("robot")] if "robot" in self._texts else empty
        runs = words[self._texts.index("run")] if "run" in self._texts else empty
        return np.array(
            [self._groups.setdefault(pair, len(self._groups)) for pair in zip(robots, runs, strict=True)], dtype=float
        )

    def _skip(self, reason: str, count: int, line: int) -> None:
        old = self._skipped.get(reason, Finding(reason, 0, line))
        self._skipped[reason] = replace(old, count=old.count + count)

    def cells(self, columns: Columns, options: ReadOptions, sha256: str) -> tuple[Cells, Columns]:
        """Return all cells in SI, and the columns with the unit of the stamps settled."""
        if self.records == 0:
            raise InputError("the file holds no records", where=str(self.path), mend="give a table with rows in it")
        kept = self._rows.values()
        values = {name: kept[:, i] for i, name in enumerate(self._numbers)}
        if "t" in values:
            columns = self._settle_time(values["t"], columns)
        converted = {name: to_si(column, FIELDS[name][0], columns.unit[name]) for name, column in values.items()}
        if self._rows.stride > 1:
            count = self._rows.seen - len(kept)
            self.notes.append(Finding(f"row let go: one in {self._rows.stride} is kept, to bound the memory", count, 1))
        name = options.robot or re.sub(r"(\.(csv|txt|tsv|parquet|gz))+$", "", self.path.name)
        names = [(robot or name, run) for robot, run in self._groups] or [(name, "")]
        cells = Cells(
            self.path,
            sha256,
            self.records,
            kept[:, -2].astype(np.int64),
            converted,
            kept[:, -1].astype(np.int64),
            names,
            list(self._skipped.values()),
            self.notes,
        )
        return cells, columns

    def _settle_time(self, stamps: FloatArray, columns: Columns) -> Columns:
        unit, said = dict(columns.unit), dict(columns.said)
        if self._iso:
            unit["t"], said["t"] = "iso8601", "content"
        elif said["t"] == "default" and (guess := epoch_unit(stamps)) is not None:
            unit["t"], said["t"] = guess, "content"
            self.notes.append(
                Finding(f"stamps taken for {guess} since 1970, as only that gives a date of our time", len(stamps), 1)
            )
        return replace(columns, unit=unit, said=said)


def _in_utf8(text: bytes) -> bytes:
    """Return text as UTF-8: what is none is taken for Windows' western code page, in which many tools still write."""
    try:
        text.decode()
    except UnicodeDecodeError as error:
        if error.end == len(text) and error.start > len(text) - 4:
            return text[: error.start]  # a letter that the end of what was read has cut in two
        return text.decode("cp1252", errors="replace").encode()
    return text


def _is_whole(block: bytes) -> bool:
    """Tell whether a last line without line end is whole: it ends in as many decimals as the line before."""
    ends = [re.search(rb"\.(\d+)\"?\s*$", line) for line in block.splitlines()[-2:]]
    return len(ends) == 2 and ends[0] is not None and ends[1] is not None and len(ends[0][1]) == len(ends[1][1])


def _array(column: Any) -> FloatArray:
    chunked = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    result: FloatArray = np.asarray(chunked.to_numpy(zero_copy_only=False), dtype=np.float64)
    return result


def _iso_seconds(text: Any) -> FloatArray:
    """Seconds since 1970 of ISO 8601 times; without a zone they count as UTC. NaN where it is none."""
    text = pc.replace_substring_regex(text, r",(\d+)", r".\1")
    zoned = pc.match_substring_regex(text, r"(Z|[+-]\d\d:?\d\d)$")
    form = pc.match_substring_regex(text, r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?$")
    parts = []
    for mask, kind in ((zoned, pa.timestamp("ns", tz="UTC")), (pc.invert(zoned), pa.timestamp("ns"))):
        chosen = pc.if_else(pc.and_(mask, form), text, None)
        parts.append(pc.cast(pc.cast(chosen, kind), pa.int64()))
    whole = pc.coalesce(*parts)
    return _array(pc.divide(pc.cast(whole, pa.float64(), safe=False), 1e9))
