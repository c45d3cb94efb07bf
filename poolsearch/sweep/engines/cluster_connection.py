"""Connecting to a Ray cluster, and the message where that is impossible. Ray is imported in here only."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from poolsearch.errors import EngineError, unknown
from poolsearch.sweep.engines.engine import ONE_THREAD

MODEL = "accelerator_type:"  # a resource of this name, quantity 1, says which GPUs a node has
_CONNECT_S = 5.0  # unasked, Ray tries for three minutes where nothing listens
QUIET = {  # read when ray is imported; whatever goes wrong is in our answers
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # Ray prints news of dead workers to stdout, where the sweep's JSON goes
}


def connected(address: str | None, package: Path) -> Any:
    """Return the module ray, connected to a cluster whose tasks find our package. Raises EngineError with the cause."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError:
        raise EngineError(
            "Sweeps on a cluster need Ray, which is not installed: pip install -r requirements-cluster.txt"
        ) from None
    if ray.is_initialized():
        raise EngineError("This process is connected to a Ray cluster already. Close that engine first.")
    if address and address.startswith("ray://"):
        raise EngineError(
            f"'{address}' is an address for Ray Client, which is not supported. Run the sweep on a node of the cluster "
            "(ray start --address HOST:PORT --num-cpus 0 makes this machine one) and give HOST:PORT or auto."
        )
    if address and address not in ("auto", "local"):
        _answers(address)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _init(ray, address, package)
    finally:
        if threading.current_thread() is threading.main_thread():  # Ray sets its own, and the sweep wants to end well
            for number, handler in handlers.items():
                signal.signal(number, handler)
    return ray


def _init(ray: Any, address: str | None, package: Path) -> None:
    environment = {
        "py_modules": [str(package)],
        "excludes": ["__pycache__", "*.pyc"],
        "env_vars": ONE_THREAD,
    }
    more: dict[str, Any] = {"include_dashboard": False} if address in (None, "local") else {}
    before = os.environ.get("RAY_gcs_server_port_wait_time_s")
    os.environ["RAY_gcs_server_port_wait_time_s"] = before or str(int(_CONNECT_S))
    try:
        with _stderr_dropped():
            ray.init(address or "local", runtime_env=environment, log_to_driver=False, logging_level="CRITICAL", **more)
    except ray.exceptions.AuthenticationError:
        raise EngineError(
            "The Ray cluster requires a token, and none was found here. Copy the head's ~/.ray/auth_token to this "
            "machine, or put the token into RAY_AUTH_TOKEN."
        ) from None
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise EngineError(_refusal(address, error)) from None
    finally:
        if before is None:
            del os.environ["RAY_gcs_server_port_wait_time_s"]


@contextlib.contextmanager
def _stderr_dropped() -> Iterator[None]:
    """Drop what is written to file 2 meanwhile: Ray's C++ part writes there past every setting."""
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _answers(address: str) -> None:
    """Raise EngineError unless somebody listens at HOST:PORT."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise EngineError(
            f"'{address}' is not a valid cluster address. Possible: HOST:PORT as in 10.0.0.1:6379, or auto."
        )
    if why := unheard(address, _CONNECT_S):
        raise EngineError(
            f"There is no Ray cluster at {address} ({why}). Start one (ray start --head), or check the address and "
            "the firewall."
        )


def unheard(address: str, seconds: float) -> str:
    """Return why nobody is reached at HOST:PORT, or "" when somebody is."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), seconds).close()
    except (OSError, OverflowError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def _refusal(address: str | None, error: Exception) -> str:
    """Return the sentence for a connection that Ray refused."""
    if "No node info found" in str(error.__cause__):
        return (
            f"This machine is not a node of the Ray cluster at {address}. Make it one: ray start --address {address} "
            "--num-cpus 0"
        )
    if "Could not find any running Ray" in str(error):
        return "There is no Ray cluster on this machine. Start one (ray start --head), or give its address (HOST:PORT)."
    if isinstance(error, ConnectionError):
        return (
            f"The Ray cluster at {address} refused the connection: the token is not the head's, or this is not a Ray "
            "cluster. Copy the head's ~/.ray/auth_token to this machine (or put it into RAY_AUTH_TOKEN) and set "
            "RAY_AUTH_MODE=token."
        )
    return f"Ray could not connect to {address}: {first_line(error)}"


def chosen(nodes: list[dict[str, Any]], wanted: str | None) -> str | None:
    """Return the GPU model to measure on, None where the GPUs do not say. Times on two models can't be compared."""
    gpus = [node["Resources"] for node in nodes if node["Resources"].get("GPU")]
    models = sorted({key.removeprefix(MODEL) for one in gpus for key in one if key.startswith(MODEL)})
    if not gpus:
        raise EngineError("No node of the Ray cluster has a GPU. Take --device cpu, or add a node with one.")
    if wanted and wanted not in models:
        raise EngineError(unknown("GPU model", wanted, models))
    if not wanted and len(models) > 1:
        raise EngineError(
            f"The Ray cluster has GPUs of several models, whose times can't be compared: {', '.join(models)}. "
            "Choose one with --gpu-model."
        )
    return wanted or (models[0] if models else None)


def first_line(error: Exception) -> str:
    """Return the first line of what an error says."""
    return str(error).strip().partition("\n")[0]
