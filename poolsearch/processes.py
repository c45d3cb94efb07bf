"""Processes: children that import this very Poolsearch, and what one system has for them and another has not.

Nothing here fails at import: what is missing is left out, and `lost` says in words what that costs.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import poolsearch
from poolsearch import locks

try:
    import resource as _resource
except ImportError:  # Windows
    resource: ModuleType | None = None
else:
    resource = _resource

POSIX = os.name == "posix"
_GROUP = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)  # Windows
APART: dict[str, Any] = {"start_new_session": True} if POSIX else {"creationflags": _GROUP}  # of a child: outlives us
OWN_GROUP: dict[str, Any] = {"process_group": 0} if POSIX else {"creationflags": _GROUP}  # Ctrl-C does not reach it


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


def signals(*names: str) -> frozenset[int]:
    """Return the numbers of the signals of these names that this system has: `signals("INT", "HUP")`."""
    return frozenset(getattr(signal, f"SIG{name}") for name in names if hasattr(signal, f"SIG{name}"))


def user() -> str:
    """Return what tells this machine's users apart in a file's name."""
    return str(os.getuid()) if hasattr(os, "getuid") else getpass.getuser()


def is_ours(found: os.stat_result) -> bool:
    """Return whether a file belongs to this user; Windows does not say."""
    return not hasattr(os, "getuid") or found.st_uid == os.getuid()


def give_way() -> None:
    """Let other processes be served before this one."""
    if hasattr(os, "nice"):
        os.nice(5)


def limit(limits: Mapping[str, int]) -> None:
    """Limit what this process may take: `{"RLIMIT_CPU": seconds, ...}`. Does nothing where there are no limits."""
    for name, most in limits.items():
        if resource and (kind := getattr(resource, name, None)) is not None:
            with contextlib.suppress(ValueError, OSError):  # a lower limit is set already
                resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))


def lost(platform: str = sys.platform) -> tuple[str, ...]:
    """Return what can't be had on this system, a sentence each; nothing on Linux."""
    found = []
    if not locks.POSSIBLE:
        found.append("no file locks: pages open, sweeps are refused")
    if platform == "win32":
        found.append("pipes of workers can't be waited for on Windows: run sweeps under WSL, pages and commands here")
    if resource is None:
        found.append("no limits for the reader of weights: open only files that you trust")
    elif platform != "linux":
        found.append("no limit on memory for the reader of weights: open only files that you trust")
    if platform != "linux":
        found.append("a worker outlives a coordinator that is killed until its trial ends")
    return tuple(found)
