"""Start the app: on this machine only, unless told twice, under the names it answers to, on a port that is free.

The app runs in a process of its own. Streamlit finds its settings beside the entry; what keeps the door shut is given
as flags, which outrank every config file. Knows nothing of Streamlit but its options.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from errno import EADDRINUSE
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import FrameType

from poolsearch import processes
from poolsearch.app.door import ALLOWED, OWN, names
from poolsearch.errors import PoolsearchError

ENTRY = Path(__file__).with_name("entry.py")  # Streamlit reads the .streamlit/config.toml beside it
MORE_PORTS = 10
_ENDING_S = 10  # the app has this long to end before it is killed
# Settings that would open what the flags shut; the environment outranks the config file, so they are left out
_OPENERS = ("STREAMLIT_SERVER_", "STREAMLIT_BROWSER_", "STREAMLIT_GLOBAL_")


# ---------------------------------------------------------------------------------------------------- where it listens


def free_port(host: str, port: int) -> int:
    """Return the first free port of `port` and the ten behind it. Raises PoolsearchError when there is none."""
    last = min(port + MORE_PORTS, 65535)
    for candidate in range(port, last + 1):
        try:
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as Streamlit: not of a past connection
                probe.bind((host, candidate))
                probe.listen()
        except OSError as error:
            if error.errno != EADDRINUSE:
                raise PoolsearchError(f"Can't listen on {host}, port {candidate}: {error.strerror}.") from None
        else:
            return candidate
    raise PoolsearchError(f"Ports {port} to {last} are all in use. Take another with --port, or end what holds them.")


def url(host: str, port: int, named: Sequence[str]) -> str:
    """Return the address to type: localhost for this machine, the first name for an app that listens everywhere."""
    everywhere = host in ("0.0.0.0", "::")
    shown = "localhost" if host in OWN else named[0] if everywhere and named else host
    return f"http://[{shown}]:{port}" if ":" in shown else f"http://{shown}:{port}"


def command(host: str, port: int, hosts: Sequence[str]) -> list[str]:
    """Return the words that start Streamlit, with every setting that keeps the door shut."""
    settings = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": "true",
        "server.enableCORS": "true",  # the name misleads: true is the protection
        "server.enableXsrfProtection": "true",
        "browser.gatherUsageStats": "false",
        "logger.hideWelcomeMessage": "true",
    }
    flags = [f"--{name}={value}" for name, value in settings.items()]
    return [
        *processes.module("streamlit", "run", str(ENTRY)), *flags,
        *(f"--server.allowedHosts={name}" for name in hosts),
    ]  # fmt: skip


def environment_of(own: Mapping[str, str], allow_remote: bool) -> dict[str, str]:
    """Return the environment of the app: none of Streamlit's settings that would open it."""
    kept = {name: value for name, value in own.items() if not name.startswith(_OPENERS) and name != ALLOWED}
    return processes.importable(kept) | ({ALLOWED: "1"} if allow_remote else {})


# ------------------------------------------------------------------------------------------------------------ serving


def serve(host: str = "127.0.0.1", port: int = 8501, allow_remote: bool = False, allowed: Sequence[str] = ()) -> int:
    """Return the exit code of the app once it has ended; 130 after Ctrl-C. Raises PoolsearchError before it starts."""
    hosts = names(host, allow_remote, allowed)
    found = free_port(host, port)
    address = url(host, found, allowed)
    message = f"The app is on {address}." if found == port else f"Port {port} is in use; the app is on {address}."
    with _running(command(host, found, hosts), environment_of(os.environ, allow_remote)) as process:
        while process.poll() is None and not answers(host, found):
            time.sleep(0.1)
        if process.poll() is None:
            print(message, flush=True)
        code = process.wait()
    return code if code >= 0 else 128 - code


def answers(host: str, port: int) -> bool:
    """Return whether the app answers by now."""
    near = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    try:
        with closing(HTTPConnection(near, port, timeout=2)) as connection:
            connection.request("GET", "/_stcore/health", headers={"Host": "localhost"})
            return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False


@contextmanager
def _running(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run the app; it ends when this process is told to, by Ctrl-C or otherwise, and says nothing about it.

    It has a process group of its own, so that Ctrl-C reaches this process only.
    """

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in processes.signals("INT", "TERM", "HUP")}
    process = subprocess.Popen(arguments, env=environment, **processes.OWN_GROUP)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(_ENDING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)
