"""A sweep of 100 real trials, killed, stopped and starved from every side: nothing lost, doubled or stuck."""

import itertools
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from poolsearch.config import Limits, parse
from poolsearch.sweep.engines.local import LocalEngine
from poolsearch.sweep.folder.folder import Options, open_folder
from poolsearch.sweep.running.run import run
from poolsearch.sweep.study.reader import trial_rows
from tests.conftest import TINY
from tests.sweep.processes import (
    COORDINATOR,
    ROOT,
    WORKER,
    finish,
    kill,
    nobody_is_left,
    of,
    sound,
    start,
    torn,
    trials,
    wait_until,
    whole,
)  # fmt: skip
from tests.sweep.test_storage import BROKEN

pytestmark = [pytest.mark.faults, pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc")]


@pytest.fixture
def hundred():
    """A config of 100 trials (of 125 Plans), each a tenth of a second."""
    config = parse(TINY, ("trials=100", "study=hundred", 'space.kinds=["max", "avg", "lp", "soft", "min"]'))
    return config.model_copy(update={"limits": config.limits.model_copy(update={"trial_s": 30.0, "silent_s": 30.0})})


def longer(config, epochs):
    return config.model_copy(update={"training": config.training.model_copy(update={"epochs": epochs})})


def completed(runs, study):
    """Return how many trials are complete, as the status says."""
    try:
        return json.loads((runs / study / "status.json").read_text())["complete"]
    except (OSError, ValueError):
        return 0


# ---------------------------------------------------------------------------------------------------- kill -9, again


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_worker_killed_at_20_random_instants_costs_no_trial(hundred, own_runs, seed):
    instants, config = random.Random(seed), longer(hundred, 8)
    process = start(config, own_runs, "--workers", "2", quiet=True)
    for _ in range(20):
        before = completed(own_runs, "hundred")
        wait_until(lambda before=before: completed(own_runs, "hundred") > before)  # it gets on between the kills
        time.sleep(instants.uniform(0, 0.8))
        kill([instants.choice(of(own_runs, WORKER))])
    assert process.wait(600) == 0
    whole(config, own_runs)
    found = trials(own_runs, "hundred")
    assert sum(trial.user_attrs.get("kills", 0) for trial in found) >= 3  # not only idle ones
    assert sum(trial.user_attrs.get("deaths", 0) for trial in found) == 0  # memory was free each time
    nobody_is_left(own_runs)


def killed_ten_times(config, runs, seed):
    """Run a sweep and kill a random worker ten times, 2 to 5 s apart, whatever it is at; return how the sweep ended."""
    instants = random.Random(seed)
    process = start(config, runs, "--workers", "2", quiet=True)
    wait_until(lambda: of(runs, WORKER))
    for _ in range(10):
        time.sleep(instants.uniform(2, 5))
        assert process.poll() is None, "it was over before the tenth kill"
        wait_until(lambda: open_folder(config.study).status().running or process.poll() is not None)  # not only imports
        kill([instants.choice(of(runs, WORKER))])
    return process.wait(600)


def test_ten_kills_of_a_random_worker_cost_none_of_24_trials(hundred, own_runs):
    """A trial is at work at each kill, and which one is left to chance: the same could be hit again and again."""
    config = longer(hundred, 200).model_copy(update={"trials": 24, "limits": Limits()})  # some two seconds a trial
    assert killed_ten_times(config, own_runs, 0) == 0
    whole(config, own_runs)
    assert open_folder("hundred").status().state == "done"
    assert sum(trial.user_attrs.get("kills", 0) for trial in trials(own_runs, "hundred")) >= 1  # not only idle ones
    nobody_is_left(own_runs)


def test_a_coordinator_killed_5_times_is_resumed_each_time(hundred, own_runs):
    instants, config = random.Random(3), longer(hundred, 4)
    for round in range(5):
        process = start(config, own_runs, "--workers", "2", "--resume-or-start", quiet=True)
        wait_until(lambda round=round: completed(own_runs, "hundred") > 10 * round)
        time.sleep(instants.uniform(0, 1))
        kill(of(own_runs, COORDINATOR))
        process.wait(600)
        nobody_is_left(own_runs)
    assert finish(config, own_runs, "--workers", "2", "--resume")["counts"] == {"complete": 100}
    whole(config, own_runs)


def test_the_whole_group_killed_20_times_leaves_a_study_that_opens_each_time(hundred, own_runs):
    instants = random.Random(4)
    for _ in range(20):
        before = completed(own_runs, "hundred")
        process = start(hundred, own_runs, "--workers", "1", "--resume-or-start", quiet=True)
        wait_until(lambda: of(own_runs, WORKER))
        time.sleep(instants.uniform(0, 3))
        ids = [*of(own_runs, COORDINATOR), *of(own_runs, WORKER)]
        kill(ids)
        process.wait(600)
        nobody_is_left(own_runs)
        if (own_runs / "hundred" / "study.db").exists():
            assert sound(own_runs, "hundred")
            found = trials(own_runs, "hundred")
            assert [trial.number for trial in found] == list(range(len(found)))
            assert sum(trial.state.name == "COMPLETE" for trial in found) >= before
            assert sum(trial.state.name == "RUNNING" for trial in found) <= 2  # lost work: the trials in flight
    assert finish(hundred, own_runs, "--workers", "2", "--resume")["counts"] == {"complete": 100}
    whole(hundred, own_runs)


def test_of_10_coordinators_at_once_one_lives_and_nine_exit_with_75(hundred, own_runs):
    processes = [start(hundred, own_runs, "--workers", "1", "--resume-or-start") for _ in range(10)]
    ended = []
    for process in processes:
        _, err = process.communicate(timeout=600)
        ended.append((process.returncode, err))
    assert sorted(code for code, _ in ended) == [0] + [75] * 9
    assert all("The sweep 'hundred' is already being run by process " in err for code, err in ended if code == 75)
    whole(hundred, own_runs)


@pytest.mark.parametrize("act", ["removed", "moved"])
def test_a_sweep_whose_folder_goes_away_ends_with_a_sentence_and_leaves_no_ghost(hundred, own_runs, act):
    process = start(longer(hundred, 50), own_runs, "--workers", "2")
    wait_until(lambda: completed(own_runs, "hundred") > 2)
    home = own_runs / "hundred"
    home.rename(own_runs / "elsewhere")
    if act == "removed":
        shutil.rmtree(own_runs / "elsewhere")
    out, err = process.communicate(timeout=600)
    assert (process.returncode, out) == (1, "")
    assert err.splitlines()[-1].startswith("The folder of the sweep 'hundred' was removed, moved or replaced while")
    assert "Traceback" not in err
    nobody_is_left(own_runs)
    assert {path.name for path in own_runs.iterdir()} - {".queue"} == ({"elsewhere"} if act == "moved" else set())
    if act == "moved":
        (own_runs / "elsewhere").rename(home)
        assert sound(own_runs, "hundred")
        assert torn(home) == []


# ------------------------------------------------------------------------------------------- asleep, hungry, hanging


@pytest.mark.parametrize("seconds", [60])
def test_a_suspended_machine_loses_nothing(hundred, own_runs, seconds):
    """Longer asleep than a trial may take: a watch on the wall clock would have ended it."""
    config = longer(hundred, 12)
    assert config.limits.trial_s < seconds
    began = time.monotonic()
    process = start(config, own_runs, "--workers", "2", quiet=True)
    wait_until(lambda: completed(own_runs, "hundred") > 5)
    ids = [*of(own_runs, COORDINATOR), *of(own_runs, WORKER)]
    kill(ids, signal.SIGSTOP)
    time.sleep(seconds)
    kill(ids, signal.SIGCONT)
    assert process.wait(600) == 0
    whole(config, own_runs)
    assert {trial.user_attrs["attempts"] for trial in trials(own_runs, "hundred")} == {1}
    elapsed = json.loads((own_runs / "hundred" / "status.json").read_text())["elapsed_s"]
    a_step = 5.0  # s, of the clock of work: what it takes the sleep for
    assert elapsed <= time.monotonic() - began - seconds + a_step


@contextmanager
def small_disk(place, kilobytes):
    """A file system of so many kilobytes; skipped where this process may not mount one."""
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("least", [500, 0], ids=["looked-at-before", "run-into"])
def test_a_disk_of_400_kilobytes_pauses_the_sweep_until_there_is_space(hundred, tmp_path, least):
    config = hundred.model_copy(update={"trials": 30, "limits": hundred.limits.model_copy(update={"free_mb": least})})
    with small_disk(tmp_path / "small", 400) as place:
        process = start(config, place / "runs", "--workers", "1")
        words = []
        for line in process.stderr:
            words.append(line)
            if "MB are free in" in line or "The disk is full." in line or "Only " in line:
                break
        assert process.poll() is None, words
        if least:
            assert f"Only 0 MB are free in {place / 'runs' / 'hundred'}. The sweep continues once" in words[-1]
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=600)
            assert process.returncode == 130
            return
        subprocess.run(["mount", "-o", "remount,size=60m", str(place)], check=True)
        out, err = process.communicate(timeout=600)
        assert process.returncode == 0, err[-2000:]
        assert json.loads(out.strip().splitlines()[-1])["counts"] == {"complete": 30}
        assert "Traceback" not in err
        whole(config, place / "runs")


