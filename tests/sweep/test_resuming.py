"""What goes on, what starts anew, what is refused; and that a refusal leaves nothing behind."""

import pytest

from poolsearch.config import parse, to_toml
from poolsearch.errors import EngineError, PoolsearchError, StudyError
from poolsearch.records.sweep import SweepStatus
from poolsearch.sweep.folder import folder
from poolsearch.sweep.folder.folder import Options, open_folder
from poolsearch.sweep.running import launch
from poolsearch.sweep.running.preflight import merged
from poolsearch.sweep.running.run import run
from poolsearch.sweep.study.reader import trial_rows
from tests.sweep.scripted import ScriptedEngine, done


class Stopwatch(ScriptedEngine):
    """Counts how often all networks are timed together, and finds others each time."""

    def __init__(self):
        super().__init__(lambda job: done())
        self.rounds = 0

    def poll(self, timeout):
        answers = super().poll(timeout)
        for answer in answers:
            if "latencies" in answer:
                self.rounds += 1
                for each in answer["latencies"]:
                    each["ms"] = 10.0 + Stopwatch.total
                    Stopwatch.total += 1
        return answers


Stopwatch.total = 0


def sweep(config, engine=None, **more):
    return run(config, make_engine=lambda *_: engine or ScriptedEngine(lambda job: done()), **more)


def test_a_name_that_is_not_there_is_not_resumed_and_the_nearest_is_named(tiny, own_runs):
    sweep(tiny)
    before = sorted(own_runs.rglob("*"))
    with pytest.raises(StudyError) as refused:
        sweep(tiny.model_copy(update={"study": "tyny"}), resume=True)
    assert str(refused.value) == (
        "There is no sweep called 'tyny'. Did you mean 'tiny'? Sweeps here: tiny. Omit --resume to start it, or use "
        "--resume-or-start."
    )
    assert sorted(own_runs.rglob("*")) == before
    assert len(sweep(tiny.model_copy(update={"study": "tyny"}), or_start=True).rows) == 5
    assert len(sweep(tiny.model_copy(update={"study": "tyny", "trials": 6}), or_start=True).rows) == 6


def test_a_finished_sweep_that_is_resumed_shows_what_it_has_and_is_timed_on_demand_alone(tiny):
    first, second, third, fourth = Stopwatch(), Stopwatch(), Stopwatch(), Stopwatch()
    rows = sweep(tiny, first).rows
    again = sweep(tiny, second, resume=True)
    assert (first.rounds, second.rounds, second.seen) == (1, 0, [])
    assert again.rows == rows
    assert again.status.state == "done"
    assert again.status.message == (
        "All 5 trials already existed, and nothing was measured. To time them again: "
        "python -m poolsearch sweep time tiny"
    )
    assert sweep(tiny, third, retime=True).rows != rows
    assert third.rounds == 1
    assert len(sweep(tiny.model_copy(update={"trials": 6}), fourth, resume=True).rows) == 6
    assert fourth.rounds == 1  # a further trial: only what was measured together is fit to be compared


def test_a_budget_below_what_is_there_is_said(tiny):
    sweep(tiny)
    less = sweep(tiny.model_copy(update={"trials": 3}), resume=True)
    assert len(less.rows) == 5
    assert less.status.message == "It has 5 trials, more than its budget of 3: no more are run."


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (Options(workers=0), "Workers go from 1 to 256, got 0. Nearest: 1."),
        (Options(device="gpu"), "Unknown device 'gpu'."),
        (Options(storage="mysql://u@h/d"), "Unknown storage 'mysql'."),
    ],
)
def test_a_refusal_uses_up_no_name(tiny, own_runs, options, sentence, monkeypatch):
    monkeypatch.setattr(launch, "_spawn", lambda home, config, flags: None)
    with pytest.raises(PoolsearchError, match=sentence):
        launch.start(tiny, options)
    with pytest.raises(PoolsearchError, match=sentence):
        run(tiny, options)
    assert list(own_runs.iterdir()) == []
    assert launch.start(tiny, Options()) == open_folder("tiny")


def test_a_config_that_cannot_be_and_a_place_without_workers_leave_nothing(tiny, own_runs):
    def no_cluster(*_):
        raise EngineError("No Ray cluster answers.")

    wrong = tiny.model_copy(update={"data": "digitz"})
    with pytest.raises(PoolsearchError, match="Unknown data set 'digitz'"):
        sweep(wrong)
    with pytest.raises(EngineError):
        run(tiny, make_engine=no_cluster)
    assert list(own_runs.iterdir()) == []
    assert len(sweep(tiny.model_copy(update={"seed": 7})).rows) == 5  # and other settings are no matter


def test_a_seed_is_one_that_every_generator_takes(tiny):
    import numpy as np
    import torch

    largest = parse(to_toml(tiny), (f"seed={2**32 - 1}",)).seed
    np.random.RandomState(largest)
    torch.Generator().manual_seed(largest)
    with pytest.raises(PoolsearchError, match="seed in the config: input should be less than 4294967296"):
        parse(to_toml(tiny), (f"seed={2**32}",))


