"""Which device to compute on, and how many workers that makes."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import poolsearch
from poolsearch.errors import PoolsearchError

DEVICES = ("auto", "cpu", "cuda")


def check(name: str) -> str:
    """Return the wish itself. Raises PoolsearchError for a word that names no kind of device."""
    if name not in DEVICES:
        raise PoolsearchError(f"Unknown device '{name}'. Possible: {', '.join(DEVICES)} (a GPU is cuda).")
    return name


def resolve(name: str) -> str:
    """Return "cpu" or "cuda" for a wish. Raises PoolsearchError where there is no such device."""
    check(name)
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        raise PoolsearchError("There is no CUDA device that this torch can use. Take --device cpu (or auto).")
    return "cuda" if there and name != "cpu" else "cpu"


def cores() -> int:
    """Return how many CPU cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers(device: str) -> int:
    """Return one worker a GPU, or one a core."""
    return torch.cuda.device_count() if device == "cuda" else cores()


def visible(slot: int) -> str:
    """Return what CUDA_VISIBLE_DEVICES must be for a worker to see the GPU of this number, among those we may see."""
    ours = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return ours[slot % len(ours)] if ours else str(slot % max(1, torch.cuda.device_count()))


def machine() -> dict[str, str | int]:
    """Return what a figure was measured on: processor (where Linux says it), cores, threads used, torch version."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {"cpu": name, "cores": cores(), "threads": torch.get_num_threads(), "torch": torch.__version__}


def environment(device: str, dtype: str = "float32") -> dict[str, str]:
    """Return what the figures of a trial depend on beside its Plan, seed and recipe: versions, device, arithmetic.

    `dtype` is that of the forward pass. Two trials whose environments are equal give the same figures on a CPU.
    """
    try:
        optuna = version("optuna")
    except PackageNotFoundError:  # a cluster's node needs none
        optuna = "none"
    found = {
        "poolsearch": poolsearch.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "optuna": optuna,
        "device": device,
    }
    if device == "cuda":
        found |= {"processor": torch.cuda.get_device_name(), "driver": _driver()}
    else:
        found |= {"processor": f"{machine()['cpu']}, {torch.backends.cpu.get_cpu_capability()}"}
    return {**found, "threads": str(torch.get_num_threads()), "dtype": dtype, "layout": "channels_last"}


def _driver() -> str:
    """Return the versions of the GPU's driver (where Linux says it), of CUDA and of cuDNN."""
    file = Path("/proc/driver/nvidia/version")
    words = file.read_text().split() if file.exists() else []
    driver = next((word for word in words if word.count(".") >= 1 and word[0].isdigit()), "unknown")
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return f"NVIDIA {driver}, CUDA {torch.version.cuda}, cuDNN {cudnn}"


def describe(device: str) -> str:
    """Return the device in words, for a sweep's record."""
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return f"CPU, {cores()} cores, {torch.backends.cpu.get_cpu_capability()}"
