"""Labelled datasets on disk: written shard by shard, put together at the end, the same bytes on every run.

A dataset folder holds ``images/``, ``depth/`` (planar z, 16-bit millimetres, 0 = nothing), ``instance/`` (ids, see
``png``), ``semantic/`` (class ids), ``coco/instances.json``, ``panoptic/`` with ``coco/panoptic.json``, ``kitti/``,
``episodes.jsonl`` and ``checksums.sha256``, which ``sha256sum -c`` reads and whose own SHA-256 is the content hash of
the dataset. Where pictures came with lidar points, ``semantickitti/`` holds a label for each point. Nothing in a
dataset depends on the clock, the machine or the order of the work.

One shard is one episode. Its pictures go to their final names at once; its annotations and its manifest go to a folder
beside the dataset, the manifest last. A shard without a manifest, or whose files are not all there, counts as not done:
writing it again gives the same bytes. Pictures are renamed into place but not synced one by one (that costs more than
encoding them); the manifest records sizes and checksums, and sizes are compared before a shard is believed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...common.errors import InputError
from ...common.files import explained_os_errors, write_bytes_atomic, write_text_atomic
from ..labels import LabelledFrame
from . import kitti, png, semantic_kitti
from .coco import frame_lines, instances_chunks
from .panoptic import panoptic_chunks, panoptic_line, panoptic_segments

COCO_FILE = "coco/instances.json"
PANOPTIC_FILE = "coco/panoptic.json"
EPISODES_FILE = "episodes.jsonl"
TRAIN_FILE = "kitti/ImageSets/train.txt"
CHECKSUM_FILE = "checksums.sha256"
IMAGE_LINK = "kitti/training/image_2"
IMAGE_LINK_TARGET = "../../images"
POINT_FOLDER = "kitti/training/velodyne"
POINT_LABEL_FOLDER = "semantickitti/sequences/00/labels"
POINT_LINK = "semantickitti/sequences/00/velodyne"
POINT_LINK_TARGET = "../../../kitti/training/velodyne"
POINT_CONFIG_FILE = "semantickitti/semantic-kitti.yaml"

FRAME_FOLDERS: dict[str, str] = {
    "images": ".png",
    "depth": ".png",
    "instance": ".png",
    "semantic": ".png",
    "panoptic": ".png",
    "kitti/training/label_2": ".txt",
    "kitti/training/calib": ".txt",
    POINT_FOLDER: ".bin",
    POINT_LABEL_FOLDER: ".label",
}
"""Folders with one file for each picture, and its suffix; the last two only where a picture came with points."""

_STEM = re.compile(r"(\d{6})_(\d{2})_(\d{4,6})")
_FORMAT = 2


@dataclass(frozen=True)
class ShardManifest:
    """What a finished shard holds, read from ``path``.

    Attributes:
        path: of the manifest file.
        episode: index.
        frames, objects, bytes: pictures, labels, and the size of all picture files.
        run: identifies the settings that the shard was made with.
        metadata: what the caller wanted to keep with the episode.
        annotation_hash: SHA-256 of the annotation file beside the manifest.
    """

    path: Path
    episode: int
    frames: int
    objects: int
    bytes: int
    run: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    annotation_hash: str = ""

    @property
    def annotation_path(self) -> Path:
        """File with the COCO records of the pictures and their objects (see ``coco.frame_lines``)."""
        return self.path.with_suffix(".records")

    @staticmethod
    def load(path: str | Path) -> ShardManifest:
        """Read a manifest; raises InputError if it is missing, cut short or not a manifest."""
        return _manifest_of(_read_manifest(Path(path)), Path(path))


@dataclass(frozen=True)
class DatasetSummary:
    """Totals of a finished dataset; ``bytes`` counts all files, ``content_hash`` stands for every byte of them."""

    frames: int
    objects: int
    bytes: int
    content_hash: str


def shard_folder(folder: str | Path) -> Path:
    """Return where the shards of a dataset folder keep annotations and manifests: ``<folder>.shards`` beside it."""
    folder = Path(folder)
    return folder.with_name(folder.name + ".shards")


def find_shard(
    folder: str | Path, episode: int, *, shards: str | Path | None = None, run: str = ""
) -> ShardManifest | None:
    """Return the manifest of an episode's shard if it is finished and all its files are there; otherwise None.

    Raises:
        InputError: the shard was made by another run (``run`` differs).
    """
    path = _manifest_path(Path(shards) if shards is not None else shard_folder(folder), episode)
    try:
        content = _read_manifest(path)
        manifest = _manifest_of(content, path)
    except InputError:
        return None
    _require_run(manifest, run, Path(folder))
    missing = _missing_file(Path(folder), content) is not None or not manifest.annotation_path.is_file()
    return None if missing else manifest


class ShardWriter:
    """Writes the labelled pictures of one episode into a dataset folder.

    As a context manager it closes at the end, or takes back what it wrote if an error passes through.

    Args:
        folder: of the dataset; made if missing.
        episode: index, 0 to 999,999.
        shards: folder for annotations and manifests; by default ``shard_folder(folder)``.
        run: identifies the settings, for example a hash of the configuration; shards of different runs never mix.
        metadata: JSON values to keep with the episode, for ``episodes.jsonl``.

    Raises:
        InputError: the folder cannot be written, or holds a finished dataset or a shard of another run.
    """

    def __init__(
        self,
        folder: str | Path,
        episode: int,
        *,
        shards: str | Path | None = None,
        run: str = "",
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        if not 0 <= episode <= 999_999:
            raise InputError(f"episode {episode} is outside 0 to 999999", where=str(folder))
        self._folder = Path(folder)
        self._shards = Path(shards) if shards is not None else shard_folder(folder)
        self._manifest_path = _manifest_path(self._shards, episode)
        self._episode = episode
        self._run = run
        self._metadata = dict(metadata or {})
        self._records: dict[tuple[int, int], str] = {}
        self._files: dict[tuple[int, int], list[tuple[str, int, str]]] = {}
        self._objects = 0
        self._prepare()

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def add(self, labelled: LabelledFrame) -> None:
        """Write the files of one picture; the order of calls does not matter.

        Raises:
            InputError: the disk is full or cannot be written, or an id does not fit into its file.
            ValueError: the picture is of another episode or was added before, or points came without the lidar's pose.
        """
        key = (labelled.robot, labelled.number)
        if labelled.episode != self._episode:
            raise ValueError(f"a picture of episode {labelled.episode} in the shard of episode {self._episode}")
        if key in self._records:
            raise ValueError(f"picture {labelled.stem} was added before")
        if not (0 <= labelled.robot <= 99 and 0 <= labelled.number <= 999_999):
            raise InputError(
                f"picture number {labelled.number} of robot {labelled.robot} has no file name (999999 and 99 at most)",
                where=str(self._folder),
                mend="take fewer pictures in an episode, and more episodes",
            )
        segment, segments = panoptic_segments(labelled)
        text = frame_lines(labelled) + panoptic_line(labelled, segments)
        files = self._files.setdefault(key, [])
        for subfolder, data in _frame_files(labelled, segment):
            name = f"{subfolder}/{labelled.stem}{FRAME_FOLDERS[subfolder]}"
            _put(self._folder / name, data)
            files.append((name, len(data), hashlib.sha256(data).hexdigest()))
        self._records[key] = text
        self._objects += len(labelled.labels)

    def close(self) -> ShardManifest:
        """Write annotations, then the manifest, and return it. The shard is done from here on."""
        order = sorted(self._records)
        annotations = "".join(self._records[key] for key in order).encode()
        files = [file for key in order for file in self._files[key]]
        content = {
            "format": _FORMAT,
            "episode": self._episode,
            "run": self._run,
            "frames": len(order),
            "objects": self._objects,
            "bytes": sum(size for _, size, _ in files),
            "metadata": self._metadata,
            "annotations": hashlib.sha256(annotations).hexdigest(),
            "files": files,
        }
        write_bytes_atomic(self._manifest_path.with_suffix(".records"), annotations)
        write_text_atomic(self._manifest_path, _dumps(content) + "\n")
        return _manifest_of(content, self._manifest_path)

    def discard(self) -> None:
        """Remove every file that this writer wrote; the shard is as if it had never been started.

        If another writer finished the same shard meanwhile (an attempt that was given up too early), nothing is
        removed: both wrote the same files.
        """
        if not self._manifest_path.exists():
            names = [self._folder / name for files in self._files.values() for name, _, _ in files]
            for path in (self._manifest_path.with_suffix(".records"), *names):
                with contextlib.suppress(OSError):
                    path.unlink()
        self._records.clear()
        self._files.clear()
        self._objects = 0

    def _prepare(self) -> None:
        existing = None
        with contextlib.suppress(InputError):
            existing = ShardManifest.load(self._manifest_path)
        if existing is not None:
            _require_run(existing, self._run, self._folder)
        elif (self._folder / CHECKSUM_FILE).exists():
            raise InputError(
                "the folder holds a finished dataset",
                where=str(self._folder),
                mend="give another --out, or remove the folder",
            )
        with explained_os_errors(self._folder):
            self._shards.mkdir(parents=True, exist_ok=True)
            # From here on the shard counts as not done, and so does the dataset: in this order, because a folder with
            # checksums but without the manifest would be taken for somebody else's finished dataset.
            if existing is not None:
                (self._folder / CHECKSUM_FILE).unlink(missing_ok=True)
            self._manifest_path.unlink(missing_ok=True)
            for subfolder in FRAME_FOLDERS:
                (self._folder / subfolder).mkdir(parents=True, exist_ok=True)


def assemble_dataset(
    folder: str | Path,
    shards: Sequence[ShardManifest | str | Path],
    *,
    info: Mapping[str, Any],
    license: str | None,
) -> DatasetSummary:
    """Put finished shards together to one dataset; doing it again gives the same bytes.

    Memory holds one shard at a time and eight bytes for each picture. Files that killed or failed episodes left behind
    are removed; ``checksums.sha256`` is written last, so that a folder with it is complete.

    Args:
        folder: of the dataset.
        shards: manifests or their paths, in any order.
        info: COCO's ``info`` (description, version, ...); keep stamps and host names out, or bytes will differ.
        license: name of the pictures' licence, the user's to set; None leaves it open.

    Returns:
        Totals and the content hash.

    Raises:
        InputError: no shards or no pictures, a shard that is incomplete, damaged, twice there or of another run, files
            in the folder that are not of this dataset, a full disk.
    """
    folder = Path(folder)
    manifests = sorted(
        (item if isinstance(item, ShardManifest) else ShardManifest.load(item) for item in shards),
        key=lambda manifest: manifest.episode,
    )
    _require_consistent(manifests, folder)
    known = np.sort(np.concatenate([_verify_shard(folder, manifest) for manifest in manifests]))
    _require_own(folder, known)
    _sweep(folder, known)
    with explained_os_errors(folder):
        # Until the lists are written anew, nothing may say that they are whole.
        (folder / CHECKSUM_FILE).unlink(missing_ok=True)
        _link(folder / IMAGE_LINK, IMAGE_LINK_TARGET)
        labelled_points = _drop_unless_used(folder, POINT_LABEL_FOLDER)
        if labelled_points:
            _link(folder / POINT_LINK, POINT_LINK_TARGET)
        _drop_unless_used(folder, POINT_FOLDER)
    readers = [_reader(manifest) for manifest in manifests]
    totals = [
        _write_stream(folder, COCO_FILE, instances_chunks(readers, info, license)),
        _write_stream(folder, PANOPTIC_FILE, panoptic_chunks(readers, info, license)),
        _write_stream(folder, EPISODES_FILE, (_episode_line(manifest) for manifest in manifests)),
        _write_stream(folder, TRAIN_FILE, (f"{stem}\n" for manifest in manifests for stem in _stems(manifest))),
    ]
    if labelled_points:
        totals.append(_write_stream(folder, POINT_CONFIG_FILE, [semantic_kitti.config_text()]))
    checksum_bytes, content_hash = _write_checksums(folder, manifests, totals)
    return DatasetSummary(
        frames=sum(manifest.frames for manifest in manifests),
        objects=sum(manifest.objects for manifest in manifests),
        bytes=sum(manifest.bytes for manifest in manifests) + sum(size for _, size, _ in totals) + checksum_bytes,
        content_hash=content_hash,
    )


def _frame_files(labelled: LabelledFrame, segment: np.ndarray) -> list[tuple[str, bytes]]:
    """Return folder and content of each file of a picture; fails before the first one if any cannot be made."""
    frame = labelled.frame
    files = [
        ("images", png.encode_rgb(frame.rgb)),
        ("depth", png.encode_depth(frame.depth)),
        ("instance", png.encode_instance(frame.instance)),
        ("semantic", png.encode_semantic(frame.semantic)),
        ("panoptic", png.encode_panoptic(segment)),
        ("kitti/training/label_2", kitti.label_text(labelled.labels, frame.rotation).encode()),
    ]
    if labelled.points is not None:
        if labelled.lidar_position is None or labelled.lidar_rotation is None:
            raise ValueError("points came without lidar_position and lidar_rotation, so that nothing can place them")
        files += _point_files(labelled, labelled.points)
    calibration = kitti.calibration_text(
        frame.config, frame.position, frame.rotation, labelled.lidar_position, labelled.lidar_rotation
    )
    files.append(("kitti/training/calib", calibration.encode()))
    return files


def _point_files(labelled: LabelledFrame, points: np.ndarray) -> list[tuple[str, bytes]]:
    files = [(POINT_FOLDER, kitti.points_bytes(points))]
    if labelled.point_class is not None and labelled.point_instance is not None:
        if len(labelled.point_class) != len(points):
            raise ValueError(f"{len(points)} points came with {len(labelled.point_class)} labels")
        data = semantic_kitti.label_bytes(labelled.point_class, labelled.point_instance)
        files.append((POINT_LABEL_FOLDER, data))
    return files


def _put(path: Path, data: bytes) -> None:
    """Write a file through a rename, without waiting for the disk (see the module's docstring)."""
    with _replacing(path) as file:
        file.write(data)


@contextlib.contextmanager
def _replacing(path: Path, *, sync: bool = False) -> Iterator[IO[bytes]]:
    """Open a temporary neighbour that takes the name ``path`` when all went well, and vanishes otherwise."""
    with explained_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                yield file
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise


def _write_stream(folder: Path, name: str, chunks: Iterable[str]) -> tuple[str, int, str]:
    """Write text that comes in pieces, whole or not at all; return name, size and SHA-256."""
    digest, size = hashlib.sha256(), 0
    with _replacing(folder / name, sync=True) as file:
        for chunk in chunks:
            data = chunk.encode()
            digest.update(data)
            size += len(data)
            file.write(data)
    return name, size, digest.hexdigest()


def _write_checksums(
    folder: Path, manifests: Sequence[ShardManifest], totals: Sequence[tuple[str, int, str]]
) -> tuple[int, str]:
    def lines() -> Iterator[str]:
        for manifest in manifests:
            for name, _, digest in _read_manifest(manifest.path)["files"]:
                yield f"{digest}  {name}\n"
        for name, _, digest in totals:
            yield f"{digest}  {name}\n"

    _, size, digest = _write_stream(folder, CHECKSUM_FILE, lines())
    return size, digest


def _episode_line(manifest: ShardManifest) -> str:
    line = {
        "episode": manifest.episode,
        "frames": manifest.frames,
        "objects": manifest.objects,
        "pictures": _stems(manifest),
        "metadata": manifest.metadata,
    }
    return _dumps(line) + "\n"


def _stems(manifest: ShardManifest) -> list[str]:
    return _picture_stems(_read_manifest(manifest.path))


def _picture_stems(content: Mapping[str, Any]) -> list[str]:
    return [Path(name).stem for name, _, _ in content["files"] if name.startswith("images/")]


def _reader(manifest: ShardManifest) -> Callable[[], Iterator[str]]:
    def read() -> Iterator[str]:
        with manifest.annotation_path.open(encoding="utf-8") as file:
            yield from file

    return read


def _require_consistent(manifests: Sequence[ShardManifest], folder: Path) -> None:
    if not manifests or not any(manifest.frames for manifest in manifests):
        raise InputError(
            "there are no pictures to make a dataset of",
            where=str(folder),
            mend="let at least one episode finish, with a camera that takes pictures",
        )
    for before, after in pairwise(manifests):
        if before.episode == after.episode:
            raise InputError(f"episode {after.episode} stands twice among the shards", where=str(after.path))
        _require_run(after, before.run, folder)


def _require_run(manifest: ShardManifest, run: str, folder: Path) -> None:
    if manifest.run != run:
        raise InputError(
            f"the folder holds another run (shard of episode {manifest.episode} was made with other settings)",
            where=str(folder),
            mend="give another --out, or remove the folder and its .shards neighbour",
        )


def _verify_shard(folder: Path, manifest: ShardManifest) -> np.ndarray:
    """Return the codes of a shard's pictures, once all its files are there and its annotations are what they were."""
    content = _read_manifest(manifest.path)
    missing = _missing_file(folder, content)
    mend = "run the same command again: the episode will be done anew"
    if missing is not None:
        raise InputError(f"episode {manifest.episode} is incomplete: {missing}", where=str(folder), mend=mend)
    digest = hashlib.sha256()
    try:
        with manifest.annotation_path.open("rb") as file:
            for line in file:
                digest.update(line)
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror}", where=str(manifest.annotation_path), mend=mend) from error
    if digest.hexdigest() != content["annotations"]:
        raise InputError("the annotations are damaged", where=str(manifest.annotation_path), mend=mend)
    return np.array([_code(stem) for stem in _picture_stems(content)], dtype=np.int64)


