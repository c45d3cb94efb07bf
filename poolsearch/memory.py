"""What a process may keep and hold: one cache bounded in bytes, one network at a time, and how much memory is free.

Every function that returns arrays, pictures or the rows of a network and is asked again keeps its results here, so
that one number bounds them all. What is larger than the bound is not kept.
"""

from __future__ import annotations

import ctypes
import gc
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import update_wrapper
from inspect import signature
from pathlib import Path
from threading import RLock
from typing import Any, Generic, ParamSpec, TypeVar

import psutil
from cachetools import LRUCache
from cachetools.keys import hashkey

KEPT_BYTES = 128 * 2**20  # of all results that `kept` keeps in one process
_RECORD = 4  # bytes in memory for each byte of a pickled record of numbers and names (measured: 3 to 6)

P = ParamSpec("P")
T = TypeVar("T")


# ------------------------------------------------------------------------------------------------------- what is kept


def bytes_of(value: object) -> int:
    """Return about how many bytes a value takes: arrays and encoded pictures exactly, records by their pickle."""
    if isinstance(value, bytes):
        return len(value)
    arrays: list[pickle.PickleBuffer] = []  # protocol 5 hands arrays over without a copy
    records = len(pickle.dumps(value, protocol=5, buffer_callback=arrays.append))
    return _RECORD * records + sum(array.raw().nbytes for array in arrays)


_results: LRUCache[Any, Any] = LRUCache(KEPT_BYTES, getsizeof=bytes_of)
_results_lock = RLock()


class kept(Generic[P, T]):
    """A function whose results are kept by its arguments, but for those whose names begin with "_".

    All functions share one cache of KEPT_BYTES; what was not asked for longest goes first. Results are shared, not
    copied: nobody may write into one.
    """

    def __init__(self, function: Callable[P, T]) -> None:
        self._function = function
        self._named = [not name.startswith("_") for name in signature(function).parameters]
        update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        key = self._key(*args, **kwargs)
        with _results_lock:
            if key in _results:
                known: T = _results[key]
                return known
        result = self._function(*args, **kwargs)
        with _results_lock, suppress(ValueError):  # larger than the bound
            _results[key] = result
        return result

    def has(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Return whether the result for these arguments is kept now."""
        with _results_lock:
            return self._key(*args, **kwargs) in _results

    def _key(self, *args: object, **kwargs: object) -> object:
        named = {name: value for name, value in kwargs.items() if not name.startswith("_")}
        return hashkey(self._function, *(value for value, own in zip(args, self._named) if own), **named)


def kept_bytes() -> int:
    """Return the bytes of all results that are kept now."""
    return int(_results.currsize)


def forget() -> None:
    """Drop every result that is kept."""
    with _results_lock:
        _results.clear()


# ------------------------------------------------------------------------------------------- one network at a time

_turn = RLock()  # the same thread may open a second network within its turn: a Plan beside the published one
_LOOK_S = 0.1  # how often one that waits for its turn looks whether it is still wanted


@contextmanager
def one_network(still_wanted: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Wait until no other thread of this process holds a network, then hold the turn; freed memory goes back after it.

    `still_wanted` is asked while waiting and once more before the turn begins; what it raises ends the waiting.
    """
    while not _turn.acquire(timeout=_LOOK_S):
        still_wanted()
    try:
        still_wanted()
        yield
    finally:
        give_back()
        _turn.release()


def give_back() -> None:
    """Return freed memory to the system: glibc keeps what lies between blocks that are still used, gigabytes of it.

    Networks that were rewritten refer to themselves in a circle; without a collection the next is built beside them.
    """
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


# ------------------------------------------------------------------------------------------------------ what is free

_GROUPS = (  # limit, use, the part of the use that the kernel gives up at once: of a container, cgroup 2 and 1
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def free_bytes(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Return how many bytes this process could still take: of the machine, or of its container where that has less."""
    free = int(psutil.virtual_memory().available)
    for limit, use, statistics, cached in _GROUPS:
        try:
            most = int((root / limit).read_text())  # "max" where there is none
            lines = dict(line.split() for line in (root / statistics).read_text().splitlines())
            free = min(free, most - int((root / use).read_text()) + int(lines.get(cached, 0)))
        except (OSError, ValueError):
            continue
    return max(0, free)