def test_a_sweep_that_was_refused_in_the_background_says_why_and_its_name_is_free(tiny, monkeypatch):
    monkeypatch.setattr(launch, "_spawn", lambda home, config, flags: None)
    launch.start(tiny, Options())
    open_folder("tiny").write_status(SweepStatus("tiny", "starting", 5))

    def no_cluster(*_):
        raise EngineError("No Ray cluster answers.")

    with pytest.raises(EngineError):
        run(tiny, make_engine=no_cluster)
    status = open_folder("tiny").status()
    assert (status.state, status.message) == ("failed", "No Ray cluster answers.")
    other = tiny.model_copy(update={"seed": 7})
    assert launch.start(other, Options()) == open_folder("tiny")
    assert open_folder("tiny").config().seed == 7


def test_a_study_that_has_begun_keeps_its_name(tiny, monkeypatch):
    monkeypatch.setattr(launch, "_spawn", lambda home, config, flags: None)
    sweep(tiny)
    with pytest.raises(StudyError, match="There is already a sweep called 'tiny'. Choose another name."):
        launch.start(tiny, Options())
    with pytest.raises(StudyError, match="'tiny' already exists with 5 trials done. Continue it with --resume"):
        sweep(tiny)


# ------------------------------------------------------------------------------------- what identifies a study


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"workers": "two"}', '{"storage": 5}', '{"workers": 1e999}', "[" * 5000]
)
def test_a_damaged_options_file_is_an_error_and_nothing_begins_anew(tiny, content):
    sweep(tiny)
    folder.rename(open_folder("tiny"), "spring")
    path = open_folder("spring").path / "options.json"
    path.write_text(content)
    config = tiny.model_copy(update={"study": "spring"})
    for look in (
        lambda: sweep(config, resume=True),
        lambda: sweep(config, or_start=True),
        lambda: trial_rows(open_folder("spring")),
        lambda: folder.rename(open_folder("spring"), "summer"),
    ):
        with pytest.raises(StudyError) as refused:
            look()
        assert str(refused.value).startswith(f"'{path}' is damaged (")
        assert "If the study is in the folder itself (study.db), write {} into the file" in str(refused.value)
    assert path.read_text() == content
    path.write_text("{}")  # as the sentence says
    assert len(sweep(config, resume=True).rows) == 5


def test_a_renamed_sweep_whose_options_are_lost_goes_on_with_its_own_study(tiny):
    rows = sweep(tiny).rows
    folder.rename(open_folder("tiny"), "spring")
    (open_folder("spring").path / "options.json").unlink()
    config = tiny.model_copy(update={"study": "spring", "trials": 6})
    assert trial_rows(open_folder("spring")) == rows
    assert len(sweep(config, resume=True).rows) == 6


def test_a_sweep_whose_study_is_elsewhere_and_not_known_where_does_not_begin_anew(tiny, tmp_path):
    options = merged(open_folder("tiny"), storage=f"sqlite:///{tmp_path}/study.db")
    run(tiny, options, make_engine=lambda *_: ScriptedEngine(lambda job: done()))
    (open_folder("tiny").path / "options.json").unlink()
    with pytest.raises(StudyError, match=r"options.json' is missing. It records where the study of 'tiny' is kept"):
        sweep(tiny, resume=True)


@pytest.mark.parametrize(("deaths", "tries", "ms"), [(0, 1, 10.0), (2, 3, 10.0), (9, 3, 2.0)])
def test_when_the_worker_dies_that_times_all_networks_it_is_tried_twice_more(tiny, deaths, tries, ms):
    """Where it can't be done, the figures of the trials stand."""
    asked = []

    class Dying(ScriptedEngine):
        def poll(self, timeout):
            answers = super().poll(timeout)
            for answer in [answer for answer in answers if "latencies" in answer]:
                asked.append(answer["attempt"])
                answer["latencies"] = [{"ms": 10.0, "low_ms": 9.0, "high_ms": 11.0} for _ in answer["latencies"]]
                if len(asked) <= deaths:
                    answers[answers.index(answer)] = {
                        "event": "died", "id": answer["id"], "attempt": answer["attempt"], "reason": "Signal 9.",
                        "outside": True,
                    }  # fmt: skip
            return answers

    outcome = sweep(tiny, Dying(lambda job: done()))
    assert asked == [1, 2, 3][:tries]
    assert outcome.status.state == "done"
    assert {row.latency_ms for row in outcome.rows} == {ms}


def test_the_last_lines_of_a_log_and_none_where_there_is_no_log(tiny):
    home = open_folder("tiny")
    assert launch.log_tail(home) == ""
    home.path.mkdir(parents=True)
    home.log_file.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert launch.log_tail(home, lines=2) == "line 998\nline 999"
