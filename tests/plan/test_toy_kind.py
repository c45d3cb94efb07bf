"""A new pooling is one function and one record: it appears everywhere, and no other file is touched."""

import importlib.util
import itertools
import math
from pathlib import Path

import numpy as np
import pooling_oracle
import pytest
import torch

from poolsearch.app.views.by_hand import labels
from poolsearch.app.views.image import kinds_shown
from poolsearch.cli.tables import kinds_markdown
from poolsearch.config import parse
from poolsearch.errors import PlanError
from poolsearch.explain.stage import stage
from poolsearch.measure.arithmetic import Work, work
from poolsearch.measure.cost import layer_rows
from poolsearch.plan import Plan, PoolSpec
from poolsearch.plan.kinds import KINDS, Kind, Operations, windowed
from poolsearch.pooling import POOLINGS, fixed, pool, register, unregister
from poolsearch.pooling.geometry import framed
from poolsearch.pooling.windowed import maximum
from poolsearch.surgery import check, find_sites, possible_kinds, rebuild
from poolsearch.surgery.suggest import suggest
from poolsearch.sweep.search.space import space_of

NAME = "mid-range"
RECORD = Kind(
    "Mid-range",
    "y = (max x + min x) / 2",
    "Tukey 1977",
    averages=True,
    operations=Operations(2, -2, 0, 2),  # both ends, an addition and a half
    filters_first=False,
    also=("midpoint",),
)
CONFIG = """
study = "toy"
backbone = "smallnet/1x20x20"
[space]
kinds = ["avg", "mid-range"]
kernel = [2, 3]
stride = [2]
"""


def mid_range(x, spec):
    """Return the middle between the largest and the smallest value of each window."""
    x, win = framed(x, spec)
    return maximum(x, win) / 2 - maximum(-x, win) / 2


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(pooling_oracle.ALSO, NAME, lambda values: (values.amax(-1) + values.amin(-1)) / 2)
    register(NAME, RECORD, fixed(mid_range))
    yield
    unregister(NAME)


def battery():
    """Return the module whose checks every pooling passes."""
    path = Path(__file__).parents[1] / "pooling/test_pooling.py"
    spec = importlib.util.spec_from_file_location("battery", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_passes_the_battery():
    checks, ran = battery(), 0
    assert {NAME} < {spec.kind for spec in checks.SPECS}
    assert list(POOLINGS) == list(KINDS)
    for check_ in vars(checks).values():
        marks = [mark.args for mark in getattr(check_, "pytestmark", []) if mark.name == "parametrize"]
        names = [names if isinstance(names, str) else tuple(names) for names, _ in marks]
        for values in itertools.product(*(values for _, values in marks)):
            given = {}
            for name, value in zip(names, values, strict=True):
                given |= {name: value} if isinstance(name, str) else dict(zip(name, value, strict=True))
            if getattr(given.get("spec"), "kind", given.get("kind")) == NAME:
                check_(**given)
                ran += 1
    assert ran == 64  # 40 of its two windows, 24 of its borders and axes against the oracle


def test_it_is_a_word_of_a_plan_and_is_found_by_other_names():
    plan = Plan.parse("smallnet/1x20x20: stage1=mid-range k3 s2 p1")
    assert str(plan) == "smallnet/1x20x20: stage1=mid-range k3 s2 p1"
    with pytest.raises(PlanError, match=r"Did you mean 'mid-range'\? Nearest of 40: mid-range, "):
        PoolSpec.parse("midpoint k3")
    assert pool(torch.arange(16.0).view(1, 1, 4, 4), "mid-range k2 s2").flatten().tolist() == [2.5, 4.5, 10.5, 12.5]


def test_it_opens_at_a_site_and_has_a_row_of_cost():
    site = next(site for site in find_sites("smallnet", (1, 20, 20)) if site.name == "stage1")
    assert possible_kinds(site)[-1] == NAME
    plan = check(Plan.parse("smallnet/1x20x20").put(site.name, suggest(site, NAME)))
    assert str(plan) == "smallnet/1x20x20: stage1=mid-range k2 s2"
    assert rebuild(plan).eval()(torch.rand(2, 1, 20, 20)).shape == (2, 10)
    row = next(row for row in layer_rows(plan) if row.site == "stage1")
    assert (row.op, row.shape[1:], row.macs) == ("mid-range k2 s2", (10, 10), 0)
    assert row.other == row.shape[0] * 100 * (2 * 4 - 2 + 2)
    assert work(PoolSpec.parse("mid-range k2 s2"), (1, 4, 4), (1, 2, 2)) == Work(0, 24, 8)


def test_by_hand_tells_its_cells_by_its_own_gradient():
    shown = stage(np.arange(16, dtype=np.float32).reshape(4, 4), PoolSpec.parse("mid-range k2 s2"))
    first = shown.cells[0]
    assert [(term.value, term.weight) for term in first.terms] == [(0.0, 0.5), (5.0, 0.5)]
    assert shown.output == ((2.5, 4.5), (10.5, 12.5))


def test_it_stands_in_the_lists_of_the_pages_and_of_the_docs():
    assert labels()["Mid-range"] == NAME
    assert kinds_shown()[-1] == windowed()[-1] == NAME
    assert "| `mid-range` | `y = (max x + min x) / 2` | kernel, stride, padding, ceil |" in kinds_markdown(KINDS)


def test_sweeps_search_over_it():
    space = space_of(parse(CONFIG))
    assert NAME in space.choices["stage1.kind"]
    params = {name: NAME if name.endswith(".kind") else words[0] for name, words in space.choices.items()}
    assert "stage1=mid-range k2 s2" in str(space.plan(params))
    assert math.prod(len(set(words)) for words in space.choices.values()) >= space.n_plans


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("max", "There is a pooling 'max' already."),
        ("Mid range", "'Mid range' can't name a pooling. Possible: small letters, digits and single hyphens."),
    ],
)
def test_a_name_that_is_taken_or_that_a_plan_cannot_hold_is_refused(name, message):
    with pytest.raises(PlanError) as refused:
        register(name, RECORD, fixed(mid_range))
    assert message in str(refused.value)
