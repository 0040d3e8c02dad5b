"""Order files: what really was ordered, as CSV.

A header names the columns, in any order; others are ignored:

- ``time_s``: when the order came in, seconds since the start of the episode, at least 0;
- ``order``: the order's name; rows of one name are its lines;
- ``sku``: the article; ``quantity``: cartons, a whole number above 0;
- ``kind`` (may be left out): ``out`` (default) or ``return``;
- ``due_s`` (may be left out, or empty): when the order must be done, seconds since the start.

A row that makes no sense is skipped and counted by reason; a file that is no such table is refused.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

from ..common.errors import InputError
from .orders import OrderKind, ReplayedLine

REQUIRED = ("time_s", "order", "sku", "quantity")
MAX_BYTES = 256 * 1024 * 1024
MAX_ROWS = 2_000_000
_LONGEST = 64


def read_orders(path: str | Path) -> tuple[tuple[ReplayedLine, ...], dict[str, int]]:
    """Read an order file.

    Returns:
        The lines in order of time (of one time, in the order of the file), and how many rows were skipped, by reason.

    Raises:
        InputError: no such file, too large, not UTF-8 text, no header with the columns above, no usable row, or a row
            that breaks the table (an open quote); names file and line.
    """
    path = Path(path)
    lines: list[ReplayedLine] = []
    skipped: dict[str, int] = {}
    kinds: dict[str, OrderKind] = {}
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"the order file is over {MAX_BYTES >> 20} MiB", where=str(path), mend="split it")
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            try:
                missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
                if missing:
                    raise InputError(
                        f"the order file lacks the columns {', '.join(missing)}",
                        where=f"{path}, line 1",
                        mend=f"the first line names the columns: {','.join(REQUIRED)}, and if wanted kind, due_s",
                    )
                for row in reader:
                    if len(lines) >= MAX_ROWS:
                        raise InputError(f"over {MAX_ROWS} rows", where=str(path), mend="split the file")
                    line = _line(row, kinds)
                    if isinstance(line, str):
                        skipped[line] = skipped.get(line, 0) + 1
                    else:
                        lines.append(line)
            except csv.Error as error:
                raise InputError(f"no CSV table: {error}", where=f"{path}, line {reader.line_num + 1}") from error
            except UnicodeDecodeError as error:
                raise InputError("no UTF-8 text", where=f"{path}, line {reader.line_num + 1}") from error
    except OSError as error:
        raise InputError(
            f"the order file cannot be read ({error.strerror})", where=str(path), mend="check the path"
        ) from error
    if not lines:
        found = "; ".join(f"{count} rows: {reason}" for reason, count in sorted(skipped.items())) or "no rows"
        raise InputError(f"the order file holds no order ({found})", where=str(path))
    return tuple(sorted(lines, key=lambda line: line.time)), dict(sorted(skipped.items()))


def _line(row: dict[str | None, str | None], kinds: dict[str, OrderKind]) -> ReplayedLine | str:
    """Return the line of a row, or why there is none; ``kinds`` remembers what each order is."""
    time, due = _number(row.get("time_s")), _number(row.get("due_s") or "0")
    if time is None:
        return "time_s is no number from 0 to 1e9"
    if due is None:
        return "due_s is no number from 0 to 1e9"
    order, sku = (row.get("order") or "").strip(), (row.get("sku") or "").strip()
    for name, value in (("order", order), ("sku", sku)):
        if not 0 < len(value) <= _LONGEST:
            return f"{name} is empty or longer than {_LONGEST} characters"
    quantity = _number(row.get("quantity"))
    if quantity is None or quantity != round(quantity) or not 1 <= quantity <= 1_000_000:
        return "quantity is no whole number from 1 to 1000000"
    text = (row.get("kind") or "out").strip()
    if text not in ("out", "return"):
        return "kind is neither 'out' nor 'return'"
    kind: OrderKind = "return" if text == "return" else "out"
    if kinds.setdefault(order, kind) != kind:
        return "kind differs from the order's other lines"
    return ReplayedLine(
        time=time, order=order, sku=sku, quantity=int(quantity), kind=kind, due=due if row.get("due_s") else None
    )


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value <= 1e9 else None
