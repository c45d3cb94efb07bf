"""What is kept in a study, checked as it is read: damage becomes a sentence, not a wrong figure."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from poolsearch.errors import StudyError

COPY = "Restore a copy of its database, or choose another study name."


class _Timing(BaseModel):
    """The latency of a trial, in ms."""

    ms: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None


class _Result(BaseModel):
    """The figures of a trial, as far as rows show them."""

    model_config = ConfigDict(strict=True)
    accuracy: float | None = None
    loss: float | None = None
    test_accuracy: float | None = None
    seconds: float | None = None
    cpu_seconds: float | None = None
    latency: _Timing | None = None
    costs: dict[str, float] = {}
    curve: list[dict[str, float]] = []


class _Attributes(BaseModel):
    """What is kept with a trial, as far as rows and the coordinator use it."""

    model_config = ConfigDict(strict=True)
    plan: str = ""
    seed: int = 0
    attempts: int = 1
    deaths: int = 0
    kills: int = 0
    kind: str = ""
    reason: str = ""
    result: _Result = _Result()


_TIMINGS = TypeAdapter(dict[int, _Timing])


def loaded(text: str, what: str) -> Any:
    """Return what an attribute holds. Raises StudyError where it is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise StudyError(f"The study is damaged: {what} is not valid JSON. {COPY}") from None


def check_trial(number: int, attributes: dict[str, Any]) -> None:
    """Raise StudyError where what is kept with a trial is not of the kind that is written."""
    try:
        _Attributes.model_validate(attributes)
    except ValidationError as error:
        raise _damaged(f"Trial {number} of the study", error) from None


def timings(text: str, numbers: Collection[int]) -> dict[int, dict[str, float | None]]:
    """Return what was measured together at the end, by trial. Raises StudyError where that is damaged."""
    try:
        latencies = _TIMINGS.validate_python(loaded(text, "what was timed"))
    except ValidationError as error:
        raise _damaged("The study", error) from None
    foreign = next((number for number in latencies if number not in numbers), None)
    if foreign is not None:
        raise StudyError(f"The study is damaged: it has a latency of trial {foreign}, but no such trial. {COPY}")
    return {number: timing.model_dump() for number, timing in latencies.items()}


def _damaged(what: str, error: ValidationError) -> StudyError:
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"]))
    return StudyError(f"{what} is damaged in '{where}': {first['msg'].lower()}. {COPY}")
