"""Films of episodes: MP4 and WebM through OpenCV, GIF through Pillow, one picture at a time."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from ...common.errors import InputError, OutputError
from ...common.files import whole_file
from .lettering import Picture
from .onboard import Onboard
from .picture import TopView
from .playback import Playback

VIDEO_CODECS = {".mp4": "mp4v", ".webm": "VP80"}
"""MPEG-4 part 2 and VP8: FFmpeg's own encoder and libvpx, which OpenCV's wheels hold; neither is under the GPL."""
SUFFIXES = (*VIDEO_CODECS, ".gif")
WIDTHS = (320, 3840)
MAX_FRAMES = 1_000_000


@dataclass(frozen=True)
class FilmSettings:
    """How an episode is filmed.

    Attributes:
        start, end: seconds of the episode; ``end`` None for its last.
        speed: seconds of the episode in one of the film.
        fps: pictures per second of the film. A GIF's pictures last whole hundredths of a second: the nearest is taken.
        width: of the film [pixels].
        camera: robot whose camera is shown beside the plan; None for none.
    """

    start: float = 0.0
    end: float | None = None
    speed: float = 1.0
    fps: float = 20.0
    width: int = 1280
    camera: int | None = None


@dataclass(frozen=True)
class Film:
    """A film that was written: its file, pictures and their size [pixels], and its length [s]."""

    path: Path
    frames: int
    width: int
    height: int
    seconds: float


def film_times(playback: Playback, settings: FilmSettings, suffix: str) -> tuple[NDArray[np.float64], float]:
    """Return the times (N,) [s] of an episode that a film shows, and the pictures per second it is played at.

    Raises:
        InputError: a setting out of its range, or a film without length.
    """
    start, end = span(playback, settings.start, settings.end)
    if not WIDTHS[0] <= settings.width <= WIDTHS[1]:
        raise InputError(f"a film of {settings.width} pixels", where="--width", mend=f"give {WIDTHS[0]} to {WIDTHS[1]}")
    if not 0.01 <= settings.speed <= 1000.0:
        raise InputError(f"a speed of {settings.speed:g}", where="--speed", mend="give 0.01 to 1000")
    if not 1.0 <= settings.fps <= 120.0:
        raise InputError(f"{settings.fps:g} pictures per second", where="--fps", mend="give 1 to 120")
    fps = 100.0 / _gif_delay(settings.fps) if suffix == ".gif" else settings.fps
    step = settings.speed / fps
    count = int((end - start) / step + 1e-6) + 1
    if count > MAX_FRAMES:
        raise InputError(
            f"a film of {count:,} pictures",
            where="--speed",
            mend="raise --speed, lower --fps, or narrow --from and --to",
        )
    return np.asarray(start + step * np.arange(count), dtype=np.float64), fps


def span(playback: Playback, start: float, end: float | None) -> tuple[float, float]:
    """Return the part [s] of an episode that is asked for.

    Raises:
        InputError: it has no length, or begins after the episode's end.
    """
    last = playback.duration if end is None else min(end, playback.duration)
    if not (0.0 <= start < last):
        raise InputError(
            f"nothing lies between {start:g} s and {'the end' if end is None else f'{end:g} s'}: "
            f"the episode lasts {playback.duration:.2f} s",
            where="--from, --to",
            mend="give 0 <= from < to, within the episode",
        )
    return start, last


def frames(playback: Playback, settings: FilmSettings, times: NDArray[np.float64]) -> Iterator[Picture]:
    """Give the pictures (H, W, 3) uint8 RGB of a film, one at a time: each is drawn over the one before.

    Raises:
        InputError: there is no robot of that number.
    """
    onboard = None if settings.camera is None else Onboard(playback, settings.camera)
    view = TopView(playback, settings.width, None if onboard is None else (settings.camera or 0, onboard.aspect))
    # New arrays for each picture would leave the heap in pieces: a gigabyte in some thousand pictures.
    picture = np.empty((view.height, view.width, 3), dtype=np.uint8)
    for time in times.tolist():
        moment = playback.at(time)
        yield view.draw(moment, None if onboard is None else onboard.picture(moment), out=picture)


def write_film(
    playback: Playback, path: str | Path, settings: FilmSettings, advance: Callable[[int], None] = lambda count: None
) -> Film:
    """Write a film, whole or not at all.

    Args:
        playback: the episode.
        path: ends in ``.mp4``, ``.webm`` or ``.gif``.
        settings: how.
        advance: called with 1 after each picture.

    Raises:
        InputError: another suffix, settings that make no film, or no robot of that number.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"a film cannot be written as '{suffix or path.name}'", where=str(path), mend="end in .mp4, .webm or .gif"
        )
    times, fps = film_times(playback, settings, suffix)
    pictures = frames(playback, settings, times)
    first = next(pictures)  # before anything is written: it may be refused
    height, width = first.shape[:2]
    with whole_file(path, suffix=f".part{suffix}") as temporary, _writer(temporary, suffix, fps, width, height) as sink:
        sink.add(first)
        advance(1)
        for picture in pictures:
            sink.add(picture)
            advance(1)
        sink.finish(len(times))
    return Film(path, len(times), width, height, len(times) / fps)


