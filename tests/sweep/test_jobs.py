"""What a worker is asked to do: written as one line, read once at its door, refused there when misspelt."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from poolsearch.errors import EngineError
from poolsearch.sweep.engines.jobs import TimingJob, TrialJob, job_of, line_of

TRIAL = TrialJob(id=3, attempt=1, config="study = 'a'", plan="smallnet/1x12x12", seed=0, weights="w.safetensors")
TIMING = TimingJob(id=-1, attempt=2, config="study = 'a'", plans=("smallnet/1x12x12",))


@pytest.mark.parametrize("job", [TRIAL, TIMING], ids=["trial", "latency"])
def test_a_job_is_the_same_behind_its_line(job):
    line = line_of(job)
    assert "\n" not in line
    assert job_of(line) == job


def test_the_line_of_a_trial_is_plain_json():
    assert json.loads(line_of(TRIAL)) == {
        "id": 3, "attempt": 1, "config": "study = 'a'", "plan": "smallnet/1x12x12", "seed": 0,
        "weights": "w.safetensors", "do": "trial",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"sede": 1}, "The job can't be read: trial.sede: unexpected keyword argument."),
        ({"seed": "1"}, "The job can't be read: trial.seed: input should be a valid integer."),
        ({"seed": None}, "The job can't be read: trial.seed: input should be a valid integer."),
        (
            {"do": "trail"},
            "The job can't be read: the whole: input tag 'trail' found using 'do' does not match any of the expected "
            "tags: 'trial', 'latency'.",
        ),
    ],
)
def test_a_job_that_is_misspelt_is_refused(change, sentence):
    with pytest.raises(EngineError) as refused:
        job_of(json.dumps({**json.loads(line_of(TRIAL)), **change}))
    assert str(refused.value) == sentence


def test_a_job_with_nothing_in_it_is_refused():
    with pytest.raises(EngineError, match="The job can't be read: trial.attempt: field required"):
        job_of('{"do": "trial", "id": 1, "config": "", "plan": "", "seed": 0}')


def test_a_worker_answers_a_misspelt_job_and_goes_on():
    wrong = json.dumps({**json.loads(line_of(TRIAL)), "sede": 1})
    lines = f"{wrong}\n{line_of(TRIAL)}\n"  # the second can be read; its config can't
    command = [sys.executable, "-c", WORKER]
    done = subprocess.run(command, input=lines, cwd=ROOT, capture_output=True, text=True, check=True)
    ready, first, second = map(json.loads, done.stdout.splitlines())
    assert ready == {"id": None, "event": "ready"}
    assert first == {
        "id": 3, "attempt": 1, "event": "failed", "kind": "bug",
        "reason": "The job can't be read: trial.sede: unexpected keyword argument.",
    }  # fmt: skip
    assert (second["id"], second["event"], second["kind"]) == (3, "failed", "refused")


ROOT = Path(__file__).parents[2]
WORKER = """
import sys
from queue import SimpleQueue
from poolsearch.sweep.engines import worker

def all_at_once():
    lines = SimpleQueue()
    for line in sys.stdin.read().splitlines():
        lines.put(line)
    return lines

worker._jobs, answer, answered = all_at_once, worker.answer, []

def answer_one(*words):
    answer(*words)
    sys.exit(0)

worker.answer = answer_one
worker.main()
"""
