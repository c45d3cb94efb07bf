"""A sweep from config to front: real training of a tiny network, real processes, real SQLite."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest
from as_optuna import as_optuna
from optuna.trial import TrialState

from poolsearch.config import parse
from poolsearch.errors import BusyError, PoolsearchError, StudyError
from poolsearch.modelfiles import checkpoint
from poolsearch.plan import Plan
from poolsearch.records.sweep import SweepStatus, TrialRow
from poolsearch.sweep.folder import commands
from poolsearch.sweep.folder.folder import Options, open_folder
from poolsearch.sweep.folder.lease import lease
from poolsearch.sweep.running import launch
from poolsearch.sweep.running.run import run
from poolsearch.sweep.search.front import front, mark_front, unbeaten
from poolsearch.sweep.search.space import space_of, suggest_plan
from tests.conftest import TINY

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished tiny sweep and the folder it is in: made once, looked at by several tests."""
    runs = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POOLSEARCH_RUNS", str(runs))
        yield run(parse(TINY), Options(workers=2)), runs


@pytest.fixture
def done(finished, monkeypatch):
    """That sweep, as the one that this test sees."""
    outcome, runs = finished
    monkeypatch.setenv("POOLSEARCH_RUNS", str(runs))
    return outcome


def command(*words, runs):
    return subprocess.run(
        [sys.executable, "experiments/sweep.py", *words],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "POOLSEARCH_RUNS": str(runs)}, timeout=120,
    )  # fmt: skip


def by_optuna(study):
    """The study as Optuna itself reads it."""
    return as_optuna(study, f"sqlite:///{open_folder(study).path / 'study.db'}")


# ------------------------------------------------------------------------------------------------------------ front


def test_the_front_of_five_points_by_hand():
    # small is good in both columns; (2, 2) is beaten by (1, 2), (3, 3) by many, equals keep each other
    points = np.array([[1, 2], [2, 2], [3, 1], [3, 3], [1, 2]], dtype=float)
    assert unbeaten(points).tolist() == [True, False, True, False, True]


@pytest.mark.parametrize(
    "objectives",
    [("accuracy", "latency_ms"), ("latency_ms", "loss"), ("accuracy", "loss", "latency_ms")],
    ids=lambda names: "+".join(names),
)
def test_the_front_is_optunas_own(objectives):
    random = np.random.default_rng(0)
    higher = {"accuracy": "maximize", "loss": "minimize", "latency_ms": "minimize"}
    study = optuna.create_study(directions=[higher[name] for name in objectives])
    rows = []
    for number, values in enumerate(random.random((60, 3)).round(1)):  # rounded: many are equal in one figure or more
        figures = dict(zip(("accuracy", "loss", "latency_ms"), values, strict=True))
        study.add_trial(optuna.trial.create_trial(values=[figures[name] for name in objectives]))
        rows.append(TrialRow(number, "complete", Plan("a", (1, 8, 8)), **figures))
    marked = mark_front(rows, objectives)
    assert 1 < len(front(marked)) < 60
    assert {row.number for row in front(marked)} == {trial.number for trial in study.best_trials}


def test_a_trial_without_figures_is_never_on_the_front():
    plan = Plan("a", (1, 8, 8))
    rows = [TrialRow(0, "failed", plan, accuracy=1.0, latency_ms=0.1), TrialRow(1, "complete", plan, accuracy=0.5)]
    assert front(mark_front(rows, ("accuracy", "latency_ms"))) == ()


# ------------------------------------------------------------------------------------------------------------ space


def test_every_draw_of_the_space_is_a_plan_and_comes_back_as_parameters(tiny):
    import random

    space, source = space_of(tiny), random.Random(0)
    assert space.n_plans == 8  # two kinds at three stages
    for _ in range(20):
        params = space.draw(source)
        plan = space.plan(params)
        assert space.params_of(plan) == params


def test_optunas_trial_becomes_a_plan(tiny):
    space = space_of(tiny)
    trial = optuna.trial.FixedTrial({"stage1.kind": "avg", "stage2.kind": "max", "stage3.kind": "avg"})
    assert str(suggest_plan(trial, space)) == "smallnet/1x12x12: stage1=avg k2 s2; stage3=avg k2 s2"


# ------------------------------------------------------------------------------------------------------ whole sweeps


