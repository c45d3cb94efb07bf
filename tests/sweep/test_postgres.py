"""A study in PostgreSQL, on a server of the test's own: restarted, stopped permanently, fought over, asked wrongly."""

import contextlib
import importlib.util
import json
import os
import pwd
import random
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import optuna
import psutil
import pytest
import typer
from optuna.trial import TrialState, create_trial
from sqlalchemy import create_engine, event, text
from sqlalchemy.pool import NullPool

from poolsearch.cli import run as cli_run
from poolsearch.cli.command import refusing
from poolsearch.config import to_toml
from poolsearch.errors import BusyError, StudyError
from poolsearch.sweep.folder.folder import Options, open_folder
from poolsearch.sweep.running.run import run
from poolsearch.sweep.search.space import space_of
from poolsearch.sweep.study import patience, storage
from poolsearch.sweep.study.reader import Reader
from poolsearch.sweep.study.storage import located
from poolsearch.sweep.study.writer import Writer
from tests.ports import free_port
from tests.sweep.processes import wait_until
from tests.sweep.scripted import ScriptedEngine, done

ROOT = Path(__file__).parents[2]
USER = "poolsearch"


def programs():
    """Return the folder of PostgreSQL's programs, or None: those on the path, else Debian's newest."""
    there = shutil.which("pg_ctl")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3]))
    return Path(there).parent if there else found[-1].parent if found else None


def who():
    """Return the user that the server runs as: never root, which it refuses. None when there is nobody."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name if os.getuid() else pwd.getpwnam("postgres").pw_name
    except KeyError:
        return None


pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(not importlib.util.find_spec("psycopg"), reason="needs requirements-cluster.txt"),
    pytest.mark.skipif(not programs(), reason="there is no PostgreSQL here (Debian: apt-get install postgresql)"),
    pytest.mark.skipif(not who(), reason="root may not run PostgreSQL, and there is no user postgres"),
]


class Server:
    """A PostgreSQL in a folder of its own, on a free port of 127.0.0.1, that wants a password."""

    def __init__(self, password):
        self.home, self.port = Path(tempfile.mkdtemp(prefix="poolsearch-postgres-")), free_port()
        shutil.chown(self.home, who())
        secret = self.home / "password"
        secret.write_text(password)
        shutil.chown(secret, who())
        self._run("initdb", "-U", USER, f"--pwfile={secret}", "-A", "scram-sha-256", "-E", "UTF8", "--no-sync")
        with (self.home / "data" / "postgresql.conf").open("a") as file:  # fsync off: no power is cut here
            file.write(f"port = {self.port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\n")
            file.write("fsync = off\n")
        self.start()

    def _run(self, program, *words):
        as_whom = [] if os.getuid() else ["runuser", "-u", who(), "--"]
        command = [*as_whom, str(programs() / program), "-D", str(self.home / "data"), *words]
        subprocess.run(command, cwd=self.home, check=True, timeout=60, stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip

    def start(self):
        self._run("pg_ctl", "start", "-w", "-l", str(self.home / "log"))

    def stop(self):
        self._run("pg_ctl", "stop", "-w", "-m", "immediate")

    def restart(self):
        """Restart it as after a power cut: no session is told, and what was not committed is gone."""
        self._run("pg_ctl", "restart", "-w", "-m", "immediate", "-l", str(self.home / "log"))

    def url(self, database="postgres"):
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{database}"


@pytest.fixture(scope="module")
def password():
    """Return the password of the server's user, which libpq finds in the environment."""
    secret = f"canary-{secrets.token_hex(8)}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", secret)
        yield secret


@pytest.fixture(scope="module")
def server(password):
    made = Server(password)
    yield made
    with contextlib.suppress(subprocess.CalledProcessError):  # it is stopped already
        made.stop()
    shutil.rmtree(made.home)


