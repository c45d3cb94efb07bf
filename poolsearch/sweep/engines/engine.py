"""What the coordinator asks of an engine: a place where trials run. It knows no study, and never sees the database.

A job is a record of `jobs`; what comes back are messages with the job's id and attempt, which `answers` makes records
of:

    {"event": "epoch", "row": {...}}                 one epoch is over
    {"event": "waits", "for": "process 42 on ..."}   another process measures on the device; "" when that is over
    {"event": "done", ...}                           the figures
    {"event": "failed", "kind": ..., "reason": ...}  it ran and there are none: a result, not tried again; "broken": the
                                                     process can't use its device any more
    {"event": "died", "reason": ..., "outside": ...}  the worker went away under it: worth another attempt; outside:
                                                     by a signal while memory was free, or with its node
    {"event": "full"}                                there was no space for its weights: again when there is
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from poolsearch.sweep.engines.jobs import Job

Message = dict[str, Any]

LAST = ("done", "failed", "full")  # events behind which a worker has nothing more to say of a job
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # of every worker


def attempt_id(job: Job) -> Message:
    """Return what every answer to a job starts with: its id and attempt."""
    return {"id": job.id, "attempt": job.attempt}


@dataclass(frozen=True)
class Resources:
    """What an engine has, and what is at work on it."""

    workers: int  # wanted
    free: int  # jobs that `submit` would take now
    running: tuple[int, ...]  # ids of the jobs at work
    device: str  # in words: what the figures are measured on
    cpu_percent: float | None = None  # of all workers since the last look, 100 for a core; None where unknown
    memory_bytes: int | None = None  # resident, of all workers
    waiting: tuple[int, ...] = ()  # ids of those in `running` that wait for room yet: that time is not theirs


class Engine(Protocol):
    """Workers somewhere. A worker that goes away is replaced, and its job answered with "died"."""

    def submit(self, job: Job) -> None:
        """Give a job to a free worker; there must be one."""

    def poll(self, timeout: float) -> list[Message]:
        """Return the answers that came within `timeout` seconds, at once when there are some."""

    def cancel(self, id: int) -> None:
        """End a job without an answer: politely, then by force. Its worker is replaced; an unknown id is no error."""

    def resources(self) -> Resources:
        """Return what there is and what is at work."""

    def resize(self, workers: int) -> None:
        """Take on workers or let idle ones go; one at work ends with its job."""

    def close(self) -> None:
        """End all workers; jobs at work are lost and may be given to another engine."""
