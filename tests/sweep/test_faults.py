"""What happens to a sweep when processes die: nothing is lost twice, nobody is left behind, every reason is kept."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from poolsearch.config import to_toml
from poolsearch.sweep import store

pytestmark = [pytest.mark.faults, pytest.mark.skipif(not Path("/proc").exists(), reason="looks into /proc")]
ROOT = Path(__file__).parents[2]


def start(tmp_path, tiny, folder, *words):
    """Start the script on the tiny sweep."""
    config = tmp_path / "tiny.toml"
    config.write_text(to_toml(tiny))
    return subprocess.Popen(
        [sys.executable, "experiments/sweep.py", str(config), *words],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "POOLSEARCH_RUNS": str(folder)},
    )  # fmt: skip


def wait_for(process, words):
    """Read the progress until a line has these words."""
    for line in process.stderr:
        if words in line:
            return
    pytest.fail(f"ended before '{words}'")


def of_this_sweep(folder, words):
    """Return the ids of the living processes of a sweep whose command line has these words."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            ours = str(folder).encode() in (entry / "environ").read_bytes()
            if ours and words.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def nobody_is_left(folder):
    deadline = time.monotonic() + 5
    while of_this_sweep(folder, "poolsearch.sweep.worker") and time.monotonic() < deadline:
        time.sleep(0.1)
    assert of_this_sweep(folder, "poolsearch.sweep.worker") == []


def finish(tmp_path, tiny, folder):
    """Continue the sweep to its end, and return its JSON line."""
    process = start(tmp_path, tiny, folder, "--resume", "--workers", "2")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return json.loads(out.strip().splitlines()[-1])


def whole(tiny):
    """Every trial is complete, numbers have no gap, no Plan stands twice."""
    rows = store.trial_rows(store.load_study("tiny"))
    assert [row.number for row in rows] == list(range(tiny.trials))
    assert {row.state for row in rows} == {"complete"}
    assert len({str(row.plan) for row in rows}) == tiny.trials


def test_ctrl_c_leaves_a_study_that_resume_continues(tmp_path, tiny, own_runs):
    process = start(tmp_path, tiny, own_runs, "--workers", "1")
    wait_for(process, "2 of 5 trials")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    document = json.loads(out.strip().splitlines()[-1])
    assert document["state"] == "stopped"
    assert document["counts"]["complete"] >= 2
    assert "Traceback" not in err
    nobody_is_left(own_runs)
    assert finish(tmp_path, tiny, own_runs)["counts"] == {"complete": 5}
    whole(tiny)


def test_a_killed_coordinator_takes_its_workers_along_and_resume_finishes(tmp_path, tiny, own_runs):
    process = start(tmp_path, tiny, own_runs, "--workers", "2")
    wait_for(process, "1 of 5 trials")
    process.kill()
    process.communicate()
    nobody_is_left(own_runs)
    assert finish(tmp_path, tiny, own_runs)["counts"] == {"complete": 5}
    whole(tiny)


def kill_the_worker(folder, but=()):
    """Kill the one worker as soon as it is another than before, and return its id."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for worker in set(of_this_sweep(folder, "poolsearch.sweep.worker")) - set(but):
            time.sleep(3)  # it has imported torch and is at work on its trial
            os.kill(worker, signal.SIGKILL)
            return worker
        time.sleep(0.1)
    pytest.fail("there is no new worker")


def test_a_killed_worker_is_replaced_and_its_trial_runs_again_under_its_number(tmp_path, tiny, own_runs):
    slow = tiny.model_copy(update={"training": tiny.training.model_copy(update={"epochs": 30})})
    process = start(tmp_path, slow, own_runs, "--workers", "1")
    wait_for(process, "1 of 5 trials")
    time.sleep(0.3)  # in the middle of the second trial
    (worker,) = of_this_sweep(own_runs, "poolsearch.sweep.worker")
    os.kill(worker, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert json.loads(out.strip().splitlines()[-1])["counts"] == {"complete": 5}
    whole(tiny)


def test_a_trial_that_kills_its_worker_three_times_fails_with_the_reason(tmp_path, tiny, own_runs):
    endless = tiny.model_copy(update={"trials": 2, "training": tiny.training.model_copy(update={"epochs": 900})})
    process = start(tmp_path, endless, own_runs, "--workers", "1")
    wait_for(process, "0 of 2 trials")
    killed = []
    for _ in range(3):
        killed.append(kill_the_worker(own_runs, killed))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        failed = [row for row in store.trial_rows(store.load_study("tiny")) if row.state == "failed"]
        if failed:
            break
        time.sleep(0.2)
    process.terminate()
    process.communicate(timeout=30)
    assert [row.number for row in failed] == [0]
    assert failed[0].reason == (
        "The worker was killed (signal 9), most likely for want of memory. It was tried 3 times."
    )
    nobody_is_left(own_runs)


def test_a_second_coordinator_exits_with_75(tmp_path, tiny, own_runs):
    slow = tiny.model_copy(update={"training": tiny.training.model_copy(update={"epochs": 900})})
    first = start(tmp_path, slow, own_runs, "--workers", "1")
    wait_for(first, "0 of 5 trials")
    second = start(tmp_path, slow, own_runs, "--resume")
    _, err = second.communicate(timeout=60)
    assert second.returncode == 75
    assert f"The sweep 'tiny' is run by process {first.pid} on " in err
    first.terminate()
    first.communicate(timeout=30)
    assert first.returncode == 130
    nobody_is_left(own_runs)