def test_a_folder_that_cannot_be_written_is_refused_in_a_sentence(hundred, tmp_path):
    with small_disk(tmp_path / "small", 400) as place:
        subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        runs = tmp_path / "runs"
        runs.symlink_to(place)
        process = start(hundred, runs)
        out, err = process.communicate(timeout=600)
    assert (process.returncode, out) == (2, "")
    assert err == (
        f"The folder '{runs}/hundred' can't be written (Read-only file system). "
        "Set POOLSEARCH_RUNS to a writable folder.\n"
    )


def test_five_broken_databases_are_refused_in_a_sentence_each(hundred, tmp_path):
    started = {}
    for fault, (make, _) in BROKEN.items():
        runs = tmp_path / fault
        file = runs / "hundred" / "study.db"
        file.parent.mkdir(parents=True)
        content = make(tmp_path / f"{fault}.db")
        file.write_bytes(content)
        started[fault] = (start(hundred, runs, "--resume-or-start"), file, content)
    for fault, (process, file, content) in started.items():
        out, err = process.communicate(timeout=600)
        assert process.returncode == 2
        assert out == ""
        assert BROKEN[fault][1] in err
        assert len(err.strip().splitlines()) == 1
        assert file.read_bytes() == content


# ------------------------------------------------------------------------------------------------------- sick trials


