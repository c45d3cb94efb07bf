"""A whole sweep on a simulated cluster, its study in PostgreSQL: tasks killed, a node lost, the database restarted."""

import json
import random
import subprocess
import sys
import time
from collections import Counter

import psutil

from poolsearch.config import parse, to_toml
from tests.conftest import TINY
from tests.sweep import test_cluster, test_postgres
from tests.sweep.processes import ROOT, kill, wait_until
from tests.sweep.test_cluster import ray_cluster  # noqa: F401
from tests.sweep.test_postgres import as_optuna_reads, database, password, server  # noqa: F401

pytestmark = [*test_cluster.pytestmark, *test_postgres.pytestmark[1:]]


def tasks():
    """Return the ids of the processes that run a trial in a Ray task now."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(word.startswith("ray::attend") for word in process.info["cmdline"] or ()):
            found.append(process.pid)
    return sorted(found)


def status(runs):
    try:
        return json.loads((runs / "hundred" / "status.json").read_text())
    except (OSError, ValueError):
        return {"complete": 0, "running": [], "state": "starting"}


def fit_for_a_blow(runs, seen):
    """Return whether the sweep got on since, and no trial is at work again: one that dies three times fails."""
    now = status(runs)
    return now["complete"] > seen and all(trial["attempt"] == 1 for trial in now["running"])


def test_a_sweep_on_a_cluster_outlives_its_tasks_a_node_and_restarts_of_the_database(
    ray_cluster, server, database, own_runs, password, tmp_path  # noqa: F811
):  # fmt: skip
    words = ("trials=60", "study=hundred", 'space.kinds=["max", "avg", "lp", "soft", "min"]', "training.epochs=50")
    config = tmp_path / "hundred.toml"
    config.write_text(to_toml(parse(TINY, words)))
    doomed = ray_cluster.add_node(num_cpus=2)
    command = [
        sys.executable, "experiments/sweep.py", str(config), "--engine", "ray", "--address", ray_cluster.address,
        "--storage", database, "--workers", "3", "--device", "cpu",
    ]  # fmt: skip
    instants = random.Random(5)
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err)
        try:
            for round in range(10):
                seen = status(own_runs)["complete"]
                wait_until(lambda seen=seen: fit_for_a_blow(own_runs, seen) or process.poll() is not None, 90)
                assert process.poll() is None, (tmp_path / "err").read_text()[-2000:]
                time.sleep(instants.uniform(0, 0.5))
                at_work = tasks()
                if at_work:
                    kill([instants.choice(at_work)])
                if round == 5:
                    ray_cluster.remove_node(doomed, allow_graceful=False)
                if round in (2, 6):
                    server.restart()
            assert process.wait(600) == 0, (tmp_path / "err").read_text()[-2000:]
        finally:
            process.kill()
            process.wait()
    document = json.loads((tmp_path / "out").read_text().strip().splitlines()[-1])
    assert document["counts"] == {"complete": 60}, document["failures"]
    trials = as_optuna_reads(database, "hundred")
    assert Counter(trial.state.name for trial in trials) == {"COMPLETE": 60}
    assert [trial.number for trial in trials] == list(range(60))
    assert len({trial.user_attrs["plan"] for trial in trials}) == 60
    weights = {path.name for path in (own_runs / "hundred" / "weights").iterdir()}
    assert weights == {f"{number}.safetensors" for number in range(60)}
    said = (tmp_path / "out").read_text() + (tmp_path / "err").read_text()
    assert password not in said
    assert "Traceback" not in said
