"""Workers and commands as processes: how they end with their parent, wait for a device, and are interrupted."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from poolsearch.config import to_toml
from poolsearch.errors import PoolsearchError
from poolsearch.sweep.engines import device_lock
from poolsearch.sweep.engines.device_lock import device_alone
from poolsearch.sweep.engines.jobs import TrialJob
from poolsearch.sweep.engines.local import LocalEngine
from poolsearch.sweep.folder.folder import open_folder
from poolsearch.sweep.running.run import run
from poolsearch.sweep.study import storage
from tests.sweep.processes import ROOT, wait_until
from tests.sweep.scripted import ScriptedEngine, done

FREE = subprocess.Popen([sys.executable, "-c", ""])  # a process that is gone: its number is nobody's
FREE.wait()


def python(*words, **more):
    return subprocess.Popen([sys.executable, *words], cwd=ROOT, text=True, **more)


# ------------------------------------------------------------------------------------- with the process that began it


def gone(pid):
    """Return whether a process has ended; where nobody reaps orphans it stays as a zombie."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells of a parent's death")
def test_a_process_ends_with_its_parent_also_while_it_imports_or_is_stopped(tmp_path):
    """What it runs is an import without end, which reads no pipe; and it is stopped when its parent is killed."""
    (tmp_path / "endless.py").write_text(
        "import os, pathlib, time\n"
        "pathlib.Path(os.environ['HERE']).write_text(str(os.getpid()))\n"
        "while True:\n    time.sleep(0.1)\n"
    )
    code = (
        "import os, subprocess, sys, time\n"
        "tied = [sys.executable, '-m', 'poolsearch.sweep.engines.tied', str(os.getpid()), 'endless']\n"
        "subprocess.Popen(tied, start_new_session=True)\ntime.sleep(600)\n"
    )
    here = tmp_path / "here"
    parent = python("-c", code, env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "HERE": str(here)})
    wait_until(lambda: here.exists() and here.read_text())
    child = int(here.read_text())
    os.kill(child, signal.SIGSTOP)
    parent.kill()
    parent.wait()
    wait_until(lambda: gone(child))


def test_a_process_whose_parent_died_before_it_asked_ends_at_once():
    """Its parent is said to be another than it has, as when that died while this process began."""
    late = python(
        "-m", "poolsearch.sweep.engines.tied", str(FREE.pid), "poolsearch.sweep.engines.worker", stdout=subprocess.PIPE
    )
    out, _ = late.communicate(timeout=300)
    assert (late.returncode, out) == (0, "")


