"""Figures of trials: what they hold for given rows, and a figure that says so for none."""

from poolsearch.figures import trials as figures
from poolsearch.plan import Plan
from poolsearch.records.sweep import EpochRow, TrialRow


def trial(number, accuracy, ms, **fields):
    return TrialRow(number, "complete", Plan("a", (1, 8, 8)), accuracy=accuracy, latency_ms=ms, **fields)


def test_the_pareto_figure_tells_front_beaten_and_published_apart():
    rows = [trial(0, 0.8, 2.0, published=True), trial(1, 0.9, 3.0, on_front=True), trial(2, 0.7, 1.0, on_front=True)]
    figure = figures.pareto(rows, chosen=1)
    traces = {trace.name: trace for trace in figure.data if trace.name}
    assert traces["On the front"].customdata == (2, 1)  # fastest first
    assert traces["On the front"].selectedpoints == (1,)
    assert traces["Beaten"].customdata == (0,)
    assert traces["Published network"].customdata == (0,)


def test_no_rows_give_a_figure_that_says_so():
    beaten = trial(0, 0.5, 1.0)
    for figure in (
        figures.pareto([]),
        figures.fronts([]),
        figures.fronts([("x", [beaten])]),
        figures.learning_curve(beaten),
    ):
        assert figure.layout.annotations[0].text
        assert not figure.data


def test_a_learning_curve_has_a_point_an_epoch():
    curve = (EpochRow(1, 2.0, 1.5, 0.4), EpochRow(2, 1.0, 0.9, 0.7))
    assert list(figures.learning_curve(trial(0, 0.7, 1.0, curve=curve)).data[0].y) == [0.4, 0.7]


def test_the_fronts_of_several_sweeps_have_each_a_colour_and_a_symbol():
    one = [trial(0, 0.8, 2.0, on_front=True), trial(1, 0.7, 3.0), trial(2, 0.6, 1.0, on_front=True)]
    two = [trial(0, 0.9, 4.0, on_front=True)]
    a, b = figures.fronts([("one", one), ("two", two)]).data
    assert (a.name, a.customdata, list(a.y)) == ("one", (2, 0), [0.6, 0.8])  # fastest first, the beaten one left out
    assert (b.name, list(b.x)) == ("two", [4.0])
    assert a.line.color != b.line.color
    assert a.marker.symbol != b.marker.symbol


def test_a_seventh_sweep_is_left_out():
    named = [(str(number), [trial(0, 0.5, 1.0, on_front=True)]) for number in range(7)]
    assert [trace.name for trace in figures.fronts(named).data] == ["0", "1", "2", "3", "4", "5"]
