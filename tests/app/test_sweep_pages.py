"""The pages Sweeps and Pareto front, run without a browser: forms, refusals, commands, broken folders, old sweeps."""

import json
import re
import sqlite3
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from optuna.storages import RDBStorage
from streamlit.testing.v1 import AppTest

from poolsearch.app.controls import cached
from poolsearch.app.views.sweeps import (
    commands as sweep_commands,
    setup as sweep_setup,
    sites as sweep_sites,
    sweep_list,
    trials as sweep_trials,
    watch as sweep_watch,
)
from poolsearch.config import parse
from poolsearch.errors import PoolsearchError
from poolsearch.objectives import OBJECTIVES, USUAL
from poolsearch.plan import Plan
from poolsearch.records.sweep import EpochRow, RunningTrial, SweepStatus, TrialRow
from poolsearch.surgery import find_sites
from poolsearch.sweep.folder import commands, folder
from poolsearch.sweep.folder.folder import open_folder
from poolsearch.sweep.folder.lease import lease
from poolsearch.sweep.running import launch
from poolsearch.sweep.search.front import mark_front
from poolsearch.sweep.search.proposals import Proposals
from poolsearch.sweep.search.space import space_of
from poolsearch.sweep.study import reader
from poolsearch.sweep.study.reader import find_trial, trial_rows
from poolsearch.sweep.study.storage import located
from poolsearch.sweep.study.writer import Writer

ROOT = Path(__file__).parents[2]


def page(name="sweeps", **query):
    at = AppTest.from_file(str(ROOT / "poolsearch" / "app" / "shell.py"), default_timeout=60)
    at.run().switch_page(f"../pages/{name}.py")
    for key, value in query.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception
    return at


def words(at):
    return " ".join(str(element.value) for element in [*at.markdown, *at.caption, *at.text])


def keys(at):
    return {button.key for button in at.button}


def press(at, key):
    at.button(key=key).click().run()
    assert not at.exception


def progress(at):
    return at.get("progress")[0].proto.text


def unescaped(text):
    return text.replace("\\", "")


def study(config, figures=((0.8, 2.0), (0.9, 3.0)), failed=(), **fields):
    """Write a sweep as a coordinator would have: accuracy and latency (and loss) a trial, then the failures."""
    open_folder(config.study).write_config(config)
    writer, space = Writer(located(open_folder(config.study)), config), space_of(config)
    proposals = Proposals(config, space)
    for outcome in (*figures, *failed):
        proposal = proposals.next()
        said = {"plan": str(proposal.plan), "seed": 0, "attempts": 1}
        number = writer.add(proposal.running_trial(space, said))
        proposals.take(number, proposal)
        if outcome in failed:
            writer.fail(number, *outcome)
            proposals.tell(number, None)
            continue
        accuracy, ms, loss = (*outcome, 1.0)[:3]
        traded = {"accuracy": accuracy, "loss": loss, "latency_ms": ms}
        values = [traded[name] for name in config.objectives]
        epoch = {"epoch": 1, "train_loss": 1.0, "loss": 1.0, "accuracy": accuracy}
        timing = {"ms": ms, "low_ms": ms, "high_ms": ms}
        writer.complete(
            number, values,
            {"accuracy": accuracy, "loss": loss, "latency": timing, "seconds": 3.0, "curve": [epoch]},
        )  # fmt: skip
        proposals.tell(number, values)
    writer.close()
    status = SweepStatus(config.study, "done", config.trials, complete=len(figures), failed=len(failed), elapsed_s=65)
    open_folder(config.study).write_status(replace(status, **fields))


@contextmanager
def alive(config, **fields):
    """A sweep that looks alive: its folder is held, and its status says so."""
    open_folder(config.study).write_config(config)
    status = SweepStatus(config.study, "running", config.trials, workers=2, device="CPU, 2 cores")
    with lease(open_folder(config.study).path):
        open_folder(config.study).write_status(replace(status, **fields))
        yield


@pytest.fixture
def spawned(monkeypatch):
    """The command lines of processes that would have been started."""
    started = []

    class Process:
        def __init__(self, command, **_):
            started.append(command)

        def poll(self):
            return None

    monkeypatch.setattr(launch.subprocess, "Popen", Process)
    return started


# ----------------------------------------------------------------------------------------------------------- set up