def test_a_sweep_ends_with_distinct_plans_a_front_and_the_published_network(done, tiny):
    assert done.status.state == "done"
    assert [row.state for row in done.rows] == ["complete"] * 5
    assert len({str(row.plan) for row in done.rows}) == 5
    assert done.rows[0].published
    assert all(0 <= row.accuracy <= 1 and row.latency_ms > 0 and len(row.curve) == 1 for row in done.rows)
    document = json.loads(json.dumps(done.document()))
    assert document["counts"] == {"complete": 5}
    assert document["front"]
    assert all(Plan.parse(point["plan"]) for point in document["front"])
    study = by_optuna("tiny")
    assert len(study.user_attrs["latency"]) == 5  # all timed together at the end
    assert open_folder("tiny").status().state == "done"


def test_the_winner_is_in_hand_again_with_its_weights(done):
    from poolsearch.data import datasets
    from poolsearch.training import evaluate

    row = front(done.rows)[0]
    saved = checkpoint.load(open_folder("tiny").weights_file(row.number))
    assert saved.plan == row.plan
    config = open_folder("tiny").config()
    data = datasets.load(config.data, row.plan.size, config.clutter)
    accuracy, loss = evaluate(saved.network(), data.validation)
    assert accuracy == pytest.approx(row.accuracy)
    assert loss == pytest.approx(row.loss, rel=1e-4)


def test_a_space_smaller_than_the_sweep_ends_when_it_is_exhausted(tiny):
    outcome = run(tiny.model_copy(update={"trials": 20}), Options(workers=2))
    assert len(outcome.rows) == 8
    assert outcome.status.message == "The search space has no more Plans."


def test_a_stopped_sweep_goes_on_where_it_was(tiny):
    def stop_after_two(status: SweepStatus) -> None:
        if status.complete == 2 and status.state == "running":
            commands.send(open_folder("tiny"), "stop")

    first = run(tiny, Options(workers=1), on_change=stop_after_two)
    assert first.status.state == "stopped"
    assert sum(row.state == "complete" for row in first.rows) == 2
    kept = {row.number: row.loss for row in first.rows if row.state == "complete"}
    second = run(tiny, Options(workers=1), resume=True)
    assert second.status.state == "done"
    assert [row.state for row in second.rows] == ["complete"] * 5
    assert {number: second.rows[number].loss for number in kept} == kept
    study = by_optuna("tiny")
    assert sorted(trial.number for trial in study.get_trials()) == list(range(5))
    assert all(trial.state == TrialState.COMPLETE for trial in study.get_trials())


def test_a_study_of_the_same_name_is_not_touched(done, tiny):
    file = open_folder("tiny").path / "study.db"
    before = file.read_bytes()
    with pytest.raises(StudyError, match="'tiny' already exists with 5 trials done. Continue it with --resume"):
        run(tiny, Options(workers=1))
    with pytest.raises(StudyError, match="directions maximize, minimize; this config asks for minimize, minimize"):
        run(tiny.model_copy(update={"objectives": ("loss", "latency_ms")}), Options(workers=1), resume=True)
    with pytest.raises(StudyError, match="other settings: seed was 0, now 7. Choose another study name"):
        run(tiny.model_copy(update={"seed": 7}), Options(workers=1), resume=True)
    assert file.read_bytes() == before


def test_a_second_coordinator_is_told_who_holds_the_study(tiny):
    with (
        lease(open_folder("tiny").path),
        pytest.raises(BusyError, match=f"'tiny' is already being run by process {os.getpid()} on"),
    ):
        run(tiny, Options(workers=1))


def test_a_sweep_of_failures_keeps_each_reason_and_has_no_front(tiny):
    # weights that decay by ten times themselves a step overflow within two epochs
    explode = tiny.training.model_copy(update={"rate": 10.0, "weight_decay": 1.0, "epochs": 5})
    outcome = run(tiny.model_copy(update={"trials": 2, "data": "digits", "training": explode}), Options(workers=1))
    assert all(row.state == "failed" for row in outcome.rows)
    assert all("loss was nan" in row.reason for row in outcome.rows)
    assert front(outcome.rows) == ()
    assert outcome.document()["published"] is None


def test_data_that_memory_cannot_hold_stop_a_sweep_before_anything_is_written(tiny, own_runs, monkeypatch):
    from poolsearch import memory

    large = tiny.model_copy(update={"clutter": tiny.clutter.model_copy(update={"images": 100_000, "canvas": 64})})
    monkeypatch.setattr(memory, "free_bytes", lambda: 1_500_000_000)  # room for one copy, 220,000 images of 4,104 bytes
    with pytest.raises(
        PoolsearchError, match=r"take 0\.9 GB, 2 times \(a copy for each worker\): 220,000 images of 64"
    ):
        run(large, Options(workers=2))
    monkeypatch.setattr(memory, "free_bytes", lambda: 500_000_000)
    with pytest.raises(PoolsearchError, match=r"take 0\.9 GB: 220,000 images .* 0\.5 GB of memory are free"):
        launch.start(large)
    assert list(own_runs.iterdir()) == []


