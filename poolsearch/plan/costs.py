"""What each pooling costs, as `benchmarks/pooling.py --write` measured it, and how large each network is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("costs.json")


@dataclass(frozen=True)
class Cost:
    """Forward and backward of one kind at its usual window, (8, 32, 32, 32), one thread."""

    times: float  # the time of torch's average of 2x2 at stride 2, in channels_last, the layout that trains
    times_nchw: float  # the same in NCHW
    kept: float  # bytes kept for the backward pass, as a multiple of the input's


@lru_cache(maxsize=1)
def measured() -> dict[str, Cost]:
    """Return the cost of each kind that was measured."""
    return {name: Cost(row["ratio"], row["nchw"]["ratio"], row["kept"]) for name, row in _content()["kinds"].items()}


def measured_where() -> str:
    """Return on which machine and day, in words."""
    content = _content()
    machine = content["machine"]
    return f"{machine['cpu']}, torch {machine['torch']}, {content['date']}"


def _content() -> Any:
    return json.loads(FILE.read_text(encoding="utf-8"))
