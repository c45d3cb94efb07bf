"""Each transition of a sweep's state, alone: what is counted, who waits in line, when it is over."""

import pytest

from poolsearch.records.sweep import EpochRow
from poolsearch.sweep.running.ending import ending
from poolsearch.sweep.running.state import SweepState
from poolsearch.sweep.running.status import phase


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
