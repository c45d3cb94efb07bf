"""What comes back from an engine, as records: a message is read once, at the coordinator's door, or refused there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from poolsearch.errors import EngineError, unknown
from poolsearch.records.sweep import EpochRow, FailureKind


@dataclass(frozen=True)
class EpochEnded:
    """One epoch is over."""

    id: int  # of the job
    attempt: int
    row: EpochRow


@dataclass(frozen=True)
class WaitsForDevice:
    """Another process measures on the device."""

    id: int
    attempt: int
    holder: str  # "process 42 on host"; "" when that is over


@dataclass(frozen=True)
class Done:
    """The job is done."""

    id: int
    attempt: int
    figures: dict[str, Any]  # of a trial those that `study.results` checks, of a timing its latencies


@dataclass(frozen=True)
class Failed:
    """The job ran and has no figures: a result, which is not tried again."""

    id: int
    attempt: int
    kind: FailureKind
    reason: str
    environment: dict[str, str] | None = None


@dataclass(frozen=True)
class WorkerDied:
    """The worker went away under the job, which is worth another attempt."""

    id: int
    attempt: int
    reason: str
    outside: bool = False  # by a signal while memory was free, or with its node


@dataclass(frozen=True)
class DiskFull:
    """There was no space for the job's weights: it runs again when there is."""

    id: int
    attempt: int


Answer = EpochEnded | WaitsForDevice | Done | Failed | WorkerDied | DiskFull

_RECORDS: dict[str, TypeAdapter[Any]] = {
    "epoch": TypeAdapter(EpochEnded),
    "waits": TypeAdapter(WaitsForDevice),
    "done": TypeAdapter(Done),
    "failed": TypeAdapter(Failed),
    "died": TypeAdapter(WorkerDied),
    "full": TypeAdapter(DiskFull),
}


def answer_of(message: Mapping[str, Any]) -> Answer:
    """Return what an engine's message says. Raises EngineError for an event that there is not, or a field amiss."""
    event = message.get("event")
    if event not in _RECORDS:
        raise EngineError(f"An answer of the engine can't be read. {unknown('event', str(event), tuple(_RECORDS))}")
    fields = {name: value for name, value in message.items() if name not in ("event", "for")}
    if event == "waits":
        fields["holder"] = message.get("for")
    if event == "done":
        whose = {name: fields.pop(name, None) for name in ("id", "attempt")}
        fields = {**whose, "figures": fields}
    try:
        answer: Answer = _RECORDS[event].validate_python(fields)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise EngineError(f"The engine's answer '{event}' can't be read: {where}: {first['msg'].lower()}.") from None
    return answer
