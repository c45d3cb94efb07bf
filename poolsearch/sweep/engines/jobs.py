"""What a worker is asked to do, as records: written by the coordinator, read once at the worker's door.

On its way to a worker of this machine a job is one line of JSON:

    {"id": 3, "attempt": 1, "config": "<toml>", "plan": "...", "seed": 0, "weights": "path", "do": "trial"}
    {"id": -1, "attempt": 1, "config": "<toml>", "plans": ["...", "..."], "do": "latency"}
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from poolsearch.errors import EngineError


@dataclass(frozen=True)
class TrialJob:
    """Train one Plan, test it, and time it beside the published network."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    id: int  # of the trial
    attempt: int
    config: str  # of the sweep, TOML
    plan: str
    seed: int
    weights: str | None = None  # path for the trained weights; None: they are not kept
    do: Literal["trial"] = "trial"


@dataclass(frozen=True)
class TimingJob:
    """Time several Plans together."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid", strict=True)

    id: int
    attempt: int
    config: str
    plans: tuple[str, ...]
    do: Literal["latency"] = "latency"


Job = TrialJob | TimingJob

_JOB: TypeAdapter[Job] = TypeAdapter(Annotated[Job, Field(discriminator="do")])


def line_of(job: Job) -> str:
    """Return a job as one line of JSON."""
    return json.dumps(asdict(job))


def job_of(line: str) -> Job:
    """Return the job in a line of JSON. Raises EngineError for a field that there is not, is missing or is amiss."""
    try:
        return _JOB.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise EngineError(f"The job can't be read: {where}: {first['msg'].lower()}.") from None
