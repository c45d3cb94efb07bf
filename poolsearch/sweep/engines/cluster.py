"""The engine of a cluster: every job is one Ray task, on a core or a GPU of whichever node has one free.

The coordinator's process is on a node of the cluster (the head, or one with no cores to lend). The code travels with
the sweep, so that the nodes need what requirements-cluster.txt names and no checkout.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import poolsearch
from poolsearch import files
from poolsearch.errors import EngineError
from poolsearch.sweep.engines.cluster_connection import MODEL, chosen, connected, first_line, unheard
from poolsearch.sweep.engines.cluster_task import Work, attend
from poolsearch.sweep.engines.engine import LAST, Message, Resources, attempt_id
from poolsearch.sweep.engines.jobs import Job, TrialJob

_PACKAGE = Path(poolsearch.__file__).parent
_SHARE = 0.001  # of that resource for each job: enough to be placed there, too little to run out
_TRIES = 3  # for a job whose process dies before it begins: Ray queues jobs behind others, and loses them together
_HEAD_S = 10.0  # for how long the head may be out of reach; Ray ends a process that it left alone for a minute


class RayEngine:
    """Workers wherever a Ray cluster has room. One engine a process, as Ray has one connection a process.

    A process or node that is lost under a job is answered with "died": the coordinator counts attempts. One that is
    lost before the job begins is no attempt; the job is given to the cluster again.
    """

    def __init__(
        self,
        workers: int | None,
        device: str,
        address: str | None = "auto",
        gpu_model: str | None = None,
        package: Path = _PACKAGE,
        work: Work | None = None,
    ) -> None:
        """Connect to the cluster at an address: host:port, "auto" for the one of this machine, None for one of our own.

        The device "auto" is cuda where a node has a GPU.

        `work` stands in for `worker.answer` in tests.
        """
        self._ray = connected(address, package)
        self._work = work
        self._jobs: list[_Task] = []
        self._ending: list[_Task] = []  # cancelled, and not gone yet
        self._alive: list[dict[str, Any]] = []  # nodes, as seen when last looked
        self._looked = -math.inf
        self._unheard_since = 0.0  # when the head did not answer any more; 0: it does
        self._device = device
        try:
            if device == "auto":
                self._device = device = "cuda" if any(node["Resources"].get("GPU") for node in self._nodes()) else "cpu"
            self._model = chosen(self._nodes(), gpu_model) if device == "cuda" else None
            self._wanted = self._room() if workers is None else workers
        except BaseException:
            self._ray.shutdown()
            raise
        self._remote = self._ray.remote(attend).options(
            num_returns="streaming",
            num_cpus=1,
            num_gpus=int(device == "cuda"),  # each GPU job gets a process of its own: CUDA keeps the GPU it saw first
            resources={MODEL + self._model: _SHARE} if self._model else {},
            max_retries=0,
            scheduling_strategy="SPREAD",
        )

    # ------------------------------------------------------------------------------------------------- the interface

    def submit(self, job: Job) -> None:
        """Give a job to the cluster; where no node has room, it waits there."""
        self._jobs.append(_Task(job, self._begin(job)))

    def poll(self, timeout: float) -> list[Message]:
        """Return the answers that came within `timeout` seconds, at once when there are some."""
        deadline = time.monotonic() + timeout
        while True:
            self._forget()
            answers = [answer for task in tuple(self._jobs) for answer in self._heard(task)] + self._lost()
            left = deadline - time.monotonic()
            if answers or left <= 0:
                return answers
            awaited = [task.stream for task in self._jobs] + [task.stream.completed() for task in self._ending]
            if awaited:
                self._ray.wait(awaited, num_returns=1, timeout=min(left, 1.0))
            else:
                time.sleep(left)

    def cancel(self, id: int) -> None:
        """End a job without an answer: its process is ended by force.

        By force at once, for an interruption cuts off what follows: a process that holds Python's lock in a library
        neither heeds it nor hears Ray again (2.60). There is nothing to tidy up in it either.
        """
        for task in [task for task in self._jobs if task.job.id == id]:
            self._jobs.remove(task)
            self._ending.append(task)
            self._ray.cancel(task.stream, force=True)

    def resources(self) -> Resources:
        """Return the workers wanted, those free, the jobs at work and those that wait, and what it is made of."""
        self._forget()
        return Resources(
            workers=self._wanted,
            free=max(0, self._wanted - len(self._jobs) - len(self._ending)),
            running=tuple(task.job.id for task in self._jobs),
            device=self._description(),
            waiting=tuple(task.job.id for task in self._jobs if not task.node),
        )

    def resize(self, workers: int) -> None:
        """Take more or fewer jobs at a time; those at work go on. Nodes that joined since are used."""
        self._wanted = workers

    def close(self) -> None:
        """End all jobs at once and leave the cluster, which ends what is left of them."""
        for task in (*self._jobs, *self._ending):
            with contextlib.suppress(self._ray.exceptions.RayError):
                self._ray.cancel(task.stream, force=True)
        self._jobs, self._ending = [], []
        self._ray.shutdown()

    # ------------------------------------------------------------------------------------------------------- within

    def _begin(self, job: Job) -> Any:
        """Return the stream of the messages of a new task for a job."""
        return self._remote.remote(job, self._device, self._work)

    def _heard(self, task: _Task) -> list[Message]:
        """Return the answers of a task since; its job leaves the list with its last answer."""
        answers: list[Message] = []
        while task in self._jobs and (message := self._next(task)):
            if message["event"] == "began":
                task.node, task.where = message["node"], message["where"]
            else:
                answers.append(self._kept(task, message))
            if answers and answers[-1]["event"] in (*LAST, "died"):
                self._jobs.remove(task)
        return answers

    def _next(self, task: _Task) -> Message | None:
        """Return the next message of a task, or None when there is none yet."""
        try:
            if not self._ray.wait([task.stream], timeout=0)[0]:
                return None
            message: Message = self._ray.get(next(task.stream))
            return message
        except StopIteration:
            return task.died("The task ended without an answer.")
        except self._ray.exceptions.RayError as error:
            if task.node or task.tries == _TRIES or isinstance(error, self._errors_of_ours()):
                return self._death(task, error)
            task.stream, task.tries = self._begin(task.job), task.tries + 1
            return None

    def _errors_of_ours(self) -> tuple[type[Exception], ...]:
        """Return what is raised before a job begins where its code can't be had: no other process would do better."""
        return self._ray.exceptions.RayTaskError, self._ray.exceptions.RuntimeEnvSetupError

    def _death(self, task: _Task, error: Exception) -> Message:
        """Return what a job died of. Ray does not say which signal ended a process: that counts as the job's doing."""
        there = {node["NodeID"] for node in self._nodes(age=0)}
        if isinstance(error, self._ray.exceptions.OutOfMemoryError):
            return task.died(f"Ray killed {task.where} because its node was out of memory.")
        if isinstance(error, self._ray.exceptions.RuntimeEnvSetupError):
            return task.died(f"The code did not reach a node: {first_line(error)}")
        if isinstance(error, self._ray.exceptions.RayTaskError):
            needs = "does the node have requirements-cluster.txt?"
            return task.died(f"The task could not run; {needs} {_last_line(error)}")
        if isinstance(error, self._ray.exceptions.NodeDiedError) or (task.node and task.node not in there):
            return task.lost()
        return task.died(f"Its process died: {task.where}.")

    def _kept(self, task: _Task, message: Message) -> Message:
        """Write the weights that came with an answer where the job wants them, and return the answer without."""
        content, digest = message.pop("weights_content", None), message.pop("weights_sha256", None)
        if content is None or not isinstance(task.job, TrialJob) or not task.job.weights:
            return message
        if hashlib.sha256(content).hexdigest() != digest:
            return task.died(f"The weights from {task.where} came back damaged.")
        path = Path(task.job.weights)
        try:
            path.parent.mkdir(exist_ok=True)  # never the sweep's folder, which may have been removed
            files.replace(path, content)
        except OSError as error:
            if files.is_full(error):
                return {**attempt_id(task.job), "event": "full"}
            reason = f"The weights could not be written to '{path}': {error.strerror}."
            return {**attempt_id(task.job), "event": "failed", "kind": "refused", "reason": reason}
        return message

    def _lost(self) -> list[Message]:
        """Return the deaths of the jobs on nodes that the cluster has given up.

        Where a machine fell silent without closing its connections, Ray gives it up after a minute and goes on waiting
        for its tasks.
        """
        there = {node["NodeID"] for node in self._nodes()}
        lost = [task for task in self._jobs if task.node and task.node not in there]
        self._jobs = [task for task in self._jobs if task not in lost]
        return [task.lost() for task in lost]

    def _forget(self) -> None:
        """Let go of cancelled tasks that have ended, or whose node is lost; their streams would block until then."""
        there = {node["NodeID"] for node in self._nodes()} if self._ending else set()
        self._ending = [
            task
            for task in self._ending
            if not self._ray.wait([task.stream.completed()], timeout=0)[0] and (not task.node or task.node in there)
        ]

    def _nodes(self, age: float = 1.0) -> list[dict[str, Any]]:
        """Return the nodes that were alive at most `age` seconds ago. Raises EngineError when the head is lost."""
        now = time.monotonic()
        if now > self._looked + age:
            self._looked = now
            if self._head_answers():
                self._alive = [node for node in self._ray.nodes() if node["Alive"]]
        return self._alive

    def _head_answers(self) -> bool:
        """Return whether the head listens; ray.nodes() would block for a minute, then end this process without a word.

        Raises EngineError when it has not for a while.
        """
        address = self._ray.get_runtime_context().gcs_address
        why = unheard(address, 1.0)
        self._unheard_since = 0.0 if not why else self._unheard_since or time.monotonic()
        if why and time.monotonic() - self._unheard_since >= _HEAD_S:
            raise EngineError(f"The head of the Ray cluster at {address} is lost ({why}). Start the cluster again.")
        return not why

    def _usable(self) -> list[dict[str, float]]:
        """Return what each node that jobs can be on has."""
        need = "GPU" if self._device == "cuda" else "CPU"
        has = [node["Resources"] for node in self._nodes() if node["Resources"].get(need)]
        return [one for one in has if self._model is None or MODEL + self._model in one]

    def _room(self) -> int:
        """Return how many jobs run at a time on the nodes that are there now."""
        gpu = self._device == "cuda"
        return sum(int(min(one.get("CPU", 0), one["GPU"]) if gpu else one["CPU"]) for one in self._usable())

    def _description(self) -> str:
        nodes, room = len(self._usable()), self._room()
        what = f"{self._model or 'GPU of unknown model'}" if self._device == "cuda" else "CPU core"
        many = "s" if room != 1 and self._device != "cuda" else ""
        return f"Ray cluster, {room} {what}{many} on {nodes} node{'s' if nodes != 1 else ''}"


@dataclass(eq=False)
class _Task:
    """A job on the cluster."""

    job: Job
    stream: Any  # yields a reference to each thing that the task says
    node: str = ""  # Ray's id of the node that it is on, once it runs
    where: str = "a process not heard of yet"  # "process 42 on 10.0.0.1"
    tries: int = 1

    def died(self, reason: str, outside: bool = False) -> Message:
        return {**attempt_id(self.job), "event": "died", "reason": reason, "outside": outside}

    def lost(self) -> Message:
        """Return that its node is gone, which is not the job's doing."""
        return self.died(f"The node was lost under {self.where}.", outside=True)


def _last_line(error: Exception) -> str:
    return str(error).strip().rpartition("\n")[2]
