"""What one system has for processes and another has not: nothing fails at import, and what is lost is said."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from poolsearch import locks, processes

ROOT = Path(__file__).parents[1]
PAGES = ("by_hand", "image", "backbone", "maps", "compare", "sweeps", "pareto")
WITHOUT = """
import sys
import psutil  # on Linux it is made on resource, on Windows it is not
sys.modules["fcntl"] = sys.modules["resource"] = None  # an import of either fails, as on Windows
import signal
del signal.SIGHUP
"""
OPEN = """
from streamlit.testing.v1 import AppTest
for name in sys.argv[1:]:
    at = AppTest.from_file("poolsearch/app/shell.py", default_timeout=120).run()
    at = at if name == "by_hand" else at.switch_page(f"../pages/{name}.py").run()
    assert not at.exception, (name, at.exception)
    print(name)
"""


def without(code, *words, **more):
    """Return what a script printed in a Python that has neither fcntl nor resource nor SIGHUP."""
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT + code, *words], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, **more},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout.split("\n")[:-1]


def test_all_pages_open_without_fcntl_and_resource(tmp_path):
    assert without(OPEN, *PAGES, POOLSEARCH_RUNS=str(tmp_path)) == list(PAGES)


def test_a_sweep_is_refused_in_words_where_there_are_no_locks(tmp_path):
    code = """
from pathlib import Path
from poolsearch.errors import PoolsearchError
from poolsearch.sweep.folder.lease import holder, lease
try:
    with lease(Path(sys.argv[1])):
        pass
except PoolsearchError as error:
    print(error)
print(holder(Path(sys.argv[1])))
"""
    assert without(code, str(tmp_path)) == ["This system has no file locks, so no sweep can run here.", "None"]


def test_what_is_lost_is_said_by_system(monkeypatch):
    assert processes.lost("linux") == ()
    assert processes.lost("darwin") == (
        "no limit on memory for the reader of weights: open only files that you trust",
        "a worker outlives a coordinator that is killed until its trial ends",
    )
    monkeypatch.setattr(processes, "resource", None)
    monkeypatch.setattr(locks, "POSSIBLE", False)
    assert [sentence.partition(":")[0] for sentence in processes.lost("win32")] == [
        "no file locks",
        "pipes of workers can't be waited for on Windows",
        "no limits for the reader of weights",
        "a worker outlives a coordinator that is killed until its trial ends",
    ]


def test_signals_are_those_that_the_system_has():
    assert processes.signals("INT", "NONE") == {signal.SIGINT}


def test_a_child_imports_this_package_before_any_other(tmp_path):
    (tmp_path / "poolsearch.py").write_text("raise SystemExit('the wrong one')")
    (tmp_path / "random.py").write_text("raise SystemExit('not the library')")
    ended = subprocess.run(
        processes.module("poolsearch", "--help"), cwd=tmp_path, env=processes.environment(), capture_output=True
    )
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(("own", "wanted"), [("", str(ROOT)), ("/a", f"{ROOT}{os.pathsep}/a"), (str(ROOT), str(ROOT))])
def test_a_checkout_is_put_on_the_path_of_a_child_once(own, wanted):
    assert processes.importable({"PYTHONPATH": own})["PYTHONPATH"] == wanted
