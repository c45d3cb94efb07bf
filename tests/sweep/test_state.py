"""Each transition of a sweep's state, alone: what is counted, who waits in line, when it is over."""

from dataclasses import replace

import pytest

from poolsearch.records.sweep import EpochRow
from poolsearch.sweep.engines.engine import Resources
from poolsearch.sweep.running import clock
from poolsearch.sweep.running.clock import WorkClock
from poolsearch.sweep.running.ending import ending
from poolsearch.sweep.running.state import SweepState
from poolsearch.sweep.running.status import phase, status_of


@pytest.fixture
def state(tiny):
    """A sweep of five trials, the first two of which are at work."""
    state = SweepState(tiny)
    for number, plan in enumerate(("smallnet/1x12x12", "smallnet/1x12x12: stage1=avg k2 s2")):
        state.created(number, plan)
        state.started(number)
    return state


def test_started_puts_a_trial_among_those_at_work(state):
    assert list(state.flights) == [0, 1]
    assert state.flights[1].attempt == 1
    assert not state.spent()


def test_finished_counts_a_trial_and_forgets_the_failures_before_it(state):
    state.failed(0, "memory", "Out of memory.")
    state.finished(1)
    assert state.counts == {"FAIL": 1, "COMPLETE": 1}
    assert (state.flights, state.recent_failures, state.ended_now) == ({}, {}, 2)


def test_failed_keeps_what_it_was(state):
    state.failed(0, "memory", "Out of memory.")
    assert state.recent_failures == {0: ("memory", "Out of memory.")}
    assert state.lost == set()


def test_a_crash_is_lost_and_may_be_tried_anew(state):
    state.failed(1, "crash", "The worker ended by signal 11.")
    assert (state.counts, state.lost) == ({"FAIL": 1}, {1})
    assert ending(state)[0] == "incomplete"
    state.reopened([1])
    assert (state.counts.total(), state.lost) == (0, set())
    assert state.attempts.again(alone=True) == 1


def test_cancelled_is_neither_finished_nor_failed(state):
    state.cancelled(0)
    assert state.counts == {"cancelled": 1}
    assert state.recent_failures == {}


def test_worker_died_sends_the_trial_to_the_back_of_the_line(state):
    assert state.worker_died(0, "The worker ended by signal 11.", outside=False) == ""
    assert list(state.flights) == [1]
    assert state.recent_failures == {0: ("crash", "The worker ended by signal 11.")}
    assert (state.attempts.first(), state.attempts.again(alone=False)) == (None, 0)


def test_a_worker_killed_from_outside_is_not_the_trials_fault(state):
    state.worker_died(0, "The worker was ended by signal 9.", outside=True)
    assert state.recent_failures == {}
    assert (state.attempts.kills[0], state.attempts.deaths[0]) == (1, 0)


def test_the_fourth_death_of_a_worker_is_the_last(state):
    found = [state.worker_died(0, "It ended.", outside=False) for _ in range(4)]
    assert found == ["", "", "", "It was tried 1 times, the last time alone on the machine."]


def test_ten_failures_of_one_kind_are_hopeless(state):
    for number in range(9):
        state.failed(number, "bug", "KeyError")
    assert state.hopeless() == ""
    state.failed(9, "bug", "KeyError")
    assert state.hopeless() == "10 trials in a row failed for the same reason: KeyError"
    assert state.held()
    assert ending(state) == ("failed", state.hopeless())


def test_paused_and_resumed(state):
    state.paused()
    assert (state.held(), phase(state)) == (True, "pausing")
    state.cancelled(0), state.cancelled(1)
    assert phase(state) == "paused"
    state.resumed()
    assert (state.held(), phase(state)) == (False, "running")


def test_stopping(state):
    state.stopping()
    assert (state.held(), phase(state)) == (True, "stopping")
    assert ending(state) == ("stopped", "It can be resumed.")


