"""What the coordinator makes of answers, commands, limits and a full disk: an engine that does what is written down."""

import math
import os
import shlex
import shutil
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from as_optuna import as_optuna, names_of

from poolsearch import files
from poolsearch.errors import BusyError, GoneError, PoolsearchError, StudyError
from poolsearch.records.sweep import SweepStatus
from poolsearch.sweep.folder import commands, folder
from poolsearch.sweep.folder.folder import Options, open_folder
from poolsearch.sweep.folder.lease import holder, lease
from poolsearch.sweep.folder.queue import place_in_queue
from poolsearch.sweep.running import clock, dispatcher, launch, status
from poolsearch.sweep.running.run import run
from poolsearch.sweep.study.reader import Reader, trial_rows
from poolsearch.sweep.study.storage import located
from poolsearch.sweep.study.writer import Writer
from tests.sweep.processes import wait_until
from tests.sweep.scripted import ScriptedEngine, done, figures


def sweep(config, script, workers=2, **words):
    """Run a sweep on a scripted engine; return its outcome and the engine."""
    engine = ScriptedEngine(script, workers)
    outcome = run(config, Options(workers=workers), make_engine=lambda *_: engine, **words)
    return outcome, engine


def with_trials(config, trials, **changes):
    return config.model_copy(update={"trials": trials, **changes})


@pytest.fixture
def wide(tiny):
    """A config whose space holds 125 Plans."""
    kinds = ("max", "avg", "lp", "soft", "min")
    return tiny.model_copy(update={"space": tiny.space.model_copy(update={"kinds": kinds})})


# ---------------------------------------------------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (figures(accuracy=math.nan), "The accuracy can't be nan."),
        (figures(ms=math.inf), "The latency can't be inf ms."),
        (figures(accuracy=-1.0), "The accuracy can't be -1.0."),
        (figures(accuracy=1.2), "The accuracy can't be 1.2."),
        (figures(loss=None), "The loss can't be None."),
        (figures(ms=0), "The latency can't be 0 ms."),
        ({"accuracy": 0.9}, "The worker's answer lacks one of these: accuracy, loss, latency_ms."),
    ],
)
def test_figures_that_cannot_be_are_a_failure_and_never_on_the_front(tiny, result, reason):
    first = {0: result}
    outcome, _ = sweep(with_trials(tiny, 3), lambda job: {"event": "done", **first.get(job.id, figures())})
    assert [row.state for row in outcome.rows] == ["failed", "complete", "complete"]
    assert (outcome.rows[0].kind, outcome.rows[0].reason) == ("non_finite", reason)
    assert not outcome.rows[0].on_front
    assert outcome.document()["failures"] == {"non_finite": 1}


def test_out_of_memory_is_a_result_and_not_tried_again(wide):
    def script(job):
        if job.id % 5 == 0:
            return {"event": "failed", "kind": "memory", "reason": "Out of memory on cuda. Take a smaller batch."}
        return done()

    outcome, engine = sweep(with_trials(wide, 50), script)
    assert outcome.document()["counts"] == {"complete": 40, "failed": 10}
    assert outcome.document()["failures"] == {"memory": 10}
    assert len(engine.seen) == 50


def died(outside=False):
    return {"event": "died", "reason": "The worker ended by signal 11 (SIGSEGV).", "outside": outside}


def test_a_trial_that_kills_its_worker_three_times_is_tried_once_more_alone_and_then_lost(tiny):
    beside = {}  # attempt of trial 1 -> jobs at work with it

    def script(job):
        if job.id == 1:
            beside[job.attempt] = set(engine.jobs) - {1}
            return died()
        return done()

    engine = ScriptedEngine(script)
    outcome = run(tiny, make_engine=lambda *_: engine)
    assert [attempt for id, attempt in engine.seen if id == 1] == [1, 2, 3, 4]
    assert engine.seen[-3:] == [(1, 2), (1, 3), (1, 4)]  # behind every other trial
    assert beside[4] == set()
    assert outcome.rows[1].reason == (
        "The worker ended by signal 11 (SIGSEGV). It was tried 4 times, the last time alone on the machine."
    )
    assert (outcome.rows[1].kind, outcome.rows[1].attempts) == ("crash", 4)
    assert [row.state for row in outcome.rows].count("complete") == 4
    assert (outcome.status.state, outcome.status.lost) == ("incomplete", 1)
    assert outcome.status.message == (
        "1 of 5 trials has no result: its worker died in every attempt. Retry it: python -m poolsearch sweep retry tiny"
    )