class _Sink(Protocol):
    def add(self, picture: Picture) -> None: ...

    def finish(self, count: int) -> None: ...


@contextlib.contextmanager
def _writer(path: Path, suffix: str, fps: float, width: int, height: int) -> Iterator[_Sink]:
    if suffix == ".gif":
        with open(path, "wb") as file:
            yield _Gif(file.write, _gif_delay(fps), width, height)
        return
    video = _Video(path, VIDEO_CODECS[suffix], fps, width, height)
    try:
        yield video
    finally:
        video.close()


class _Video:
    """An MP4 or WebM file, through OpenCV's own FFmpeg."""

    def __init__(self, path: Path, codec: str, fps: float, width: int, height: int) -> None:
        self._path, self._turned = path, np.empty((height, width, 3), dtype=np.uint8)
        code = cv2.VideoWriter.fourcc(*codec)
        self._writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, fps, (width, height))
        if not self._writer.isOpened():
            raise OutputError(
                f"this machine's OpenCV cannot write '{codec}' films", where=str(path), mend="end the name in .gif"
            )

    def add(self, picture: Picture) -> None:
        self._writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR, dst=self._turned))

    def close(self) -> None:
        self._writer.release()

    def finish(self, count: int) -> None:
        """Close the file; OpenCV does not tell of a full disk, so see whether it opens and is of full length."""
        self.close()
        film = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG)
        found = film.get(cv2.CAP_PROP_FRAME_COUNT) if film.isOpened() else 0
        film.release()
        if abs(found - count) > 1:
            raise OutputError("the film could not be written whole", where=str(self._path), mend="free some space")


class _Gif:
    """A GIF file, picture by picture: Pillow's own writer holds all of them until the end.

    The first picture gives 255 colours; the last index is "as before", so that what stands still costs little.
    """

    def __init__(self, put: Callable[[bytes], object], delay: int, width: int, height: int) -> None:
        self._put, self._delay, self._size = put, delay, (width, height)
        self._palette: Image.Image | None = None
        self._before: NDArray[np.uint8] | None = None

    def add(self, picture: Picture) -> None:
        image = Image.fromarray(picture)
        if self._palette is None:
            self._palette = image.quantize(255, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            self._begin(self._palette.getpalette() or [])
        index = np.asarray(image.quantize(palette=self._palette, dither=Image.Dither.NONE))
        shown = index if self._before is None else np.where(index == self._before, np.uint8(255), index)
        self._before = index
        part = Image.fromarray(shown, mode="P")
        part.putpalette(self._palette.getpalette() or [])
        for block in GifImagePlugin.getdata(
            part, (0, 0), duration=10 * self._delay, transparency=255, disposal=1, optimize=False
        ):
            self._put(block)

    def finish(self, count: int) -> None:
        self._put(b";")

    def _begin(self, palette: list[int]) -> None:
        table = bytes(palette[:765]).ljust(768, b"\0")
        self._put(b"GIF89a" + struct.pack("<HHBBB", *self._size, 0xF7, 0, 0) + table)
        self._put(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")  # again and again


def _gif_delay(fps: float) -> int:
    """Return for how many hundredths of a second a picture stays; browsers take 1 for 10."""
    return max(2, round(100.0 / fps))
