"""The engine of one machine: worker processes, one a core or one a GPU, spoken to over pipes."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TextIO

Answer = dict[str, Any]
_ROOT = Path(__file__).parents[2]
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


class LocalEngine:
    """Workers on this machine. `submit` gives a free worker a job, `poll` returns what workers said since.

    A worker that dies is replaced at once, and its job answered with "died" and the signal or code it died of.
    """

    def __init__(self, workers: int, device: str, log: TextIO) -> None:
        self.device = device
        self._log = log
        self._selector = selectors.DefaultSelector()
        self._workers = [self._start(slot) for slot in range(workers)]

    def _start(self, slot: int) -> _Worker:
        environment = {**os.environ, **_ONE_THREAD, "PYTHONPATH": str(_ROOT)}
        if self.device == "cuda":
            environment["CUDA_VISIBLE_DEVICES"] = str(slot)  # set before torch is imported
        command = [sys.executable, "-m", "poolsearch.sweep.worker", self.device]
        process = subprocess.Popen(
            command, cwd=_ROOT, env=environment, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            start_new_session=True,  # Ctrl-C reaches the coordinator alone, which then ends the workers
        )  # fmt: skip
        worker = _Worker(process, slot)
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        return worker

    @property
    def free(self) -> int:
        """Return how many workers have nothing to do."""
        return sum(worker.job is None for worker in self._workers)

    @property
    def running(self) -> tuple[int, ...]:
        """Return the ids of the jobs at work."""
        return tuple(worker.job["id"] for worker in self._workers if worker.job)

    def submit(self, job: dict[str, Any]) -> None:
        """Give a job to a free worker; there must be one."""
        worker = next(worker for worker in self._workers if worker.job is None)
        worker.job = job
        worker.send(job)

    def poll(self, timeout: float) -> list[Answer]:
        """Return the answers that came within `timeout` seconds, at once when there are some."""
        answers: list[Answer] = []
        deadline = time.monotonic() + timeout
        while not answers and (left := deadline - time.monotonic()) > 0:
            for key, _ in self._selector.select(left):
                answers += self._read(key.data)
        return [answer for answer in answers if answer["event"] != "ready"]

    def _read(self, worker: _Worker) -> list[Answer]:
        answers = worker.receive()
        if answers is not None:
            if any(answer["event"] in ("done", "failed") for answer in answers):
                worker.job = None
            return answers
        job = worker.job
        self._replace(worker)
        return [{"id": job["id"], "event": "died", "reason": worker.last_words()}] if job else []

    def _replace(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        self._selector.unregister(worker.process.stdout)
        worker.end()
        self._workers[self._workers.index(worker)] = self._start(worker.slot)

    def close(self) -> None:
        """End all workers; jobs at work are lost and may be given to another engine."""
        for worker in self._workers:
            worker.end()
        self._selector.close()


class _Worker:
    def __init__(self, process: subprocess.Popen[bytes], slot: int) -> None:
        self.process = process
        self.slot = slot
        self.job: dict[str, Any] | None = None
        self.begun = b""  # the start of a line whose end has not come yet

    def send(self, job: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(job).encode() + b"\n")
        except BrokenPipeError:
            pass  # it died just now: the closed output pipe says so at the next poll

    def receive(self) -> list[Answer] | None:
        """Return the whole lines that have come, or None when the process has closed its output."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        if not data:
            return None
        *lines, self.begun = (self.begun + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        try:
            self.process.wait(0 if self.job is None else 0.2)  # so that a crash keeps its own signal
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe and not pipe.closed:
                try:
                    pipe.close()
                except BrokenPipeError:
                    pass

    def last_words(self) -> str:
        code = self.process.returncode
        if code == -9:
            return "The worker was killed (signal 9), most likely for want of memory."
        return f"The worker ended by {'signal ' + str(-code) if code < 0 else 'code ' + str(code)}; see the log."