def test_the_attempt_alone_waits_for_the_others_and_nothing_begins_beside_it(tiny):
    """Trial 4 is still at work when trial 0 is to be alone; trial 1, whose worker died once, waits for both."""
    deaths, beside = [], []

    def script(job):
        if job.id == 0 and len(deaths) < 3:
            deaths.append(job.attempt)
            return died()
        if job.id == 0:
            beside.append(set(engine.jobs))
            return done() if len(beside) == 3 else None  # at work for three polls, with a worker free
        if job.id == 1 and job.attempt == 1:
            return died()
        return done() if job.id != 4 or len(deaths) == 3 else None

    engine = ScriptedEngine(script)
    outcome = run(tiny, make_engine=lambda *_: engine)
    assert outcome.document()["counts"] == {"complete": 5}
    assert beside == [{0}] * 3
    assert engine.seen[-1] == (0, 4)


def test_a_worker_that_is_killed_meets_another_trial_next(wide):
    """Ten kills, each of the worker that began last: no trial is hit twice, and none is lost."""
    kills = []

    def script(job):
        if len(kills) < 10:
            kills.append(job.id)
            return died(outside=True)
        return done()

    outcome, engine = sweep(with_trials(wide, 24), script)
    assert kills == list(range(10))
    assert engine.seen == [*((number, 1) for number in range(24)), *((number, 2) for number in range(10))]
    assert outcome.document()["counts"] == {"complete": 24}
    assert outcome.status.state == "done"


@pytest.mark.parametrize(("kills", "state"), [(29, "complete"), (30, "failed")])
def test_signals_from_outside_are_counted_apart_from_deaths_by_the_trials_own_doing(tiny, kills, state):
    left = [died(outside=True)] * kills + [died()] * 3 * (state == "complete")

    def script(job):
        return left.pop() if job.id == 1 and left else done()

    outcome, _ = sweep(with_trials(tiny, 2), script)
    assert outcome.rows[1].state == state
    kept = as_optuna("tiny", f"sqlite:///{open_folder('tiny').path / 'study.db'}").trials[1]
    assert kept.user_attrs["kills"] == kills
    assert kept.user_attrs.get("deaths", 0) == (3 if state == "complete" else 0)
    assert outcome.rows[1].reason.endswith("That happened 30 times during this trial.") == (state == "failed")


def test_what_killed_ten_trials_in_a_row_stops_the_sweep_before_each_is_tried_four_times(wide):
    outcome, engine = sweep(with_trials(wide, 60), lambda job: died(), workers=1)
    assert engine.seen == [(number, 1) for number in range(10)]
    assert outcome.status.state == "failed"
    assert outcome.status.message == (
        "10 trials in a row failed for the same reason: The worker ended by signal 11 (SIGSEGV)."
    )
    outcome, engine = sweep(with_trials(wide, 60), lambda job: done(), resume=True)
    assert outcome.document()["counts"] == {"complete": 60}


def test_a_resumed_sweep_still_knows_how_often_a_trial_killed_its_worker(tiny):
    def script(job):
        if job.id == 0 and job.attempt == 2:
            commands.send(open_folder("tiny"), "stop", id="s")
        return died() if job.id == 0 else done()

    outcome, _ = sweep(tiny, script)
    assert outcome.status.state == "stopped"
    outcome, engine = sweep(tiny, script, resume=True)
    assert engine.seen == [(0, 3), (0, 4)]
    assert (outcome.status.state, outcome.rows[0].kind, outcome.rows[0].attempts) == ("incomplete", "crash", 4)


def test_trials_lost_to_deaths_run_again_under_their_numbers(tiny, monkeypatch):
    def script(job):
        return died() if job.id in (1, 3) else done(accuracy=0.25)

    first, _ = sweep(tiny, script)
    assert first.document()["counts"] == {"complete": 3, "failed": 2}
    assert first.document()["state"] == "incomplete"
    reader = Reader(located(open_folder("tiny")))
    assert [row.state for row in reader.rows()].count("failed") == 2
    started = []
    monkeypatch.setattr(launch, "_spawn", lambda home, config, flags: started.append(flags))
    assert launch.retry(open_folder("tiny")) == ""
    assert started == [["--retry"]]
    again, engine = sweep(tiny, lambda job: done(accuracy=0.75), retry=True)
    assert sorted(engine.seen) == [(1, 1), (3, 1)]
    assert (again.status.state, again.status.lost) == ("done", 0)
    assert [row.accuracy for row in again.rows] == [0.25, 0.75, 0.25, 0.75, 0.25]
    assert [(row.attempts, row.kind, row.reason) for row in again.rows] == [(1, "", "")] * 5
    assert reader.rows() == again.rows  # who looked at the failures sees that they are none any more
    reader.close()
    kept = as_optuna("tiny", f"sqlite:///{open_folder('tiny').path / 'study.db'}").trials
    assert [(trial.number, trial.state.name) for trial in kept] == [(number, "COMPLETE") for number in range(5)]
    with pytest.raises(StudyError, match="No trial of 'tiny' was lost to a dead worker: there is nothing to retry."):
        launch.retry(open_folder("tiny"))