def with_sick_workers(config, illness, **limits):
    config = config.model_copy(
        update={
            "study": f"tiny-{illness}", "trials": 6, "limits": config.limits.model_copy(update=limits),
        }
    )  # fmt: skip
    return run(
        config, Options(workers=2),
        make_engine=lambda options, place, log: LocalEngine(2, place, log, "tests.sweep.sick_worker"),
    )  # fmt: skip


def test_a_hung_trial_meets_its_limit_and_the_sweep_goes_on(hundred):
    outcome = with_sick_workers(hundred, "hang", trial_s=15.0)  # s; the others take less than one each
    assert outcome.document()["counts"] == {"complete": 5, "failed": 1}
    assert outcome.rows[1].reason == "No result after 15 s (limits.trial_s); it was stopped."
    assert (outcome.rows[1].kind, outcome.rows[1].attempts) == ("time", 1)


def test_a_hung_trial_that_does_not_listen_is_ended_by_force(hundred, monkeypatch, own_runs):
    monkeypatch.setattr("poolsearch.sweep.engines.local._GRACE_S", 1.0)
    outcome = with_sick_workers(hundred, "deaf", trial_s=15.0)
    assert outcome.document()["counts"] == {"complete": 5, "failed": 1}
    assert outcome.rows[1].kind == "time"
    assert of(own_runs, "sick_worker") == []


