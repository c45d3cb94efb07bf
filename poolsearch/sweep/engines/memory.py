"""Whether memory was short when a process was killed: by the kernel's own count, and by what was free just before."""

from __future__ import annotations

from pathlib import Path

import psutil

_SHORT = 0.05  # of all memory; earlyoom and systemd-oomd kill at 4 to 10 %
_CGROUPS = Path("/sys/fs/cgroup")


def kernel_kills() -> int:
    """Return how many processes of this control group the kernel has killed for want of memory; 0 where unknown."""
    for file in _counters():
        try:
            lines = (line.split() for line in file.read_text().splitlines())
            return next(int(line[1]) for line in lines if line[0] == "oom_kill")
        except (OSError, StopIteration, ValueError, IndexError):
            continue
    return 0


def _counters() -> list[Path]:
    """Return the files with the count, the nearest first: of cgroup v2, of v1, of the whole machine."""
    try:
        groups = [line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        groups = []
    counters = [_CGROUPS / path.lstrip("/") / "memory.events" for name, path in groups if not name]
    counters += [
        _CGROUPS / "memory" / path.lstrip("/") / "memory.oom_control" for name, path in groups if name == "memory"
    ]
    return [*counters, Path("/proc/vmstat")]


def was_free(kills_before: int, freed_bytes: int) -> bool:
    """Return whether memory was free when a process was killed that held so many bytes.

    `kills_before` is what `kernel_kills` said before. Other killers (earlyoom, a batch system) leave no count: they are
    known by how little would be free if the process still held its bytes.
    """
    if kernel_kills() != kills_before:
        return False
    there = psutil.virtual_memory()
    return bool(there.available - freed_bytes > _SHORT * there.total)
