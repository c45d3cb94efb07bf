"""The site of `make docs`: every public name has an entry, the notebooks are in it, no page loads from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import poolsearch
from poolsearch import errors
from poolsearch.records import network, sweep

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return a function from a page's name to its HTML."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    silent = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(command, cwd=ROOT, env=silent, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.html")}


def entries(page):
    """Return the names that a page has an entry for, without the package they are from."""
    return {name.rpartition(".")[2] for name in re.findall(r'<h\d id="(poolsearch\.[\w.]+)"', page)}


def test_every_public_name_has_an_entry(site):
    assert set(poolsearch.__all__) <= entries(site["api.html"])
    assert {"parse", "put", "hash"} <= entries(site["api.html"])


def test_every_record_and_error_has_an_entry(site):
    for module in (network, sweep):
        own = {name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
        assert own <= entries(site["records.html"])
    kinds = {
        name
        for name, value in vars(errors).items()
        if getattr(value, "__module__", "") == errors.__name__ and isinstance(value, type)
    }
    assert entries(site["errors.html"]) == kinds


def test_a_field_is_explained_by_the_comment_on_its_line(site):
    cells = re.sub(r"<[^>]+>|\s+", " ", site["records.html"])
    assert re.search(r"cpu_ms +float +median thread_time ", cells)
    assert re.search(r"accuracy +float +top-1, 0 to 1 ", cells)


def test_the_readme_is_the_first_page_and_its_links_stay_within(site):
    assert "How does this network throw pixels away?" in site["index.html"]
    assert '<a href="plans.html">A Plan is a line of text</a>' in site["index.html"]
    assert '<a href="contributing.html">Contributing</a>' in site["index.html"]


def test_a_notebook_is_a_page_with_what_it_returned(site):
    assert "array([[5., 2.]," in site["notebooks/by_hand.html"]
    assert "<td>max k3 s2 p1</td>" in site["notebooks/by_hand.html"]
    assert "Plotly.newPlot(" in site["notebooks/a_sweep_in_pandas.html"]


def test_a_bar_in_a_table_of_code_is_a_bar(site):
    assert "<code>y = (Σ |x|^norm)^(1/norm)</code>" in site["poolings.html"]


def test_no_page_loads_from_elsewhere(site):
    for name, page in site.items():
        assert re.findall(r'<(?:script|img|iframe)[^>]* src="(?:https?:)?//[^"]*"', page) == [], name
        assert re.findall(r'<link[^>]* href="(?:https?:)?//[^"]*"', page) == [], name