def test_without_a_sweep_there_is_the_form_and_what_to_do():
    at = page()
    assert "No sweep yet. Set one up here and start it." in at.info[0].value
    assert "start" in keys(at)
    assert "No sweep yet. Start one on the page Sweeps." in page("pareto").info[0].value


def test_a_sweep_starts_with_an_estimate_and_its_command_and_is_watched_next(spawned, tiny):
    study(tiny)  # an older sweep, which the new one takes the place of on the page
    at = page(pane="New")
    assert "24 trials" in unescaped(words(at))
    assert "on this machine, estimated from the MACs" in unescaped(words(at))
    assert "The space holds 4,000 Plans." in unescaped(words(at))  # stage1: 5 kinds x 2 kernels, others x 2 strides
    at.text_input(key="new-name").set_value("lecture").run()
    at.number_input(key="new-trials").set_value(6).run()
    assert "python -m poolsearch sweep start lecture.toml --workers" in at.code[0].value
    press(at, "start")
    assert [Path(word).name for word in spawned[0][1:6]] == ["-P", "-m", "poolsearch", "run", "config.toml"]
    config = open_folder("lecture").config()
    assert (config.trials, config.minutes, config.backbone) == (6, None, "smallnet/1x20x20")
    assert config.space.sites["stage1"].stride == (2,)  # the one site that differs from the start
    assert at.selectbox(key="sweep").value == "lecture"
    assert "Starting" in words(at)


def test_a_budget_in_minutes_says_how_many_trials_that_makes(spawned):
    at = page(pane="New")
    at.text_input(key="new-name").set_value("timed").run()
    at.segmented_control(key="new-budget").set_value("Minutes").run()
    assert re.search(r"About \d+ trials in [45] min", unescaped(words(at)))
    at.number_input(key="new-minutes").set_value(2).run()
    press(at, "start")
    config = open_folder("timed").config()
    assert (config.minutes, config.trials) == (2.0, 100_000)
    assert "0 trials, 0 s of 2 min" in unescaped(progress(at))


def test_what_is_said_of_a_single_site_reaches_the_config(spawned):
    at = page(pane="New")
    edits = {1: {"kinds": ["min", "median"]}, 2: {"kernel": ["4"]}, 3: {"kinds": ["global-avg", "gem"]}}
    at.session_state["new-sites-smallnet"] = {"edited_rows": edits, "added_rows": [], "deleted_rows": []}
    at.text_input(key="new-name").set_value("sites").run()
    press(at, "start")
    sites = open_folder("sites").config().space.sites
    assert sites["stage2"].kinds == ("min", "median")
    assert sites["stage3"].kernel == (4,)
    assert sites["head"].kinds == ("global-avg", "gem")


def test_a_kind_that_a_site_cannot_have_is_refused_in_words():
    at = page(pane="New")
    edits = {0: {"kinds": ["gem"]}}
    at.session_state["new-sites-smallnet"] = {"edited_rows": edits, "added_rows": [], "deleted_rows": []}
    at.run()
    assert "'gem' can't stand at site 'stage1' of the config." in unescaped(at.warning[0].value)
    assert at.button(key="start").disabled


def test_every_backbone_can_be_chosen_and_its_sites_are_listed():
    at = page(pane="New")
    at.selectbox(key="new-network").set_value("resnet18").run()
    assert not at.exception
    assert list(at.dataframe[0].value["site"]) == ["conv1", "stem", "layer2", "layer3", "layer4", "head"]
    assert not at.button(key="start").disabled
    at.selectbox(key="new-network").set_value("inception_v3").run()
    assert not at.button(key="start").disabled
    at.number_input(key="new-size-inception_v3").set_value(32).run()
    assert not at.exception
    assert at.button(key="start").disabled
    assert "inception_v3" in unescaped(at.warning[0].value)