# ------------------------------------------------------------------------------------------------- the command line


def test_the_script_ends_with_a_table_and_one_json_line(tmp_path, tiny):
    config = tmp_path / "tiny.toml"
    from poolsearch.config import to_toml

    config.write_text(to_toml(tiny))
    ended = command(str(config), "--set", "trials=3", "--workers", "2", runs=tmp_path / "runs")
    assert ended.returncode == 0, ended.stderr
    *table, last = ended.stdout.strip().splitlines()
    document = json.loads(last)
    assert document["study"] == "tiny"
    assert document["counts"] == {"complete": 3}
    assert document["storage"].endswith("tiny/study.db")
    assert "Pareto front" in table[0]
    assert "3 of 3 trials" in ended.stderr
    again = command(str(config), "--set", "trials=3", runs=tmp_path / "runs")
    assert again.returncode == 2
    assert again.stderr == (
        "The study 'tiny' already exists with 3 trials done. "
        "Continue it with --resume, or choose another name with --set study=NAME.\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.toml"], "Can't read the config 'nowhere.toml': No such file or directory.\n"),
        (
            ["configs/cluttered-digits.toml"],
            "Can't read the config 'configs/cluttered-digits.toml': No such file or directory. "
            "Did you mean 'experiments/configs/cluttered-digits.toml'?\n",
        ),
        (
            ["experiments/configs/cluttered-digits.toml", "--set", "trails=3"],
            "Unknown key 'trails' in 'the config'. Did you mean",
        ),
        (
            ["experiments/configs/cluttered-digits.toml", "--device", "gpu"],
            "Unknown device 'gpu'. Possible: auto, cpu, cuda (a GPU is cuda).\n",
        ),
        (
            ["experiments/configs/cluttered-digits.toml", "--set", "study=../up"],
            "The study name '../up' is not possible.",
        ),
        (
            ["experiments/configs/cluttered-digits.toml", "--engine", "dask"],
            "Unknown engine 'dask'. Possible: local, ray.\n",
        ),
        (
            ["experiments/configs/cluttered-digits.toml", "--workers", "0"],
            "Workers go from 1 to 256, got 0. Nearest: 1.\n",
        ),
    ],
)
def test_the_script_refuses_in_one_sentence(words, message, tmp_path):
    ended = command(*words, runs=tmp_path)
    assert ended.returncode == 2
    assert ended.stderr.startswith(message)
    assert "Traceback" not in ended.stderr
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------------ the page's side


def test_a_study_name_cannot_leave_the_runs_folder():
    for name in ("a ", "../up", "a/b", "", "..", "x" * 65):
        with pytest.raises(StudyError, match="is not a valid study name"):
            open_folder(name)


def test_a_sweep_whose_process_is_gone_is_lost_whatever_the_clock_says(tiny):
    open_folder(tiny.study).write_config(tiny)
    with lease(open_folder("tiny").path):
        open_folder("tiny").write_status(SweepStatus("tiny", "running", 5))
        old = open_folder("tiny").path / "status.json"
        old.write_text(
            old.read_text().replace('"written": ', '"written": 1e9, "_": ').replace(', "_":', ', "silent_s":')
        )
        assert open_folder("tiny").status().state == "running"  # asleep, as a laptop with its lid closed
        assert open_folder("tiny").status().silent_s > 1e6
    lost = open_folder("tiny").status()
    assert (lost.state, lost.message) == ("lost", "Its process is gone. It can be resumed.")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"written": 1, "running": [[3, "smallnet/1x12x12"]]}'])
def test_a_status_that_is_not_ours_is_that_of_a_sweep_at_rest(tiny, text):
    open_folder(tiny.study).write_config(tiny)
    (open_folder("tiny").path / "status.json").write_text(text)
    assert open_folder("tiny").status() == SweepStatus("tiny", "stopped", 0)


def test_the_estimate_is_a_guess_before_anything_was_measured(tiny):
    guess = launch.estimate(tiny)
    assert guess.seconds > 0
    assert "nothing similar has been measured here yet" in guess.source


def test_the_estimate_comes_from_earlier_trials(done):
    measured = launch.estimate(open_folder("tiny").config())
    assert measured.source == "from 5 trials of 'tiny'"
    assert measured.trials == 5
    assert launch._START_S < measured.seconds < 60
    in_an_hour = launch.estimate(open_folder("tiny").config().model_copy(update={"trials": 100, "minutes": 60.0}))
    assert in_an_hour.trials == 8  # all Plans of the space