@pytest.fixture
def database(server):
    """Return the URL of an empty database."""
    name = f"d{secrets.token_hex(4)}"
    ask(server.url(), f"create database {name}")
    return server.url(name)


def ask(url, sql):
    """Do one statement and return its rows, if it has any."""
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        result = connection.execute(text(sql))
        return result.all() if result.returns_rows else None


@pytest.fixture
def wide(tiny):
    """A config whose space holds 125 Plans."""
    kinds = ("max", "avg", "lp", "soft", "min")
    return tiny.model_copy(update={"space": tiny.space.model_copy(update={"kinds": kinds})})


@pytest.fixture
def start(tmp_path):
    """Return what starts the script on a config; what it started is ended with the test."""
    started = []

    def begin(config, runs, *words, out=subprocess.PIPE, err=subprocess.PIPE):
        path = tmp_path / "config.toml"
        path.write_text(to_toml(config))
        process = subprocess.Popen(
            [sys.executable, "experiments/sweep.py", str(path), *words],
            cwd=ROOT, stdout=out, stderr=err, text=True, env={**os.environ, "POOLSEARCH_RUNS": str(runs)},
        )  # fmt: skip
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def as_optuna_reads(url, name="tiny"):
    kept = optuna.storages.RDBStorage(url)
    trials = optuna.load_study(study_name=name, storage=kept).trials
    kept.remove_session()
    kept.engine.dispose()
    return trials


def whole(url, trials):
    """Every trial is complete, numbers have no gap, no Plan stands twice."""
    found = as_optuna_reads(url)
    assert [trial.number for trial in found] == list(range(trials))
    assert {trial.state for trial in found} == {TrialState.COMPLETE}
    assert len({trial.user_attrs["plan"] for trial in found}) == trials
    return found


# ------------------------------------------------------------------------------------------- processes that are killed


def workers_of(process):
    """Return the workers of a coordinator, the one that has lived longest first."""
    children = psutil.Process(process.pid).children()
    return sorted((child for child in children if "poolsearch.sweep.engines.worker" in child.cmdline()), key=_born)


def _born(process):
    return process.create_time()


def strike(process, server, blows, source):
    """Kill workers and restart the server at random instants while a sweep runs."""
    told = 0
    for blow in blows:
        # after two more trials, so that no trial is hit three times: then it would fail, as it should
        wait_until(lambda: open_folder("tiny").status().complete >= told + 2 or process.poll() is not None)  # noqa: B023
        time.sleep(source.uniform(0, 0.3))
        told = open_folder("tiny").status().complete
        assert process.poll() is None, "it was over before all of that was done to it"
        if blow == "kill":
            workers_of(process)[0].kill()
        else:
            server.restart()


def test_sixty_trials_through_ten_killed_workers_and_five_restarts(
    tmp_path, start, wide, own_runs, server, database, password
):
    half_a_second = wide.training.model_copy(update={"epochs": 60})
    config = wide.model_copy(update={"trials": 60, "training": half_a_second})
    out, err = tmp_path / "out", tmp_path / "err"
    source = random.Random(0)
    blows = ["kill"] * 10 + ["restart"] * 5
    source.shuffle(blows)
    with out.open("w") as out_file, err.open("w") as err_file:
        process = start(config, own_runs, "--storage", database, "--workers", "2", out=out_file, err=err_file)
        strike(process, server, blows, source)
        assert process.wait(timeout=600) == 0, err.read_text()
    found = whole(database, 60)
    again = sum(trial.user_attrs["attempts"] - 1 for trial in found)
    assert 1 <= again <= 10  # a worker that is killed between two trials costs no attempt
    document = json.loads(out.read_text().splitlines()[-1])
    assert document["counts"] == {"complete": 60}
    assert document["storage"] == database
    assert "Traceback" not in err.read_text()
    written = [path for path in own_runs.rglob("*") if path.is_file()] + [out, err]
    assert any(path.name == "options.json" for path in written)
    assert [path for path in written if password.encode() in path.read_bytes()] == []


