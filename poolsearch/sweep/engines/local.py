"""The engine of one machine: worker processes, one a core or one a GPU, spoken to over pipes."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import time
from typing import TextIO

import psutil

from poolsearch import devices, processes
from poolsearch.errors import EngineError
from poolsearch.sweep.engines import memory
from poolsearch.sweep.engines.engine import LAST, ONE_THREAD, Message, Resources, attempt_id
from poolsearch.sweep.engines.jobs import Job, line_of

_GRACE_S = 10.0  # between asking a worker to end and ending it
_CRASHES = 10  # of workers in a row before they were ready: then no more are started, for something is wrong with all
_LOOK_S = 1.0  # a share of CPU over less than that says nothing; the coordinator asks many times a second
_FROM_OUTSIDE = 0.1  # of a crash is a worker that someone, or the kernel for want of memory, killed
# What a process sends itself, or the kernel sends it for what it did: all other signals come from outside
_OWN_DOING = frozenset(processes.signals("SEGV", "BUS", "FPE", "ILL", "ABRT", "TRAP", "SYS", "XCPU", "XFSZ", "PIPE"))


class LocalEngine:
    """Workers on this machine, each a process that was spawned (never forked: torch does not survive that).

    A worker gets its first job when it has reported that it is ready: one that ends before costs no trial an attempt.
    That it ended is seen by the end of its pipe, never by a clock. After running out of memory or an error that nobody
    foresaw, CUDA's among them, it is replaced: what a library or the driver keeps of that may be broken.
    """

    def __init__(self, workers: int, device: str, log: TextIO, module: str = "poolsearch.sweep.engines.worker") -> None:
        self._device, self._log, self._module = device, log, module
        self._description = devices.describe(device)
        self._wanted = workers
        self._crashes = 0.0
        self._looked_s, self._used = -_LOOK_S, (0.0, 0)  # CPU percent and resident bytes of all workers
        self._selector = selectors.DefaultSelector()
        self._workers: list[_Worker] = []
        self._fill()

    def _fill(self) -> None:
        """Start workers in the slots that are empty; a slot is a core, or the number of a GPU."""
        taken = {worker.slot for worker in self._workers}
        for slot in range(self._wanted):
            if slot not in taken and self._crashes < _CRASHES:
                self._workers.append(self._start(slot))

    def _start(self, slot: int) -> _Worker:
        environment = processes.environment(**ONE_THREAD)
        environment.pop("PGPASSWORD", None)  # workers never see the database
        if self._device == "cuda":
            environment["CUDA_VISIBLE_DEVICES"] = devices.visible(slot)  # set before torch is imported
        tied = processes.module("poolsearch.sweep.engines.tied", str(os.getpid()))
        process = subprocess.Popen(
            [*tied, self._module, self._device], env=environment, bufsize=0,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log,
            **processes.APART,  # Ctrl-C reaches the coordinator alone, which then ends the workers
        )  # fmt: skip
        worker = _Worker(process, slot)
        assert process.stdout is not None
        self._selector.register(process.stdout, selectors.EVENT_READ, worker)
        return worker

    # ------------------------------------------------------------------------------------------------- the interface

    def submit(self, job: Job) -> None:
        """Give a job to a free worker; there must be one."""
        worker = next(worker for worker in self._workers if worker.free and worker.slot < self._wanted)
        worker.job, worker.kernel_kills = job, memory.kernel_kills()
        worker.send(job)

    def poll(self, timeout: float) -> list[Message]:
        """Return the answers that came within `timeout` seconds, at once when there are some."""
        answers: list[Message] = []
        deadline = time.monotonic() + timeout
        while not answers and (left := deadline - time.monotonic()) > 0:
            self._force()
            if not self._workers:
                raise EngineError(f"The workers exit as soon as they start. The log says why: {self._log.name}.")
            for key, _ in self._selector.select(left):
                answers += self._read(key.data)
        return [answer for answer in answers if answer["event"] != "ready"]

    def cancel(self, id: int) -> None:
        """End a job without an answer: its worker is asked to end, and ended after ten seconds."""
        for worker in self._workers:
            if worker.job and worker.job.id == id:
                worker.ask_to_end()

    def resources(self) -> Resources:
        """Return the workers wanted, those free, the jobs at work, and what the processes use."""
        if time.monotonic() - self._looked_s >= _LOOK_S:
            self._looked_s = time.monotonic()
            self._used = (
                sum(worker.cpu_percent() for worker in self._workers),
                sum(worker.memory_bytes() for worker in self._workers),
            )
        return Resources(
            workers=self._wanted,
            free=sum(worker.free and worker.slot < self._wanted for worker in self._workers),
            running=tuple(worker.job.id for worker in self._workers if worker.job and not worker.ending),
            device=self._description,
            cpu_percent=self._used[0],
            memory_bytes=self._used[1],
        )

    def resize(self, workers: int) -> None:
        """Take on workers or let idle ones go; one at work ends with its job."""
        self._wanted = workers
        for worker in [worker for worker in self._workers if worker.slot >= workers and worker.job is None]:
            self._remove(worker)
        self._fill()

    def close(self) -> None:
        """End all workers at once; jobs at work are lost and may be given to another engine."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.end()
        self._workers = []
        self._selector.close()

    # ------------------------------------------------------------------------------------------------------- within

    def _read(self, worker: _Worker) -> list[Message]:
        answers = worker.receive()
        if answers is None:
            return self._ended(worker)
        last = next((answer for answer in answers if answer["event"] in LAST), None)
        if any(answer["event"] == "ready" for answer in answers):
            worker.ready, self._crashes = True, 0.0
        if worker.ending:
            return []
        if last:
            worker.job = None
            if _unfit(last) or worker.slot >= self._wanted:
                self._remove(worker)
                self._fill()
        return answers

    def _ended(self, worker: _Worker) -> list[Message]:
        """Replace a worker that is gone, and say what its job died of."""
        job = None if worker.ending else worker.job
        self._remove(worker)
        if not worker.ready and not worker.ending:
            self._crashes += _FROM_OUTSIDE if worker.killed else 1
        self._fill()
        if not job:
            return []
        return [{**attempt_id(job), "event": "died", **worker.death()}]

    def _remove(self, worker: _Worker) -> None:
        assert worker.process.stdout is not None
        self._selector.unregister(worker.process.stdout)
        worker.end()
        self._workers.remove(worker)

    def _force(self) -> None:
        """End the workers that were asked to end and did not."""
        for worker in self._workers:
            if worker.ending and time.monotonic() > worker.ending:
                worker.process.kill()  # its pipe ends, and it is replaced