def test_a_locked_site_stands_apart_with_its_reason():
    sites = find_sites("googlenet", (3, 64, 64))
    locked = [site for site in sites if site.locked]
    assert locked
    assert not {site.name for site in locked} & {line["site"] for line in sweep_sites.site_lines(sites)}
    at = page(pane="New")
    at.selectbox(key="new-network").set_value("googlenet").run()
    assert list(at.dataframe[1].value["why"]) == [site.locked for site in locked]


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("new-name", "../up", "is not a valid study name"),
        ("new-name", "tiny", "There is already a sweep called 'tiny'. Choose another name."),
        ("new-kinds", [], "No pooling is chosen for all sites."),
        ("new-kernels", [], "No kernel is chosen for all sites."),
        ("new-size-smallnet", 512, ""),
        ("new-size-smallnet", 8, ""),
    ],
)
def test_what_cannot_be_disables_the_start_and_says_why(key, value, reason, tiny):
    study(tiny)
    at = page(pane="New")
    kind = "multiselect" if isinstance(value, list) else "number_input" if isinstance(value, int) else "text_input"
    getattr(at, kind)(key=key).set_value(value).run()
    assert not at.exception
    assert at.button(key="start").disabled == bool(reason)
    assert not reason or reason in unescaped(at.warning[0].value)


def test_the_config_of_the_form_is_read_back_the_same():
    space = {"kinds": ("max", "avg"), "kernel": (2,), "stride": (2,), "sites": {"stage2": {"stride": (1, 2)}}}
    said = {"study": "x", "data": "digits", "trials": 4, "epochs": 2, "seed": 7, "space": space}
    config = sweep_setup.config_of("resnet18", 64, said)
    assert (config.backbone, config.seed, config.training.epochs) == ("resnet18/3x64x64", 7, 2)
    assert config.space.sites["stage2"].stride == (1, 2)
    with pytest.raises(PoolsearchError, match="stride in the config"):
        sweep_setup.config_of("resnet18", 64, {**said, "space": {**space, "stride": (99,)}})


# ------------------------------------------------------------------------------------------------------------ watch


def test_a_finished_sweep_shows_its_figures_and_its_failures(tiny):
    study(tiny, failed=[("non_finite", "The loss is *not* a number.")])
    at = page()
    assert "Finished" in words(at)
    shown = {metric.label: metric.value for metric in at.metric}
    assert shown == {
        "Best accuracy": "90.0 %", "Fastest": "2.00 ms", "A trial takes": "3.0 s", "Elapsed": "65 s", "Time left": "–"
    }  # fmt: skip
    assert progress(at).startswith("3 of 5 trials")
    assert "2 complete, 1 failed, 0 running." in words(at)
    trials, failures = (table.value for table in at.dataframe)
    assert list(trials["trial"]) == [2, 1, 0]
    assert list(failures["kind"]) == ["non_finite"]
    assert list(failures["reason"]) == ["The loss is *not* a number."]
    assert not {"sweep-pause", "sweep-stop", "sweep-cancel"} & keys(at)


@pytest.mark.parametrize("state", sweep_watch.STATES)
def test_every_state_has_its_badge_and_its_buttons(state, tiny):
    with alive(tiny, state=state):
        at = page()
    assert sweep_watch.STATES[state][0] in words(at)
    allowed = {
        "queued": {"stop"}, "starting": {"pause", "stop"}, "running": {"pause", "stop", "add", "workers", "cancel"},
        "pausing": {"resume", "stop", "add", "workers", "cancel"},
        "paused": {"resume", "stop", "add", "workers", "cancel"}, "stopping": {"stop"},
        "stopped": {"resume", "add"}, "done": {"add"}, "incomplete": {"add"}, "failed": {"resume", "add"},
        "lost": {"resume", "add"},
    }  # fmt: skip
    assert {key.removeprefix("sweep-") for key in keys(at) if key.startswith("sweep-")} == allowed[state]


def test_trials_lost_to_dead_workers_are_said_and_run_again_by_a_button(spawned, tiny):
    words = "1 of 3 trials has no result: its worker died in every attempt. Run it again: python -m poolsearch sweep"
    study(tiny, failed=[("crash", "The worker was killed.")], state="incomplete", lost=1, message=words)
    at = page()
    assert "Incomplete" in unescaped(" ".join(str(element.value) for element in at.markdown))
    assert words in unescaped(progress(at))
    assert "python -m poolsearch sweep retry tiny" in at.code[0].value
    press(at, "sweep-retry")
    assert spawned[0][-1] == "--retry"
    assert "Starting" in " ".join(str(element.value) for element in at.markdown)
    with alive(tiny, lost=1):
        at = page()
        press(at, "sweep-retry")
        assert [command.do for command in commands.pending(open_folder("tiny"))] == ["retry"]


