"""Reading files that may be hostile: in a child process with limits, one reply a file.

The child is a fresh interpreter (no fork: nothing of the parent's memory is in it) that runs a module which calls
`serve`. It keeps what a file can cost within limits; it is no sandbox against a flaw in a library's own reader.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import process_time
from typing import Any

import psutil

from poolsearch import processes
from poolsearch.errors import WeightsError

SECONDS = 60  # of CPU time, for one file
_IDLE = 60  # seconds after which a child is looked at
MEMORY = 1 << 30  # bytes that a child may take beside its libraries and three times the file
_REPLY = 1 << 26  # bytes of one reply: far more than the names of any network
Handler = Callable[[Path, Path | None], dict[str, Any]]  # from a file, and the folder to write into, to the reply


def ask(module: str, files: Sequence[Path], into: Path | None = None) -> list[dict[str, Any] | WeightsError]:
    """Return what a module's handler replies for each file, or why there is no reply.

    One child reads all files; one that ends it is named, and another child goes on behind it.
    """
    replies: list[dict[str, Any] | WeightsError] = []
    while len(replies) < len(files):
        left = files[len(replies) :]
        lines, end = _run(module, left, into)
        for file, line in zip(left, lines, strict=False):
            replies.append(_reply(file, line))
        if len(lines) < len(left):
            replies.append(WeightsError(f"'{left[len(lines)].name}' can't be read: {end}."))
    return replies


def _run(module: str, files: Sequence[Path], into: Path | None) -> tuple[list[str], str]:
    """Return the lines that a child printed, and how it ended."""
    request = json.dumps({"files": [str(file.resolve()) for file in files], "into": into and str(into.resolve())})
    environment = processes.environment(CUDA_VISIBLE_DEVICES="", OMP_NUM_THREADS="1", PYTHONIOENCODING="utf-8")
    child = subprocess.Popen(
        processes.module(module), env=environment, encoding="utf-8",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    out = _output(child, request)
    lines = [line for line in out.splitlines(keepends=True) if line.endswith("\n")]
    return lines[: len(files)], _ended(child.returncode)


def _output(child: subprocess.Popen[str], request: str) -> str:
    """Return what a child printed. One that waits for something and does no work for a minute is ended.

    Its work is limited in the child, in CPU time: on a busy machine a good file takes as long as it takes.
    """
    done, given = -1.0, request
    while True:
        try:
            return child.communicate(given or None, timeout=_IDLE)[0]
        except subprocess.TimeoutExpired:
            given = ""
            before, done = done, _cpu_seconds(child.pid)
            if done == before:
                child.kill()


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken, 0 once it is gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _ended(code: int) -> str:
    if -code in processes.signals("XCPU"):
        return f"reading it took more than {SECONDS} s of CPU time"
    if -code in processes.signals("KILL"):
        return "its reader was ended: it did nothing for a minute, or the memory ran out"
    return "its reader broke off"


def _reply(file: Path, line: str) -> dict[str, Any] | WeightsError:
    try:
        reply = json.loads(line)
    except ValueError:
        return WeightsError(f"'{file.name}' can't be read: its reader broke off.")
    if "refused" in reply:
        return WeightsError(f"'{file.name}' {reply['refused']}")
    return dict(reply)


# ---------------------------------------------------------------------------------------------------- in the child


def serve(handler: Handler) -> None:
    """Read the request from stdin and print one reply a file; what a handler raises is a refusal, never a traceback."""
    request = json.load(sys.stdin)
    into = Path(request["into"]) if request["into"] else None
    for name in request["files"]:
        path = Path(name)
        try:
            _limit(path.stat().st_size)
            line = json.dumps(handler(path, into))
            if len(line) > _REPLY:
                raise WeightsError(f"says more about itself than {_REPLY >> 20} MiB.")
        except WeightsError as error:
            line = json.dumps({"refused": str(error)})
        except Exception as error:  # a broken file makes its readers raise whatever they run into
            line = json.dumps({"refused": _in_words(error)})
        print(line, flush=True)


def _in_words(error: Exception) -> str:
    if isinstance(error, MemoryError) or "can't allocate memory" in str(error) or "not enough memory" in str(error):
        return "needs more memory than three times its size and 1 GiB."
    if isinstance(error, OSError) and error.strerror:
        return f"can't be read: {error.strerror}."
    return f"is broken or cut short ({type(error).__name__})."


def _limit(size: int) -> None:
    """Limit what reading a file of this many bytes may take: memory, written bytes and CPU seconds."""
    limits = {"RLIMIT_FSIZE": size + (1 << 20), "RLIMIT_CPU": int(process_time()) + SECONDS, "RLIMIT_CORE": 0}
    if sys.platform == "linux":  # what the libraries have mapped already (0.6 GiB for torch, more with CUDA) is allowed
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits["RLIMIT_AS"] = pages * os.sysconf("SC_PAGE_SIZE") + 3 * size + MEMORY
    processes.limit(limits)
