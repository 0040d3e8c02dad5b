"""Finding a policy by name, class or file."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from ..common.errors import InputError
from ..episodes.policy import Policy

_FORMS = "a built-in name, 'package.module:Class' or 'file.py:Class'"


def _navigator() -> Policy:
    from .navigator import Navigator

    return Navigator()


def _reckless() -> Policy:
    from .navigator import Navigator

    return Navigator(careful=False)


BUILT_IN: dict[str, tuple[Callable[[], Policy], str]] = {
    "navigator": (
        _navigator,
        "A* on the map, regulated pure pursuit, lidar safety stop, way around what is in the way",
    ),
    "reckless": (_reckless, "the navigator without its lidar: drives through people and loose goods"),
}
"""Built-in policies: how to make one, and what it does."""


def load_policy(spec: str) -> Callable[[], Policy]:
    """Return what makes instances of a policy.

    Args:
        spec: a name in ``BUILT_IN``; or ``package.module:Class``, imported as Python does; or ``file.py:Class``, the
            only case in which a file's code is run, because the user named it. ``Class`` must be callable without
            arguments and give an object with ``reset`` and ``act`` (see ``episodes.policy.Policy``).

    Returns:
        A callable without arguments that gives a new policy. Built-in names give one that can be pickled.

    Raises:
        InputError: an unknown name (known names are listed), a module, file or class that is missing or fails to
            load, or one that is not a policy.
    """
    spec = spec.strip()
    if spec in BUILT_IN:
        return BUILT_IN[spec][0]
    if ":" not in spec:
        raise _unknown(spec)
    source, _, attribute = spec.rpartition(":")
    if not source or not attribute:
        raise InputError(f"'{spec}' does not name a class", where="policy", mend=f"give {_FORMS}")
    module = _load_file(Path(source)) if source.endswith(".py") else _load_module(source)
    factory = _attribute(module, attribute, source)
    _require_policy(factory, spec)
    return factory


def _unknown(spec: str) -> InputError:
    known = ", ".join(sorted(BUILT_IN))
    close = difflib.get_close_matches(spec, BUILT_IN, n=1)
    hint = f"; did you mean '{close[0]}'?" if close else ""
    if spec.endswith(".py"):
        hint = f"; to use a file, name its class: '{spec}:MyPolicy'"
    return InputError(f"unknown policy '{spec}'{hint}", where="policy", mend=f"give {_FORMS}; built in: {known}")


def _load_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(missing + "."):
            raise InputError(
                f"there is no module '{missing}'",
                where=f"policy '{name}'",
                mend="check the spelling, or put its folder on PYTHONPATH",
            ) from error
        raise InputError(
            f"the module needs '{missing}', which is not installed",
            where=f"policy '{name}'",
            mend=f"install {missing}",
        ) from error
    except Exception as error:
        raise _fails_to_load(name, error) from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError("no such file", where=f"policy '{path}'", mend="check the path")
    path = path.resolve()
    # The name depends on the path, so that two files of one name do not meet.
    name = f"_floorcast_policy_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    module_spec = importlib.util.spec_from_file_location(name, path)
    if module_spec is None or module_spec.loader is None:
        raise InputError("cannot be loaded as Python", where=f"policy '{path}'", mend="give a .py file")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(name, None)
        raise _fails_to_load(str(path), error) from error
    return module


def _fails_to_load(source: str, error: Exception) -> InputError:
    line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
    return InputError(
        f"fails to load: {type(error).__name__}: {error}", where=f"policy '{source}'{line}", mend="mend that module"
    )


def _attribute(module: ModuleType, attribute: str, source: str) -> Callable[[], Policy]:
    found: object = module
    for part in attribute.split("."):
        found = getattr(found, part, None)
    if found is None:
        classes = sorted(
            name
            for name, value in vars(module).items()
            if isinstance(value, type) and callable(getattr(value, "act", None))
        )
        mend = f"it has: {', '.join(classes)}" if classes else "it has no class with a method 'act'"
        raise InputError(f"there is no '{attribute}' in '{source}'", where="policy", mend=mend)
    if not callable(found):
        raise InputError(f"'{attribute}' in '{source}' is not a class", where="policy", mend="name a class")
    return found


def _require_policy(factory: Callable[[], Policy], spec: str) -> None:
    """Make one instance at once, so that a wrong class is told before any episode runs."""
    try:
        instance = factory()
    except Exception as error:
        raise InputError(
            f"cannot be made without arguments: {type(error).__name__}: {error}",
            where=f"policy '{spec}'",
            mend="give every argument of the class a default",
        ) from error
    missing = [name for name in ("reset", "act") if not callable(getattr(instance, name, None))]
    if missing:
        raise InputError(
            f"is not a policy: it has no method {' and no method '.join(repr(name) for name in missing)}",
            where=f"policy '{spec}'",
            mend="add reset(info) and act(observation) -> (v, omega); see floorcast.episodes.policy.Policy",
        )