def test_a_second_coordinator_elsewhere_exits_with_75(tmp_path, start, wide, own_runs, database):
    slow = wide.model_copy(update={"training": wide.training.model_copy(update={"epochs": 900})})
    first = start(slow, own_runs, "--storage", database, "--workers", "1")
    wait_until(lambda: open_folder("tiny").status().running)
    second = start(slow, tmp_path / "elsewhere", "--storage", database, "--resume")
    out, err = second.communicate(timeout=600)
    assert (second.returncode, out) == (75, "")
    assert err == "The study 'tiny' is already being run by another coordinator. Stop it first.\n"
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=600)
    assert first.returncode == 130


# ---------------------------------------------------------------------------------------- a server that goes and comes


def opened(config, url, runs=None, monkeypatch=None):
    """Open the study as a coordinator does; with `runs`, as one on another machine."""
    if runs:
        monkeypatch.setenv("POOLSEARCH_RUNS", str(runs))
    return Writer(located(open_folder(config.study), Options(storage=url)), config)


def a_trial(plan):
    return create_trial(state=TrialState.RUNNING, user_attrs={"plan": plan, "attempts": 1})


def test_after_a_restart_the_study_is_still_held(tmp_path, wide, server, database, monkeypatch):
    first = opened(wide, database)
    server.restart()
    first.add(a_trial("a"))  # the first write after it takes the lock again
    with pytest.raises(BusyError, match="The study 'tiny' is already being run by another coordinator."):
        opened(wide, database, tmp_path / "elsewhere", monkeypatch)
    first.close()


def test_who_was_slower_after_a_restart_writes_nothing_more(tmp_path, wide, server, database, monkeypatch):
    slower = opened(wide, database)
    slower.add(a_trial("a"))
    server.restart()
    faster = opened(wide, database, tmp_path / "elsewhere", monkeypatch)
    for write in (lambda: slower.add(a_trial("b")), lambda: slower.note(0, "attempts", 2)):
        with pytest.raises(BusyError, match="is already being run by another coordinator"):
            write()
    faster.add(a_trial("c"))
    assert [(trial.number, trial.attributes) for trial in faster.trials()] == [
        (0, {"plan": "a", "attempts": 1}), (1, {"plan": "c", "attempts": 1}),
    ]  # fmt: skip
    faster.close()
    slower.close()


def test_a_trial_is_written_as_optuna_writes_it(wide, database):
    space, params = space_of(wide), {"stage1.kind": "lp", "stage2.kind": "min", "stage3.kind": "max"}
    distributions = {name: space.distributions[name] for name in params}
    trial = create_trial(
        state=TrialState.RUNNING, params=params, distributions=distributions, user_attrs={"plan": "a", "seed": 7}
    )
    study = opened(wide, database)
    assert study.add(trial) == 0
    study._storage.create_new_trial(study._id, trial)
    ours, optunas = as_optuna_reads(database)
    assert (ours.number, ours.state, ours.params) == (0, TrialState.RUNNING, params)
    for what in ("state", "params", "distributions", "user_attrs", "system_attrs", "values", "datetime_complete"):
        assert getattr(ours, what) == getattr(optunas, what)
    assert abs((optunas.datetime_start - ours.datetime_start).total_seconds()) < 10
    study.close()


def test_a_trial_whose_commit_was_done_but_not_answered_is_not_added_again(wide, database):
    study = opened(wide, database)
    study.add(a_trial("a"))
    cut, waits = [], []
    study.on_wait = waits.append

    @event.listens_for(study._storage.engine, "commit")
    def lose_the_answer(connection):
        if not cut:
            cut.append(True)
            raw = connection.connection.dbapi_connection
            raw.commit()
            raw.pgconn.finish()  # what the driver finds when the server was gone before its answer came

    assert study.add(a_trial("b")) == 1
    assert (len(cut), len(waits)) == (1, 1)
    assert study.add(a_trial("c")) == 2
    assert [trial.attributes["plan"] for trial in study.trials()] == ["a", "b", "c"]
    study.complete(1, [0.5, 2.0], {"accuracy": 0.5})
    assert [trial.state for trial in study.trials()] == ["RUNNING", "COMPLETE", "RUNNING"]
    study.close()


