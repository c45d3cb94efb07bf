"""Find where a backbone throws pixels away, and put something else there.

find_sites(backbone, size) -> the sites        check(plan) -> the canonical Plan, or the reason it can't run
replayed(plan) -> trace, shapes, fields        rebuild(plan) -> the model
"""

from __future__ import annotations

from poolsearch.surgery.checking import check, find_sites, replayed
from poolsearch.surgery.edits import Edit, canonical, edits, possible_kinds
from poolsearch.surgery.rebuild import rebuild

__all__ = ["Edit", "canonical", "check", "edits", "find_sites", "possible_kinds", "rebuild", "replayed"]