def test_a_sweep_at_work_runs_lost_trials_again_on_command(tiny):
    sweep(tiny, lambda job: died() if job.id == 1 else done())

    def script(job):
        commands.send(open_folder("tiny"), "retry", id="again")
        return done()

    outcome, engine = sweep(with_trials(tiny, 8), script, workers=1, resume=True)
    assert commands.outcome(open_folder("tiny"), "again") == "Trials to run again: 1."
    assert engine.seen == [(5, 1), (6, 1), (7, 1), (1, 1)]
    assert (outcome.status.state, outcome.document()["counts"]) == ("done", {"complete": 8})


def test_every_free_worker_gets_a_trial_before_any_answer_is_waited_for(tiny):
    at_work = []

    class Watched(ScriptedEngine):
        def poll(self, timeout):
            at_work.append(len(self.jobs))
            return super().poll(timeout)

    run(tiny, Options(workers=3), make_engine=lambda *_: Watched(lambda job: done(), workers=3))
    assert at_work[:3] == [3, 2, 1]  # three, the two that are left of five, and the timing


def test_a_worker_that_dies_once_costs_nothing_but_time(tiny):
    outcome, engine = sweep(tiny, lambda job: {"event": "died", "reason": "killed"} if job.attempt == 1 else done())
    assert outcome.document()["counts"] == {"complete": 5}
    assert sorted(engine.seen) == [(number, attempt) for number in range(5) for attempt in (1, 2)]


def test_the_attempt_is_stored_before_the_trial_is_dispatched(tiny):
    stored = []

    def script(job):
        stored.append((job.attempt, trial_rows(open_folder("tiny"))[job.id].attempts))
        return done() if job.attempt == 2 else {"event": "died", "reason": "killed"}

    sweep(tiny, script, workers=1)
    assert stored == [(1, 1)] * 5 + [(2, 2)] * 5


def test_an_answer_of_an_attempt_that_was_given_up_is_not_taken(tiny):
    outcome, engine = sweep(with_trials(tiny, 1), lambda job: done(accuracy=0.25))
    assert outcome.rows[0].accuracy == 0.25
    engine = ScriptedEngine(lambda job: done(accuracy=0.75))
    engine.said = [{"id": 1, "attempt": 7, "event": "done", **figures(accuracy=0.1)}]
    outcome = run(with_trials(tiny, 2), resume=True, make_engine=lambda *_: engine)
    assert [row.accuracy for row in outcome.rows] == [0.25, 0.75]


def test_ten_failures_of_one_kind_in_a_row_stop_the_sweep_with_the_reason(wide):
    def script(job):
        return {
            "event": "failed",
            "kind": "non_finite",
            "reason": f"The training loss was nan in epoch {job.id + 1}.",
        }

    outcome, _ = sweep(with_trials(wide, 60), script, workers=1)
    assert outcome.status.state == "failed"
    assert outcome.status.message == (
        "10 trials in a row failed for the same reason: The training loss was nan in epoch 10."
    )
    assert len(outcome.rows) == 10
    assert outcome.document()["front"] == []


def test_failures_of_several_kinds_do_not_stop_it(wide):
    kinds = ("non_finite", "memory")
    outcome, _ = sweep(
        with_trials(wide, 30), lambda job: {"event": "failed", "kind": kinds[job.id % 2], "reason": "so"}, workers=1
    )
    assert (outcome.status.state, len(outcome.rows)) == ("done", 30)


# ----------------------------------------------------------------------------------------------- limits and budgets


def test_a_trial_that_hangs_meets_its_limit_and_the_sweep_goes_on(tiny):
    limits = tiny.limits.model_copy(update={"trial_s": 0.2})
    outcome, engine = sweep(tiny.model_copy(update={"limits": limits}), lambda job: None if job.id == 2 else done())
    assert engine.cancelled == [2]
    assert (outcome.rows[2].kind, outcome.rows[2].reason) == (
        "time", "No result after 0.2 s (limits.trial_s); it was stopped."
    )  # fmt: skip
    assert outcome.document()["counts"] == {"complete": 4, "failed": 1}


def test_a_trial_that_waits_for_room_in_a_cluster_does_not_use_up_its_time(tiny, monkeypatch):
    monkeypatch.setattr(status, "_NO_ROOM_S", 0.2)  # as long as the limits: when it is said, they would be over
    limits = tiny.limits.model_copy(update={"trial_s": 0.2, "silent_s": 0.2})
    said = set()

    class Crowded(ScriptedEngine):
        def resources(self):
            there = super().resources()
            return there if "Trials waiting for a free worker: 2." in said else replace(there, waiting=there.running)

    engine = Crowded(lambda job: done() if "Trials waiting for a free worker: 2." in said else None)
    config = tiny.model_copy(update={"limits": limits})
    outcome = run(config, make_engine=lambda *_: engine, on_change=lambda status: said.add(status.message))
    assert outcome.document()["counts"] == {"complete": 5}
    assert engine.cancelled == []


