"""A study as rows, for whoever only reads: pages, the command line, the end of a sweep.

It reads Optuna's tables with two queries of its own: opening a study of 10,000 trials through Optuna takes 4 seconds,
this way a quarter of one, and a later look reads only what changed. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, Engine, bindparam, create_engine, inspect, text
from sqlalchemy.engine import URL

from poolsearch.config import SweepConfig, parse
from poolsearch.errors import PoolsearchError, StudyError
from poolsearch.plan import Plan
from poolsearch.records.sweep import EpochRow, TrialRow
from poolsearch.sweep.folder.folder import SweepFolder
from poolsearch.sweep.search.front import mark_front
from poolsearch.sweep.study.storage import CONNECTING, StudyLocation, check_file, in_words, located, read_only
from poolsearch.sweep.study.undamaged import check_trial, loaded, timings

CANCELLED = "cancelled"  # the kind of a trial that was ended by hand: in Optuna's words it failed
_STATES = {
    "COMPLETE": "complete",
    "FAIL": "failed",
    "PRUNED": "failed",
    "RUNNING": "running",
    "WAITING": "waiting",
    CANCELLED: "cancelled",
}
_FIRST_NAMES = {"number": "non_finite"}  # kinds of failure as the first version stored them
_ENDED = ("COMPLETE", "FAIL", "PRUNED")
_TRIALS = text(
    "select t.trial_id, t.number, t.state, a.key, a.value_json from trials t "
    "left join trial_user_attributes a on a.trial_id = t.trial_id "
    "where t.study_id = :study and (t.trial_id > :seen or t.trial_id in :open) order by t.trial_id"
).bindparams(bindparam("open", expanding=True))
_NUMBERS = text(
    "select t.number, t.trial_id, a.value_json from trials t "
    "left join trial_user_attributes a on a.trial_id = t.trial_id and a.key = 'plan' "
    "where t.study_id = :study order by t.trial_id"
)
_DIRECTIONS = text("select direction from study_directions where study_id = :study order by objective")
_ATTRIBUTE = text("select value_json from study_user_attributes where study_id = :study and key = :key")


@dataclass
class Kept:
    """One trial as the study keeps it."""

    id: int  # of the row in the database
    number: int
    state: str  # Optuna's word
    attributes: dict[str, Any] = field(default_factory=dict)

    def checked(self) -> Kept:
        """Return it. Raises StudyError where what is kept with it was damaged."""
        check_trial(self.number, self.attributes)
        return self

    @property
    def ended(self) -> bool:
        """Return whether it has ended; nothing about it can change then, unless it is lost."""
        return self.state in _ENDED

    @property
    def outcome(self) -> str:
        """Return Optuna's word for its state, or that it was cancelled."""
        return CANCELLED if self.state == "FAIL" and self.attributes.get("kind") == CANCELLED else self.state

    @property
    def lost(self) -> bool:
        """Return whether it failed because its worker died in every attempt: it may be retried."""
        return self.state == "FAIL" and self.attributes.get("kind") == "crash"


def kept(connection: Connection, study: int, seen: int = -1, unfinished: Iterable[int] = ()) -> Iterator[Kept]:
    """Yield the trials of a study with a row id over `seen`, and those named, in their order."""
    trial: Kept | None = None
    for id, number, state, key, value in connection.execute(
        _TRIALS, {"study": study, "seen": seen, "open": [*unfinished]}
    ):
        if trial is None or id != trial.id:
            if trial:
                yield trial.checked()
            trial = Kept(id, number, state)
        if key:
            trial.attributes[key] = loaded(value, f"the {key} of trial {number}")
    if trial:
        yield trial.checked()


def numbered(connection: Connection, study: int) -> dict[int, int]:
    """Return the row id of each trial of a study by its number. Raises StudyError when one is not a sweep's."""
    rows = connection.execute(_NUMBERS, {"study": study}).all()
    foreign = next((number for number, _, plan in rows if plan is None), None)
    if foreign is not None:
        raise StudyError(
            f"Trial {foreign} of the study was added by another program: it names no Plan. Choose another study name."
        )
    return {number: id for number, id, _ in rows}


def study_id(connection: Connection, location: StudyLocation) -> int | None:
    """Return the row id of a study, or None when it is not in this storage."""
    studies = {name: id for id, name in connection.execute(text("select study_id, study_name from studies"))}
    only = next(iter(studies.values())) if location.alone and len(studies) == 1 else None
    return studies.get(location.name, only)


@dataclass(frozen=True)
class Existing:
    """What a study was made with, and how far it came."""

    directions: tuple[str, ...]
    config: SweepConfig | None
    data: str | None  # SHA-256 of its images
    trials: int
    complete: int


def existing(location: StudyLocation) -> Existing | None:
    """Return what a study was made with, None where there is none. Nothing is written.

    Raises StudyError when the storage can't be used.
    """
    if location.file and not location.file.exists():
        return None
    with in_words(location.url):
        engine = _reading(location)
        try:
            with engine.connect() as connection:
                there = inspect(connection).has_table("studies")
                id = study_id(connection, location) if there else None
                return _existing(connection, id) if id else None
        finally:
            engine.dispose()


def _existing(connection: Connection, id: int) -> Existing:
    def attribute(key: str) -> Any:
        value = connection.execute(_ATTRIBUTE, {"study": id, "key": key}).scalar()
        return loaded(value, f"what it keeps as {key}") if value is not None else None

    ways = tuple(way.lower() for way in connection.execute(_DIRECTIONS, {"study": id}).scalars())
    states = connection.execute(text("select state from trials where study_id = :study"), {"study": id}).scalars().all()
    config, data = attribute("config"), attribute("data")
    complete, trials = sum(state == "COMPLETE" for state in states), len(numbered(connection, id))
    return Existing(ways, parse(str(config)) if config else None, str(data) if data else None, trials, complete)