@pytest.mark.parametrize(
    ("key", "do", "number"),
    [
        ("pause", "pause", 0),
        ("stop", "stop", 0),
        ("add", "add", 12),
        ("extend", "extend", 9),
        ("workers", "workers", 3),
        ("cancel", "cancel", 7),
    ],
)
def test_a_button_sends_its_command_once_from_two_tabs(key, do, number, tiny):
    with alive(tiny.model_copy(update={"minutes": 2.0}), running=(RunningTrial(7, "smallnet/1x12x12"),)):
        tabs = [page(), page()]
        for at in tabs:
            at.number_input(key="more-trials").set_value(12)
            at.number_input(key="more-minutes").set_value(9)
            at.number_input(key="many-workers").set_value(3)
            at.selectbox(key="trial-at-work").set_value(7).run()
        for at in tabs:
            press(at, f"sweep-{key}")
        (command,) = commands.pending(open_folder("tiny"))
        assert (command.do, command.number) == (do, number)
        commands.finish(open_folder("tiny"), command, "Done [so](x).")
        for at in tabs:
            at.run()
            assert unescaped(progress(at)).endswith("Done [so](x).")
        press(tabs[0], f"sweep-{key}")  # seen anew, it is another press
        assert len(commands.pending(open_folder("tiny"))) == 1


def test_an_answer_is_shown_for_ten_seconds_and_on_its_own_sweep(monkeypatch, tiny):
    with alive(tiny), alive(tiny.model_copy(update={"study": "other"})):
        at = page(sweep="tiny")
        press(at, "sweep-pause")
        (command,) = commands.pending(open_folder("tiny"))
        commands.finish(open_folder("tiny"), command, "Paused.")
        assert progress(at.run()).endswith("Paused\\.")
        at.selectbox(key="sweep").set_value("other").run()
        assert "Paused" not in progress(at)
        at.selectbox(key="sweep").set_value("tiny").run()
        later = time.monotonic() + 11
        monkeypatch.setattr(sweep_commands.time, "monotonic", lambda: later)
        assert "Paused" not in progress(at.run())


def test_trials_are_not_added_twice_to_a_sweep_at_rest(spawned, tiny):
    study(tiny)
    tabs = [page(), page()]
    for at in tabs:
        press(at, "sweep-add")
    assert open_folder("tiny").config().trials == 13
    assert len(spawned) == 1
    assert "The sweep has 13 trials by now, not 5 trials. Nothing was added." in unescaped(tabs[1].warning[0].value)


def test_a_sweep_that_starts_again_counts_the_trials_that_are_there(spawned, tiny):
    study(tiny)
    at = page()
    press(at, "sweep-add")
    assert open_folder("tiny").status().state == "starting"
    assert progress(at).startswith("2 of 13 trials")


def test_a_sweep_at_rest_is_resumed_in_a_process_of_its_own(spawned, tiny):
    study(tiny, state="stopped")
    at = page()
    press(at, "sweep-resume")
    assert spawned[0][-1] == "--resume"
    assert "Starting" in words(at)


def test_a_command_that_comes_too_late_is_answered_in_words(tiny):
    with alive(tiny):
        at = page()
    open_folder("tiny").write_status(SweepStatus("tiny", "done", 5))
    press(at, "sweep-stop")
    assert "The sweep 'tiny' is not running (done): there is nothing to stop." in unescaped(at.warning[0].value)


def test_a_trial_at_work_shows_the_curve_that_it_has_so_far():
    curve = (EpochRow(1, 2.0, 1.5, 0.4), EpochRow(2, 1.0, 0.9, 0.7))
    plan = Plan.parse("smallnet/1x12x12: stage1=avg k2 s2")
    rows = [TrialRow(0, "complete", plan.published, 0.5), TrialRow(1, "running", plan), TrialRow(2, "waiting", plan)]
    status = SweepStatus("x", "running", 5, running=(RunningTrial(1, str(plan), 2, 75.0, curve),))
    line, other = sweep_trials.table_rows(status, rows)
    assert (line["trial"], line["state"], line["learning"]) == (1, "at work, 75 s, attempt 2", [0.4, 0.7])
    assert line["changes"] == "stage1=avg k2 s2"
    assert other["changes"] == "none: the published network"


