"""Pooling by hand: the arithmetic of every cell gives the operator's own number."""

import numpy as np
import pytest

from poolsearch.errors import WindowError
from poolsearch.plan import PoolSpec
from poolsearch.pooling.stage import FORMS, stage

PICTURE = np.random.default_rng(0).random((8, 8)).astype(np.float32)
SPECS = [
    "max k2 s2", "max k3 s2 p1 ceil", "max k3 s1 d2", "avg k2 s2", "avg k3 s2 p1", "avg k3 s2 p1 ceil uncounted",
    "avg k3 s2 p1 ceil", "lp k2 s2", "lp k3 s2 p1 norm=3", "soft k2 s2", "soft k3 s2 p1 beta=5", "blur k3 s2 p1",
    "blur k5 s2 p2", "max-blur k3 s2 p1", "min k2 s2", "median k2 s2", "median k3 s2 p1", "mixed k2 s2 alpha=0.3",
    "max k3 s2 same-upper",
    "avg k3 s2 same-lower uncounted", "avg k3 s2 same-upper", "min k2 s2 d2",
    "stochastic k2 s2", "stochastic k3 s2 p1", "subsample s3", "global-avg", "global-max",
]  # fmt: skip


def by_arithmetic(shown, cell):
    values = [term.value for term in cell.terms]
    if shown.form == "pick":
        return cell.terms[cell.winner].value if cell.winner is not None else float(np.median(values))
    if shown.form == "mean":
        return sum(values) / cell.divisor
    if shown.form == "root":
        return sum(abs(value) ** shown.norm for value in values) ** (1 / shown.norm)
    if shown.form == "weighted":
        return sum(term.value * term.weight for term in cell.terms)
    return values[0]


@pytest.mark.parametrize("text", SPECS)
def test_what_is_written_is_what_the_operator_returned(text):
    shown = stage(PICTURE, PoolSpec.parse(text))
    numbers = [value for row in shown.output for value in row]
    assert len(numbers) == len(shown.cells)
    for cell, number in zip(shown.cells, numbers, strict=True):
        assert by_arithmetic(shown, cell) == pytest.approx(number, abs=2e-5)
        assert all(shown.input[term.row][term.column] == term.value for term in cell.terms)


def test_every_form_is_covered_and_the_id_changes_with_the_choice():
    assert {PoolSpec.parse(text).kind for text in SPECS} == set(FORMS)
    assert len({stage(PICTURE, PoolSpec.parse(text)).id for text in SPECS}) == len(SPECS)
    assert stage(PICTURE, PoolSpec.parse("max k2 s2")).id == stage(PICTURE, PoolSpec.parse("max k2")).id


def test_a_window_that_does_not_fit_is_refused():
    with pytest.raises(WindowError, match="larger than the 8-pixel map"):
        stage(PICTURE, PoolSpec.parse("max k9 s1"))