class _Worker:
    def __init__(self, process: subprocess.Popen[bytes], slot: int) -> None:
        self.process = process
        self.slot = slot
        self.job: Job | None = None
        self.ready = False  # it has imported what it needs
        self.kernel_kills = 0  # of processes for want of memory, when its job began
        self._bytes = 0  # resident, when last looked at
        self.ending = 0.0  # when it will be ended by force, on the monotonic clock; 0: it was not asked to end
        self._begun = b""  # the start of a line whose end has not come yet
        self._seen = psutil.Process(process.pid)

    @property
    def free(self) -> bool:
        return self.ready and self.job is None and not self.ending

    @property
    def killed(self) -> bool:
        """Return whether it was ended by a signal that no process gets for what it does itself."""
        code = self.process.returncode
        return code is not None and code < 0 and -code not in _OWN_DOING

    def send(self, job: Job) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(line_of(job).encode() + b"\n")
        except BrokenPipeError:
            pass  # it died just now: the closed output pipe says so at the next poll

    def receive(self) -> list[Message] | None:
        """Return the whole lines that have come, or None when the process has closed its output."""
        assert self.process.stdout is not None
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        if not data:
            return None
        *lines, self._begun = (self._begun + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def ask_to_end(self) -> None:
        if not self.ending:
            self.ending = time.monotonic() + _GRACE_S
            self.process.send_signal(signal.SIGTERM)

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

    def death(self) -> Message:
        """Return what it died of, and whether that came from outside while memory was free."""
        code = self.process.returncode
        if not self.killed:
            how = f"was ended by {_signal(-code)}" if code < 0 else f"exited with code {code}"
            return {"reason": f"The worker {how}; see the log.", "outside": False}
        free = memory.was_free(self.kernel_kills, self._bytes)
        when = "from outside while memory was free" if free else "when memory was short"
        return {"reason": f"The worker was ended by {_signal(-code)} {when}.", "outside": free}

    def cpu_percent(self) -> float:
        try:
            return float(self._seen.cpu_percent())
        except psutil.Error:
            return 0.0

    def memory_bytes(self) -> int:
        try:
            self._bytes = int(self._seen.memory_info().rss)
        except psutil.Error:
            return 0
        return self._bytes


def _unfit(last: Message) -> bool:
    """Return whether a worker that ended a job with this answer is to be replaced."""
    return last["event"] == "failed" and (last["kind"] in ("memory", "bug") or last.get("broken", False))


def _signal(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