def test_a_full_disk_holds_the_sweep_until_there_is_space(state):
    state.disk_seen(10.4, 500, "runs/tiny")
    assert state.disk_full == "Only 10 MB are free in runs/tiny. The sweep continues once 500 MB are free."
    assert state.held()
    state.disk_seen(500, 500, "runs/tiny")
    assert not state.held()


def test_a_trial_that_the_disk_had_no_space_for_comes_first(state):
    state.set_back(1)
    assert (state.attempts.first(), list(state.flights)) == (1, [0])


def test_an_epoch_is_kept_with_the_trial_at_work(state):
    row = EpochRow(1, 2.0, 2.1, 0.3)
    state.epoch_ended(0, row)
    assert state.flights[0].curve == [row]


def test_a_trial_over_its_limit_is_overdue_unless_it_waits(state, tiny):
    state.config = tiny.model_copy(update={"limits": tiny.limits.model_copy(update={"trial_s": 1.0})})
    state.waits_for_device(1, "process 42 on host")
    state.clock.now_s += 2
    assert state.overdue(no_room=()) == {0: "No result after 1 s (limits.trial_s); it was stopped."}


def test_the_budget_is_spent_by_trials_of_this_run_and_of_those_before(state):
    for number in range(2, 5):
        state.known(number, {"plan": f"plan {number}", "attempts": 2})
        state.ended_before(number, "COMPLETE", lost=False)
    assert state.spent()
    state.finished(0), state.finished(1)
    assert ending(state) == ("done", "")


# -------------------------------------------------------------------------------------------- what a status says of it


HERE = Resources(workers=2, free=0, running=(0, 1), device="CPU")


def test_a_trial_at_work_is_as_old_as_its_time_at_work(state):
    state.clock.now_s += 2.5
    state.started(3)
    assert [(trial.number, trial.plan, trial.seconds) for trial in status_of(state, HERE, "running").running] == [
        (0, "smallnet/1x12x12", 2.5),
        (1, "smallnet/1x12x12: stage1=avg k2 s2", 2.5),
        (3, "timing", 0.0),  # no trial of the study: all are timed together
    ]


def test_the_time_left_is_guessed_once_three_trials_have_ended(state):
    state.clock.now_s = 30.0
    state.cancelled(0), state.finished(1)
    assert status_of(state, HERE, "running").left_s is None
    state.failed(2, "memory", "Out of memory.")
    assert status_of(state, HERE, "running").left_s == 20.0  # ten seconds each, two of five are left
    state.config = state.config.model_copy(update={"minutes": 0.75})
    assert status_of(state, HERE, "running").left_s == 15.0  # 45 seconds are the budget
    state.clock.now_s = 50.0
    assert status_of(state, HERE, "running").left_s == 0.0


def test_the_guess_leaves_out_what_an_earlier_run_took(tiny):
    state = SweepState(tiny, WorkClock(1000.0))
    state.ended_before(0, "COMPLETE", lost=False), state.ended_before(1, "FAIL", lost=True)
    for number in (2, 3, 4):
        state.finished(number)
    state.clock.now_s += 9.0
    state.config = tiny.model_copy(update={"trials": 7})
    status = status_of(state, HERE, "running")
    assert (status.complete, status.failed, status.lost, status.elapsed_s) == (4, 1, 1, 1009.0)
    assert status.left_s == 6.0  # three ended in nine seconds, two of seven are left


def test_a_status_says_what_holds_the_sweep_up(state):
    assert status_of(state, HERE, "running").message == ""
    waits = replace(HERE, waiting=(0, 1, 9))
    state.clock.now_s += 10.0
    assert status_of(state, waits, "running").message == ""  # not yet worth a word
    state.clock.now_s += 0.5
    assert status_of(state, waits, "running").message == "Trials waiting for a free worker: 2."
    state.waits_for_device(1, "process 42 on host")
    busy = "Waiting to be timed: trial 1. The device is in use by process 42 on host."
    assert status_of(state, waits, "running").message == busy
    state.paused()
    assert status_of(state, waits, "pausing").message == state.pause
    assert status_of(state, waits, "running", "Another one.").message == "Another one."


