"""Tables of field KPIs beside simulated ones, from CSV or Parquet files."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.errors import InputError
from .fieldlog import MAX_BAD_SHARE, FileReport, Finding, LogReport, sha256_of

NEEDED = ("policy", "kpi", "real", "sim")
OPTIONAL = (
    "unit", "n", "real_n", "sim_n", "real_ci_low", "real_ci_high", "sim_ci_low", "sim_ci_high"
)  # fmt: skip
MAX_ROWS = 100_000
_NORMAL_95 = 1.959963984540054
"""Half the width of a 95 % interval of a normal distribution in standard deviations."""
_MEND = (
    f"columns {', '.join(NEEDED)}, and if known {', '.join(OPTIONAL)} "
    "(n: episodes behind a success rate between 0 and 1, of both sides or of one)"
)


@dataclass(frozen=True)
class KpiRow:
    """One KPI of one policy, in the field and in simulation.

    Attributes:
        policy, kpi: names; a pair stands once in a table.
        real, sim: its values, in ``unit``.
        real_n, sim_n: episodes behind a success rate; None where it is no rate or nobody counted.
        real_sd, sim_sd: standard error, from the table's 95 % interval; None where it gives none.
        unit: of the values; empty where the table gives none.
    """

    policy: str
    kpi: str
    real: float
    sim: float
    real_n: int | None = None
    sim_n: int | None = None
    real_sd: float | None = None
    sim_sd: float | None = None
    unit: str = ""

    def count(self, side: str) -> int | None:
        """Episodes behind the value of ``real`` or ``sim``."""
        return self.real_n if side == "real" else self.sim_n

    def spread(self, side: str) -> float | None:
        """Standard error of the value of ``real`` or ``sim``."""
        return self.real_sd if side == "real" else self.sim_sd


@dataclass(frozen=True)
class KpiTable:
    """Rows of a table, and what its import found."""

    rows: tuple[KpiRow, ...]
    report: LogReport


def read_kpi_table(path: str | Path) -> KpiTable:
    """Read a table of KPIs: CSV (comma, semicolon or tab; decimal commas with the latter two) or Parquet.

    Args:
        path: the file. Lines are numbered from 1, the head of the table being the first.

    Raises:
        InputError: no such file, not a table, a column is missing, nothing in it, a pair of policy and KPI stands
            twice, units of one KPI differ, or more than 5 % of the rows are bad.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", where=str(path), mend=f"give a CSV or Parquet file with {_MEND}")
    records = _parquet(path) if _is_parquet(path) else _csv(path)
    rows: list[KpiRow] = []
    bad: dict[str, tuple[int, int]] = {}
    seen: dict[tuple[str, str], int] = {}
    total = 0
    for line, record in records:
        total += 1
        if total > MAX_ROWS:
            raise InputError(f"more than {MAX_ROWS:,} rows", where=str(path), mend="give one row a policy and KPI")
        try:
            row = _row(record)
        except ValueError as error:
            count, first = bad.get(str(error), (0, line))
            bad[str(error)] = count + 1, first
            continue
        key = (row.policy, row.kpi)
        if key in seen:
            raise InputError(
                f"policy '{row.policy}' has two rows for '{row.kpi}'",
                where=f"{path}, lines {seen[key]} and {line}",
                mend="average them, with n as the sum of their episodes, into one row",
            )
        seen[key] = line
        rows.append(row)
    skipped = tuple(Finding(reason, count, first) for reason, (count, first) in bad.items())
    report = LogReport((FileReport(str(path), sha256_of(path), total, len(rows), skipped),))
    _check(path, rows, total, report)
    return KpiTable(tuple(rows), report)


def _check(path: Path, rows: list[KpiRow], total: int, report: LogReport) -> None:
    if total == 0:
        raise InputError("the table has a head but no rows", where=str(path), mend=f"give {_MEND}")
    if report.skipped > MAX_BAD_SHARE * total:
        raise InputError(
            f"{report.skipped} of {total} rows cannot be used:\n  - " + "\n  - ".join(report.lines()[:8]),
            where=str(path),
            mend=f"correct them: {_MEND}",
        )
    for kpi in {row.kpi for row in rows}:
        units = sorted({row.unit for row in rows if row.kpi == kpi})
        if len(units) > 1:
            raise InputError(
                f"'{kpi}' is given in different units: {', '.join(unit or '(none)' for unit in units)}",
                where=str(path),
                mend="convert all rows of a KPI to one unit",
            )