class Reader:
    """A study to look at again and again; each look reads what changed since the last."""

    def __init__(self, location: StudyLocation) -> None:
        """Open it. Raises StudyError when there is none, or its storage can't be used."""
        study = location.home.study
        if location.file and not location.file.exists():
            raise StudyError(f"The sweep '{study}' has no trials yet.")
        self._location, self._seen, self._together = location, -1, ""
        self._rows: dict[int, TrialRow] = {}
        self._open: dict[int, Kept] = {}  # by row id
        self._marked: tuple[bool, tuple[TrialRow, ...]] | None = None
        with in_words(location.url):
            self._engine = _reading(location)
            try:
                with self._engine.connect() as connection:
                    self._id, config = self._study_of(connection)
                self.config = parse(config).model_copy(update={"study": study})
            except BaseException:
                self._engine.dispose()
                raise

    def _study_of(self, connection: Connection) -> tuple[int, str]:
        """Return the study's row id and the text of its config. Raises StudyError where the storage has none."""
        there = inspect(connection).has_table("studies")
        id = study_id(connection, self._location) if there else None
        config = connection.execute(_ATTRIBUTE, {"study": id, "key": "config"}).scalar() if id else None
        if not id or not config:
            where = self._location.url.render_as_string()
            raise StudyError(f"There is no study called '{self._location.name}' in the storage '{where}'.")
        return id, str(loaded(config, "its config"))

    def rows(self, alive: bool = False) -> tuple[TrialRow, ...]:
        """Return the trials as they are now, the front marked; those of a sweep that is not alive are waiting."""
        with in_words(self._location.url), self._engine.connect() as connection:
            now = kept(connection, self._id, self._seen, self._open)
            fresh = [trial for trial in now if trial != self._open.get(trial.id)]
            together = str(connection.execute(_ATTRIBUTE, {"study": self._id, "key": "latency"}).scalar() or "{}")
        if self._marked and self._marked[0] == alive and not fresh and together == self._together:
            return self._marked[1]
        for trial in fresh:
            self._seen = max(self._seen, trial.id)
            self._open.pop(trial.id, None)
            if not trial.ended or trial.lost:
                self._open[trial.id] = trial
            if "plan" not in trial.attributes:
                continue  # another program's
            self._rows[trial.number] = _row(trial)
        if together != self._together:  # measured in one round robin at the end
            self._together = together
            for number, timing in timings(together, self._rows).items():
                self._rows[number] = _timed(self._rows[number], timing)
        rows = [self._rows[number] for number in sorted(self._rows)]
        if not alive:
            rows = [replace(row, state="waiting") if row.state == "running" else row for row in rows]
        self._marked = alive, mark_front(rows, self.config.objectives)
        return self._marked[1]

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()


def _reading(location: StudyLocation) -> Engine:
    """Return what only reads a study; a file is checked first."""
    if location.file is None:
        return create_engine(location.url, pool_pre_ping=True, connect_args=CONNECTING)
    check_file(location.file)
    # the whole name, quoted, is the URL's database: SQLAlchemy hands it on as it is
    url = URL.create("sqlite", database=read_only(location.file), query={"uri": "true"})
    return create_engine(url, connect_args={"timeout": 5})


def trial_rows(home: SweepFolder) -> tuple[TrialRow, ...]:
    """Return all trials of a sweep as rows, read once. Raises StudyError."""
    home.config()  # a sweep that is not there, or whose config can't be read, is refused as such
    return rows_at(located(home))


def rows_at(location: StudyLocation) -> tuple[TrialRow, ...]:
    """Return all trials of a study as rows, read once. Raises StudyError."""
    reader = Reader(location)
    try:
        return reader.rows()
    finally:
        reader.close()


def find_trial(home: SweepFolder, number: int) -> TrialRow:
    """Return one trial of a sweep. Raises PoolsearchError when it isn't there."""
    rows = trial_rows(home)
    for row in rows:
        if row.number == number:
            return row
    raise PoolsearchError(f"The sweep '{home.study}' has trials 0 to {len(rows) - 1}, got {number}.")


def _row(trial: Kept) -> TrialRow:
    state: Any = _STATES[trial.outcome]
    attributes = trial.attributes
    result: dict[str, Any] = attributes.get("result", {})
    plan = Plan.parse(attributes["plan"])
    timing = result.get("latency") or {}
    # trials from before environments were kept say their device with their latency
    device = {name: timing[name] for name in ("device",) if name in timing}
    environment = attributes.get("environment") or result.get("environment") or device
    row = TrialRow(
        number=trial.number,
        state=state,
        plan=plan,
        accuracy=result.get("accuracy"),
        loss=result.get("loss"),
        test_accuracy=result.get("test_accuracy"),
        costs=tuple(result.get("costs", {}).items()),
        seconds=result.get("seconds"),
        cpu_seconds=result.get("cpu_seconds"),
        seed=attributes.get("seed", 0),
        reason=attributes.get("reason", ""),
        kind=_FIRST_NAMES.get(attributes.get("kind", ""), attributes.get("kind", "")),
        attempts=attributes.get("attempts", 1),
        curve=tuple(EpochRow(**epoch) for epoch in result.get("curve", [])),
        published=not plan.sites,
        environment=_shared(tuple(environment.items())),
    )
    return _timed(row, timing)


@lru_cache(maxsize=256)
def _shared(environment: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Return the first of equal environments: thousands of trials share a few."""
    return environment


def _timed(row: TrialRow, timing: dict[str, Any]) -> TrialRow:
    return replace(
        row, latency_ms=timing.get("ms"), latency_low_ms=timing.get("low_ms"), latency_high_ms=timing.get("high_ms")
    )
