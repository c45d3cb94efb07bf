"""Find where a backbone throws pixels away, and put something else there.

open_network(name, size) -> the Network       find_sites(network) -> its sites
check(plan) -> the canonical Plan, or the reason it can't run
replayed(plan) -> the Replay: network, edits, trace, shapes, fields       rebuild(plan) -> the model
"""

from __future__ import annotations

from poolsearch.surgery.checking import Replay, check, find_sites, replayed
from poolsearch.surgery.edits import Edit, possible_kinds
from poolsearch.surgery.network import Network, open_network
from poolsearch.surgery.rebuild import rebuild

__all__ = [
    "Edit", "Network", "Replay", "check", "find_sites", "open_network", "possible_kinds", "rebuild", "replayed",
]  # fmt: skip
