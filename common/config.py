"""Strict configuration: pydantic models read from YAML, with errors that name the file, the line and the field."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import InputError
from .files import write_text_atomic

MAX_YAML_BYTES = 64 * 1024 * 1024
MAX_YAML_DEPTH = 64
"""Lists and mappings within each other. libyaml's composer recurses and overflows the stack at some tens of thousands.
"""
MAX_YAML_VALUES = 5_000_000
"""Values in a file once every alias is written out: a few lines of aliases of aliases can stand for billions."""
MAX_PLAIN_LENGTH = 4096
"""Characters of a value without quotes: reading a number takes time that grows with the square of its length."""

# libyaml reads a hall of 10,000 m2 ten times faster than PyYAML's own parser, which serves where it is missing.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class StrictModel(BaseModel):
    """Base of every configuration model: unknown keys, NaN and infinity are errors, and values cannot be replaced."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


Model = TypeVar("Model", bound=BaseModel)


def load_model(path: str | Path, model: type[Model]) -> Model:
    """Read a YAML file into a model.

    Args:
        path: the file.
        model: the pydantic model to build.

    Returns:
        The validated model.

    Raises:
        InputError: the file is missing, is not YAML or does not fit the model. Lists every wrong field with its line.
    """
    path = Path(path)
    node, data = parse_yaml(read_text(path), str(path))
    if data is None:
        raise InputError("the file is empty", where=str(path), mend=f"write a {model.__name__} into it")
    return parse_model(data, model, source=str(path), node=node)


