"""A simulated Ray cluster (a head and two nodes, four GPUs that nobody computes on): what jobs on it come to."""

import hashlib
import importlib.util
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from poolsearch.config import to_toml
from poolsearch.errors import EngineError
from poolsearch.sweep.engines import cluster, cluster_connection as connection, worker
from poolsearch.sweep.engines.cluster import RayEngine
from poolsearch.sweep.engines.jobs import TrialJob

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not importlib.util.find_spec("ray"), reason="needs requirements-cluster.txt"),
]
ROOT = Path(__file__).parents[2]
# One for all clusters of a process, for Ray reads it once; in the environment, as pytest imports this file twice.
TOKEN = os.environ.setdefault("POOLSEARCH_TEST_TOKEN", secrets.token_hex(32))
A100, T4 = {"accelerator_type:A100": 1}, {"accelerator_type:T4": 1}


@pytest.fixture(scope="module")
def ray_cluster(tmp_path_factory):
    """Start a head with a T4 and two nodes with two A100s each, behind a token of their own."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in connection.QUIET.items():
            patch.setenv(name, value)
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", TOKEN)
        from ray import cloudpickle
        from ray.cluster_utils import Cluster

        cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the nodes have no tests
        head = {"num_cpus": 1, "num_gpus": 1, "resources": T4, "include_dashboard": False}
        simulated = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(2):
            simulated.add_node(num_cpus=2, num_gpus=2, resources=A100)
        yield simulated
        simulated.shutdown()


@pytest.fixture
def start(ray_cluster):
    """Return what makes an engine on the cluster; it is closed when the test ends."""
    engines = []

    def make(workers=2, device="cpu", **more):
        engines.append(RayEngine(workers, device, ray_cluster.address, **more))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


@dataclass(frozen=True)
class Task(TrialJob):
    """A job for those that stand in for a worker: what it is to do there."""

    attempt: int = 1
    config: str = ""
    plan: str = ""
    seed: int = 0
    waits: bool = False
    doomed: str | None = None  # id of a node
    times: int = 1
    heard: str = ""  # path
    how: str = ""


def until_the_end(engine, job, each=lambda answer: None):
    """Submit a job and return all its answers; `each` hears them as they come."""
    engine.submit(job)
    answers, deadline = [], time.monotonic() + 300  # s: the end of a hung test, and no measure
    while not answers or answers[-1]["event"] == "epoch":
        assert time.monotonic() < deadline, f"no end after {answers}"
        new = engine.poll(1)
        for answer in new:
            each(answer)
        answers += new
    return answers


def tell(job, device, say):
    """Say where this is; then wait to be killed, or be done."""
    import ray

    whose = {"id": job.id, "attempt": job.attempt}
    node = ray.get_runtime_context().get_node_id()
    waits = (job.attempt == 1 and job.waits) or node == job.doomed
    say({**whose, "event": "epoch", "row": {"pid": os.getpid(), "node": node, "waits": waits}})
    if waits:
        time.sleep(60)
    say({**whose, "event": "done", "gpu": os.environ.get("CUDA_VISIBLE_DEVICES"), "node": node})


def test_sixty_jobs_outlive_ten_kills_and_a_lost_node(ray_cluster, start):
    """A loop that submits again what died stands in for the coordinator."""
    doomed = ray_cluster.add_node(num_cpus=2, num_gpus=2, resources=A100)
    engine = start(None, "cuda", gpu_model="A100", work=tell)
    assert (engine.resources().workers, engine.resources().free) == (6, 6)
    assert engine.resources().device == "Ray cluster, 6 A100 on 3 nodes"
    todo = [Task(id, waits=id < 10) for id in range(60)]
    given, died, done = {}, [], []
    while len(done) < 60:
        while todo and engine.resources().free:
            job = replace(todo.pop(0), doomed=doomed.node_id if len(done) >= 20 else None)
            given[job.id] = job
            engine.submit(job)
        for answer in engine.poll(5):
            if answer["event"] == "died":
                died.append(answer)
                todo.append(replace(given[answer["id"]], attempt=answer["attempt"] + 1))
            elif answer["event"] == "done":
                done.append(answer)
            elif answer["row"]["node"] == given[answer["id"]].doomed:
                if doomed in ray_cluster.worker_nodes:
                    ray_cluster.remove_node(doomed, allow_graceful=False)
            elif answer["row"]["waits"]:
                os.kill(answer["row"]["pid"], signal.SIGKILL)
    assert Counter(answer["id"] for answer in done) == dict.fromkeys(range(60), 1)
    assert {answer["gpu"] for answer in done} == {"0", "1"}
    left = {node.node_id for node in ray_cluster.worker_nodes}
    assert {answer["node"] for answer in done} <= {*left, doomed.node_id}  # none on the head's T4
    assert sorted(answer["id"] for answer in died if answer["attempt"] == 1)[:10] == list(range(10))  # those killed
    assert len(died) > 10  # those on the node that was removed
    assert all(answer["reason"].startswith(("Its process died", "The node was lost")) for answer in died)
    assert (engine.resources().free, engine.resources().running) == (6, ())
    assert max(answer["attempt"] for answer in done) <= 3  # killed once and lost once: nothing else uses up attempts


def test_a_job_for_which_no_node_has_room_is_said_to_wait(start):
    room = 4  # A100s; a node that an earlier test took away may not have been given up yet
    engine = start(room + 1, "cuda", gpu_model="A100", work=tell)
    for id in range(room + 1):
        engine.submit(Task(id, waits=True))
    at_work, deadline = set(), time.monotonic() + 60
    while len(at_work) < room:
        assert time.monotonic() < deadline, f"only {at_work} began"
        at_work |= {answer["id"] for answer in engine.poll(1)}
    assert set(engine.resources().running) == set(range(room + 1))
    assert set(engine.resources().waiting) == set(range(room + 1)) - at_work


def vanish():
    os._exit(1)
    yield


@pytest.mark.parametrize(("stillborn", "event"), [(2, "done"), (3, "died")])
def test_a_process_that_dies_before_its_job_begins_is_no_attempt(start, monkeypatch, stillborn, event):
    import ray

    engine = start(work=tell)
    begin, begun = engine._begin, []

    def birth(job):
        begun.append(job.id)
        task = ray.remote(vanish).options(num_returns="streaming", max_retries=0)
        return task.remote() if len(begun) <= stillborn else begin(job)

    monkeypatch.setattr(engine, "_begin", birth)
    *_, answer = until_the_end(engine, Task(1))
    assert (answer["event"], begun) == (event, [1, 1, 1])


def hang(job, device, say):
    """Hold Python's lock in a library, so that no signal and no exception gets through."""
    import ctypes

    say({"id": job.id, "attempt": job.attempt, "event": "epoch", "row": {"pid": os.getpid()}})
    time.sleep(0.3)
    ctypes.PyDLL(None).sleep(1000)


