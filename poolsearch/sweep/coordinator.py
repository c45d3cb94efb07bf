"""The one process that owns a study: it asks the sampler, dispatches to workers, and tells what came back.

Which Plan comes next is the matter of `proposals`; what a trial does is the matter of `worker`.
"""

from __future__ import annotations

import fcntl
import os
import platform
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from poolsearch import devices
from poolsearch.config import SweepConfig, to_toml
from poolsearch.errors import BusyError, PoolsearchError
from poolsearch.rows import SweepStatus, TrialRow
from poolsearch.sweep import store
from poolsearch.sweep.front import front
from poolsearch.sweep.local import Answer, LocalEngine
from poolsearch.sweep.proposals import Proposals
from poolsearch.sweep.space import Space, space_of

_ATTEMPTS = 3  # of a trial whose worker dies under it
_SAME_FAILURES = 10  # in a row, and the sweep stops with their reason
_RETIMED_S = 60.0  # the last common timing of all trials may take this long; else only the front is timed again


@dataclass(frozen=True)
class Outcome:
    """How a run of a coordinator ended."""

    status: SweepStatus
    rows: tuple[TrialRow, ...]
    storage: str

    def document(self) -> dict[str, Any]:
        """Return the run as one JSON document: what a script wants to know."""
        published = next((row for row in self.rows if row.published and row.state == "complete"), None)
        return {
            "study": self.status.study,
            "storage": self.storage,
            "state": self.status.state,
            "counts": dict(Counter(row.state for row in self.rows)),
            "seconds": round(self.status.elapsed_s, 1),
            "front": [_brief(row) for row in front(self.rows)],
            "published": _brief(published) if published else None,
        }


def _brief(row: TrialRow) -> dict[str, Any]:
    return {
        "trial": row.number,
        "plan": str(row.plan),
        "accuracy": row.accuracy,
        "loss": row.loss,
        "test_accuracy": row.test_accuracy,
        "latency_ms": row.latency_ms,
    }


@contextmanager
def lease(study: str) -> Iterator[None]:
    """Hold a study alone. Raises BusyError when another coordinator does; the lock goes with the process."""
    path = store.folder_of(study) / "lease"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise BusyError(f"The sweep '{study}' is run by {holder} already. Stop it first, or wait.") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}")
        file.flush()
        yield


def run(
    config: SweepConfig,
    workers: int | None = None,
    device: str = "auto",
    storage: str | None = None,
    resume: bool = False,
    on_change: Callable[[SweepStatus], None] = lambda status: None,
) -> Outcome:
    """Return how a sweep ended; it trains until the config's number of trials is done, stopped or interrupted.

    Raises PoolsearchError before any work: a config that can't be, a study that is taken or held.
    """
    space = space_of(config)
    place = devices.resolve(device)
    if workers is not None and not 1 <= workers <= 256:
        raise PoolsearchError(f"Workers go from 1 to 256, got {workers}. Nearest: {min(max(workers, 1), 256)}.")
    with lease(config.study):
        study = store.open_study(config, storage, resume)
        store.write_config(config)
        folder = store.folder_of(config.study)
        (folder / "stop").unlink(missing_ok=True)
        with (folder / "log.txt").open("a") as log:
            engine = LocalEngine(workers or devices.default_workers(place), place, log)
            try:
                coordinator = _Coordinator(config, space, study, engine, on_change)
                study.set_user_attr("device", devices.describe(place))
                with _interruptible(coordinator):
                    coordinator.work()
            finally:
                engine.close()
        rows = store.trial_rows(study, alive=False)
        return Outcome(coordinator.status, rows, storage or store.sqlite_url(config.study))


