"""The study as its only writer sees it: every write is whole, may be repeated, and waits for a database that is gone.

What a trial's attributes mean: `plan`, `seed`; `attempts` (stored before the trial is dispatched, so that one that
brings its worker down is counted even when nobody is left to tell), and of these `deaths` of workers by the trial's own
doing and `kills` from outside; `result` (in it the `environment`: versions, device, threads), or `kind`, `reason` and
`environment` of a failure.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import datetime
from typing import Any, TypeVar

from optuna.distributions import distribution_to_json
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from poolsearch import files
from poolsearch.config import SweepConfig, parse, to_toml
from poolsearch.errors import PoolsearchError, StudyError
from poolsearch.records.sweep import FailureKind
from poolsearch.sweep.search.front import directions
from poolsearch.sweep.study.optuna_private import ATTRIBUTES, PARAMS, TRIALS
from poolsearch.sweep.study.patience import Patience
from poolsearch.sweep.study.reader import Existing, Kept, kept, numbered, study_id
from poolsearch.sweep.study.storage import StudyLocation, StudyLock, in_words, open_storage
from poolsearch.sweep.study.undamaged import COPY

_OF_ATTEMPTS = ("attempts", "deaths", "kills", "kind", "reason")  # attributes that a retried trial has no more
_PART = 500  # trials

T = TypeVar("T")


class Writer:
    """One study, opened for writing. `on_wait` hears what it waits for, and may raise to end the waiting."""

    def __init__(
        self, location: StudyLocation, config: SweepConfig, on_wait: Callable[[str], None] = lambda message: None
    ) -> None:
        """Open the study of a config, made when new. Raises StudyError when the storage can't be used."""
        self.location, self.on_wait = location, on_wait
        self._lock = StudyLock(location.url, location.name)
        self._patience = Patience(location.url, self._lock)
        with ExitStack() as given_back:
            given_back.callback(self._lock.release)
            self._storage: RDBStorage = open_storage(location.url)
            given_back.callback(self._storage.engine.dispose)
            self._open(config)
            given_back.pop_all()  # it is open: `close` gives back

    def _open(self, config: SweepConfig) -> None:
        with in_words(self.location.url):
            with self._storage.engine.connect() as connection:
                id = study_id(connection, self.location)
                self._ids = numbered(connection, id) if id else {}
            self.new = not self._ids  # also where its making was cut off before its first trial
            if self.new and id:
                self._storage.delete_study(id)
            if self.new:
                ways = [StudyDirection[way.upper()] for way in directions(config)]
                id = self._storage.create_new_study(ways, self.location.name)
            assert id is not None
            self._id = id
            if self.new:
                self["config"] = to_toml(config)

    # ---------------------------------------------------------------------------------------------------- the study

    def __getitem__(self, name: str) -> Any:
        """Return an attribute of the study, or None."""
        try:
            return self._patiently(lambda: self._storage.get_study_user_attrs(self._id).get(name))
        except PoolsearchError:
            raise
        except (ValueError, RecursionError):
            raise StudyError(f"The study is damaged: what it keeps, as {name}, is not valid JSON. {COPY}") from None

    def __setitem__(self, name: str, value: Any) -> None:
        self._patiently(lambda: self._storage.set_study_user_attr(self._id, name, value))

    def existing(self) -> Existing:
        """Return what a config must agree with to go on with this study."""
        ways = self._patiently(lambda: self._storage.get_study_directions(self._id))
        text, done = self["config"], sum(trial.state == "COMPLETE" for trial in self.trials())
        return Existing(
            tuple(way.name.lower() for way in ways), parse(text) if text else None, self["data"], len(self._ids), done
        )

    def trials(self) -> Iterator[Kept]:
        """Yield all trials as they are kept, read in parts: the figures of 10,000 at once take 60 MB."""
        ids = list(self._ids.values())
        for start in range(0, len(ids), _PART):

            def read(part: list[int] = ids[start : start + _PART]) -> list[Kept]:
                with self._storage.engine.connect() as connection:
                    return list(kept(connection, self._id, ids[-1], part))

            yield from self._patiently(read)

    def keep(self) -> None:
        """Make sure, every few seconds, that no other coordinator has the study. Raises BusyError when one has."""
        self._patience.keep(self.on_wait)

    # --------------------------------------------------------------------------------------------------- its trials

    def add(self, trial: FrozenTrial) -> int:
        """Return the number of a new trial. One transaction: it is there with all that names it, or not at all."""

        number, tries = len(self._ids), 0

        def write() -> int:
            nonlocal tries
            tries += 1
            id = self._added_already(trial) if tries > 1 else None
            self._ids[number] = self._insert(number, trial) if id is None else id
            return number

        return self._patiently(write)

    def _insert(self, number: int, trial: FrozenTrial) -> int:
        """Return the row id of a new trial, written as Optuna writes it.

        In three statements, a fifth of the time: Optuna looks for the trial and flushes once a parameter. And not in
        its five tries of its own, which write a trial twice when the answer to a commit is lost.
        """
        began = datetime.now()  # as Optuna does when it ends one; the script sets its clock to UTC
        with self._storage.engine.begin() as connection:
            values = {"study_id": self._id, "number": number, "state": trial.state, "datetime_start": began}
            key = connection.execute(TRIALS.insert().values(values)).inserted_primary_key
            assert key is not None
            id = int(key[0])
            params = [
                {
                    "trial_id": id,
                    "param_name": name,
                    "param_value": each.to_internal_repr(trial.params[name]),
                    "distribution_json": distribution_to_json(each),
                }
                for name, each in trial.distributions.items()
            ]
            notes = [{"trial_id": id, "key": key, "value_json": json.dumps(v)} for key, v in trial.user_attrs.items()]
            for table, rows in ((PARAMS, params), (ATTRIBUTES, notes)):
                if rows:
                    connection.execute(table.insert(), rows)
        return id

    def _added_already(self, trial: FrozenTrial) -> int | None:
        """Return the row id of a trial whose transaction was done although its answer was lost."""
        with self._storage.engine.connect() as connection:
            newer = kept(connection, self._id, max(self._ids.values(), default=-1))
            return next((new.id for new in newer if new.attributes.get("plan") == trial.user_attrs["plan"]), None)

    def note(self, number: int, name: str, value: Any) -> None:
        """Keep something with a trial that has not ended."""
        self._patiently(lambda: self._storage.set_trial_user_attr(self._ids[number], name, value))

    def complete(self, number: int, values: list[float], result: dict[str, Any]) -> None:
        """Keep the figures of a trial and end it. While the database is gone they are in a file."""
        self._end(number, TrialState.COMPLETE, values, {"result": result})

    def fail(self, number: int, kind: FailureKind, reason: str) -> None:
        """End a trial without figures, with the reason."""
        self._end(number, TrialState.FAIL, None, {"kind": kind, "reason": reason})

    def reopen(self, numbers: Sequence[int]) -> None:
        """Let trials that failed run again under their numbers, as if they had never started. One transaction."""
        ids = [self._ids[number] for number in numbers]

        def write() -> None:
            with self._storage.engine.begin() as connection:
                ended = {"state": TrialState.RUNNING, "datetime_complete": None}
                connection.execute(TRIALS.update().where(TRIALS.c.trial_id.in_(ids)).values(ended))
                about = ATTRIBUTES.c.trial_id.in_(ids)
                connection.execute(ATTRIBUTES.delete().where(about, ATTRIBUTES.c.key.in_(_OF_ATTEMPTS)))

        self._patiently(write)

    def _end(self, number: int, state: TrialState, values: list[float] | None, attributes: dict[str, Any]) -> None:
        def write() -> None:
            try:
                for name, value in attributes.items():
                    self._storage.set_trial_user_attr(self._ids[number], name, value)
                self._storage.set_trial_state_values(self._ids[number], state, values)
            except UpdateFinishedTrialError:
                pass  # done already: the answer to an earlier try was lost

        def keep(message: str) -> None:
            if state == TrialState.COMPLETE:
                self.keep_on_disk(number, attributes["result"])
            self.on_wait(message)

        self._patiently(write, keep)
        self.location.home.result_file(number).unlink(missing_ok=True)

    def keep_on_disk(self, number: int, result: dict[str, Any]) -> None:
        """Keep the figures of a trial in a file, for the database is gone: the next run tells them."""
        path = self.location.home.result_file(number)
        if not path.exists():
            try:
                path.parent.mkdir(exist_ok=True)
                files.replace(path, json.dumps(result))
            except OSError:
                pass  # the disk is what is full: it is in memory still

    def _patiently(self, action: Callable[[], T], on_wait: Callable[[str], None] | None = None) -> T:
        return self._patience(action, on_wait or self.on_wait)

    def close(self) -> None:
        """Close the connections; SQLite then takes its write-ahead log into the file."""
        self._lock.release()
        self._storage.remove_session()
        self._storage.engine.dispose()