def test_a_job_that_hangs_is_cancelled_without_an_answer(start):
    engine = start(1, work=hang)
    engine.submit(Task(1))
    [said] = engine.poll(20)
    time.sleep(1)
    engine.cancel(1)
    engine.cancel(404)  # never heard of: no error
    assert engine.resources().running == ()
    assert engine.poll(3) == []
    assert engine.resources().free == 1
    assert not Path(f"/proc/{said['row']['pid']}").exists()


def save(job, device, say):
    """Train nothing; write the weights that the job has in mind."""
    Path(job.weights).write_bytes(bytes(range(256)) * job.times)
    say({"id": job.id, "attempt": job.attempt, "event": "done"})


def test_weights_come_back_bit_for_bit(start, tmp_path):
    path = tmp_path / "new" / "7.safetensors"
    job = Task(7, 2, weights=str(path), times=8192)  # 2 MiB: larger than what Ray sends along with a message
    [answer] = until_the_end(start(work=save), job)
    assert answer == {"id": 7, "attempt": 2, "event": "done"}
    assert path.read_bytes() == bytes(range(256)) * 8192
    assert [file.name for file in path.parent.iterdir()] == ["7.safetensors"]


def test_damaged_weights_are_worth_another_attempt(start, tmp_path, monkeypatch):
    engine = start(work=save)
    monkeypatch.setattr(cluster, "hashlib", SimpleNamespace(sha256=lambda content: hashlib.sha256(content + b"!")))
    path = tmp_path / "7.safetensors"
    [answer] = until_the_end(engine, Task(7, weights=str(path)))
    assert answer["event"] == "died"
    assert "came back damaged" in answer["reason"]
    assert not path.exists()


def test_weights_that_cannot_be_written_are_no_traceback(start, tmp_path):
    (tmp_path / "taken").touch()
    path = tmp_path / "taken" / "7.safetensors"
    [answer] = until_the_end(start(work=save), Task(7, weights=str(path)))
    assert (answer["event"], answer["kind"]) == ("failed", "refused")
    assert str(path) in answer["reason"]


def count(job, device, say):
    """Take three epochs, each until it was heard of."""
    for epoch in range(3):
        say({"id": job.id, "attempt": 1, "event": "epoch", "row": {"epoch": epoch}})
        while not Path(job.heard, str(epoch)).exists():
            time.sleep(0.01)
    say({"id": job.id, "attempt": 1, "event": "done"})


def test_epochs_are_heard_of_while_the_job_runs(start, tmp_path):
    def hear(answer):
        if answer["event"] == "epoch":
            (tmp_path / str(answer["row"]["epoch"])).touch()

    answers = until_the_end(start(work=count), Task(3, heard=str(tmp_path)), hear)
    assert [answer.get("row") for answer in answers] == [{"epoch": 0}, {"epoch": 1}, {"epoch": 2}, None]
    assert json.loads(json.dumps(answers)) == answers  # plain values


def surroundings(job, device, say):
    """Say where the code came from, and what came with it."""
    import torch

    import poolsearch

    answer = {"file": poolsearch.__file__, "optuna": "optuna" in sys.modules, "threads": torch.get_num_threads()}
    say({"id": job.id, "attempt": 1, "event": "done", **answer, "cwd": str(Path.cwd())})


