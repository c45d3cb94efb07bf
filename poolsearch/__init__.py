"""Poolsearch: how does this network throw pixels away?"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from poolsearch.measure.cost import layer_rows
    from poolsearch.plan import Plan, PoolSpec
    from poolsearch.pooling import pool
    from poolsearch.surgery.checking import find_sites
    from poolsearch.surgery.network import open_network
    from poolsearch.surgery.rebuild import rebuild

__version__ = "0.1.0"
__all__ = ["Plan", "PoolSpec", "find_sites", "layer_rows", "open_network", "pool", "rebuild"]

_HOMES = {  # opened at first use: a Plan needs no torch, and torch takes a second
    "Plan": "poolsearch.plan",
    "PoolSpec": "poolsearch.plan",
    "find_sites": "poolsearch.surgery",
    "layer_rows": "poolsearch.measure.cost",
    "open_network": "poolsearch.surgery",
    "pool": "poolsearch.pooling",
    "rebuild": "poolsearch.surgery",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'poolsearch' has no attribute '{name}'. Public: {', '.join(__all__)}.")
    value: object = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