def test_a_trial_that_segfaults_is_tried_three_times_and_once_alone_and_the_others_complete(hundred):
    outcome = with_sick_workers(hundred, "segfault")
    assert outcome.document()["counts"] == {"complete": 5, "failed": 1}
    assert outcome.rows[1].reason == (
        "The worker was ended by signal 11 (SIGSEGV); see the log. "
        "It was tried 4 times, the last time alone on the machine."
    )
    assert (outcome.rows[1].kind, outcome.rows[1].attempts) == ("crash", 4)
    assert outcome.status.state == "incomplete"


def test_a_trial_that_is_killed_when_memory_is_short_counts_as_its_own_doing(hundred, monkeypatch):
    """The kernel counts a kill for want of memory each time: as after out-of-memory kills of a real machine."""
    kills = itertools.count()
    monkeypatch.setattr("poolsearch.sweep.engines.memory.kernel_kills", lambda: next(kills))
    outcome = with_sick_workers(hundred, "killed")
    assert outcome.rows[1].reason == (
        "The worker was ended by signal 9 (SIGKILL) when memory was short. "
        "It was tried 4 times, the last time alone on the machine."
    )


def test_out_of_memory_is_a_result_with_its_reason_and_the_worker_is_replaced(hundred):
    outcome = with_sick_workers(hundred, "memory")
    assert outcome.document()["counts"] == {"complete": 5, "failed": 1}
    assert (outcome.rows[1].kind, outcome.rows[1].attempts) == ("memory", 1)
    assert outcome.rows[1].reason == "Out of memory. Use a smaller batch or input."


def test_workers_that_cannot_start_end_the_sweep_with_a_sentence(hundred):
    outcome = run(
        hundred, make_engine=lambda options, place, log: LocalEngine(1, place, log, "tests.sweep.no_such_worker")
    )
    assert outcome.status.state == "failed"
    assert outcome.status.message.startswith("The workers exit as soon as they start. The log says why: ")
    assert "No module named tests.sweep.no_such_worker" in (open_folder("hundred").path / "log.txt").read_text()


def test_timed_sections_on_one_device_never_overlap(hundred, own_runs):
    """Two workers on the one CPU: each trial's timing is alone under the device's lock."""
    code = (
        "import sys, time; from poolsearch.sweep.engines.device_lock import device_alone\n"
        "for _ in range(50):\n"
        "    with device_alone('cpu'):\n"
        "        begun = time.monotonic_ns(); time.sleep(0.002); print(begun, time.monotonic_ns())\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    spans = []
    for process in processes:
        spans += [tuple(map(int, line.split())) for line in process.communicate(timeout=600)[0].splitlines()]
    assert len(spans) == 100
    spans.sort()
    assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans))


# ---------------------------------------------------------------------------------------------------- by the keyboard


def test_ctrl_c_leaves_a_study_that_resume_continues(hundred, own_runs):
    config = hundred.model_copy(update={"trials": 12})
    process = start(config, own_runs, "--workers", "1")
    for line in process.stderr:
        if "2 of 12 trials" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130
    document = json.loads(out.strip().splitlines()[-1])
    assert document["state"] == "stopped"
    assert 2 <= document["counts"]["complete"] < 12
    assert "Traceback" not in err
    nobody_is_left(own_runs)
    assert finish(config, own_runs, "--resume", "--workers", "2")["counts"] == {"complete": 12}
    whole(config, own_runs)


def test_two_sweeps_take_turns(hundred, own_runs):
    first = longer(hundred, 60).model_copy(update={"trials": 20, "study": "first"})
    second = hundred.model_copy(update={"trials": 3, "study": "second"})
    one = start(first, own_runs, "--workers", "1", quiet=True)
    wait_until(lambda: completed(own_runs, "first") > 0)
    two = start(second, own_runs, "--workers", "1")
    _, err = two.communicate(timeout=600)
    assert two.returncode == 0
    assert "Waiting for 'first' to finish." in err
    assert one.wait(10) == 0
    assert [row.state for row in trial_rows(open_folder("second"))] == ["complete"] * 3
