"""Bags of ROS 1 and 2 and MCAP files as field logs: which files belong together, and what became of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ...common.errors import InputError
from ..fieldlog import SECOND, FieldLog, FileReport, Finding
from . import mcapfile, rosbag1, rosbag2
from .options import ReadOptions
from .parts import Part, all_of
from .rosfile import Account
from .rosrobot import Recording, build_logs
from .rostopics import Collector, clouds_of, listing

_SPLIT = re.compile(r"(.*?)[_-]?(\d+)")


def looks_like_rosbag(path: Path, head: bytes) -> bool:
    """Tell whether a file or folder is a bag: ``.bag``, ``.db3``, or a folder with bags or storage files."""
    if path.is_dir():
        return (path / "metadata.yaml").exists() or bool(_bags_in(path)) or bool(rosbag2.storage_files(path))
    if head.startswith(rosbag1.MAGIC) or head.startswith(b"#ROSBAG V"):
        return True
    return head.startswith(rosbag2.SQLITE_MAGIC) or path.name.endswith((".db3.zstd", ".mcap.zstd"))


def looks_like_mcap(path: Path, head: bytes) -> bool:
    """Tell whether a file is an MCAP."""
    return path.is_file() and head.startswith(mcapfile.MAGIC)


def read_rosbag(path: Path, options: ReadOptions) -> list[FieldLog]:
    """Read a bag: a ROS 1 ``.bag``, a ROS 2 folder, a bare ``.db3``, or a folder of bags.

    Bags of a folder whose names differ by a number at the end and that follow one another in time are one recording
    (``rosbag record --split``); others are runs of their own.

    Args:
        path: the file or folder.
        options: ``topics``, ``drive``, ``robot``, ``pose_source``, ``max_scans`` and ``laser_mount`` are used.

    Returns:
        One log for each robot and run, in order.

    Raises:
        InputError: not a bag, or one without anything of use; lists its topics and how to name them.
    """
    if path.is_dir():
        bags = _bags_in(path)
        if bags:
            parts = bag_parts(path)
            return all_of(parts, path, options) if parts else _read(Recording(bags[0]), _plain(bags), options)
        folder = rosbag2.open_folder(path)
        return _read(Recording(path), [(file, folder.packed_messages) for file in folder.files], options)
    return _read(Recording(path), [(path, False)], options)


def bag_parts(folder: Path) -> list[Part]:
    """Return the recordings of a folder with several ROS 1 bags, each a run; none of any other folder."""
    groups = _recordings(_bags_in(folder)) if folder.is_dir() else []
    return [Part(group[0], partial(_read_run, folder, group)) for group in groups] if len(groups) > 1 else []


def _read_run(folder: Path, group: list[Path], options: ReadOptions) -> list[FieldLog]:
    return _read(Recording(folder, group[0].stem), _plain(group), options)


def _plain(bags: list[Path]) -> list[tuple[Path, bool]]:
    return [(bag, False) for bag in bags]


def read_mcap(path: Path, options: ReadOptions) -> list[FieldLog]:
    """Read a bare MCAP file as ``read_rosbag`` does: ROS 1 and 2 messages, Foxglove's schemas in JSON and protobuf.

    Raises:
        InputError: no MCAP, or one without anything of use; lists its topics and how to name them.
    """
    return _read(Recording(path), [(path, False)], options)


def _bags_in(folder: Path) -> list[Path]:
    return sorted(entry for entry in folder.iterdir() if entry.is_file() and entry.suffix == ".bag")


def _recordings(bags: list[Path]) -> list[list[Path]]:
    """Group bags into recordings: those of ``rosbag record --split`` are numbered from 0 without a gap."""
    families: dict[str, dict[int, Path]] = {}
    alone = []
    for bag in bags:
        match = _SPLIT.fullmatch(bag.stem)
        if match and match[1]:
            families.setdefault(match[1], {})[int(match[2])] = bag
        else:
            alone.append([bag])
    for family in families.values():
        parts = [family[number] for number in sorted(family)]
        if len(parts) > 1 and sorted(family) == list(range(len(parts))):
            alone.append(parts)
        else:
            alone += [[part] for part in parts]
    return sorted(alone)


def _read(recording: Recording, files: list[tuple[Path, bool]], options: ReadOptions) -> list[FieldLog]:
    collector = Collector(options)
    reports = []
    for file, packed in files:
        before = sum(topic.count for topic in collector.topics.values())
        account = Account(file)
        library = _scan(file, account, collector, packed)
        recording.simulated |= library.startswith("floorcast")
        count = sum(topic.count for topic in collector.topics.values()) - before
        reports.append(_FileFindings(account, count))
    logs = build_logs(recording, collector, [item.report() for item in reports], options)
    if not logs:
        topics = sorted(collector.topics.values(), key=lambda topic: topic.name)
        empty = ", ".join([topic.name for topic in topics if topic.count == 0][:10])
        unread = ", ".join([topic.name for topic in topics if topic.problem or topic.bad][:10])
        clouds = clouds_of(topics)
        raise InputError(
            "the recording holds nothing that a gap could be measured from"
            + (f": {clouds}" if clouds else "")
            + (f" (without any message: {empty})" if empty else "")
            + (f" (cannot be decoded: {unread})" if unread else ""),
            where=str(recording.path),
            mend=listing(collector.topics),
        )
    return logs


def _scan(file: Path, account: Account, collector: Collector, packed: bool) -> str:
    if file.suffix == ".bag":
        rosbag1.scan_bag1(file, account, collector.open)
        return ""
    name = file.name.removesuffix(".zstd")
    if name.endswith((".db3", ".mcap")):
        return rosbag2.scan_storage(file, account, collector.open, packed)
    with file.open("rb") as head:
        magic = head.read(16)
    if magic.startswith(rosbag1.MAGIC):
        rosbag1.scan_bag1(file, account, collector.open)
    elif magic.startswith(rosbag2.SQLITE_MAGIC):
        rosbag2.scan_sqlite(file, account, collector.open)
    else:
        return mcapfile.scan_mcap(file, account, collector.open)
    return ""


@dataclass(frozen=True)
class _FileFindings:
    account: Account
    messages: int

    def report(self) -> FileReport:
        account = self.account
        notes = []
        if account.cut:
            share = 100.0 * account.read / max(account.size, 1)
            seconds = (account.last_ns - account.first_ns) / SECOND
            told = f"{self.messages} messages, {seconds:.1f} s long, {share:.2f} % of {account.size} bytes"
            notes.append(Finding(f"the file is not whole: {account.cut}; recovered {told}", 1, 0))
        notes += [
            Finding(f"{damage.count} x {reason} (first at byte {damage.first_byte})", damage.count, 0)
            for reason, damage in account.damage.items()
        ]
        return FileReport(
            path=str(account.path),
            sha256=account.sha256,
            records=self.messages,
            used=0,
            notes=tuple(notes),
            unit="message",
        )
