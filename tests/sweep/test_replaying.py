"""What a trial that was run again says of itself: the same bits or not, how far away, and what is other around it."""

import pytest

from poolsearch.plan import Plan
from poolsearch.records.sweep import EpochRow, TrialRow
from poolsearch.sweep.running.replaying import Replay

AROUND = {"device": "cpu", "torch": "2.13", "threads": "1"}
RECORDED = TrialRow(
    3, "complete", Plan.parse("smallnet/1x12x12"), accuracy=0.75, loss=0.5, test_accuracy=0.7,
    curve=(EpochRow(1, 2.0, 1.5, 0.5), EpochRow(2, 1.0, 0.5, 0.75)), environment=tuple(AROUND.items()),
)  # fmt: skip


def again(environment=AROUND, here="cpu", **changes):
    """The same trial run now, with what is other."""
    curve = [
        {"epoch": 1, "train_loss": 2.0, "loss": 1.5, "accuracy": 0.5},
        {"epoch": 2, "train_loss": 1.0, "loss": 0.5, "accuracy": 0.75},
    ]
    figures = {"accuracy": 0.75, "loss": 0.5, "test_accuracy": 0.7, "curve": curve, "environment": environment}
    return Replay("tiny", RECORDED, figures | changes, here)


def test_the_same_figures_are_the_same_bits():
    assert again().same
    assert again().verdict == "The same result, bit for bit."
    assert again().away == {"accuracy": 0.0, "loss": 0.0}


@pytest.mark.parametrize(
    ("changes", "away"), [({"test_accuracy": 0.8}, 0.0), ({"curve": []}, 0.0), ({"curve": [], "accuracy": 0.5}, -0.25)]
)
def test_another_curve_or_test_is_another_result(changes, away):
    assert not again(**changes).same
    assert again(**changes).away["accuracy"] == away


@pytest.mark.parametrize(
    ("environment", "here", "why"),
    [
        (AROUND | {"torch": "2.14", "threads": "4"}, "cpu", ": torch was 2.13, is 2.14; threads was 1, is 4."),
        ({"device": "cpu", "threads": "1"}, "cpu", ": torch was 2.13, is none."),
        (AROUND, "cuda", ": on a GPU some sums are added in another order each time."),
        (AROUND, "cpu", ", though versions, device, threads, dtype and layout are those recorded."),
    ],
)
def test_what_may_have_changed_it_is_named(environment, here, why):
    replay = again(environment, here, accuracy=0.5, curve=[])
    assert replay.verdict == f"Not the same bits, within 25.00 points of accuracy{why}"
