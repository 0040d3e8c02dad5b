"""Reading other people's files with bounds: size, depth, and no way out of the folder that was given."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from ...common.errors import InputError

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 100
"""Elements within each other."""
MAX_ELEMENTS = 1_000_000


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return a file of bounded size; every failure is an InputError that names the file."""
    try:
        if path.is_dir():
            raise InputError("a file was expected, this is a folder", where=str(path), mend="give the path of a file")
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError as error:
        raise InputError("no such file", where=str(path), mend="check the path") from error
    except OSError as error:
        raise InputError(f"the file cannot be read: {error.strerror}", where=str(path)) from error
    if len(data) > limit:
        raise InputError(f"the file is larger than {limit >> 20} MiB", where=str(path), mend="give a smaller file")
    return data


def within(folder: Path, name: str, where: str) -> Path:
    """Return the path of a file that another file names, relative to a folder that it may not leave.

    Raises:
        InputError: the name is absolute, or leads out of the folder, by ``..`` or by a link.
    """
    root = Path(os.path.realpath(folder))
    path = root if "\0" in name else Path(os.path.realpath(root / name))
    if "\0" in name or Path(name).is_absolute() or not path.is_relative_to(root):
        raise InputError(
            f"{name[:200]!r} leads out of the folder {folder}", where=where, mend="name files inside the folder given"
        )
    return path


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, without NaN and infinities."""
    try:
        return json.loads(read_bytes(path).decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start})", where=str(path)) from error
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", where=f"{path}, line {error.lineno}", mend="correct it") from error
    except RecursionError as error:
        raise InputError("lists and mappings are nested too deeply", where=str(path)) from error
    except ValueError as error:
        raise InputError(f"not JSON: {error}", where=str(path), mend="correct it") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")


class _Builder(TreeBuilder):
    """Builds a tree of bounded depth and size."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = self.count = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self.depth, self.count = self.depth + 1, self.count + 1
        if self.depth > MAX_DEPTH or self.count > MAX_ELEMENTS:
            raise ParseError(f"more than {MAX_DEPTH} elements within each other or {MAX_ELEMENTS:,} in all")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> Element:
        self.depth -= 1
        return super().end(tag)

    def doctype(self, name: str, pubid: str | None, system: str | None, /) -> None:
        """Refuse the declaration that all entities, which can stand for billions of characters or files, come with."""
        raise ParseError("a document type declaration, which entities come with, is not read")


def read_xml(path: Path) -> Element:
    """Return the root of an XML file; files that declare a document type, and so entities, are refused."""
    parser = XMLParser(target=_Builder())
    try:
        parser.feed(read_bytes(path))
        root: Element = parser.close()
    except ParseError as error:
        line = f", line {error.position[0]}" if hasattr(error, "position") else ""
        raise InputError(f"not XML that is read here: {error}", where=f"{path}{line}", mend="correct it") from error
    except ValueError as error:
        raise InputError(f"not XML: {error}", where=str(path), mend="correct it") from error
    return root