def _missing_file(folder: Path, content: Mapping[str, Any]) -> str | None:
    for name, size, _ in content["files"]:
        try:
            found = (folder / name).stat().st_size
        except OSError:
            return f"{name} is missing"
        if found != size:
            return f"{name} has {found} bytes instead of {size}"
    return None


def _code(stem: str) -> int:
    match = _STEM.fullmatch(stem)
    if match is None:
        return -1
    episode, robot, number = (int(group) for group in match.groups())
    return (episode * 100 + robot) * 1_000_000 + number


def _is_known(code: int, known: np.ndarray) -> bool:
    at = int(np.searchsorted(known, code))
    return at < len(known) and int(known[at]) == code


def _require_own(folder: Path, known: np.ndarray) -> None:
    """Refuse a folder whose finished dataset has pictures that are not of this one."""
    path = folder / CHECKSUM_FILE
    if not path.exists():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            name = line.rstrip("\n").partition("  ")[2]
            if name.startswith("images/") and not _is_known(_code(Path(name).stem), known):
                raise InputError(
                    f"the folder holds another dataset ({name} is not of this one)",
                    where=str(folder),
                    mend="give another --out, or remove the folder",
                )


def _sweep(folder: Path, known: np.ndarray) -> None:
    """Remove what killed and failed episodes left behind; refuse files that Floorcast did not write."""
    stale: list[Path] = []
    for subfolder, suffix in FRAME_FOLDERS.items():
        (folder / subfolder).mkdir(parents=True, exist_ok=True)
        with os.scandir(folder / subfolder) as entries:
            for entry in entries:
                stem, dot, ending = entry.name.partition(".")
                if entry.name.startswith(".") and ending.endswith(".part"):
                    stale.append(Path(entry.path))
                elif _code(stem) < 0 or dot + ending != suffix:
                    raise InputError(
                        "a file that is not of this dataset is in the way",
                        where=entry.path,
                        mend="move it away, or give another --out",
                    )
                elif not _is_known(_code(stem), known):
                    stale.append(Path(entry.path))
    for name in (COCO_FILE, PANOPTIC_FILE, EPISODES_FILE, TRAIN_FILE, POINT_CONFIG_FILE, CHECKSUM_FILE):
        stale.extend((folder / name).parent.glob(f".{Path(name).name}.*.part"))
    with explained_os_errors(folder):
        for path in stale:
            path.unlink(missing_ok=True)


