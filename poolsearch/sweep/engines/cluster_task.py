"""What runs on a node of a cluster: one job; its messages are yielded as they come."""

from __future__ import annotations

import hashlib
import importlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from poolsearch.sweep.engines.engine import LAST, Message, attempt_id
from poolsearch.sweep.engines.jobs import Job, TrialJob

Work = Callable[[Job, str, Callable[[Message], None]], None]


def attend(job: Job, device: str, work: Work | None) -> Iterator[Message]:
    """Yield where the task is, then what its job says, the trained weights with the last. Runs on a node.

    The work has a thread of its own, so that epochs are heard of while it goes on.
    """
    answers: SimpleQueue[Message] = SimpleQueue()
    yield _began()
    with tempfile.TemporaryDirectory(prefix="poolsearch-") as folder:
        weights = Path(folder) / "weights.safetensors"
        if isinstance(job, TrialJob) and job.weights:  # a path where the coordinator is
            job = replace(job, weights=str(weights))
        threading.Thread(target=_carry_out, args=(work, job, device, answers.put), daemon=True).start()
        while (message := answers.get())["event"] not in LAST:
            yield message
        if weights.exists():
            content = weights.read_bytes()
            message |= {"weights_content": content, "weights_sha256": hashlib.sha256(content).hexdigest()}
    yield message


def _began() -> Message:
    context = importlib.import_module("ray").get_runtime_context()
    address = importlib.import_module("ray").util.get_node_ip_address()
    return {"event": "began", "node": context.get_node_id(), "where": f"process {os.getpid()} on {address}"}


def _carry_out(work: Work | None, job: Job, device: str, say: Callable[[Message], None]) -> None:
    reason = "The work ended without an answer."
    try:
        (work or _answer)(job, device, say)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    say({**attempt_id(job), "event": "failed", "kind": "bug", "reason": reason})  # not heard behind a last answer


def _answer(job: Job, device: str, say: Callable[[Message], None]) -> None:
    from poolsearch.sweep.engines.worker import answer

    answer(job, device, say)
