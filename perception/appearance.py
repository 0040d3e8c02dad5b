"""How a scene's surfaces look apart from their colours: settings that a scenario draws for each episode."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ..common.config import StrictModel
from ..common.errors import InputError

MaterialName = Literal[
    "plain", "carton", "wood", "concrete", "cladding", "steel", "column", "door", "crate", "clothes", "pallet", "film"
]
"""``materials.CLASS_MATERIAL`` says which class of objects wears which."""

MAX_IMAGE_BYTES = 16_000_000
_PREFIX = "base64: "

Share = Annotated[float, Field(ge=0, le=1)]
Metres = Annotated[float, Field(gt=0, le=100)]


class TextureImage(StrictModel):
    """A picture that a material wears in place of its built-in pattern; its colours replace those of the objects.

    ``file`` is read when the scenario is loaded, relative to the scenario's own folder, and kept as ``data``, so that
    the scenario's hash covers the picture.
    """

    file: str | None = None
    """A PNG or JPEG file."""
    data: str | None = None
    """The file's bytes: ``base64: `` and then their base64 code."""
    width: Metres = 1.0
    """Length [m] on the surface after which the picture repeats to the right; it shows the right way up."""
    height: Metres = 1.0
    """The same upwards [m]."""

    def embedded(self, folder: Path, where: str) -> TextureImage:
        """Return the texture with the file's bytes in it.

        Args:
            folder: that ``file`` is relative to. where: named in errors.

        Raises:
            InputError: no file or data, or both; no such file, over 16 MB, or not an image.
        """
        from .textures import image_texture

        if (self.file is None) == (self.data is None):
            raise InputError("a texture needs a file", where=where, mend="give the path of a PNG or JPEG file")
        if self.file is None:
            self.content()
            return self
        path = folder / self.file
        image_texture(path, where=where)
        content = path.read_bytes()
        if len(content) > MAX_IMAGE_BYTES:
            raise InputError(f"{path} has {len(content)} bytes", where=where, mend="give an image of at most 16 MB")
        return self.model_copy(update={"file": None, "data": _PREFIX + base64.b64encode(content).decode()})

    def content(self) -> bytes:
        """Return the picture's bytes.

        Raises:
            InputError: the file was not read, or ``data`` is not base64.
        """
        if self.data is None:
            raise InputError(
                f"the texture file '{self.file}' was not read", mend="read the scenario with load_scenario"
            )
        try:
            return base64.b64decode(self.data.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError) as error:
            raise InputError(
                f"the data of a texture are not base64: {error}", where="TextureImage.data", mend="give a file instead"
            ) from error


class MaterialTexture(StrictModel):
    """What one material wears."""

    material: MaterialName
    image: TextureImage


class Appearance(StrictModel):
    """How surfaces look in one episode; the defaults are the built-in looks."""

    gloss: Annotated[float, Field(ge=0, le=20)] = 1.0
    """Factor of the highlights of all materials."""
    wear: Annotated[float, Field(ge=0, le=4)] = 1.0
    """Factor of the contrast of the built-in patterns: stains, tyre marks, scuffs, grain."""
    labels: Share = 0.7
    """Share of the cartons that carry labels."""
    tape: Share = 0.65
    """Share of the cartons whose tape comes down the sides."""
    wrap: Share = 0.0
    """Share of the cartons that look wrapped in film; to cameras only."""
    texture_scale: Annotated[float, Field(ge=0.05, le=20)] = 1.0
    """Factor of the lengths after which patterns repeat."""
    hue: Annotated[float, Field(ge=0, le=3.1416)] = 0.0
    """Objects' colours are turned about the grey axis by up to this angle [rad] either way, each by its own."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Which objects are wrapped, and how far each one's colour is turned."""
    textures: tuple[MaterialTexture, ...] = ()
    """Pictures in place of built-in patterns; the last one given for a material counts."""
