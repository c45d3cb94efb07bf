"""Child processes of Poolsearch: each imports the package that started it, wherever that is installed."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import poolsearch


def module(name: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module of Poolsearch.

    `-P` keeps the working folder off the import path: a `random.py` there must not stand in for Python's own.
    """
    return [sys.executable, "-P", "-m", name, *arguments]


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment for a child, changed by `more`, with the package on its import path."""
    return importable(os.environ) | more


def importable(variables: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables with which a child imports the same Poolsearch: a checkout needs PYTHONPATH."""
    place = str(Path(poolsearch.__file__).resolve().parent.parent)
    paths = [path for path in variables.get("PYTHONPATH", "").split(os.pathsep) if path]
    if place in paths or place in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib")):
        return dict(variables)
    return {**variables, "PYTHONPATH": os.pathsep.join([place, *paths])}
