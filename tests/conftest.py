"""What all tests share: one thread, runs in a folder of their own, and a tiny sweep that ends in seconds."""

import pytest
import torch
from hypothesis import settings

# no deadline: a busy machine is no failure; the same cases in every run, so that a red run can be run again
settings.register_profile("poolsearch", deadline=None, derandomize=True)
settings.load_profile("poolsearch")

TINY = """
study = "tiny"
backbone = "smallnet/1x12x12"
trials = 5
[space]
kinds = ["max", "avg"]
kernel = [2]
stride = [2]
[training]
epochs = 1
batch = 32
[latency]
batch = 2
calls = 5
[clutter]
images = 100
canvas = 12
"""


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_runs(tmp_path_factory, monkeypatch):
    """Keep every test's sweeps out of the project's own."""
    folder = tmp_path_factory.mktemp("runs")
    monkeypatch.setenv("POOLSEARCH_RUNS", str(folder))
    return folder


@pytest.fixture
def tiny():
    """A config whose sweep takes seconds: 5 Plans of a 12-pixel smallnet, 100 images, one epoch."""
    from poolsearch.config import parse

    return parse(TINY)