def test_a_trial_that_says_nothing_meets_the_other_limit(tiny):
    limits = tiny.limits.model_copy(update={"silent_s": 0.2})
    epoch = {"event": "epoch", "row": {"epoch": 1, "train_loss": 1.0, "loss": 1.0, "accuracy": 0.5}}

    def script(job):
        if job.id == 0:  # tells of its epochs for longer than the limit, then is done: no fault
            return done() if engine.cancelled else epoch
        return None if job.id == 1 else done()

    engine = ScriptedEngine(script)
    outcome = run(tiny.model_copy(update={"limits": limits}), make_engine=lambda *_: engine)
    assert [row.kind for row in outcome.rows] == ["", "time", "", "", ""]
    assert outcome.rows[1].reason == "No epoch finished for 0.2 s (limits.silent_s); it was stopped."


def test_the_clock_of_work_does_not_count_a_sleep(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])
    work = clock.WorkClock()
    now[0] += 0.5
    assert work.tick() == 0.5
    now[0] += 3.0
    assert work.tick(at_work=False) == 0.5  # paused
    now[0] += 3600  # a lid closed for an hour counts as five seconds
    assert work.tick() == 5.5


def test_a_budget_of_minutes_ends_the_sweep(wide, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])

    def two_seconds(job):
        now[0] += 2.0
        return done()

    engine = ScriptedEngine(two_seconds, workers=1)
    engine.poll = lambda timeout: ScriptedEngine.poll(engine, 0)
    config = with_trials(wide, 100_000, minutes=0.1)
    outcome = run(config, make_engine=lambda *_: engine)
    assert (outcome.status.state, outcome.status.message) == ("done", "Its 0.1 minutes are used up.")
    assert [row.state for row in outcome.rows] == ["complete"] * 3


def test_a_disk_with_little_space_pauses_the_sweep_and_names_the_folder(tiny, monkeypatch):
    free, seen = [100e6], []
    monkeypatch.setattr(files, "free_bytes", lambda folder: free[0])

    def watch(status):
        seen.append((status.state, status.message))
        if status.state == "paused":
            free[0] = 1e9

    outcome, _ = sweep(tiny, lambda job: done(), on_change=watch)
    assert outcome.document()["counts"] == {"complete": 5}
    place = open_folder("tiny").path
    assert ("paused", f"Only 100 MB are free in {place}. The sweep continues once 500 MB are free.") in seen


def test_a_worker_that_finds_the_disk_full_costs_its_trial_no_attempt(tiny, monkeypatch):
    free, asked = [1e9], []
    monkeypatch.setattr(files, "free_bytes", lambda folder: free[0])

    def script(job):
        asked.append(job.id)
        return {"event": "full"} if asked.count(2) == 1 and job.id == 2 else done()

    def watch(status):
        if status.state == "paused":
            assert "Only 1000 MB are free" in status.message
            free[0] = 2e9

    outcome, _ = sweep(tiny, script, workers=1, on_change=watch)
    assert asked == [0, 1, 2, 2, 3, 4]
    assert outcome.document()["counts"] == {"complete": 5}


# --------------------------------------------------------------------------------------------------------- commands


def steering(*steps):
    """Return an on_change that sends (do, number) when a sweep has so many complete trials, each once."""
    left = list(steps)

    def watch(status):
        if left and status.complete >= left[0][0] and status.state in ("running", "paused"):
            _, do, number = left.pop(0)
            commands.send(open_folder(status.study), do, number, id=f"{do}-{len(left)}")

    return watch


def test_pause_lets_trials_end_and_resume_goes_on(tiny):
    states = []

    def watch(status):
        states.append(status.state)
        if status.state == "running" and status.complete == 2:
            commands.send(open_folder("tiny"), "pause", id="p")
        if status.state == "paused":
            commands.send(open_folder("tiny"), "resume", id="r")

    outcome, _ = sweep(tiny, lambda job: done(), workers=1, on_change=watch)
    assert "paused" in states
    assert outcome.document()["counts"] == {"complete": 5}
    assert commands.outcome(open_folder("tiny"), "p") == "Paused."
    assert commands.outcome(open_folder("tiny"), "r") == "Resumed."


def test_add_changes_the_number_of_trials_for_good(tiny):
    outcome, _ = sweep(with_trials(tiny, 3), lambda job: done(), on_change=steering((1, "add", 4)))
    assert outcome.document()["counts"] == {"complete": 7}
    assert open_folder("tiny").config().trials == 7


def test_a_sweep_never_has_more_trials_than_a_study_may(tiny):
    sweep(with_trials(tiny, 3), lambda job: done(), on_change=steering((1, "add", 99_999)))
    assert commands.outcome(open_folder("tiny"), "add-0") == (
        "trials in the config: input should be less than or equal to 100000, got 100002."
    )


