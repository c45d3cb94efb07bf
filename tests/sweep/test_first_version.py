"""What the first version wrote opens: its sweeps, their configs, the weights of their trials."""

import shutil
from pathlib import Path

import pytest

from poolsearch.config import load
from poolsearch.modelfiles import checkpoint
from poolsearch.sweep.folder.folder import open_folder
from poolsearch.sweep.running.run import run
from poolsearch.sweep.study.reader import find_trial, trial_rows
from tests.sweep.scripted import ScriptedEngine, done

KEPT = Path(__file__).parents[1] / "fixtures" / "first_version"
SWEEPS = ["one-failed", "renamed", "loss"]


@pytest.fixture
def kept(own_runs):
    """The three sweeps, in the folder of this test's runs."""
    shutil.copytree(KEPT / "sweeps", own_runs, dirs_exist_ok=True)


@pytest.mark.parametrize("study", SWEEPS)
def test_a_config_of_the_first_version_opens(study):
    config = load(KEPT / "sweeps" / study / "config.toml")
    assert (config.study, config.backbone, config.trials) == (study, "smallnet/1x12x12", 3)


def test_a_failed_trial_says_why_in_todays_words(kept):
    rows = trial_rows(open_folder("one-failed"))
    assert [row.state for row in rows] == ["complete", "failed", "complete"]
    assert (rows[1].kind, rows[1].reason) == ("non_finite", "The training loss was nan in epoch 1.")
    assert [row.accuracy for row in rows] == [0.2, None, 0.075]


def test_a_renamed_sweep_finds_its_study_under_the_old_name(kept):
    assert open_folder("renamed").options().name == "before-renaming"
    assert [row.state for row in trial_rows(open_folder("renamed"))] == ["complete"] * 3


def test_a_sweep_by_loss_has_its_front(kept):
    assert open_folder("loss").config().objectives == ("loss", "latency_ms")
    rows = trial_rows(open_folder("loss"))
    assert min(row.loss for row in rows) in [row.loss for row in rows if row.on_front]


@pytest.mark.parametrize("study", SWEEPS)
def test_a_sweep_of_the_first_version_is_resumed(kept, study):
    assert open_folder(study).status().state == "done"
    config = open_folder(study).config().model_copy(update={"trials": 4})
    outcome = run(config, resume=True, make_engine=lambda *_: ScriptedEngine(lambda job: done()))
    assert outcome.status.state == "done"
    assert outcome.rows[3].state == "complete"


@pytest.mark.parametrize("number", range(3))
def test_weights_of_the_first_version_open(kept, number):
    found = checkpoint.load(KEPT / "checkpoints" / f"{number}.safetensors")
    assert found.plan == find_trial(open_folder("renamed"), number).plan
    assert found.classes == 10