def test_figures_wait_on_the_disk_for_a_server_that_is_gone_for_good(wide, server, database, monkeypatch):
    monkeypatch.setattr(patience, "_PATIENCE_S", 1.0)
    config = wide.model_copy(update={"trials": 8})

    def script(job):
        if job.id == 3:
            server.stop()
        return done(accuracy=job.id / 10)

    first, said = ScriptedEngine(script), []
    try:
        outcome = run(config, Options(storage=database), make_engine=lambda *_: first, on_change=said.append)
    finally:
        server.start()
    assert (outcome.status.state, outcome.rows) == ("failed", ())  # nor could the trials be read at the end
    assert ("paused", patience.GONE) in [(status.state, status.message) for status in said]
    status = open_folder("tiny").status()
    assert status.state == "failed"
    assert status.message.startswith(f"The storage '{database}' can't be used any more: ")
    assert status.message.endswith("results that it could not take are kept in the sweep's folder.")
    assert sorted(path.name for path in open_folder("tiny").result_file(0).parent.iterdir()) == ["2.json", "3.json"]

    second = ScriptedEngine(lambda job: done(accuracy=job.id / 10))
    outcome = run(config, resume=True, make_engine=lambda *_: second)
    assert outcome.status.state == "done"
    assert sorted(first.seen + second.seen) == [(number, 1) for number in range(8)]  # nothing was trained twice
    assert [row.accuracy for row in outcome.rows] == [number / 10 for number in range(8)]
    assert list(open_folder("tiny").result_file(0).parent.iterdir()) == []
    whole(database, 8)


# ------------------------------------------------------------------------------------------------------ wrong requests


POSSIBLE = "Possible: sqlite:////folder/study.db, or postgresql+psycopg://user@host/database."


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda url: url.replace("psycopg", "psycop"), f"Unknown storage 'postgresql+psycop'. {POSSIBLE}"),
        (lambda url: url.replace("://", ":/"), f"The storage is not a valid URL. {POSSIBLE}"),
        (lambda url: url.replace("127.0.0.1:", "127.0.0.1:x"), f"The storage is not a valid URL. {POSSIBLE}"),
        (lambda url: url.rpartition("/")[0], f"The storage URL names no database. {POSSIBLE}"),
        (lambda url: url.replace("@", ":{password}@"), "The storage URL holds a password, "),
        (lambda url: url + "?password={password}", "The storage URL holds a password, "),
        (lambda url: url.replace(":" + url.rpartition(":")[2], ":1/none"), "Connection refused."),
        (lambda url: url + "0", 'does not exist.'),
        (lambda url: url + "?sslmode=perhaps", 'invalid sslmode value: "perhaps".'),
    ],
    ids=["scheme", "slashes", "port", "no database", "password", "password in query", "down", "unknown", "option"],
)  # fmt: skip
def test_a_storage_that_cannot_be_is_one_sentence(
    tmp_path, tiny, own_runs, database, password, capsys, change, sentence
):
    config = tmp_path / "config.toml"
    config.write_text(to_toml(tiny))
    with pytest.raises(typer.Exit) as ended:
        refusing(cli_run.run)(config, storage=change(database).replace("{password}", password))
    out, err = capsys.readouterr()
    assert (ended.value.exit_code, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1
    assert password not in err
    assert list(own_runs.rglob("options.json")) == []  # it did not become the storage of the next run


def test_a_wrong_password_is_one_sentence_without_it(start, tiny, own_runs, database, monkeypatch):
    monkeypatch.setenv("PGPASSWORD", "canary-wrong")
    process = start(tiny, own_runs, "--storage", database)
    out, err = process.communicate(timeout=600)
    assert (process.returncode, out, len(err.splitlines())) == (2, "", 1)
    assert 'password authentication failed for user "poolsearch"' in err
    assert "canary" not in err


def test_a_missing_driver_is_named_with_its_remedy(tmp_path, start, tiny, own_runs, database):
    (tmp_path / "psycopg.py").write_text("raise ImportError('no psycopg')")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(tmp_path))
        process = start(tiny, own_runs, "--storage", database)
    out, err = process.communicate(timeout=600)
    assert (process.returncode, out) == (2, "")
    assert err == (f"The storage '{database}' needs psycopg. Install it: pip install -r requirements-cluster.txt.\n")