def _row(record: dict[str, Any]) -> KpiRow:
    policy, kpi = (str(record.get(name) if record.get(name) is not None else "").strip() for name in ("policy", "kpi"))
    if not policy or not kpi:
        raise ValueError("no name of the policy or the KPI")
    values: dict[str, float] = {}
    for side in ("real", "sim"):
        number = _number(record.get(side), side)
        if number is None:
            raise ValueError(f"no value in '{side}'")
        values[side] = number
    both = _count(record.get("n"), "n")
    counts: dict[str, int | None] = {}
    for side, value in values.items():
        own = _count(record.get(f"{side}_n"), f"{side}_n")
        counts[side] = count = own if own is not None else both
        if count is not None and not 0.0 <= value <= 1.0:
            percent = ": is it in percent? Divide by 100" if value <= 100.0 else ": for other KPIs give an interval"
            raise ValueError(f"'{side}' has a number of episodes, so that it must be a rate between 0 and 1{percent}")
    real, sim = values["real"], values["sim"]
    return KpiRow(
        policy,
        kpi,
        real,
        sim,
        real_n=counts["real"],
        sim_n=counts["sim"],
        real_sd=_spread(record, "real", real),
        sim_sd=_spread(record, "sim", sim),
        unit=str(record.get("unit") or "").strip(),
    )


def _spread(record: dict[str, Any], side: str, value: float) -> float | None:
    low, high = (_number(record.get(f"{side}_ci_{end}"), f"{side}_ci_{end}") for end in ("low", "high"))
    if low is None and high is None:
        return None
    if low is None or high is None:
        raise ValueError(f"the interval of '{side}' has one end only")
    if not low <= value <= high:
        raise ValueError(f"the interval of '{side}' does not hold its value")
    return (high - low) / (2.0 * _NORMAL_95)


def _number(cell: Any, name: str) -> float | None:
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    try:
        number = float(cell.strip() if isinstance(cell, str) else cell)
    except (TypeError, ValueError):
        raise ValueError(f"'{name}' is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"'{name}' is not finite")
    return number


def _count(cell: Any, name: str) -> int | None:
    number = _number(cell, name)
    if number is None:
        return None
    if number < 1 or number != round(number) or number > 1e9:
        raise ValueError(f"'{name}' is not a number of episodes (1, 2, ...)")
    return int(number)


def _is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"PAR1"


def _parquet(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(path)
        columns = _columns(path, file.schema_arrow.names)
        line = 1
        for batch in file.iter_batches(columns=list(columns.values())):
            for record in batch.to_pylist():
                line += 1
                yield line, {name: record[column] for name, column in columns.items()}
    except (arrow.ArrowException, OSError) as error:
        raise InputError(f"the Parquet file cannot be read: {error}", where=str(path)) from error


def _csv(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        text = path.read_bytes()[: 256 * MAX_ROWS].decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "the table is neither text (UTF-8) nor Parquet", where=str(path), mend="save it as CSV in UTF-8"
        ) from error
    lines = text.splitlines()
    head = next((line for line in lines if line.strip()), "")
    if not head:
        raise InputError("the file is empty", where=str(path), mend=f"give {_MEND}")
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    columns: dict[str, int] | None = None
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if columns is None:
                places = _columns(path, cells)
                columns = {name: cells.index(column) for name, column in places.items()}
                continue
            record = {name: cells[place] if place < len(cells) else "" for name, place in columns.items()}
            yield reader.line_num, {name: _decimal(cell, delimiter, name) for name, cell in record.items()}
    except csv.Error as error:
        raise InputError(f"the table cannot be read: {error}", where=f"{path}, line {reader.line_num}") from error


def _decimal(cell: str, delimiter: str, name: str) -> str:
    """Turn a decimal comma into a point where commas do not part the columns."""
    return cell.replace(",", ".") if delimiter != "," and name not in ("policy", "kpi", "unit") else cell


def _columns(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the column of each known name, whatever the case and the spaces around."""
    given = [str(name) for name in names]
    found: dict[str, str] = {}
    for column in given:
        name = column.strip().lower()
        if name not in (*NEEDED, *OPTIONAL):
            continue
        if name in found:
            raise InputError(f"two columns are called '{name}'", where=str(path), mend="drop one of them")
        found[name] = column
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise InputError(
            f"no column {', '.join(repr(name) for name in missing)} (there: {', '.join(given[:20])})",
            where=str(path),
            mend=f"give {_MEND}",
        )
    return found