def test_time_that_is_not_its_own_does_not_age_a_trial(state, tiny):
    state.config = tiny.model_copy(update={"limits": tiny.limits.model_copy(update={"silent_s": 3.0})})
    state.overdue(no_room=())
    state.clock.now_s += 2
    assert state.overdue(no_room=(1,)) == {}  # trial 1 has waited for all of them
    state.clock.now_s += 2
    assert state.overdue(no_room=()) == {0: "No epoch finished for 3 s (limits.silent_s); it was stopped."}
    state.epoch_ended(0, EpochRow(1, 2.0, 2.1, 0.3))
    state.clock.now_s += 2
    assert list(state.overdue(no_room=())) == [1]


# ------------------------------------------------------------------------------------------------------- how it ends


@pytest.mark.parametrize(
    ("ended", "trials", "now", "message"),
    [
        (5, 5, True, ""),
        (5, 5, False, "All 5 trials already existed, and nothing was measured. To time them again: "),
        (6, 5, True, "It has 6 trials, more than its budget of 5: no more are run."),
        (3, 5, True, "The search space has no more Plans."),
    ],
)
def test_a_sweep_that_is_done_says_why(tiny, ended, trials, now, message):
    state = SweepState(tiny.model_copy(update={"trials": trials}))
    for number in range(ended):
        state.finished(number) if now else state.ended_before(number, "COMPLETE", lost=False)
    word, sentence = ending(state)
    assert word == "done"
    assert sentence.startswith(message) and bool(sentence) == bool(message)


def test_a_sweep_whose_minutes_are_over_says_so(tiny):
    state = SweepState(tiny.model_copy(update={"minutes": 1.5}), WorkClock(90.0))
    assert state.spent()
    assert ending(state) == ("done", "Its 1.5 minutes are used up.")
    state.clock.now_s = 89.0
    assert not state.spent()


def test_lost_trials_are_counted_in_the_last_word(state):
    state.failed(0, "crash", "The worker ended by signal 11.")
    state.finished(1)
    assert ending(state)[1].startswith("1 of 2 trials has no result: its worker died in every attempt. Retry it: ")
    state.failed(2, "crash", "The worker ended by signal 11.")
    assert ending(state)[1].startswith("2 of 3 trials have no result: their worker died in every attempt. Retry them: ")


# ------------------------------------------------------------------------------------------------------- who is next


def test_a_trial_that_must_be_alone_waits_behind_one_that_need_not(state):
    for _ in range(3):
        state.worker_died(0, "It ended.", outside=False)
    state.worker_died(1, "It ended.", outside=False)
    assert state.attempts.needs_machine(0)
    assert state.attempts.alone(at_work=[1, 0]) == 0
    assert state.attempts.again(alone=True) == 1  # though 0 stands before it
    assert state.attempts.again(alone=False) is None
    assert state.attempts.again(alone=True) == 0


def test_thirty_kills_from_outside_are_the_last(state):
    found = [state.worker_died(0, "Signal 9.", outside=True) for _ in range(30)]
    assert found == [""] * 29 + ["That happened 30 times during this trial."]


def test_attempts_that_ended_with_their_coordinator(state):
    state.known(7, {"plan": "smallnet/1x12x12", "attempts": 9, "deaths": 2, "kills": 3})
    assert state.attempts.lost_coordinators(7) == 4
    state.known(8, {"plan": "smallnet/1x12x12"})
    assert state.attempts.lost_coordinators(8) == 1


def test_the_clock_counts_five_seconds_of_a_sleep_and_none_of_a_pause(monkeypatch):
    times = iter([100.0, 101.5, 200.0, 203.0, 204.0])
    monkeypatch.setattr(clock.time, "monotonic", lambda: next(times))
    work = WorkClock(10.0)
    assert [work.tick(), work.tick(), work.tick(at_work=False), work.tick()] == [11.5, 16.5, 16.5, 17.5]
