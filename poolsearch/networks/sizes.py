"""How large each network is, as `benchmarks/surgery.py --write` counted it."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

NETWORKS = Path(__file__).with_name("networks.json")  # written by benchmarks/surgery.py --write


@lru_cache(maxsize=1)
def networks() -> dict[str, tuple[int, int, int]]:
    """Return (parameters, MACs, pixels) by name: MACs at the published input size, which is that many pixels long."""
    return {name: (row[0], row[1], row[2]) for name, row in json.loads(NETWORKS.read_text(encoding="utf-8")).items()}
