"""What the fault tests do to a sweep from outside: start it, find its processes, kill them, look at what is left."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from as_optuna import as_optuna

from poolsearch.config import to_toml

ROOT = Path(__file__).parents[2]
WORKER, COORDINATOR = "poolsearch.sweep.engines.worker", "experiments/sweep.py"


def start(config, runs, *words, quiet=False):
    """Start the headless script on a config; its words are read from pipes, or go to a file beside the runs."""
    runs.mkdir(parents=True, exist_ok=True)
    file = runs.with_name(f"{runs.name}.toml")
    file.write_text(to_toml(config))
    log = runs.with_name(f"{runs.name}.err")
    with log.open("a") as err:
        return subprocess.Popen(
            [sys.executable, COORDINATOR, str(file), *words], cwd=ROOT, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if quiet else subprocess.PIPE, stderr=err if quiet else subprocess.PIPE,
            env={**os.environ, "POOLSEARCH_RUNS": str(runs)},
        )  # fmt: skip


def of(runs, words):
    """Return the ids of the living processes of the sweeps in a runs folder whose command line has these words."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            ours = f"POOLSEARCH_RUNS={runs}".encode() in (entry / "environ").read_bytes().split(b"\0")
            if ours and words.encode() in (entry / "cmdline").read_bytes().replace(b"\0", b" "):
                found.append(int(entry.name))
        except OSError:
            continue
    return sorted(found)


def kill(ids, number=signal.SIGKILL):
    """Send a signal to processes; those that are gone already do not matter."""
    for id in ids:
        try:
            os.kill(id, number)
        except ProcessLookupError:
            continue


def wait_until(condition, seconds=300):
    """Wait until something is true; fail when it does not come to that. The time is no measure: it ends a hung test."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def nobody_is_left(runs, seconds=5):
    """Assert that no worker outlives its coordinator by more than this."""
    deadline = time.monotonic() + seconds
    while of(runs, WORKER) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert of(runs, WORKER) == []


def finish(config, runs, *words):
    """Run the sweep to its end, and return its JSON line."""
    process = start(config, runs, *words)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err[-2000:]
    return json.loads(out.strip().splitlines()[-1])


def trials(runs, study):
    """Return the trials of a study, as Optuna itself reads them."""
    return as_optuna(study, f"sqlite:///{runs / study / 'study.db'}").get_trials()


def whole(config, runs):
    """Assert that every trial is complete, none is lost, doubled or stuck, and that the file is sound."""
    found = trials(runs, config.study)
    assert Counter(trial.state.name for trial in found) == {"COMPLETE": config.trials}
    assert [trial.number for trial in found] == list(range(config.trials))
    assert len({trial.user_attrs["plan"] for trial in found}) == config.trials
    assert sound(runs, config.study)
    assert torn(runs / config.study) == []


def sound(runs, study):
    """Return whether SQLite finds the file whole."""
    connection = sqlite3.connect(runs / study / "study.db")
    try:
        return connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


def torn(folder):
    """Return the files that a reader would find half written: JSON and weights that do not open."""
    from safetensors import safe_open

    found = []
    for path in folder.rglob("*"):
        try:
            if path.suffix == ".json":
                json.loads(path.read_text())
            if path.suffix == ".safetensors":
                with safe_open(path, framework="pt") as file:
                    assert file.keys()
        except Exception:
            found.append(path.name)
    return found
