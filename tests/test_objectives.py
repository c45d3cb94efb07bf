"""Each objective is one record: it is read, shown, checked and drawn by that alone."""

from pathlib import Path

import pytest

from poolsearch.app.views.sweeps.trials import as_csv, table_rows
from poolsearch.config import parse
from poolsearch.errors import ConfigError, TrialFailed
from poolsearch.figures.trials import pareto
from poolsearch.measure.cost import layer_rows, totals
from poolsearch.objectives import OBJECTIVES, axes, costs_of, possible, third
from poolsearch.plan import Plan
from poolsearch.records.sweep import SweepStatus, TrialRow
from poolsearch.sweep.search.front import directions, mark_front
from poolsearch.sweep.study.results import values

PLAN = Plan.parse("smallnet/1x20x20")
FIGURES = {"accuracy": 0.75, "loss": 0.5, "latency": {"ms": 2.0}, "costs": costs_of(totals(layer_rows(PLAN)))}
OF_PLAN = [name for name, objective in OBJECTIVES.items() if objective.of_totals]
COSTS = [name for name, objective in OBJECTIVES.items() if not objective.trained]


def row(number, **figures):
    return TrialRow(number, "complete", PLAN, **{"accuracy": 0.5, "loss": 1.0, "latency_ms": 1.0} | figures)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_is_read_off_a_trial_shown_and_drawn(name):
    objective = OBJECTIVES[name]
    cost = name if not objective.trained else "latency_ms"
    config = parse(
        f'study = "s"\nbackbone = "smallnet"\nobjectives = ["{"accuracy" if cost == name else name}", "{cost}"]'
    )
    value = values(FIGURES, config)[config.objectives.index(name)]
    trial = row(0, accuracy=0.75, loss=0.5, latency_ms=2.0, costs=tuple(FIGURES["costs"].items()))
    assert objective.of(trial) == value
    assert objective.shown(value).endswith(objective.unit)
    assert objective.shown(None) == "–"
    assert directions(config)[config.objectives.index(name)] == (
        "maximize" if objective.higher_is_better else "minimize"
    )
    figure = pareto([trial], objectives=config.objectives)
    assert objective.axis in (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text)
    assert (
        table_rows(SweepStatus("s", "done", 1), [trial], config.objectives)[0][objective.column]
        == objective.scale * value
    )
    assert name in as_csv([trial]).splitlines()[0].split(",")


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -1.0, "1", True])
def test_a_figure_that_cannot_be_is_refused(name, value):
    assert not OBJECTIVES[name].allows(value)


@pytest.mark.parametrize("name", OF_PLAN)
def test_what_follows_from_the_plan_alone_is_asked_of_a_trial_only_where_it_is_traded(name):
    bare = {key: value for key, value in FIGURES.items() if key != "costs"}
    text = 'study = "s"\nbackbone = "smallnet"\nobjectives = ["accuracy", "{}"]'
    assert values(bare, parse(text.format("latency_ms"))) == [0.75, 2.0]
    with pytest.raises(TrialFailed, match=f"lacks one of these: accuracy, loss, latency_ms, {name}"):
        values(bare, parse(text.format(name)))


def test_what_can_be_traded():
    assert possible(("accuracy", "latency_ms"))
    assert possible(("latency_ms", "loss"))
    assert not possible(("accuracy", "loss"))
    assert not possible(("accuracy",))
    assert not possible(("accuracy", "latency_ms", "latency_ms"))
    with pytest.raises(ConfigError, match="Objectives are one of accuracy or loss, and"):
        parse('study = "s"\nbackbone = "smallnet"\nobjectives = ["accuracy", "loss"]')


def test_the_third_figure_is_the_colour_of_the_front():
    trials = [
        row(n, accuracy=0.5 + n / 10, latency_ms=1.0 + n, costs=(("peak_mib", 2.0),), on_front=True) for n in (0, 1)
    ]
    objectives = ("accuracy", "latency_ms", "peak_mib")
    assert third(objectives) == OBJECTIVES["peak_mib"]
    assert third(("accuracy", "peak_mib")) is None
    marker = next(trace for trace in pareto(trials, objectives=objectives).data if trace.name == "On the front").marker
    assert list(marker.color) == [2.0, 2.0]
    assert (marker.cmin, marker.cmax) == (1.8, 2.2)  # where all are alike the scale stays about them
    assert marker.colorbar.title.text == "peak memory, MiB"


def test_a_beaten_trial_may_be_on_the_front_in_a_third_figure():
    trials = [row(0, costs=(("peak_mib", 2.0),)), row(1, accuracy=0.4, costs=(("peak_mib", 1.0),))]
    on_front = lambda names: [one.on_front for one in mark_front(trials, names)]  # noqa: E731
    assert on_front(("accuracy", "latency_ms")) == [True, False]
    assert on_front(("accuracy", "latency_ms", "peak_mib")) == [True, True]
    assert [one.name for one in axes(("peak_mib", "accuracy"))] == ["peak_mib", "accuracy"]


def test_the_page_on_commands_names_every_objective():
    text = (Path(__file__).parents[1] / "docs/commands.md").read_text()
    assert all(f"`{name}`" in text for name in OBJECTIVES)