def test_tables_of_another_optuna_are_left_as_they_are(tiny, database):
    opened(tiny, database).close()
    ask(database, "update alembic_version set version_num = 'v3.0.0.a'")
    with pytest.raises(StudyError, match="were written by another version of Optuna than .* optuna storage upgrade"):
        opened(tiny, database)
    assert ask(database, "select version_num from alembic_version") == [("v3.0.0.a",)]


def test_a_user_who_may_not_make_tables_hears_so(tiny, server, database):
    name = f"guest{secrets.token_hex(2)}"
    ask(database, f"create role {name} login password '{os.environ['PGPASSWORD']}'")
    with pytest.raises(StudyError, match="can't be used: permission denied for schema public."):
        opened(tiny, database.replace(f"//{USER}@", f"//{name}@"))


# -------------------------------------------------------------------------------------------------------- only looking


def test_a_page_reads_what_optuna_reads_and_says_when_the_server_is_down(wide, server, database):
    config = wide.model_copy(update={"trials": 6})
    said = {2: {"event": "failed", "kind": "memory", "reason": "Out of memory."}}
    engine = ScriptedEngine(lambda job: said.get(job.id, done(accuracy=job.id / 10, ms=1 + job.id)))
    run(config, Options(storage=database), make_engine=lambda *_: engine)
    reader = Reader(located(open_folder("tiny")))
    rows = reader.rows()
    found = as_optuna_reads(database)
    assert [(row.number, row.state, str(row.plan)) for row in rows] == [
        (trial.number, "failed" if trial.number == 2 else "complete", trial.user_attrs["plan"]) for trial in found
    ]
    assert [row.accuracy for row in rows] == [trial.values[0] if trial.values else None for trial in found]
    assert [row.accuracy for row in rows] == [0.0, 0.1, None, 0.3, 0.4, 0.5]
    assert (rows[2].kind, rows[2].reason) == ("memory", "Out of memory.")

    server.stop()
    with pytest.raises(StudyError, match=f"The storage '.*/{database.rpartition('/')[2]}' can't be used: .*") as raised:
        reader.rows()
    assert "\n" not in str(raised.value)
    with pytest.raises(StudyError, match="Connection refused"):
        Reader(located(open_folder("tiny")))
    server.start()
    assert reader.rows() == rows
    reader.close()


def test_a_database_without_studies_is_one_sentence(tiny, database):
    open_folder(tiny.study).write_config(tiny)
    open_folder("tiny").write_options(Options(storage=database))
    with pytest.raises(StudyError, match=re.escape(f"There is no study called 'tiny' in the storage '{database}'.")):
        Reader(located(open_folder("tiny")))


def test_a_full_disk_of_the_server_is_told_as_one():
    from psycopg.errors import DiskFull
    from sqlalchemy.exc import OperationalError

    assert patience.full(OperationalError("insert", {}, DiskFull("could not extend file")))
    assert storage.reason_of(OperationalError("insert", {}, DiskFull("could not extend file"))) == (
        "could not extend file"
    )
