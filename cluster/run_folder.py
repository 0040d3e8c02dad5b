"""The output folder of a run: what was asked, who writes it now, and the ledger of what is done."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from .. import __version__
from ..common.config import config_hash
from ..common.errors import InputError, OutputError
from ..common.files import explained_os_errors, write_json_atomic

RUN_FILE = "run.json"
LEDGER_FILE = "ledger.jsonl"
LOCK_FILE = ".lock"
TASK_FOLDER = ".tasks"
"""Holds what ``kept`` keeps of a run that is not done."""


@dataclass(frozen=True)
class LedgerEntry:
    """One episode as it ended.

    Attributes:
        episode: index of the episode.
        seed: the run's seed.
        status: "done", or "failed" after the last attempt.
        attempts: how often it was started.
        wall_s: seconds of the last attempt.
        artefacts: SHA-256 by path relative to the run folder.
        result: small results (KPIs, counts) that make a finished episode readable without its artefacts.
        traceback: of the last attempt, if it failed.
        repro: the command that runs this episode alone.
    """

    episode: int
    seed: int
    status: Literal["done", "failed"]
    attempts: int
    wall_s: float
    artefacts: dict[str, str] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    traceback: str | None = None
    repro: str = ""


class RunFolder:
    """An output folder that belongs to one run.

    Open it as a context manager: that takes the lock and checks that the folder is new or holds this very run.

    Args:
        path: the folder; made if missing.
        command: name of the command that runs.
        identity: everything that decides the results. The same identity resumes; any other is refused.
        resume: whether a started run may be continued.
    """

    def __init__(self, path: str | Path, command: str, identity: dict[str, Any], *, resume: bool = True) -> None:
        self.path = Path(path)
        self.command = command
        self.identity = identity
        self.resume = resume
        self.run_id = config_hash({"command": command, "version": __version__, **identity})
        self._lock: int | None = None
        self._made: list[Path] = []
        self._claimed = False

    def __enter__(self) -> RunFolder:
        with explained_os_errors(self.path):
            self._made = self._make()
            try:
                self._take_lock()
                self._claim()
            except BaseException:
                self._leave()
                raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # A full disk is an InputError too, but once it is mended the run goes on.
        if self._claimed and kind is not None and issubclass(kind, InputError) and not issubclass(kind, OutputError):
            self._withdraw()
        self._leave()

    def entries(self) -> dict[int, LedgerEntry]:
        """Return the newest ledger entry of each episode; a line cut off by a crash is passed over."""
        found: dict[int, LedgerEntry] = {}
        path = self.path / LEDGER_FILE
        if not path.exists():
            return found
        for line in path.read_bytes().splitlines():
            with contextlib.suppress(ValueError, TypeError):
                entry = LedgerEntry(**json.loads(line))
                found[entry.episode] = entry
        return found

    def append(self, entry: LedgerEntry) -> None:
        """Add a line to the ledger and wait until it is on the disk."""
        line = json.dumps(asdict(entry), sort_keys=True, allow_nan=False) + "\n"
        path = self.path / LEDGER_FILE
        with explained_os_errors(path), open(path, "ab") as file:
            # A crash may have cut the last line short: start on a fresh one.
            if file.tell() and not _ends_with_newline(path):
                file.write(b"\n")
            file.write(line.encode())
            file.flush()
            os.fsync(file.fileno())

    def write_summary(self, summary: dict[str, Any]) -> Path:
        """Write ``summary.json`` and return its path."""
        path = self.path / "summary.json"
        write_json_atomic(path, summary)
        return path

    def _withdraw(self) -> None:
        """Give the folder up that a run with bad input has claimed, unless something was written into it."""
        if all(item.name in {RUN_FILE, LOCK_FILE, TASK_FOLDER} for item in self.path.iterdir()):
            shutil.rmtree(self.path / TASK_FOLDER, ignore_errors=True)
            with contextlib.suppress(OSError):
                (self.path / RUN_FILE).unlink()

    def _leave(self) -> None:
        """Release the folder, and remove what was made for it where it is empty: a refused run leaves nothing."""
        self._release()
        for folder in self._made:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _make(self) -> list[Path]:
        missing: list[Path] = []
        folder = self.path
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        self.path.mkdir(parents=True, exist_ok=True)
        return missing

    def _take_lock(self) -> None:
        self._lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                "another process is writing this folder",
                where=str(self.path),
                mend="wait until it ends, or give another --out",
            ) from error

    def _claim(self) -> None:
        run_file = self.path / RUN_FILE
        if run_file.exists():
            self._check_same(run_file)
            return
        strangers = sorted(item.name for item in self.path.iterdir() if item.name not in {LOCK_FILE})
        if strangers:
            raise InputError(
                f"the output folder is not empty and holds no run of floorcast ({', '.join(strangers[:5])})",
                where=str(self.path),
                mend="give an empty or a new folder as --out",
            )
        write_json_atomic(
            run_file,
            {"command": self.command, "run_id": self.run_id, "version": __version__, "identity": self.identity},
        )
        self._claimed = True

    def _check_same(self, run_file: Path) -> None:
        try:
            held = json.loads(run_file.read_text())
            held_id, held_command = held["run_id"], held["command"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError("the run file cannot be read", where=str(run_file), mend="give another --out") from error
        if held_id != self.run_id:
            raise InputError(
                f"the output folder holds another run (of 'floorcast {held_command}'): "
                + _difference(held.get("identity", {}), held.get("version"), self.identity),
                where=str(self.path),
                mend="give another --out, or remove that folder",
            )
        if not self.resume:
            raise InputError(
                "the output folder already holds this run", where=str(self.path), mend="drop --no-resume to continue it"
            )

    def _release(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
            with contextlib.suppress(FileNotFoundError):
                if not (self.path / RUN_FILE).exists():
                    os.unlink(self.path / LOCK_FILE)


def default_folder(command: str, identity: dict[str, Any]) -> Path:
    """Return ``runs/<command>-<8 hex digits of the run's identity>``: two different runs never meet."""
    return Path("runs") / f"{command}-{config_hash({'version': __version__, **identity})[:8]}"


@contextlib.contextmanager
def open_run(out: Path | None, command: str, identity: dict[str, Any], *, resume: bool = True) -> Iterator[RunFolder]:
    """Open the run folder that the user named, or the default one."""
    with RunFolder(out or default_folder(command, identity), command, identity, resume=resume) as folder:
        yield folder


def _ends_with_newline(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _difference(held: dict[str, Any], held_version: str | None, asked: dict[str, Any]) -> str:
    if held_version != __version__:
        return f"it was made by version {held_version}, this is {__version__}"
    keys = sorted(key for key in held.keys() | asked.keys() if held.get(key) != asked.get(key))
    shown = []
    for key in keys[:4]:
        there, here = held.get(key), asked.get(key)
        if isinstance(there, dict) or isinstance(here, dict):
            shown.append(f"{key} differs")
        else:
            shown.append(f"{key} is {there!r} there and {here!r} here")
    return "; ".join(shown) or "its command differs"