def parse_model(data: Any, model: type[Model], *, source: str, node: yaml.Node | None = None) -> Model:
    """Validate plain data against a model.

    Args:
        data: what ``yaml.safe_load`` or ``json.loads`` gave.
        model: the pydantic model to build.
        source: name of the data's origin, for errors.
        node: the composed YAML, if lines are to be named.

    Returns:
        The validated model.

    Raises:
        InputError: listing every wrong field.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = []
        for item in error.errors():
            location = tuple(part for part in item["loc"])
            field = ".".join(str(part) for part in location) or "(the whole file)"
            line = _line_of(node, location)
            at = f"line {line}, " if line is not None else ""
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                message = "unknown key" + _suggestion(model, location)
            problems.append(f"{at}field '{field}': {message}")
        shown = problems[:12]
        if len(problems) > len(shown):
            shown.append(f"... and {len(problems) - len(shown)} more")
        raise InputError(
            f"{model.__name__} does not validate:\n  - " + "\n  - ".join(shown),
            where=source,
            mend="correct the fields named above",
        ) from error


def yaml_lines(path: str | Path, locations: Sequence[tuple[int | str, ...]]) -> list[int | None]:
    """Return the lines (1-based) on which fields of a YAML file stand, for errors found after it was read.

    Args:
        path: the file.
        locations: keys and list indices that lead to each field; where the way ends early, so does the line.

    Returns:
        A line for each location; None for all if the file cannot be read any more.
    """
    try:
        node, _ = parse_yaml(read_text(Path(path)), str(path))
    except InputError:
        return [None] * len(locations)
    return [_line_of(node, location) for location in locations]


def save_model(model: BaseModel, path: str | Path) -> None:
    """Write a model as YAML, whole or not at all."""
    write_text_atomic(path, to_yaml(model))


def to_yaml(model: BaseModel) -> str:
    """Return a model as YAML text that ``load_model`` reads back to an equal model."""
    return yaml.dump(model.model_dump(mode="json"), Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120)


def config_hash(*models: BaseModel | dict[str, Any] | None) -> str:
    """Return 16 hex digits that identify the content of the models (SHA-256 of canonical JSON)."""
    dumped = [item.model_dump(mode="json") if isinstance(item, BaseModel) else item for item in models]
    text = json.dumps(dumped, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_text(path: Path) -> str:
    """Read a UTF-8 text file of bounded size; every failure is an InputError that names the file."""
    try:
        size = path.stat().st_size
        if path.is_dir():
            raise InputError("a file was expected, this is a folder", where=str(path), mend="give the path of a file")
        if size > MAX_YAML_BYTES:
            raise InputError(f"the file is {size >> 20} MiB, over the limit of 64 MiB", where=str(path))
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError("no such file", where=str(path), mend="check the path") from error
    except PermissionError as error:
        raise InputError("no permission to read the file", where=str(path), mend="check its mode") from error
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start})", where=str(path)) from error


def parse_yaml(text: str, source: str, *, max_values: int = MAX_YAML_VALUES) -> tuple[yaml.Node | None, Any]:
    """Return the composed YAML, which knows its lines, and the plain data in it.

    Args:
        text: the YAML; tags that would make objects are refused.
        source: name of the text's origin, for errors.
        max_values: values that it may hold once every alias is written out.

    Raises:
        InputError: it is not YAML, is too deep or too much, or a key stands twice; names the line.
    """
    try:
        _require_bounded(text, max_values)
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
            data = loader.construct_document(node) if node is not None else None
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise InputError(
            f"not valid YAML: {problem}", where=f"{source}{line}", mend="correct the YAML syntax"
        ) from error
    except (ValueError, LookupError, AttributeError) as error:
        # From PyYAML's own conversions: a date in month 13, an integer of thousands of digits, ``!!int ""``.
        raise InputError(
            f"a number or date cannot be read: {error}", where=source, mend="put text in quotes"
        ) from error
    duplicate = _duplicate_key(node)
    if duplicate is not None:
        raise InputError(
            f"key '{duplicate[0]}' stands twice", where=f"{source}, line {duplicate[1]}", mend="keep one of the two"
        )
    return node, data


def _require_bounded(text: str, max_values: int) -> None:
    """Refuse text that is nested too deeply or that its aliases blow up. Reads events and builds nothing.

    Raises:
        yaml.YAMLError: a limit of this module is exceeded, an alias stands within what it names, or no YAML.
    """
    total = 0
    written_out: dict[str, int] = {}  # values that an anchor stands for
    open_nodes: list[tuple[str | None, int]] = []  # anchor, and the total before it
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            written_out[anchor or ""] = total - before
        elif isinstance(event, yaml.AliasEvent):
            if any(event.anchor == anchor for anchor, _ in open_nodes):
                raise _too_much(f"alias '*{event.anchor}' stands within what it names", event)
            total += written_out.get(event.anchor or "", 0)
        elif isinstance(event, yaml.NodeEvent):
            written_out[event.anchor or ""] = 1
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((event.anchor, total))
            elif isinstance(event, yaml.ScalarEvent) and event.implicit[0] and len(event.value) > MAX_PLAIN_LENGTH:
                raise _too_much(f"a value without quotes has more than {MAX_PLAIN_LENGTH} characters", event)
            total += 1
        if len(open_nodes) > MAX_YAML_DEPTH:
            raise _too_much(f"lists and mappings are nested more than {MAX_YAML_DEPTH} deep", event)
        if total > max_values:
            raise _too_much(f"more than {max_values:,} values once all aliases are written out", event)


def _too_much(problem: str, event: yaml.Event) -> yaml.MarkedYAMLError:
    mark: Any = event.start_mark  # of PyYAML or of libyaml, which share no type
    return yaml.MarkedYAMLError(problem=problem, problem_mark=mark)


def _suggestion(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    known = _known_keys(model, location[:-1])
    close = difflib.get_close_matches(str(location[-1]), known, n=1)
    if close:
        return f" (did you mean '{close[0]}'?)"
    return f" (known keys: {', '.join(known)})" if known else ""


def _known_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Follow a field path down the model; tags of unions and list indices are passed over."""
    candidates: list[type[BaseModel]] = [model]
    for part in location:
        found: list[type[BaseModel]] = []
        for candidate in candidates:
            field = candidate.model_fields.get(str(part))
            if field is not None:
                found.extend(_models_in(field.annotation))
        candidates = found or candidates
    return sorted({key for candidate in candidates for key in candidate.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in _models_in(argument)]


def _line_of(node: yaml.Node | None, location: tuple[int | str, ...]) -> int | None:
    if node is None:
        return None
    line = node.start_mark.line + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, node = key.start_mark.line + 1, value
                    break
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line


def _duplicate_key(node: yaml.Node | None) -> tuple[str, int] | None:
    stack = [node] if node is not None else []
    known: set[int] = set()
    while stack:
        current = stack.pop()
        if id(current) in known:  # an alias; one of a node inside itself would never end
            continue
        known.add(id(current))
        if isinstance(current, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in current.value:
                if key.value in seen and key.value != "<<":
                    return str(key.value), key.start_mark.line + 1
                seen.add(key.value)
                stack.append(value)
        elif isinstance(current, yaml.SequenceNode):
            stack.extend(current.value)
    return None