def test_extend_changes_the_minutes_for_good(tiny):
    config = with_trials(tiny, 5, minutes=2.0)
    sweep(config, lambda job: done(), workers=1, on_change=steering((1, "extend", 3)))
    assert commands.outcome(open_folder("tiny"), "extend-0") == "The sweep now has 5 minutes."
    assert open_folder("tiny").config().minutes == 5


def test_a_sweep_without_minutes_is_not_extended(tiny):
    sweep(tiny, lambda job: done(), on_change=steering((1, "extend", 3)))
    assert commands.outcome(open_folder("tiny"), "extend-0") == (
        "The budget of 'tiny' is trials, not minutes. Give it more trials."
    )


def test_a_repeated_command_id_does_nothing(tiny):
    def watch(status):
        if status.state == "running" and status.complete >= 1:
            commands.send(open_folder("tiny"), "add", 1, id="the-same")

    outcome, _ = sweep(with_trials(tiny, 3), lambda job: done(), workers=1, on_change=watch)
    assert outcome.document()["counts"] == {"complete": 4}


def test_one_trial_can_be_cancelled_and_is_not_tried_again(tiny):
    def watch(status):
        if any(trial.number == 1 for trial in status.running):
            commands.send(open_folder("tiny"), "cancel", 1, id="c")

    outcome, engine = sweep(tiny, lambda job: None if job.id == 1 else done(), on_change=watch)
    assert engine.cancelled == [1]
    assert (outcome.rows[1].kind, outcome.rows[1].reason) == ("cancelled", "Cancelled by hand.")
    assert outcome.document()["counts"] == {"complete": 4, "cancelled": 1}
    assert (outcome.status.complete, outcome.status.failed, outcome.status.cancelled) == (4, 0, 1)
    assert outcome.status.state == "done"


def test_a_cancelled_trial_is_still_cancelled_after_a_resume(tiny):
    def watch(status):
        if any(trial.number == 1 for trial in status.running):
            commands.send(open_folder("tiny"), "cancel", 1, id="c")

    sweep(tiny, lambda job: None if job.id == 1 else done(), on_change=watch)
    outcome, _ = sweep(with_trials(tiny, 7), lambda job: done(), resume=True)
    assert outcome.document()["counts"] == {"complete": 6, "cancelled": 1}
    assert (outcome.status.failed, outcome.status.cancelled) == (0, 1)


def test_a_trial_that_is_not_at_work_cannot_be_cancelled(tiny):
    sweep(tiny, lambda job: done(), on_change=steering((1, "cancel", 99)))
    assert commands.outcome(open_folder("tiny"), "cancel-0").startswith(
        "Trial 99 is neither running nor waiting. Running: "
    )


def test_the_number_of_workers_changes_while_it_runs(wide):
    outcome, engine = sweep(with_trials(wide, 20), lambda job: done(), workers=1, on_change=steering((2, "workers", 4)))
    assert engine.workers == 4
    assert open_folder("tiny").options().workers == 4
    assert outcome.document()["counts"] == {"complete": 20}


def test_commands_are_refused_in_words(tiny):
    open_folder(tiny.study).write_config(tiny)
    with pytest.raises(StudyError, match="The sweep 'tiny' is not running [(]stopped[)]: there is nothing to pause."):
        commands.send(open_folder("tiny"), "pause")
    with pytest.raises(PoolsearchError, match="Unknown command 'halt'. Possible: pause, resume, stop, cancel, add, ex"):
        commands.send(open_folder("tiny"), "halt")
    with pytest.raises(PoolsearchError, match="The number of workers must be from 1 to 256, got 0."):
        commands.send(open_folder("tiny"), "workers", 0)
    with pytest.raises(PoolsearchError, match="'../x' is not a valid command id"):
        commands.send(open_folder("tiny"), "stop", id="../x")


def test_a_command_meant_for_an_earlier_run_is_not_carried_out(tiny):
    open_folder(tiny.study).write_config(tiny)
    with lease(open_folder("tiny").path):
        open_folder("tiny").write_status(SweepStatus("tiny", "running", 5))
        commands.send(open_folder("tiny"), "stop", id="late")
    path = open_folder("tiny").path / "commands" / "late.json"
    os.utime(path, (1, 1))
    outcome, _ = sweep(tiny, lambda job: done())
    assert outcome.status.state == "done"
    assert commands.outcome(open_folder("tiny"), "late").startswith("It came too late")


def test_what_is_no_command_is_put_aside(tiny):
    place = open_folder("tiny").path / "commands"
    place.mkdir(parents=True)
    for name, text in (("a", "{"), ("b", '{"do": "explode", "number": 1}'), ("c", "[]"), ("d", '{"do": "add"}')):
        (place / f"{name}.json").write_text(text)
    outcome, _ = sweep(tiny, lambda job: done())
    assert outcome.document()["counts"] == {"complete": 5}
    assert sorted(path.name for path in place.glob("*.refused")) == ["a.refused", "b.refused", "c.refused", "d.refused"]


