"""Files that are whole or not there: written beside, flushed to the disk, then renamed into place."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from typing import Any

from poolsearch.errors import PoolsearchError

_DRAFT = re.compile(r"(?P<name>.+?)\.(?P<pid>\d{1,9})(\.\d+)?\.tmp(-journal|-wal|-shm)?")
_own_drafts: set[Path] = set()  # being written now
_JSON_MOST = 64_000_000  # bytes
_NETWORKED = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "lustre", "glusterfs", "beegfs", "gpfs"})


def replace(path: Path, content: bytes | str, flush: bool = True) -> None:
    """Write a file so that a reader, also after a power cut, finds the old content or the new, never half of one.

    Without `flush` that holds for the readers alone: for what is written every second and worth nothing after a cut.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    _own_drafts.add(draft)
    try:
        with draft.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            if flush:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    finally:
        _own_drafts.discard(draft)
    if flush:
        sync_folder(path.parent)


def drop_own_drafts() -> None:
    """Remove the files that this process is writing just now: it is about to end at once."""
    for draft in tuple(_own_drafts):
        draft.unlink(missing_ok=True)


def must_be_writable(path: Path) -> None:
    """Raise PoolsearchError where no file can be written at a path, before what is to be in it is made.

    Folders that are missing are made when it is written.
    """
    with in_words(path):
        if path.is_dir():
            raise PoolsearchError(f"'{path}' is a folder. Give a file in it: '{path / 'network.safetensors'}'.")
        if path.exists() and not path.is_file():
            raise PoolsearchError(f"'{path}' is a device or a pipe, which a file would take the place of.")
        there = next(place for place in path.absolute().parents if place.exists())
        if not there.is_dir():
            raise PoolsearchError(f"'{path}' can't be written: '{there}' is a file, not a folder.")
        if not os.access(there, os.W_OK | os.X_OK):
            raise PoolsearchError(f"'{path}' can't be written: nothing may be written in the folder '{there}'.")


@contextmanager
def in_words(path: Path) -> Iterator[None]:
    """Raise PoolsearchError with the reason where a file can't be written."""
    try:
        yield
    except OSError as error:
        raise PoolsearchError(f"'{path}' can't be written: {error.strerror or error}.") from None


def create(path: Path, content: str) -> bool:
    """Return whether this call made the file: of several that try at once, one does."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.{time.monotonic_ns()}.tmp")
    replace(draft, content)
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    finally:
        draft.unlink()
    return True


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises OSError, and ValueError for what is no JSON, for infinity and NaN, and for what is too large to be ours.
    """
    with path.open("rb") as file:
        content = file.read(_JSON_MOST + 1)
    if len(content) > _JSON_MOST:
        raise ValueError(f"it has more than {_JSON_MOST} bytes")
    try:
        return json.loads(content, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _whole(digits: str) -> int:
    if len(digits) > 18:  # 64 bits
        raise ValueError(f"a number in it has {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    if not isfinite(float(digits)):
        raise ValueError(f"a number in it is {digits[:20]}")
    return float(digits)


def remove_drafts(folder: Path, name: str = "", below: bool = False) -> None:
    """Remove what processes that are gone left of files they were writing: of one name or all; `below`: also deeper.

    A draft is called `NAME.PID.tmp`, or `NAME.PID.CLOCK.tmp`; SQLite adds `-journal`, `-wal` and `-shm`.
    """
    for path in folder.rglob("*.tmp*") if below else folder.glob("*.tmp*"):
        found = _DRAFT.fullmatch(path.name)
        if found and name in ("", found["name"]) and not _writes(int(found["pid"]), path):
            with suppress(OSError):  # not ours to remove
                path.unlink(missing_ok=True)


def _writes(pid: int, draft: Path) -> bool:
    """Return whether the process that began a draft is alive; one that got its number later is another."""
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return bool(process.create_time() < draft.stat().st_mtime + 1)
    except psutil.NoSuchProcess:
        return False
    except (psutil.Error, OSError):
        return True


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to the disk: a rename in it then survives a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_full(error: BaseException) -> bool:
    """Return whether a file could not be written for want of space."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def free_bytes(folder: Path) -> int:
    """Return how many bytes may still be written in a folder (of the nearest one above that is there)."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def network_share(path: Path) -> str:
    """Return the type of the network file system that a path is on ("nfs4"), or "" where it is on a local disk."""
    import psutil

    whole = path.resolve()
    holds = [mount for mount in psutil.disk_partitions(all=True) if whole.is_relative_to(mount.mountpoint)]
    nearest = max(holds, key=lambda mount: len(mount.mountpoint), default=None)
    kind = nearest.fstype if nearest else ""
    return kind if kind in _NETWORKED or kind.startswith("fuse.sshfs") else ""