def _link(link: Path, target: str) -> None:
    if link.is_symlink() and os.readlink(link) == target:
        return
    link.symlink_to(target)


def _drop_unless_used(folder: Path, subfolder: str) -> bool:
    """Return whether a folder of point files has any; one without goes, and the folders that held nothing else."""
    path = folder / subfolder
    if any(path.iterdir()):
        return True
    path.rmdir()
    if subfolder == POINT_LABEL_FOLDER:
        (folder / POINT_LINK).unlink(missing_ok=True)
        (folder / POINT_CONFIG_FILE).unlink(missing_ok=True)
        for parent in (path.parent, path.parent.parent, path.parent.parent.parent):
            parent.rmdir()
    return False


def _manifest_path(shards: Path, episode: int) -> Path:
    return shards / f"{episode:06d}.json"


def _read_manifest(path: Path) -> dict[str, Any]:
    mend = "run the same command again: the episode will be done anew"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError("the shard has no manifest: it is not finished", where=str(path), mend=mend) from error
    except (OSError, ValueError) as error:
        raise InputError(f"the manifest cannot be read: {error}", where=str(path), mend=mend) from error
    keys = {"format", "episode", "run", "frames", "objects", "bytes", "metadata", "annotations", "files"}
    if not isinstance(content, dict) or set(content) != keys or content["format"] != _FORMAT:
        raise InputError("not a shard manifest of this version", where=str(path), mend=mend)
    return content


def _manifest_of(content: Mapping[str, Any], path: Path) -> ShardManifest:
    return ShardManifest(
        path=path,
        episode=content["episode"],
        frames=content["frames"],
        objects=content["objects"],
        bytes=content["bytes"],
        run=content["run"],
        metadata=content["metadata"],
        annotation_hash=content["annotations"],
    )


def _dumps(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