# ------------------------------------------------------------------------------------------- who runs it, and turns


def test_the_lease_goes_with_its_holder(tmp_path):
    assert holder(tmp_path) is None
    with lease(tmp_path):
        assert holder(tmp_path).startswith(f"process {os.getpid()} on ")
        with (
            pytest.raises(BusyError, match=f"is already being run by process {os.getpid()} on .*. Stop it"),
            lease(tmp_path),
        ):
            pass
    assert holder(tmp_path) is None


def test_sweeps_take_turns_in_the_order_they_came(own_runs):
    order, begun = [], threading.Event()

    def waits(name):
        with place_in_queue(open_folder(name), lambda names: order.append((name, tuple(names)))):
            order.append(name)

    with place_in_queue(open_folder("first"), lambda names: None):
        threads = []
        for name in ("second", "third"):
            threads.append(threading.Thread(target=waits, args=(name,)))
            threads[-1].start()
            wait_until(lambda name=name: any(entry[0] == name for entry in order))
        begun.set()
    for thread in threads:
        thread.join()
    assert ("second", ("first",)) in order
    assert ("third", ("first", "second")) in order
    assert [entry for entry in order if isinstance(entry, str)] == ["second", "third"]
    assert list((own_runs / ".queue").iterdir()) == []


def test_a_place_in_the_queue_of_a_process_that_is_gone_is_nobodys(own_runs):
    (own_runs / ".queue").mkdir(parents=True)
    (own_runs / ".queue" / "00000000000000000001-1").write_text("dead")
    waited = []
    with place_in_queue(open_folder("alive"), waited.append):
        assert waited == []


def test_a_sweep_waits_for_its_turn_and_can_be_stopped_there(tiny):
    seen = []

    def watch(status):
        seen.append((status.state, status.message))
        commands.send(open_folder("tiny"), "stop", id="s")

    with place_in_queue(open_folder("other"), lambda names: None):
        outcome, engine = sweep(tiny, lambda job: done(), on_change=watch, at_once=False)
    assert seen[0] == ("queued", "Waiting for 'other' to finish.")
    assert (outcome.status.state, outcome.rows, engine.seen) == ("stopped", (), [])


# ------------------------------------------------------------------------------------------ the folder goes away


def removed(home):
    shutil.rmtree(home)


def moved(home):
    home.rename(home.with_name("elsewhere"))


def replaced(home):
    moved(home)
    home.mkdir()
    (home / "lease").touch()


def without_its_database(home):
    (home / "study.db").unlink()


GONE = {
    removed: "The folder of the sweep 'tiny' was removed, moved or replaced while the sweep ran",
    moved: "The folder of the sweep 'tiny' was removed, moved or replaced while the sweep ran",
    replaced: "'lease' in the folder of the sweep 'tiny' was removed, moved or replaced",
    without_its_database: "'study.db' in the folder of the sweep 'tiny' was removed, moved or replaced",
}