@contextmanager
def _interruptible(coordinator: _Coordinator) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into a request to stop, so that no write is cut in half."""

    def stop(number: int, _: Any) -> None:
        coordinator.interrupted = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Coordinator:
    def __init__(
        self,
        config: SweepConfig,
        space: Space,
        study: optuna.Study,
        engine: LocalEngine,
        on_change: Callable[[SweepStatus], None],
    ) -> None:
        self.config, self.space, self.study, self.engine, self.on_change = config, space, study, engine, on_change
        self.interrupted = False
        self.toml = to_toml(config)
        self.started = time.monotonic()
        self.written = 0.0
        self.finished_now = 0  # trials that ended in this run: what the time left is reckoned from
        self.same_failures: list[str] = []
        self.status = SweepStatus(config.study, "running", config.trials)
        self.proposals = Proposals(config, space)
        self.waiting: list[int] = []  # trials of an earlier run that had not ended: they come first, same number
        self.counts = Counter[str]()
        for trial in study.get_trials(deepcopy=False):
            self._adopt(trial)

    def _adopt(self, trial: FrozenTrial) -> None:
        """Take over a trial of an earlier run."""
        self.proposals.adopt(trial)
        if trial.state == TrialState.RUNNING:
            self.waiting.append(trial.number)
        else:
            self.counts[trial.state.name] += 1

    # ---------------------------------------------------------------------------------------------------- the loop

    def work(self) -> None:
        """Dispatch and tell until done, stopped or hopeless; then time all finished Plans together."""
        self._write("running", force=True)
        exhausted = False
        while not self._stop_asked():
            while self.engine.free and not exhausted and not self._stop_asked():
                exhausted = not self._dispatch()
            if not self.engine.running:
                break
            for answer in self.engine.poll(0.5):
                self._handle(answer)
            self._write("running")
        if self._stop_asked():
            reason = self._hopeless()
            self._write("failed" if reason else "stopped", reason or "It can be continued (--resume).", force=True)
            return
        self._time_together()
        self._write(
            "done", "The space holds no further Plan." if self.counts.total() < self.config.trials else "", True
        )

    def _stop_asked(self) -> bool:
        asked = (store.folder_of(self.config.study) / "stop").exists()
        return self.interrupted or asked or bool(self._hopeless())

    def _hopeless(self) -> str:
        last = self.same_failures[-_SAME_FAILURES:]
        if len(last) == _SAME_FAILURES and len(set(last)) == 1:
            return f"{_SAME_FAILURES} trials in a row failed: {last[0]}"
        return ""

    def _dispatch(self) -> bool:
        """Give a free worker the next trial; return False when there is none left."""
        if self.waiting:
            number = self.waiting.pop(0)
            plan = self.proposals.texts[number]
        else:
            if len(self.proposals.texts) >= self.config.trials:
                return False
            proposal = self._propose()
            if proposal is None:
                return False
            number, plan = proposal
        weights = str(store.weights_file(self.config.study, number))
        job = {"id": number, "do": "trial", "plan": plan, "seed": self.config.seed, "config": self.toml}
        self.engine.submit({**job, "weights": weights})
        return True

    def _handle(self, answer: Answer) -> None:
        number = answer["id"]
        if answer["event"] == "done":
            self._tell(number, {name: value for name, value in answer.items() if name not in ("id", "event")})
        elif answer["event"] == "failed":
            self._fail(number, answer["reason"])
        elif answer["event"] == "died" and number >= 0:  # the timing of all Plans together is no trial
            self._run_again(number, answer["reason"])

    def _run_again(self, number: int, reason: str) -> None:
        """Put a trial whose worker died first in line, under its number; after three attempts it fails with the reason.

        The count is stored before the trial is dispatched again, so that a new coordinator goes on counting.
        """
        trial = self._trial(number)
        deaths = int(trial.user_attrs.get("deaths", 0)) + 1
        trial.set_user_attr("deaths", deaths)
        if deaths >= _ATTEMPTS:
            self._fail(number, f"{reason} It was tried {_ATTEMPTS} times.")
        else:
            self.waiting.insert(0, number)

    # ------------------------------------------------------------------------------------------------- ask and tell

    def _propose(self) -> tuple[int, str] | None:
        """Return (number, text) of a new running trial, or None when the space is exhausted."""
        proposal = self.proposals.next()
        if proposal is None:
            return None
        text = str(proposal.plan)
        attributes = {"plan": text, "seed": self.config.seed}
        # one transaction: a trial is in the study with all that names it, or not at all
        self.study.add_trial(proposal.running_trial(self.space, attributes))
        number = len(self.study.get_trials(deepcopy=False)) - 1
        self.proposals.take(number, proposal)
        return number, text

    def _tell(self, number: int, result: dict[str, Any]) -> None:
        figures = {"accuracy": result["accuracy"], "loss": result["loss"], "latency_ms": result["latency"]["ms"]}
        values = [figures[name] for name in self.config.objectives]
        self._trial(number).set_user_attr("result", result)
        self.study.tell(number, values)
        self.proposals.tell(number, values)
        self._count("COMPLETE", "")

    def _fail(self, number: int, reason: str) -> None:
        self._trial(number).set_user_attr("reason", reason)
        self.study.tell(number, state=TrialState.FAIL)
        self.proposals.fail(number)
        self._count("FAIL", reason)

    def _count(self, state: str, reason: str) -> None:
        self.counts[state] += 1
        self.finished_now += 1
        self.same_failures = [*self.same_failures, reason] if reason else []
        self._write("running", force=True)

    def _trial(self, number: int) -> optuna.Trial:
        frozen = self.study.get_trials(deepcopy=False)[number]
        return optuna.Trial(self.study, frozen._trial_id)

    # ------------------------------------------------------------------------------------------------ timing, status

    def _time_together(self) -> None:
        """Measure the latency of all finished Plans in one round robin, with nothing else at work here.

        While they were trained their neighbours differed; only figures measured together are fit to be compared.
        """
        rows = [row for row in store.trial_rows(self.study) if row.state == "complete"]
        calls = self.config.latency.calls
        if sum(row.latency_ms or 0 for row in rows) * calls > _RETIMED_S * 1000:
            rows = [row for row in rows if row.on_front or row.published]
        if not rows:
            return
        self._write("running", f"Timing {len(rows)} finished networks together.", force=True)
        self.engine.submit({"id": -1, "do": "latency", "plans": [str(row.plan) for row in rows], "config": self.toml})
        while self.engine.running and not self._stop_asked():
            for answer in self.engine.poll(0.5):
                if answer["event"] == "done":  # a finished trial takes no new attributes, so the study holds them
                    numbers = (str(row.number) for row in rows)
                    self.study.set_user_attr("latency", dict(zip(numbers, answer["latencies"], strict=True)))
            self._write("running", self.status.message)

    def _write(self, state: Any, message: str = "", force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self.written < 1.0:
            return
        self.written = now
        elapsed = now - self.started
        left = max(0, self.config.trials - self.counts.total())
        self.status = replace(
            self.status,
            state=state,
            complete=self.counts["COMPLETE"],
            failed=self.counts["FAIL"],
            running=tuple((number, self.proposals.texts.get(number, "timing")) for number in self.engine.running),
            elapsed_s=elapsed,
            left_s=elapsed / self.finished_now * left if self.finished_now >= 3 else None,
            message=message,
        )
        store.write_status(self.status)
        self.on_change(self.status)
