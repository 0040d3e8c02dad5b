"""JSON objects from a stream of text of any size: one a line, over many lines, one after the other, or in an array.

Text in front of an object, such as the topic that a broker's client prints, comes with it. An object that is damaged
costs itself: reading goes on at the next thing that begins as one did before.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

MAX_OBJECT = 1 << 24
"""Characters of the largest object; a longer one is damaged."""
MAX_LINE = 1000
"""Characters that are told of a line without an object."""
_NEAR_END = 16
"""A fault so near the end of what has been read [characters] may be a number or word that goes on."""
_SEAM = 256
"""Characters kept while looking for the next object, lest its beginning be torn in two."""
_MOST_KEYS = 64
_FIRST_KEY = re.compile(r'\{\s*"([^"\\]{1,64})"')
_BETWEEN = " \t\r\n,[]"


@dataclass(frozen=True)
class JsonRecord:
    """What stands in the text.

    Attributes:
        line: on which it begins, from 1.
        before: text in front of it on its line.
        value: the object; None where it is damaged, or none at all.
        is_object: False for a line of other text, which is ``before``.
    """

    line: int
    before: str
    value: Any
    is_object: bool = True


class JsonRecords:
    """Iterate over the objects in blocks of bytes (UTF-8), damaged ones as None."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = blocks
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0
        self._line = 1
        self._column = 0
        self._keys: list[str] = []
        self._lost: int | None = None

    def __iter__(self) -> Iterator[JsonRecord]:
        utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        for block in self._blocks:
            self._add(utf8.decode(block))
            yield from self._read(final=False)
        self._add(utf8.decode(b"", final=True))
        yield from self._read(final=True)

    def _add(self, more: str) -> None:
        # One character that has been passed stays: it tells whether a line begins here.
        passed = max(self._at - 1, 0)
        self._text, self._at = self._text[passed:] + more, self._at - passed

    def _pass(self, to: int) -> None:
        self._line += self._text.count("\n", self._at, to)
        begin = self._text.rfind("\n", self._at, to) + 1
        self._column = to - begin if begin else self._column + to - self._at
        self._at = to

    def _read(self, *, final: bool) -> Iterator[JsonRecord]:
        """Yield what can be read of the text so far."""
        while self._lost is None or self._found_again(final):
            brace = self._text.find("{", self._at)
            endless = len(self._text) - self._at > MAX_OBJECT
            last = len(self._text) if final or endless else self._text.rfind("\n") + 1
            yield from self._strange_lines(brace if brace >= 0 else max(last, self._at), whole=brace < 0)
            if brace < 0:
                return
            before = self._text[self._at : brace]
            try:
                value, end = self._decoder.raw_decode(self._text, brace)
            except (ValueError, RecursionError) as error:
                if not final and self._goes_on(error) and len(self._text) - brace < MAX_OBJECT:
                    return
                yield JsonRecord(self._line, before, None)
                self._lost = self._column + brace - self._at
                self._pass(brace + 1)
                continue
            yield JsonRecord(self._line, before, value)
            self._remember(brace)
            self._pass(end)

    def _strange_lines(self, end: int, *, whole: bool) -> Iterator[JsonRecord]:
        """Pass the lines before a place, and tell those that are neither blank nor brackets."""
        stop = end if whole else self._text.rfind("\n", self._at, end) + 1
        while self._at < stop:
            after = self._text.find("\n", self._at, stop) + 1 or stop
            if words := self._text[self._at : after].strip(_BETWEEN):
                yield JsonRecord(self._line, words[:MAX_LINE], None, is_object=False)
            self._pass(after)

    def _goes_on(self, error: Exception) -> bool:
        """Tell whether an object may be sound, and only its end has not been read yet."""
        if not isinstance(error, json.JSONDecodeError):
            return False
        return error.pos >= len(self._text) - _NEAR_END or error.msg.startswith("Unterminated string")

    def _remember(self, brace: int) -> None:
        """Remember by which key an object begins: the next after a damaged one is known by it."""
        match = _FIRST_KEY.match(self._text, brace)
        if match and match[1] not in self._keys and len(self._keys) < _MOST_KEYS:
            self._keys.append(match[1])

    def _found_again(self, final: bool) -> bool:
        """After damage: pass to the next brace in the same column of an own line, or before a known first key."""
        known = "|".join(map(re.escape, self._keys)) or "headerId|topic"
        pattern = re.compile(rf'(?<=\n)[ \t]{{{min(self._lost or 0, 64)}}}\{{|\{{\s*"(?:{known})"\s*:')
        match = pattern.search(self._text, self._at)
        if match is None:
            self._pass(len(self._text) if final else max(self._at, len(self._text) - _SEAM))
            return False
        brace = match.end() - 1 if match[0].endswith("{") else match.start()
        begin = self._text.rfind("\n", self._at, brace) + 1
        self._pass(begin or brace)
        self._lost = None
        return True