def content(place):
    return {path.relative_to(place): path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.mark.parametrize("act", GONE)
@pytest.mark.parametrize("when", ["at work", "paused", "timing"])
def test_a_sweep_whose_folder_goes_away_stops_and_writes_nothing(tiny, own_runs, act, when):
    left = []

    def go():
        act(open_folder("tiny").path)
        left.append(content(own_runs))

    def script(job):
        if job.id == 2 and when == "at work":
            go()
            return None
        return done()

    def watch(status):
        if when == "paused" and status.complete == 2 and status.state == "running":
            commands.send(open_folder("tiny"), "pause", id="p")
        if (status.state == "paused" or "together" in status.message) and not left:
            go()

    class Slow(ScriptedEngine):
        def poll(self, timeout):  # the timing takes until the folder is gone
            return [] if -1 in self.jobs else super().poll(timeout)

    engine = Slow(script)
    with pytest.raises(GoneError) as gone:
        run(tiny, make_engine=lambda *_: engine, on_change=watch)
    assert str(gone.value).startswith(GONE[act])
    assert str(gone.value).endswith(
        "The sweep has stopped, and nothing more was written. Once it is back, the sweep can be resumed."
    )
    assert engine.jobs == {}  # its workers are ended
    now = content(own_runs)
    assert now.keys() - {Path("elsewhere/study.db")} <= left[0].keys()
    if act is removed:
        assert list(own_runs.iterdir()) == []


def test_a_folder_that_is_put_back_is_resumed(tiny):
    home = open_folder("tiny").path
    with pytest.raises(GoneError):
        sweep(tiny, lambda job: done() if job.id != 2 else moved(home))
    home.with_name("elsewhere").rename(home)
    outcome, _ = sweep(tiny, lambda job: done(), resume=True)
    assert outcome.document()["counts"] == {"complete": 5}


def test_a_folder_that_goes_away_while_its_sweep_waits_for_its_turn(tiny):
    with (
        place_in_queue(open_folder("other"), lambda names: None),
        pytest.raises(GoneError, match="The folder of the sweep 'tiny' was removed"),
    ):
        sweep(tiny, lambda job: done(), on_change=lambda status: removed(open_folder("tiny").path), at_once=False)
    assert not open_folder("tiny").path.exists()


def test_a_folder_that_goes_away_while_all_is_made_ready(tiny):
    def make(*_):
        removed(open_folder("tiny").path)
        raise OSError("as a log that can't be opened would")

    with pytest.raises(GoneError, match="The folder of the sweep 'tiny' was removed"):
        run(tiny, make_engine=make)
    assert not open_folder("tiny").path.exists()


# -------------------------------------------------------------------------------------------------- resume and data


def test_other_images_under_the_same_name_are_refused(tiny, monkeypatch):
    sweep(tiny, lambda job: done())
    monkeypatch.setattr("poolsearch.data.datasets.fingerprint", lambda *_: "0" * 64)
    with pytest.raises(StudyError, match="The images of 'cluttered-digits' differ from those the study"):
        sweep(with_trials(tiny, 6), lambda job: done(), resume=True)


def test_the_budget_and_the_limits_may_change_on_resume(tiny):
    sweep(tiny, lambda job: done())
    limits = tiny.limits.model_copy(update={"trial_s": 9.0})
    outcome, _ = sweep(with_trials(tiny, 7, limits=limits, minutes=10.0), lambda job: done(), resume=True)
    assert outcome.document()["counts"] == {"complete": 7}


def test_figures_that_wait_on_the_disk_are_told_on_resume(tiny):
    """The coordinator was killed after a trial's figures came and before the database had them."""
    sweep(with_trials(tiny, 2), lambda job: done())
    writer = Writer(located(open_folder("tiny")), with_trials(tiny, 3))
    proposal = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING,
        user_attrs={"plan": "smallnet/1x12x12: stage1=avg k2 s2; stage2=avg k2 s2; stage3=avg k2 s2", "attempts": 1},
    )
    number = writer.add(proposal)
    writer.close()
    path = open_folder("tiny").result_file(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, '{"accuracy": 0.125, "loss": 1.0, "latency": {"ms": 2.0}}')
    outcome, engine = sweep(with_trials(tiny, 3), lambda job: done(), resume=True)
    assert engine.seen == []
    assert outcome.rows[number].accuracy == 0.125
    assert not path.exists()


def test_a_trial_that_takes_its_coordinator_along_is_not_begun_for_ever(tiny, monkeypatch):
    monkeypatch.setattr(dispatcher, "STARTS", 2)

    class Gone(Exception):
        pass

    def script(job):
        raise Gone

    for _ in range(2):
        with pytest.raises(Gone):
            sweep(with_trials(tiny, 1), script, or_start=True)
    outcome, _ = sweep(with_trials(tiny, 1), script, resume=True)
    assert outcome.rows[0].reason == "It was started 2 times, and each time the sweep died with it."


def test_our_reading_of_the_study_is_optunas(wide):
    kinds = ("non_finite", "memory", "")

    def script(job):
        kind = kinds[job.id % 3]
        return {"event": "failed", "kind": kind, "reason": "so"} if kind else done(accuracy=job.id / 100)

    outcome, _ = sweep(with_trials(wide, 30), script)
    theirs = as_optuna("tiny", f"sqlite:///{open_folder('tiny').path / 'study.db'}").get_trials()
    assert [row.number for row in outcome.rows] == [trial.number for trial in theirs]
    assert [str(row.plan) for row in outcome.rows] == [trial.user_attrs["plan"] for trial in theirs]
    assert [row.state == "complete" for row in outcome.rows] == [
        trial.state == optuna.trial.TrialState.COMPLETE for trial in theirs
    ]
    assert [[row.accuracy, 2.0] for row in outcome.rows if row.state == "complete"] == [
        trial.values for trial in theirs if trial.values
    ]


def test_a_reader_sees_what_came_since_and_nothing_twice(wide):
    reader, counts = None, []

    def watch(status):
        nonlocal reader
        if status.complete and reader is None:
            reader = Reader(located(open_folder("tiny")))
        if reader:
            rows = reader.rows(alive=True)
            counts.append(len(rows))
            assert [row.number for row in rows] == list(range(len(rows)))

    outcome, _ = sweep(with_trials(wide, 20), lambda job: done(accuracy=0.01 * job.id), on_change=watch)
    assert counts == sorted(counts)
    assert reader.rows() == outcome.rows
    assert reader.rows() is reader.rows()  # nothing new: nothing is made anew
    reader.close()


