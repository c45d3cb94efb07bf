"""What is installed, which device there is, what will not work, and the line that fixes it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from packaging.specifiers import SpecifierSet

from poolsearch import files, processes

NEEDED = {  # package: the versions that pyproject.toml asks for
    "torch": ">=2.6",
    "torchvision": ">=0.21",
    "streamlit": ">=1.67,<1.68",
    "plotly": ">=6.1,<8",
    "optuna": ">=5.0,<6",
    "numpy": ">=2.0,<3",
    "scipy": ">=1.15",
    "scikit-learn": ">=1.6",
    "pillow": ">=11",
    "safetensors": ">=0.5",
    "pydantic": ">=2.11,<3",
    "typer": ">=0.16",
    "rich": ">=14",
    "psutil": ">=7",
    "cachetools": ">=5.5",
    "tenacity": ">=9",
    "sqlalchemy": ">=2.0,<3",
    "packaging": ">=24",
}
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
    found += [Finding(f"on {sys.platform}: {sentence}", True) for sentence in processes.lost()]
    return [*found, _runs()]


def _python() -> Finding:
    name = ".".join(map(str, sys.version_info[:3]))
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Finding(f"Python {name}", good, "" if good else "take Python 3.11, 3.12 or 3.13")


def _packages() -> list[Finding]:
    return [_package(name, wanted) for name, wanted in NEEDED.items()]


def _package(name: str, wanted: str) -> Finding:
    """Return whether a package is there in a version that Poolsearch works with."""
    fix = f'pip install "{name}{wanted}"'
    try:
        got = version(name)
    except PackageNotFoundError:
        return Finding(f"{name} is not installed", False, fix)
    good = SpecifierSet(wanted).contains(got.partition("+")[0], prereleases=True)
    return Finding(f"{name} {got}" if good else f"{name} {got}, needed is {wanted}", good, "" if good else fix)


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
