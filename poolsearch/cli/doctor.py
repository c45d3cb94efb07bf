"""What is installed, which device there is, what will not work, and the line that fixes it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from poolsearch import files

_ROOT = Path(__file__).parents[2]
OPTIONAL = (  # package, version, what it opens
    ("timm", "1.0.31", "backbones named timm.NAME"),
    ("onnx", "1.23.2", "the inventory of ONNX files"),
    ("psycopg", "3.3.9", "sweeps whose study is in PostgreSQL"),
    ("ray", "2.60.0", "sweeps on a cluster"),
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    ok: bool
    fix: str = ""


def findings() -> list[Finding]:
    """Return what was found, in the order a person would mend it."""
    found = [_python(), *_packages()]
    if all(finding.ok for finding in found):
        found += [_torchvision(), _device()]
    found += [_optional(*wanted) for wanted in OPTIONAL]
    return [*found, _runs()]


def _python() -> Finding:
    name = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    return Finding(f"Python {name}", good, "" if good else "install Python 3.11 and run make app again")


def pinned() -> dict[str, str]:
    """Return package and version of each line of requirements.txt."""
    lines = (_ROOT / "requirements.txt").read_text().splitlines()
    pairs = [line.split("#")[0].strip().split("==") for line in lines if "==" in line.split("#")[0]]
    return {pair[0]: pair[1] for pair in pairs}


def _packages() -> list[Finding]:
    found = []
    for name, wanted in pinned().items():
        try:
            got = version(name).partition("+")[0]
        except PackageNotFoundError:
            found.append(Finding(f"{name} is not installed", False, f"pip install {name}=={wanted}"))
            continue
        same = got == wanted
        text = f"{name} {got}" if same else f"{name} {got}, made for {wanted}"
        found.append(Finding(text, same, "" if same else f"pip install {name}=={wanted}"))
    return found


def _optional(name: str, wanted: str, opens: str) -> Finding:
    """Return whether a package is there that only one thing needs; without it nothing else is wrong."""
    try:
        return Finding(f"{name} {version(name)}, for {opens}", True)
    except PackageNotFoundError:
        return Finding(f"no {name}: {opens} need it (pip install {name}=={wanted})", True)


def _torchvision() -> Finding:
    from poolsearch.networks import vision

    try:
        vision.models()
    except Exception as error:  # whatever torchvision's import raises is the finding
        fix = "pip install torchvision built for this torch"
        return Finding(f"torchvision can't be imported: {error}", False, fix)
    note = ", its compiled operators declared by hand (CPU-only torch)" if vision.needs_shim() else ""
    return Finding(f"torchvision opens its networks{note}", True)


def _device() -> Finding:
    from poolsearch import devices

    return Finding(f"computes on {devices.describe(devices.resolve('auto'))}", True)


def _runs() -> Finding:
    from poolsearch.sweep.folder.folder import runs_folder

    folder = runs_folder()
    share = files.network_share(folder)
    if share:
        fix = "set POOLSEARCH_RUNS to a local folder, or give sweeps --storage postgresql+psycopg://user@host/database"
        return Finding(f"sweeps are kept in {folder}, on a network file system ({share})", False, fix)
    free = files.free_bytes(folder)
    good = free > 500 << 20
    fix = "" if good else f"free some space; sweeps are kept in {folder}"
    return Finding(f"{free / (1 << 30):.1f} GiB free for sweeps in {folder}", good, fix)