def test_the_code_travels_and_optuna_stays(start, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    [answer] = until_the_end(start(work=surroundings), Task(0))
    assert "runtime_resources/py_modules_files" in answer["file"]
    assert not Path(answer["file"]).is_relative_to(ROOT)
    assert (answer["optuna"], answer["threads"]) == (False, 1)


def leave(job, device, say):
    """End as a crash in a library would, raise, or say nothing."""
    if job.how == "exit":
        say({"id": job.id, "attempt": 1, "event": "epoch", "row": {}})
        while not Path(job.heard).exists():  # by then Ray has passed on where this is
            time.sleep(0.01)
        os._exit(3)
    if job.how == "raise":
        raise LookupError("no such thing")


@pytest.mark.parametrize(
    ("how", "event", "reason"),
    [
        ("exit", "died", "Its process died: process"),
        ("raise", "failed", "LookupError: no such thing"),
        ("nothing", "failed", "The work ended without an answer."),
    ],
)
def test_every_job_is_answered(start, tmp_path, how, event, reason):
    heard = tmp_path / "heard"
    job = Task(5, how=how, heard=str(heard))
    *_, answer = until_the_end(start(work=leave), job, lambda answer: heard.touch())
    assert (answer["id"], answer["attempt"], answer["event"]) == (5, 1, event)
    assert answer["reason"].startswith(reason)


def opened(path):
    """Return the tensors and the notes in a file of weights; safetensors writes the notes in no fixed order."""
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()


def test_a_real_trial_gives_what_it_gives_here(start, tiny, tmp_path):
    job = TrialJob(1, 1, to_toml(tiny), "smallnet/1x12x12", 0)
    *epochs, answer = until_the_end(start(), replace(job, weights=str(tmp_path / "there")))
    here = worker.run_trial(replace(job, weights=str(tmp_path / "here")))
    assert answer["event"] == "done", answer
    assert [said["row"]["accuracy"] for said in epochs] == [row["accuracy"] for row in here["curve"]]
    assert [answer[key] for key in ("accuracy", "loss")] == [here[key] for key in ("accuracy", "loss")]
    (there, about), (mine, about_mine) = (opened(tmp_path / name) for name in ("there", "here"))
    assert about == about_mine
    assert there.keys() == mine.keys()
    assert all(torch.equal(there[name], mine[name]) for name in mine)


# ------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (None, "several models, whose times can't be compared: A100, T4"),
        ("A10", "Did you mean 'A100'? Possible: A100, T4"),
    ],
)
def test_gpus_of_two_models_are_not_mixed(start, wanted, words):
    with pytest.raises(EngineError) as refusal:
        start(device="cuda", gpu_model=wanted)
    assert words in str(refusal.value)


def test_without_a_gpu_there_is_no_cuda():
    with pytest.raises(EngineError, match="No node of the Ray cluster has a GPU"):
        connection.chosen([{"Resources": {"CPU": 4.0}}], None)


def test_one_engine_a_process_and_the_handlers_of_signals_stay_ours(start):
    before = signal.getsignal(signal.SIGTERM)
    start()
    assert signal.getsignal(signal.SIGTERM) == before
    with pytest.raises(EngineError, match="connected to a Ray cluster already"):
        start()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1:1", "There is no Ray cluster at 127.0.0.1:1 (Connection refused)"),
        ("db.internal", "'db.internal' is not a valid cluster address. Possible: HOST:PORT"),
        ("ray://10.0.0.1:10001", "Ray Client, which is not supported"),
    ],
)
def test_an_address_without_a_cluster_is_one_sentence(address, words):
    with pytest.raises(EngineError) as refusal:
        RayEngine(1, "cpu", address)
    assert words in str(refusal.value)


def test_a_wrong_token_is_one_sentence(ray_cluster):
    code = (
        "import sys; from poolsearch.errors import EngineError\n"
        "from poolsearch.sweep.engines.cluster import RayEngine\n"
        "try:\n    RayEngine(1, 'cpu', sys.argv[1])\n"
        "except EngineError as error:\n    print(error)"
    )
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    words = [sys.executable, "-c", code, ray_cluster.address]
    ended = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=40)
    assert "the token is not the head's" in ended.stdout
    assert (len(ended.stdout.splitlines()), ended.stderr) == (1, "")


def test_a_machine_without_ray_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(EngineError, match="pip install -r requirements-cluster.txt"):
        RayEngine(1, "cpu")


def test_a_lost_head_ends_the_engine_in_words(start, monkeypatch):
    engine = start(1, work=count)
    monkeypatch.setattr(cluster, "_HEAD_S", 1.5)
    engine.submit(Task(3, heard="/nonexistent"))

    def refuse(address, timeout):
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("socket.create_connection", refuse)
    begun = time.monotonic()
    with pytest.raises(EngineError, match=r"The head of the Ray cluster at .* is lost \(Connection refused\)"):
        while time.monotonic() < begun + 300:
            engine.poll(0.2)
    assert time.monotonic() > begun + 1.5  # s: a short silence is no loss
