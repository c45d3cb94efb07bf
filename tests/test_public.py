"""What `import poolsearch` offers, and that it costs nothing until it is used."""

import subprocess
import sys

import pytest

import poolsearch
from poolsearch.measure.cost import layer_rows
from poolsearch.pooling import pool
from poolsearch.surgery import find_sites, rebuild


def test_the_public_names_are_those_of_their_homes():
    assert (poolsearch.pool, poolsearch.find_sites, poolsearch.rebuild) == (pool, find_sites, rebuild)
    assert poolsearch.layer_rows is layer_rows
    assert all(getattr(poolsearch, name).__doc__ for name in poolsearch.__all__)
    assert set(poolsearch.__all__) <= set(dir(poolsearch))


def test_a_name_that_there_is_not_is_refused_with_those_that_there_are():
    with pytest.raises(AttributeError, match="no attribute 'pol'. Public: Plan, PoolSpec, find_sites"):
        poolsearch.pol  # noqa: B018


def test_a_plan_needs_no_torch():
    code = "import sys, poolsearch; poolsearch.Plan.parse('smallnet/1x20x20'); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
