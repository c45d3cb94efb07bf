"""The queue of sweeps on a machine: one runs at a time, in the order they came, for timing needs the machine alone.

A place in the queue is a file in runs/.queue that its process keeps locked; a process that is gone has no place,
whatever is on the disk.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from poolsearch.locks import take
from poolsearch.sweep.folder.folder import SweepFolder


@contextmanager
def place_in_queue(home: SweepFolder, on_wait: Callable[[list[str]], None]) -> Iterator[None]:
    """Wait until no sweep that came earlier is at work; `on_wait` hears their names twice a second, and may raise."""
    folder = home.path.parent / ".queue"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{time.time_ns():020}-{os.getpid()}"
    with path.open("w", encoding="utf-8") as file:
        take(file)
        file.write(home.study)
        file.flush()
        try:
            while before := _ahead(folder, path.name):
                on_wait(before)
                time.sleep(0.5)
            yield
        finally:
            path.unlink(missing_ok=True)


def _ahead(folder: Path, name: str) -> list[str]:
    """Return the sweeps with an earlier place, in their order; places of processes that are gone are removed."""
    names = []
    for path in sorted(path for path in folder.iterdir() if path.name < name):
        try:
            with path.open(encoding="utf-8", errors="replace") as file:
                if take(file, shared=True):
                    path.unlink(missing_ok=True)
                else:
                    names.append(file.read())
        except FileNotFoundError:
            continue
    return names