def test_a_silent_sweep_and_one_with_a_message_say_so(tiny):
    with alive(tiny, state="paused", message="Only 3 MB are free in _runs_."):
        path = open_folder("tiny").path / "status.json"
        said = json.loads(path.read_text())
        path.write_text(json.dumps({**said, "written": said["written"] - 40}))
        at = page()
    assert "The sweep has said nothing for 4" in unescaped(at.warning[0].value)
    assert "Only 3 MB are free in \\_runs\\_\\." in progress(at)


def test_the_time_left_is_rounded_and_comes_after_three_trials(tiny):
    for left, said in ((None, "after 3 trials"), (33.0, "35 s"), (400.0, "7 min")):
        with alive(tiny, left_s=left):
            at = page()
        assert next(metric.value for metric in at.metric if metric.label == "Time left") == said


def test_the_same_can_be_typed_in_a_shell(tiny):
    lines = sweep_commands.in_a_shell(SweepStatus("two words", "running", 5, running=(RunningTrial(4, "x"),)))
    assert "python -m poolsearch sweep pause 'two words'" in lines
    assert "python -m poolsearch sweep cancel 'two words' 4" in lines


def test_all_trials_are_taken_along_as_csv_and_json(tiny):
    study(tiny, failed=[("crash", "It, too")])
    rows = trial_rows(open_folder("tiny"))
    head, *lines = sweep_trials.as_csv(rows).splitlines()
    assert head.startswith("number,state,accuracy,loss")
    assert head.endswith(",plan")
    assert len(lines) == 3
    assert '"It, too"' in lines[2]
    found = json.loads(sweep_trials.as_json(rows))
    assert [trial["number"] for trial in found] == [0, 1, 2]
    assert found[1]["curve"] == [{"epoch": 1, "train_loss": 1.0, "loss": 1.0, "accuracy": 0.9}]


# ----------------------------------------------------------------------------------------------- broken and changed


def break_config(place):
    (place / "config.toml").write_text("trials = [")


def break_database(place):
    (place / "study.db").write_bytes(b"\x00" * 5000)


def empty_database(place):
    (place / "study.db").write_bytes(b"")


@pytest.mark.parametrize("damage", [break_config, break_database, empty_database])
@pytest.mark.parametrize("view", ["Watch", "All", "New"])
def test_a_broken_sweep_is_one_sentence_and_the_others_are_there(damage, view, tiny):
    study(tiny.model_copy(update={"study": "sound"}))
    study(tiny)
    for left in open_folder("tiny").path.glob("study.db-*"):
        left.unlink()
    damage(open_folder("tiny").path)
    at = page(sweep="tiny", pane=view)
    assert len(at.warning) == (view != "New")
    at.selectbox(key="sweep").set_value("sound").run()
    assert not at.exception
    assert "Finished" in words(at)
    assert not at.exception and not page("pareto", sweep="tiny").exception


def test_a_sweep_whose_database_has_no_study_yet_is_starting_and_not_broken(tiny):
    with alive(tiny, state="starting"):
        path = open_folder("tiny").path / "study.db"
        RDBStorage(f"sqlite:///{path}").remove_session()  # the tables are there, and no study in them
        at = page(sweep="tiny")
        assert "Starting" in words(at)
        assert "No trial has started yet: the workers are starting." in words(at)
        assert not at.warning


def test_a_sweep_made_anew_under_a_name_is_read_anew(tiny):
    study(tiny)
    assert [row.accuracy for row in cached.rows_of(open_folder("tiny"))] == [0.8, 0.9]
    folder.delete(open_folder("tiny"))
    assert cached.rows_of(open_folder("tiny")) == ()
    study(tiny, figures=[(0.5, 1.0)])
    assert [row.accuracy for row in cached.rows_of(open_folder("tiny"))] == [0.5]


def test_a_look_at_an_unchanged_sweep_opens_nothing(tiny, monkeypatch):
    study(tiny)
    first = cached.rows_of(open_folder("tiny"))
    monkeypatch.setattr(reader, "create_engine", None)
    assert cached.rows_of(open_folder("tiny")) is first


# -------------------------------------------------------------------------------------------------------- all sweeps


def marked(at, *places):
    """Mark lines of the table of all sweeps."""
    key = f"list-{hash(folder.studies())}"
    at.session_state[key] = {"selection": {"rows": list(places), "columns": [], "cells": []}}
    return at.run()


