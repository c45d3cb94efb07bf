"""An engine without processes: what happens to each job is written down beforehand, and happens at the next poll."""

import time

from poolsearch.sweep.engines.engine import Resources


def figures(accuracy=0.5, loss=1.0, ms=2.0):
    """What a worker answers for a trial that went well."""
    return {"accuracy": accuracy, "loss": loss, "latency": {"ms": ms, "low_ms": ms, "high_ms": ms}, "curve": []}


class ScriptedEngine:
    """Answers job after job with what `script(job)` returns: an event with its fields, or None for silence."""

    def __init__(self, script, workers=2):
        self.script, self.workers = script, workers
        self.jobs, self.cancelled, self.said = {}, [], []
        self.seen = []  # (id, attempt) of every trial submitted

    def submit(self, job):
        assert len(self.jobs) < self.workers
        self.jobs[job.id] = job
        if job.do == "trial":
            self.seen.append((job.id, job.attempt))

    def poll(self, timeout):
        answers = self.said
        self.said = []
        for id, job in list(self.jobs.items()):
            said = timed(job) if job.do == "latency" else self.script(job)
            if said:
                answers.append({"id": id, "attempt": job.attempt, **said})
                if said["event"] not in ("epoch", "waits"):
                    del self.jobs[id]
        if not answers:
            time.sleep(min(timeout, 0.01))
        return answers

    def cancel(self, id):
        self.cancelled.append(id)
        self.jobs.pop(id, None)

    def resources(self):
        return Resources(self.workers, self.workers - len(self.jobs), tuple(self.jobs), "scripted")

    def resize(self, workers):
        self.workers = workers

    def close(self):
        self.jobs = {}


def timed(job):
    return {"event": "done", "latencies": [{"ms": 2.0, "low_ms": 2.0, "high_ms": 2.0} for _ in job.plans]}


def done(**said):
    return {"event": "done", **figures(**said)}
