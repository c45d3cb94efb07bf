"""One process at a time measures on a device: a lock that names its holder, where no other user can take it."""

from __future__ import annotations

import os
import platform
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

import psutil

from poolsearch import processes
from poolsearch.errors import PoolsearchError
from poolsearch.locks import take

OnWait = Callable[[str], None]
_SAID_AFTER_S = 2.0  # workers of one sweep wait a fraction of a second for each other, which is not worth a word
_STOPPED_S = 5.0  # a holder that is stopped for so long measures nothing: others go on beside it
_PAUSE_S = 0.1  # at most, between two looks


def say_so(holder: str) -> None:
    """Print who is waited for; nothing when the waiting is over."""
    if holder:
        print(f"Waiting for the device, which {holder} is using.", file=sys.stderr, flush=True)


@contextmanager
def device_alone(device: str, on_wait: OnWait = say_so) -> Iterator[None]:
    """Wait until no other process of this user measures on this device, of whichever sweep.

    `on_wait` hears who holds it ("process 42 on host") when that takes longer than two seconds, and "" when it is over.
    Raises PoolsearchError where no folder for the lock can be had.
    """
    name = f"{platform.node()}-{device}-{os.environ.get('CUDA_VISIBLE_DEVICES', '')}".replace("/", "-")
    with ExitStack() as held:
        file = _taken(held, _own_folder() / f"{name}.lock", on_wait)
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def _taken(held: ExitStack, path: Path, on_wait: OnWait) -> TextIO:
    """Return the file once this process has the lock on it, or the one beside it when the holder is stopped."""
    file = path.open("a+")
    began, named, pause, running = time.monotonic(), "", 0.002, time.monotonic()
    while not take(file):
        time.sleep(pause)
        pause, now = min(2 * pause, _PAUSE_S), time.monotonic()
        holder, stopped = _holder(file)
        running = running if stopped else now
        if now - running > _STOPPED_S and path.suffix == ".lock":
            file.close()
            on_wait("")
            return _taken(held, path.with_suffix(".beside"), on_wait)
        if now - began > _SAID_AFTER_S and holder != named:
            named = holder
            on_wait(holder)
    if named:
        on_wait("")
    return held.enter_context(file)


def _holder(file: TextIO) -> tuple[str, bool]:
    """Return who holds a lock, and whether that process is stopped (SIGSTOP, Ctrl-Z)."""
    file.seek(0)
    holder = file.read().strip() or "another process"
    try:
        stopped = psutil.Process(int(holder.split()[1])).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except (psutil.Error, ValueError, IndexError):
        return holder, False
    return f"{holder} (stopped)" if stopped else holder, stopped


def _own_folder() -> Path:
    """Return a folder that this user alone can look into. Raises PoolsearchError where there is none."""
    places = (Path(tempfile.gettempdir()) / f"poolsearch-{processes.user()}", Path.home() / ".cache" / "poolsearch")
    for place in places:
        if _private(place):
            return place
    raise PoolsearchError(
        f"The lock of the device needs a folder that is private to this user: neither '{places[0]}' nor '{places[1]}' "
        "can be. Set TMPDIR to a writable folder."
    )


def _private(folder: Path) -> bool:
    """Return whether a folder is ours and closed to others; it is made, or closed, where it can be."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or not processes.is_ours(status):
            return False  # another user was there first, or a link leads elsewhere
        if os.name == "posix" and stat.S_IMODE(status.st_mode) != 0o700:  # Windows: its temporary folder is one's own
            folder.chmod(0o700)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
