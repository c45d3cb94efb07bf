"""Who runs a sweep: a lock on a file in its folder. The kernel releases it when the process is gone."""

from __future__ import annotations

import fcntl
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from poolsearch.errors import BusyError, StudyError

_TRIES, _PAUSE_S = 6, 0.05  # someone who looks whether it is held holds it for microseconds


@contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Hold a sweep's folder alone. Raises BusyError, saying who holds it, when another process does."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / "lease").open("a+")
    except OSError as error:
        raise StudyError(
            f"The folder '{folder}' can't be written ({error.strerror}). Set POOLSEARCH_RUNS to one that can."
        ) from None
    with opened as file:
        for attempt in range(_TRIES):
            if take(file):
                break
            if attempt == _TRIES - 1:
                raise BusyError(f"The sweep '{folder.name}' is run by {_name(file)} already. Stop it first, or wait.")
            time.sleep(_PAUSE_S)
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def take(file: TextIO, shared: bool = False) -> bool:
    """Return whether this process now has the lock on an opened file."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def holder(folder: Path) -> str | None:
    """Return who runs the sweep in a folder ("process 42 on host"), or None when nobody does."""
    try:
        with (folder / "lease").open() as file:
            return None if take(file, shared=True) else _name(file)
    except FileNotFoundError:
        return None


def _name(file: TextIO) -> str:
    file.seek(0)
    return file.read().strip() or "another process"