# ------------------------------------------------------------------------------------------------- rename and delete


def test_a_renamed_sweep_keeps_its_trials_and_can_be_resumed(tiny):
    sweep(tiny, lambda job: done())
    folder.rename(open_folder("tiny"), "Second try")
    assert folder.studies() == ("Second try",)
    assert len(trial_rows(open_folder("Second try"))) == 5
    again = open_folder("Second try").config()
    assert again.study == "Second try"
    outcome, _ = sweep(with_trials(again, 6), lambda job: done(), resume=True)
    assert outcome.document()["counts"] == {"complete": 6}
    with pytest.raises(StudyError, match="There is already a sweep called 'Second try'. Choose another name."):
        folder.rename(open_folder("Second try"), "Second try")
    with pytest.raises(StudyError, match="'../up' is not a valid study name"):
        folder.rename(open_folder("Second try"), "../up")


def test_a_sweep_at_work_is_neither_renamed_nor_deleted(tiny):
    open_folder(tiny.study).write_config(tiny)
    with lease(open_folder("tiny").path):
        with pytest.raises(StudyError, match="'tiny' is being run by process .* and can't be renamed. Stop it first."):
            folder.rename(open_folder("tiny"), "other")
        with pytest.raises(StudyError, match="and can't be deleted. Stop it first."):
            folder.delete(open_folder("tiny"))


def test_a_deleted_sweep_is_gone_with_its_files(tiny, own_runs):
    sweep(tiny, lambda job: done())
    folder.delete(open_folder("tiny"))
    assert folder.studies() == ()
    assert [path.name for path in own_runs.iterdir()] == []
    with pytest.raises(StudyError, match="There is no sweep called 'tiny'. Sweeps here: none yet."):
        folder.delete(open_folder("tiny"))


def test_what_a_deleted_sweep_leaves_in_a_database_elsewhere_can_be_removed_as_it_says(tiny, tmp_path):
    sweep(tiny, lambda job: done())
    assert folder.stays(open_folder("tiny")) == ""
    url = f"sqlite:///{tmp_path / 'elsewhere.db'}"
    config = tiny.model_copy(update={"study": "away"})
    run(config, Options(storage=url), make_engine=lambda *_: ScriptedEngine(lambda job: done()))
    words, _, command = folder.stays(open_folder("away")).partition(": ")
    assert words == "Its study remains in the database. To remove it"
    folder.delete(open_folder("away"))
    assert names_of(url) == ["away"]
    subprocess.run([Path(sys.executable).with_name("optuna"), *shlex.split(command)[1:]], check=True)
    assert names_of(url) == []


def test_a_sweep_with_a_broken_config_can_be_deleted(tiny, own_runs):
    home = open_folder("tiny")
    home.write_config(tiny)
    home.config_file.write_text("study = [")
    folder.delete(home)
    assert list(own_runs.iterdir()) == []


def test_of_many_who_start_one_name_at_once_one_succeeds(tiny, monkeypatch):
    spawned, refused = [], []
    monkeypatch.setattr(launch, "_spawn", lambda *words: spawned.append(words))

    def start():
        try:
            launch.start(tiny)
        except StudyError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=start) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(spawned) == 1
    assert set(refused) == {"There is already a sweep called 'tiny'. Choose another name."}
    assert len(refused) == 19


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"event": "dnoe", **figures()}, "An answer of the engine can't be read. Unknown event 'dnoe'."),
        ({"event": "failed", "kind": "memmory", "reason": "so"}, "The engine's answer 'failed' can't be read: kind:"),
        ({"event": "died"}, "The engine's answer 'died' can't be read: reason: field required."),
    ],
)
def test_an_answer_that_cannot_be_read_is_a_bug_and_no_death(tiny, answer, reason):
    outcome, engine = sweep(with_trials(tiny, 3), lambda job: answer if job.id == 1 else done())
    row = outcome.rows[1]
    assert (row.state, row.kind, row.attempts) == ("failed", "bug", 1)
    assert row.reason.startswith(reason)
    assert engine.cancelled == [1]
    assert [row.state for row in outcome.rows] == ["complete", "failed", "complete"]


def test_a_trial_that_waits_for_another_attempt_can_be_cancelled(tiny):
    """Its worker has died, so it stands at the back of the line: what is cancelled there is not tried again."""

    def script(job):
        if job.id == 0:
            commands.send(open_folder("tiny"), "cancel", 0, id="c")
            return died()
        return done() if commands.outcome(open_folder("tiny"), "c") else None

    outcome, engine = sweep(with_trials(tiny, 3), script)
    assert commands.outcome(open_folder("tiny"), "c") == "Trial 0 is cancelled."
    assert (outcome.rows[0].state, outcome.rows[0].attempts, engine.cancelled) == ("cancelled", 1, [])
    assert engine.seen.count((0, 1)) == 1 and (0, 2) not in engine.seen