def test_all_sweeps_are_listed_and_one_is_opened(tiny):
    study(tiny)
    study(tiny.model_copy(update={"study": "second", "minutes": 3.0}))
    at = page(pane="All")
    table = at.dataframe[0].value
    assert list(table["sweep"]) == ["second", "tiny"]
    assert list(table["trials"]) == ["2", "2 of 5"]
    assert list(table["accuracy"]) == [90.0, 90.0]
    assert list(table["duration"]) == ["65 s", "65 s"]
    assert at.button(key="open").disabled
    press(marked(at, 1), "open")
    assert at.selectbox(key="sweep").value == "tiny"
    assert "Finished" in words(at)


def test_sweeps_are_compared_by_what_differs(tiny):
    study(tiny, device="CPU, 2 cores")
    study(tiny.model_copy(update={"study": "second", "seed": 4}), figures=[(0.7, 1.0)], device="H200, CUDA 13")
    at = marked(page(pane="All"), 0, 1)
    assert not at.exception
    assert "not comparable" in unescaped(at.warning[0].value)
    lines = at.dataframe[1].value
    assert list(lines["second"][:1]) == ["4"] and list(lines["tiny"][:1]) == ["0"]
    fastest = lines[lines[" "] == "fastest"].iloc[0]
    assert (fastest["second"], fastest["tiny"]) == ("70.0 %, 1.00 ms (trial 0)", "80.0 %, 2.00 ms (trial 0)")
    assert at.get("plotly_chart")


def test_only_keys_that_differ_are_listed():
    one = parse('study="a"\nbackbone="smallnet"\n').model_dump()
    two = parse('study="b"\nbackbone="smallnet"\n[training]\nepochs=5\n[space.stage1]\nstride=[2]\n').model_dump()
    assert sweep_list.differing([("a", one), ("b", two)]) == [
        {" ": "training.epochs", "a": "3", "b": "5"},
        {" ": "space.sites.stage1.stride", "a": "", "b": "2"},
    ]


# ----------------------------------------------------------------------------------------------------- Pareto front


