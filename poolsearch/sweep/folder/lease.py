"""Who runs a sweep: a lock on a file in its folder. The kernel releases it when the process is gone.

The lock stays with the file when the folder is moved or removed, so its holder looks whether the file is still there.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from poolsearch.errors import BusyError, GoneError, StudyError
from poolsearch.locks import take

_TRIES, _PAUSE_S = 6, 0.05  # someone who looks whether it is held holds it for microseconds


class Held:
    """A sweep's folder that this process holds, and the files in it that must stay the ones they are."""

    def __init__(self, folder: Path, file: TextIO) -> None:
        self._folder, status = folder, os.fstat(file.fileno())
        self._files = {folder / "lease": (status.st_dev, status.st_ino)}

    def watch(self, path: Path) -> None:
        """Let `check` see that a file is still the one that stands here now."""
        status = path.stat()
        self._files[path] = (status.st_dev, status.st_ino)

    def check(self) -> None:
        """Raise GoneError when the folder was removed, moved or replaced: what is written then would be lost."""
        for path, identity in self._files.items():
            try:
                status = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                status = None
            except OSError:  # the disk does not answer just now
                continue
            if status is None or (status.st_dev, status.st_ino) != identity:
                what = f"'{path.name}' in the folder" if self._folder.is_dir() else "The folder"
                raise GoneError(
                    f"{what} of the sweep '{self._folder.name}' was removed, moved or replaced while the sweep ran "
                    f"({path}). The sweep has stopped, and nothing more was written. Once it is back, the sweep "
                    "can be resumed."
                )


@contextmanager
def lease(folder: Path) -> Iterator[Held]:
    """Hold a sweep's folder alone. Raises BusyError, saying who holds it, when another process does.

    What goes wrong because the folder is gone meanwhile is raised as GoneError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / "lease").open("a+")
    except OSError as error:
        raise StudyError(
            f"The folder '{folder}' can't be written ({error.strerror}). Set POOLSEARCH_RUNS to a writable folder."
        ) from None
    with opened as file:
        for attempt in range(_TRIES):
            if take(file):
                break
            if attempt == _TRIES - 1:
                raise BusyError(
                    f"The sweep '{folder.name}' is already being run by {_name(file)}. Stop it first, or wait."
                )
            time.sleep(_PAUSE_S)
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        held = Held(folder, file)
        try:
            yield held
        except Exception:
            held.check()
            raise


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