def test_a_worker_whose_input_closes_while_it_imports_ends_without_a_word():
    worker = python(
        "-m", "poolsearch.sweep.engines.tied", str(os.getpid()), "poolsearch.sweep.engines.worker",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    worker.stdout.close()  # whoever would hear its answers is gone
    _, err = worker.communicate(timeout=300)
    assert (worker.returncode, err) == (0, "")


def test_a_worker_that_nobody_hears_ends_without_a_word():
    """Its input stays open, its answers go nowhere: "ready" is the first that breaks the pipe."""
    worker = python(
        "-m", "poolsearch.sweep.engines.tied", str(os.getpid()), "poolsearch.sweep.engines.worker",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    worker.stdout.close()
    assert worker.wait(300) == 0
    assert worker.stderr.read() == ""
    worker.stdin.close()
    worker.stderr.close()


# ---------------------------------------------------------------------------------------------- what dead ones left


def test_drafts_of_processes_that_are_gone_are_removed_and_no_others(tiny):
    home = open_folder("tiny").path
    (home / "weights").mkdir(parents=True)
    dead = [
        f"study.db.{FREE.pid}.tmp", f"study.db.{FREE.pid}.tmp-wal", f"study.db.{FREE.pid}.tmp-journal",
        f"status.json.{FREE.pid}.tmp", f"config.toml.{FREE.pid}.123456.tmp", f"weights/3.safetensors.{FREE.pid}.tmp",
    ]  # fmt: skip
    stay = [f"7.json.{os.getpid()}.tmp", "notes.tmp", "my.tmp.txt"]
    for name in (*dead, *stay):
        (home / name).touch()
    run(tiny, make_engine=lambda *_: ScriptedEngine(lambda job: done()))
    assert [name for name in dead if (home / name).exists()] == []
    assert [name for name in stay if (home / name).exists()] == stay


def test_a_draft_older_than_the_process_of_its_number_is_of_a_dead_one(tmp_path):
    path = tmp_path / f"study.db.{os.getpid()}.tmp"
    path.touch()
    os.utime(path, (1e9, 1e9))
    other = tmp_path / f"other.db.{FREE.pid}.tmp"
    other.touch()
    storage.open_storage(storage.checked(f"sqlite:///{tmp_path / 'study.db'}")).engine.dispose()
    assert {file.name for file in tmp_path.iterdir()} >= {"study.db", other.name}
    assert not path.exists()


# ----------------------------------------------------------------------------------------------------- interrupted

CTRL_C = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\nraise SystemExit('too late')\n"


@pytest.mark.parametrize("module", ["typer", "torch"])  # imported before a command is known, and by a command
@pytest.mark.parametrize(
    "words",
    [
        ["-m", "poolsearch", "cost", "smallnet/1x20x20"],
        ["-m", "poolsearch", "replay", "tiny", "0"],
        ["-m", "poolsearch", "sweep", "start", "experiments/configs/cluttered-digits.toml"],
        ["experiments/sweep.py", "experiments/configs/cluttered-digits.toml"],
        ["app.py"],
    ],
    ids=["cost", "replay", "start", "sweep.py", "app.py"],
)
def test_ctrl_c_while_a_command_imports_is_130_without_a_word(words, module, tmp_path):
    if words == ["app.py"] and module == "torch":
        pytest.skip("the app is another process")
    (tmp_path / f"{module}.py").write_text(CTRL_C)
    command = python(
        *words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "POOLSEARCH_RUNS": str(tmp_path / "runs")},
    )  # fmt: skip
    out, err = command.communicate(timeout=300)
    assert (command.returncode, out, err) == (130, "", "")


def test_ctrl_c_while_a_file_is_written_leaves_no_half_of_one(tmp_path):
    code = (
        "import os, signal, sys, pathlib, time\n"
        "from poolsearch import files\n"
        "from poolsearch.cli.interrupt import leave_on_ctrl_c\n"
        "leave_on_ctrl_c()\n"
        "files.os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGINT) or time.sleep(60)\n"
        "files.replace(pathlib.Path(sys.argv[1]) / 'weights', b'half')\n"
    )
    ended = python("-c", code, str(tmp_path), stderr=subprocess.PIPE)
    _, err = ended.communicate(timeout=300)
    assert (ended.returncode, err) == (130, "")
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_a_sweep_is_made_ready_stops_it_before_its_first_trial(tiny):
    engine = ScriptedEngine(lambda job: done())

    def make(*_):
        os.kill(os.getpid(), signal.SIGINT)
        return engine

    outcome = run(tiny, make_engine=make)
    assert (outcome.status.state, engine.seen) == ("stopped", [])


# -------------------------------------------------------------------------------------------------------- the device

HOLDER = (
    "import sys; from poolsearch.sweep.engines.device_lock import device_alone\n"
    "with device_alone(sys.argv[1]):\n    print('held', flush=True); sys.stdin.read()\n"
)


@pytest.fixture
def holder():
    """A process that holds the lock of a device called "test"; it ends when its input closes."""
    process = python("-c", HOLDER, "test", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()


def test_who_waits_for_a_device_hears_who_holds_it(holder, monkeypatch):
    monkeypatch.setattr(device_lock, "_SAID_AFTER_S", 0.0)
    heard = []

    def hear(words):
        heard.append(words)
        holder.stdin.close()

    with device_alone("test", hear):
        pass
    assert heard == [f"process {holder.pid} on {os.uname().nodename}", ""]


def test_a_holder_that_is_stopped_keeps_nobody_from_the_device(holder, monkeypatch):
    monkeypatch.setattr(device_lock, "_SAID_AFTER_S", 0.0)
    monkeypatch.setattr(device_lock, "_STOPPED_S", 0.2)
    heard = []
    holder.send_signal(signal.SIGSTOP)
    wait_until(lambda: psutil.Process(holder.pid).status() == psutil.STATUS_STOPPED)
    with device_alone("test", heard.append):
        assert heard[-2:] == [f"process {holder.pid} on {os.uname().nodename} (stopped)", ""]
        # the next one waits for this process, not for the stopped one
        other = python("-c", HOLDER, "test", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = other.stderr.readline()
        while f"process {os.getpid()} on" not in line:
            assert line
            line = other.stderr.readline()
    assert other.stdout.readline() == "held\n"
    other.communicate()


def test_the_lock_is_in_a_folder_of_this_user_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(device_lock.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    ours = tmp_path / "tmp" / f"poolsearch-{os.getuid()}"
    ours.mkdir(parents=True, mode=0o777)
    assert device_lock._own_folder() == ours
    assert ours.stat().st_mode & 0o777 == 0o700  # it was open to others, and is not any more
    ours.rmdir()
    (tmp_path / "trap").mkdir()
    ours.symlink_to(tmp_path / "trap")  # as another user would who was there first
    assert device_lock._own_folder() == tmp_path / "home" / ".cache" / "poolsearch"
    (tmp_path / "home" / ".cache" / "poolsearch").rmdir()
    (tmp_path / "home" / ".cache" / "poolsearch").touch()
    with pytest.raises(
        PoolsearchError, match="The lock of the device needs a folder that is private to this user: neither"
    ):
        device_lock._own_folder()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a folder away")
def test_a_folder_of_another_user_is_not_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(device_lock.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    theirs = tmp_path / f"poolsearch-{os.getuid()}"
    theirs.mkdir()
    os.chown(theirs, 65534, 65534)
    assert device_lock._own_folder() == tmp_path / "home" / ".cache" / "poolsearch"


def test_a_trial_that_waits_for_the_device_does_not_age_and_says_for_whom(tiny):
    """Silent for as long as another process holds the device, far beyond its limits."""
    limits = tiny.limits.model_copy(update={"trial_s": 0.2, "silent_s": 0.2})
    said = set()
    words = "Waiting to be timed: trial 1. The device is in use by process 42 on host (stopped)."

    def script(job):
        if job.id != 1 or words in said:
            return done()
        return {"event": "waits", "for": "process 42 on host (stopped)"}

    engine = ScriptedEngine(script, workers=1)
    outcome = run(
        tiny.model_copy(update={"limits": limits}), make_engine=lambda *_: engine,
        on_change=lambda status: said.add(status.message),
    )  # fmt: skip
    assert outcome.document()["counts"] == {"complete": 5}
    assert engine.cancelled == []
    assert words in said


# ------------------------------------------------------------------------------------------------ an unfit worker


def pids(engine):
    return {worker.process.pid for worker in engine._workers}


@pytest.mark.parametrize(
    ("illness", "kind", "replaced"),
    [("cuda", "bug", True), ("broken", "refused", True), ("allocation", "memory", True), ("refused", "refused", False)],
)
def test_a_worker_is_replaced_after_any_error_of_its_device(tiny, tmp_path, illness, kind, replaced):
    config = to_toml(tiny.model_copy(update={"study": f"tiny-{illness}"}))
    job = TrialJob(id=1, attempt=1, config=config, plan="smallnet/1x12x12", seed=0)
    with (tmp_path / "log").open("w") as log:
        engine = LocalEngine(1, "cpu", log, "tests.sweep.sick_worker")
        try:
            while not engine.resources().free:
                engine.poll(0.5)
            before = pids(engine)
            engine.submit(job)
            answers = []
            while not answers:
                answers = engine.poll(0.5)
            assert [(answer["event"], answer["kind"]) for answer in answers] == [("failed", kind)]
            assert (pids(engine) != before) == replaced
            assert len(pids(engine)) == 1
        finally:
            engine.close()