def test_a_front_point_opens_as_variant_a_with_its_trained_weights(tiny):
    study(tiny)
    for number in (0, 1):
        path = open_folder("tiny").weights_file(number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    at = page("pareto", trial="1")
    row = find_trial(open_folder("tiny"), 1)
    assert "Trial 1" in [heading.value for heading in at.header]
    assert next(metric.value for metric in at.metric if metric.label == "Accuracy") == "90.0 %"
    opens = dict(
        parse_qsl(next(link for link in at.get("page_link") if link.proto.label == "Open as A").proto.query_string)
    )
    assert (opens["a"], opens["aw"], opens["edit"]) == (str(row.plan), "tiny/1", "A")


def figure_of(at):
    return json.loads(at.get("plotly_chart")[0].proto.spec)


def test_a_sweep_that_trades_loss_shows_the_front_in_loss(tiny):
    # by loss trial 1 beats trial 0 (0.9 below 1.2, and faster), though trial 0 is the more accurate
    by_loss = tiny.model_copy(update={"objectives": ("loss", "latency_ms")})
    study(by_loss, figures=[(0.9, 3.0, 1.2), (0.8, 2.0, 0.9), (0.7, 1.0, 1.5)])
    at = page("pareto", sweep="tiny", trial="0")
    assert "2 of 3 trials are on the front" in words(at)
    assert "Loss: mean cross-entropy on validation images" in unescaped(words(at))
    figure = figure_of(at)
    assert figure["layout"]["yaxis"]["title"]["text"] == "loss (lower is better)"
    drawn = {trace["name"]: trace for trace in figure["data"] if "name" in trace}
    assert (drawn["On the front"]["customdata"], drawn["On the front"]["y"]) == ([2, 1], [1.5, 0.9])
    assert (drawn["Beaten"]["customdata"], drawn["Beaten"]["y"]) == ([0], [1.2])
    assert drawn["Beaten"]["text"][0].startswith("trial 0: 1.200, 3.00 ms<br>")
    assert {metric.label: metric.value for metric in at.metric}["Loss"] == "1.200"
    at = page(sweep="tiny", pane="Watch")
    assert {metric.label: metric.value for metric in at.metric}["Lowest loss"] == "0.900"
    lines = {line["trial"]: line for line in at.dataframe[0].value.to_dict("records")}
    assert [(lines[n]["state"], lines[n]["loss"]) for n in (0, 1, 2)] == [
        ("complete", 1.2), ("on the front", 0.9), ("on the front", 1.5),
    ]  # fmt: skip
    assert figure_of(at)["layout"]["yaxis"]["title"]["text"] == "loss (lower is better)"


def test_the_small_curve_shows_the_best_so_far_not_each_trial():
    plan = Plan("a", (1, 8, 8))
    rows = [
        TrialRow(n, "complete", plan, accuracy=accuracy, latency_ms=ms)
        for n, (accuracy, ms) in enumerate([(0.5, 3.0), (0.25, 4.0), (0.75, 2.0), (0.5, 5.0)])
    ]
    assert sweep_watch.best_so_far(OBJECTIVES["accuracy"], rows) == [50, 50, 75, 75]  # percent
    assert sweep_watch.best_so_far(OBJECTIVES["latency_ms"], rows) == [3, 3, 2, 2]  # ms


def test_sweeps_that_traded_different_figures_are_compared_by_those_that_all_have(tiny):
    study(tiny, figures=[(0.9, 3.0, 1.2), (0.8, 2.0, 0.9)])
    rows = trial_rows(open_folder("tiny"))
    by_loss = mark_front(rows, ("loss", "latency_ms"))
    assert [row.on_front for row in by_loss] == [False, True]
    traded, compared = sweep_list.comparable([("a", rows, USUAL), ("b", by_loss, ("loss", "latency_ms"))])
    assert traded == USUAL
    assert [[row.on_front for row in found] for _, found in compared] == [[True, True], [True, True]]
    traded, compared = sweep_list.comparable([("a", by_loss, ("loss", "latency_ms"))] * 2)
    assert traded == ("loss", "latency_ms")
    assert [[row.on_front for row in found] for _, found in compared] == [[False, True], [False, True]]


def test_the_most_accurate_of_a_sweep_is_looked_for_among_all_its_trials(tiny):
    study(tiny, figures=[(0.9, 3.0, 1.2), (0.8, 2.0, 0.9)])
    status, rows = (
        open_folder("tiny").status(),
        mark_front(trial_rows(open_folder("tiny")), ("loss", "latency_ms")),
    )
    lines = {line[" "]: line["tiny"] for line in sweep_list.best_figures([("tiny", status, rows)])}
    assert lines["best accuracy"] == "90.0 %, 3.00 ms (trial 0)"
    assert lines["fastest"] == "80.0 %, 2.00 ms (trial 1)"


def test_a_cancelled_trial_is_no_failure(tiny):
    study(tiny, failed=[("cancelled", "Cancelled by hand.")])
    open_folder("tiny").write_status(SweepStatus("tiny", "done", 3, complete=2, cancelled=1))
    at = page(sweep="tiny", pane="Watch")
    assert "2 complete, 0 failed, 0 running, 1 cancelled." in unescaped(words(at))
    assert "3 of 3 trials, 1 cancelled" in progress(at)
    assert not [heading.value for heading in at.header if "failed" in heading.value]
    assert at.dataframe[0].value["state"].to_list()[0] == "cancelled"
    assert json.loads(sweep_trials.as_json(trial_rows(open_folder("tiny"))))[2]["state"] == "cancelled"


def test_a_failed_trial_shows_its_kind_and_reason(tiny):
    study(tiny, figures=[(0.8, 2.0), (0.9, 3.0), (0.7, 1.0)], failed=[("memory", "Out of memory on _cpu_.")])
    at = page("pareto", trial="3")
    assert unescaped(at.warning[0].value) == "Out of memory on _cpu_."
    assert "It failed: memory" in at.warning[0].proto.title
    assert "2 of 3 trials are on the front" not in words(at)
    assert "3 of 3 trials are on the front" in words(at)


def test_a_damaged_study_is_said_on_the_pareto_page(tiny):
    study(tiny)
    for path in open_folder("tiny").path.glob("study.db*"):
        path.unlink()
    sqlite3.connect(open_folder("tiny").path / "study.db").execute("create table x (y)").connection.close()
    assert "tiny" in unescaped(words(page("pareto")))
