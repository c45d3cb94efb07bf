"""The notebooks of the docs run, and what they show is right; by hand it is also what is stored in the file."""

import re
import tempfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "notebooks"


@pytest.fixture
def executed(tmp_path, monkeypatch):
    """Return what runs a notebook and gives back its cells; a kernel keeps its files in a folder that goes away."""
    with tempfile.TemporaryDirectory() as short:  # a socket's path has some hundred letters at most
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", short)
        monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
        monkeypatch.setenv("TMPDIR", str(tmp_path))

        def execute(name):
            notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
            sockets = Config({"KernelManager": {"transport": "ipc"}})  # files instead of ports
            at = {"metadata": {"path": str(ROOT)}}
            return NotebookClient(notebook, config=sockets, timeout=120, resources=at).execute().cells

        yield execute


def texts(cells):
    """Return the text of each cell's outputs, of those that have any, and refuse what went to stderr."""
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    assert [output["text"] for output in outputs if output.get("name") == "stderr"] == []
    plain = (output.get("text") or output["data"].get("text/plain", "") for output in outputs)
    return [re.sub(r"[ \n]+", " ", text).strip() for text in plain]


def table(cell):
    """Return the rows of a table that a cell returned, as texts, each with its index first."""
    shown = cell["outputs"][0]["data"]["text/html"].partition("<tbody>")[2]
    return [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in shown.split("</tr>")[:-1]]


def test_pooling_by_hand_shows_what_is_stored(executed):
    shown = texts(executed("by_hand"))
    assert shown == texts(nbformat.read(FOLDER / "by_hand.ipynb", as_version=4).cells)
    assert shown[0] == shown[1] == "array([[5., 2.], [2., 7.]], dtype=float32)"
    assert shown[2] == "first corner avg k3 s2 p1 1.44 avg k3 s2 p1 uncounted 3.25"
    assert shown[3] == "{'max k3 s2 p1': 0.3, 'max-blur k3 s2 p1': 0.23}"
    assert "1 stem (32, 32) (16, 16) max k3 s2 p1 2 layer2" in shown[4]
    assert shown[5] == "'resnet18/3x64x64: stem=max-blur k3 s2 p1'"
    assert shown[6] == "Unknown site 'pool' in 'resnet18'. Possible: conv1, stem, layer2, layer3, layer4, head."
    assert "'same weights': True, 'output': (1, 1000)" in shown[7]
    assert "MACs 148557824 148705280 0.1 comparisons 131072 524288 300.0" in shown[9]


def test_a_sweep_in_pandas_ends_with_its_front(executed):
    cells = executed("a_sweep_in_pandas")
    assert texts(cells)[0] == "{'study': 'tiny', 'state': 'done', 'counts': {'complete': 8}, 'failures': {}}"
    front, trials, by_pooling, curves = (table(cell) for cell in cells if ".round(3)" in cell["source"])
    figures = {number: (float(accuracy), -float(ms)) for number, accuracy, _, ms, *_ in trials}
    assert len(figures) == 8 and all(0.8 < accuracy <= 1 and -20 < ms < 0 for accuracy, ms in figures.values())
    assert {number for number, *_, on_front, _ in trials if on_front == "True"} == {number for _, number, *_ in front}
    for _, number, *_ in front:  # no trial is better in both figures
        assert not any(a > figures[number][0] and ms > figures[number][1] for a, ms in figures.values())
    assert trials[0][-1] == "published"
    assert sum(int(count) for _, count, *_ in by_pooling) == 8
    assert [epoch for epoch, *_ in curves] == ["1", "2"]
    assert curves[1][1:] == [row[1] for row in trials]  # the last epoch is the trial's figure
    drawn = cells[-1]["outputs"][0]["data"]["application/vnd.plotly.v1+json"]["data"]
    assert {"On the front", "Published network"} <= {trace.get("name") for trace in drawn}
