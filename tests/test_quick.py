"""Which tests a touched file makes `make quick` run."""

import pytest
import quick


@pytest.mark.parametrize(
    ("file", "tests"),
    [
        ("poolsearch/plan/kinds.py", "tests/plan"),
        ("poolsearch/sweep/running/run.py", "tests/sweep"),
        ("poolsearch/pages/maps.py", "tests/app"),
        ("poolsearch/config.py", "tests/test_config.py"),
        ("tests/plan/test_plan.py", "tests/plan/test_plan.py"),
        ("tests/sweep/processes.py", ""),
        ("docs/cluster.md", "tests/test_docs.py"),
        ("docs/notebooks/by_hand.ipynb", "tests/test_notebooks.py"),
        ("README.md", ""),
    ],
)
def test_a_file_is_tested_by_its_part(file, tests):
    assert quick.tests_of(file) == tests


def test_floors_are_always_run():
    assert set(quick.ALWAYS) <= set(quick.touched())
