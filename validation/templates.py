"""Page templates: how they are read, and the two things that all of them may call."""

from __future__ import annotations

from importlib.resources import files

import jinja2

from .. import assets
from . import wording


def page_environment() -> jinja2.Environment:
    """Return the templates' environment: everything is escaped, and what is not defined is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(read_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(words=wording, plural=_plural)
    return environment


def read_template(name: str) -> str:
    """Return a file of ``assets/templates`` as text."""
    return (files(assets) / "templates" / name).read_text(encoding="utf-8")


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}".replace(",", " ")
