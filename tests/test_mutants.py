"""Every hand-made fault of `make mutants` still has its line, so that a change of the code can't empty the list."""

import pytest
from mutants import MUTANTS, ROOT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.what)
def test_the_line_of_a_fault_stands_once_in_its_file(mutant):
    assert (ROOT / "poolsearch" / mutant.file).read_text(encoding="utf-8").count(mutant.right) == 1
    assert all((ROOT / path).exists() for path in mutant.tests.split())
