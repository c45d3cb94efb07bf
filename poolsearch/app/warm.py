"""What the app does once, before the first visitor. Knows neither Streamlit nor any page."""

import gc
import os
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from time import perf_counter

# Scripts (shell, cli) are not here: importing them would run them.
HEAVY = (
    "optuna",
    "pandas",  # Streamlit imports it for the first table: 70,000 objects that would come after the freeze
    "plotly.graph_objects",
    "poolsearch.plan",
    "poolsearch.pooling",
    "poolsearch.networks.backbones",
    "poolsearch.data.datasets",
    "poolsearch.surgery",
    "poolsearch.measure",
    "poolsearch.training",
    "poolsearch.sweep",
    "poolsearch.figures.network",
    "poolsearch.figures.trials",
    "poolsearch.explain.stage",
    "poolsearch.measure.cost",
    "poolsearch.measure.activations",
    "poolsearch.explain.shift",
    "poolsearch.sweep.running.launch",
)


def _record_backbones() -> None:
    """Find the sites of every backbone once, so that the first visitor does not wait for the recording (1 s)."""
    from poolsearch.errors import PoolsearchError
    from poolsearch.networks.backbones import BACKBONES
    from poolsearch.surgery import find_sites

    for name in BACKBONES:
        with suppress(PoolsearchError):  # a name that a package has taken, too: whoever opens it is told so
            find_sites(name)


def warm() -> float:
    """Import everything heavy, and return the seconds that it took."""
    start = perf_counter()
    import torch

    for name in filter(find_spec, HEAVY):
        import_module(name)
    _record_backbones()
    # One core stays free to answer the browser while a forward pass runs.
    torch.set_num_threads(max(1, (os.cpu_count() or 1) - 1))
    # Streamlit collects garbage after every run of a page. Frozen objects are not walked: 14-33 ms a click, not 280.
    gc.collect()
    gc.freeze()
    return perf_counter() - start
