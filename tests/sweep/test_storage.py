"""What a study may be kept in: URLs, files that are broken, foreign or old, and file systems."""

import os
import sqlite3
from collections import namedtuple

import pytest
from as_optuna import as_optuna

from poolsearch import files
from poolsearch.config import parse, to_toml
from poolsearch.errors import StudyError
from poolsearch.sweep.folder import folder
from poolsearch.sweep.folder.folder import Options, open_folder
from poolsearch.sweep.running.preflight import merged
from poolsearch.sweep.running.run import run
from poolsearch.sweep.search.front import directions
from poolsearch.sweep.study import patience, storage
from poolsearch.sweep.study.reader import Reader, trial_rows
from poolsearch.sweep.study.storage import located
from poolsearch.sweep.study.writer import Writer
from tests.sweep.scripted import ScriptedEngine, done


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        (
            "nonsense",
            "The storage is not a valid URL. Possible: sqlite:////folder/study.db, or postgresql+psycopg://user@host/",
        ),
        ("mysql://u@h/d", "Unknown storage 'mysql'. Possible: sqlite:////folder/study.db, or postgresql+psycopg://"),
        ("postgresql+psycopg://u@h", "The storage URL names no database."),
        (
            "sqlite:///:memory:",
            "The storage 'sqlite:///:memory:' is not a file on disk: a sweep's processes could",
        ),
        ("sqlite:///file::memory:", "The storage 'sqlite:///file::memory:' is not a file on disk"),
        ("sqlite:///file:a?mode=memory&uri=true", "A SQLite URL takes no options after a '?'."),
        (
            "sqlite:////tmp/a?b/study.db",
            "A SQLite URL takes no options after a '?'. Where the '?' is part of the path",
        ),
        ("sqlite://", "The storage URL names no database."),
        ("postgresql+psycopg://u:canary@h/d", "The storage URL holds a password, which would be seen in logs"),
        ("postgresql+psycopg://u@h/d?password=canary", "The storage URL holds a password, which would be seen"),
    ],
)
def test_a_url_that_cannot_be_is_refused_and_no_password_is_shown(url, sentence):
    with pytest.raises(StudyError) as refused:
        storage.checked(url)
    assert str(refused.value).startswith(sentence)
    assert "canary" not in str(refused.value)


def test_postgresql_is_spelt_as_people_spell_it():
    assert storage.checked("postgresql://u@h/d").drivername == "postgresql+psycopg"


PLACES = ["a#b", "a?b", "100%", "C#", "ä b", "a%20b", "a?mode=memory", "{x}", "[a]", "a&b=c;d", "日本", 'it\'s "so"']


@pytest.mark.parametrize("place", PLACES)
def test_a_sweep_lands_where_it_is_asked_to_whatever_the_folder_is_called(tiny, tmp_path, monkeypatch, place):
    """By POOLSEARCH_RUNS, and by --storage; and nowhere else."""
    monkeypatch.setenv("POOLSEARCH_RUNS", str(tmp_path / place / "runs"))
    elsewhere = tmp_path / place / "other study.db"
    for options in (Options(), merged(open_folder("tiny"), storage=storage.sqlite_url(elsewhere).render_as_string())):
        outcome = run(tiny, options, make_engine=lambda *_: ScriptedEngine(lambda job: done()))
        assert outcome.document()["counts"] == {"complete": 5}
        assert as_optuna("tiny", outcome.storage).trials[4].state.name == "COMPLETE"
        folder.delete(open_folder("tiny"))
    assert elsewhere.exists()
    assert [path.name for path in tmp_path.iterdir()] == [place]


def test_a_storage_is_the_same_file_from_every_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = merged(open_folder("tiny"), storage="sqlite:///study.db").storage
    assert wanted == f"sqlite:///{tmp_path}/study.db"
    with pytest.raises(StudyError, match="Unknown storage 'mysql'"):
        merged(open_folder("tiny"), storage="mysql://u@h/d")


NAMES = ["übung 1", "プーリング", "पूलिंग", "2024", "語" * 64]


@pytest.mark.parametrize("name", NAMES)
def test_a_study_is_called_what_its_makers_call_it_in_any_script(tiny, name):
    config = parse(to_toml(tiny), (f"study={name}",))
    assert config.study == name
    run(config, make_engine=lambda *_: ScriptedEngine(lambda job: done()))
    assert folder.studies() == (name,)
    assert len(trial_rows(open_folder(name))) == 5


def test_two_spellings_that_look_alike_are_one_study(tiny):
    composed, decomposed = "\u00e4", "a\u0308"
    open_folder(decomposed).write_config(parse(to_toml(tiny), (f"study={decomposed}",)))
    assert folder.studies() == (composed,)
    assert open_folder(decomposed).config().study == composed
    assert open_folder(decomposed).path == open_folder(composed).path


def test_a_name_that_no_file_system_holds_is_refused():
    with pytest.raises(StudyError, match="is not a valid study name"):
        open_folder("𐍈" * 64)  # 256 bytes


def another_program(path):
    with sqlite3.connect(path) as connection:
        connection.execute("create table notes (text)")
        connection.execute("create table pictures (bytes)")
    connection.close()
    return path.read_bytes()


def older_optuna(path):
    study = bytes_of_a_study(path)
    with sqlite3.connect(path) as connection:
        connection.execute("pragma journal_mode=delete")
        connection.execute("update alembic_version set version_num = 'v2.6.0.a'")
    connection.close()
    assert path.read_bytes() != study
    return path.read_bytes()


def bytes_of_a_study(path):
    storage.open_storage(storage.checked(f"sqlite:///{path}")).engine.dispose()
    content = path.read_bytes()
    for left in path.parent.glob(f"{path.name}*"):
        left.unlink()
    path.write_bytes(content)
    return content


BROKEN = {
    "random": (lambda path: os.urandom(4096), "is not a SQLite file; it was left unchanged. Move it"),
    "half": (lambda path: bytes_of_a_study(path)[: 3 * 4096], "is damaged (database disk image is malformed)"),
    "empty": (lambda path: b"", "is empty (0 bytes). Move it away, and the sweep starts over."),
    "foreign": (
        another_program,
        "belongs to another program: it holds notes, pictures, not a study. It was left unchanged.",
    ),
    "old": (older_optuna, "was written by another version of Optuna (its tables are v2.6.0.a; Optuna"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_database_is_said_in_a_sentence_and_left_as_it_is(tiny, tmp_path, fault):
    make, sentence = BROKEN[fault]
    content = make(tmp_path / "made.db")
    file = open_folder("tiny").path / "study.db"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    open_folder(tiny.study).write_config(tiny)
    engine = ScriptedEngine(lambda job: done())
    for resume in (False, True):
        with pytest.raises(StudyError) as refused:
            run(tiny, resume=resume, make_engine=lambda *_: engine)
        assert sentence in str(refused.value)
    with pytest.raises(StudyError):
        Reader(located(open_folder("tiny")))
    assert file.read_bytes() == content
    assert engine.seen == []


def test_the_schema_that_is_asked_for_is_the_one_that_optuna_writes(tmp_path):
    path = tmp_path / "study.db"
    storage.open_storage(storage.checked(f"sqlite:///{path}")).engine.dispose()
    storage.check_file(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("select version_num from alembic_version").fetchone() == (storage._SCHEMA,)
        assert connection.execute("pragma journal_mode").fetchone() == ("wal",)
    connection.close()
    assert [left.name for left in tmp_path.iterdir() if "tmp" in left.name] == []


def test_every_commit_is_flushed_to_the_disk(tmp_path):
    opened = storage.open_storage(storage.checked(f"sqlite:///{tmp_path / 'study.db'}"))
    with opened.engine.connect() as connection:
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 2  # FULL
    opened.engine.dispose()


def test_a_network_file_system_is_refused(tiny, monkeypatch, own_runs):
    mount = namedtuple("mount", ("mountpoint", "fstype"))
    monkeypatch.setattr("psutil.disk_partitions", lambda all: [mount("/", "ext4"), mount(str(own_runs), "nfs4")])
    with pytest.raises(StudyError, match="is on a network file system [(]nfs4[)], where SQLite loses data when two"):
        run(tiny, make_engine=lambda *_: ScriptedEngine(lambda job: done()))
    assert not (open_folder("tiny").path / "study.db").exists()
    monkeypatch.setattr("psutil.disk_partitions", lambda all: [mount("/", "nfs4"), mount(str(own_runs), "ext4")])
    assert files.network_share(own_runs) == ""


def test_a_full_disk_is_waited_for_and_nothing_is_lost(tiny, monkeypatch):
    """SQLite says 'database or disk is full' for a while."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import OperationalError

    real, faults, words = RDBStorage.set_trial_state_values, [2], []

    def full(self, *args, **kwargs):
        if faults[0]:
            faults[0] -= 1
            raise OperationalError("insert", {}, sqlite3.OperationalError("database or disk is full"))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(RDBStorage, "set_trial_state_values", full)
    monkeypatch.setattr(patience, "_PATIENCE_S", 0)  # patience is for a database that is gone, not for a disk
    outcome = run(
        tiny, on_change=lambda status: words.append((status.state, status.message)),
        make_engine=lambda *_: ScriptedEngine(lambda job: done()),
    )  # fmt: skip
    assert outcome.document()["counts"] == {"complete": 5}
    assert ("paused", "The disk is full. Nothing is lost: the sweep continues once there is space.") in words


def test_a_trial_whose_answer_was_lost_is_not_added_twice(tiny, monkeypatch):
    """The database took the new trial, and the connection broke before it could say so."""
    from sqlalchemy.exc import OperationalError

    real, faults = Writer._insert, [1]

    def broken(self, *args, **kwargs):
        id = real(self, *args, **kwargs)
        if faults[0]:
            faults[0] -= 1
            raise OperationalError("insert", {}, Exception("server closed the connection unexpectedly"))
        return id

    monkeypatch.setattr(Writer, "_insert", broken)
    outcome = run(tiny, make_engine=lambda *_: ScriptedEngine(lambda job: done()))
    assert faults == [0]
    assert outcome.document()["counts"] == {"complete": 5}
    with sqlite3.connect(open_folder("tiny").path / "study.db") as connection:  # a reader has one row for each number
        kept = connection.execute("select number, state from trials order by trial_id").fetchall()
        plans = connection.execute("select value_json from trial_user_attributes where key = 'plan'").fetchall()
    connection.close()
    assert kept == [(number, "COMPLETE") for number in range(5)]
    assert len(plans) == len(set(plans)) == 5


def test_a_study_whose_making_was_cut_off_is_made_whole(tiny):
    made = Writer(located(open_folder(tiny.study), Options()), tiny)
    made._storage.delete_study(made._id)
    made._storage.create_new_study(_ways(tiny), "tiny")
    made.close()
    outcome = run(tiny, make_engine=lambda *_: ScriptedEngine(lambda job: done()))
    assert outcome.document()["counts"] == {"complete": 5}


def _ways(config):
    from optuna.study import StudyDirection

    return [StudyDirection[way.upper()] for way in directions(config)]


# ------------------------------------------------------------------------------------------------------------- files


def test_a_file_is_replaced_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    files.replace(path, "old")
    monkeypatch.setattr(files.os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match="No space left"):
        files.replace(path, "new")
    assert path.read_text() == "old"
    assert [left.name for left in tmp_path.iterdir()] == ["a.json"]


def test_of_two_who_make_a_file_one_succeeds(tmp_path):
    path = tmp_path / "a"
    assert files.create(path, "first")
    assert not files.create(path, "second")
    assert path.read_text() == "first"
    assert [left.name for left in tmp_path.iterdir()] == ["a"]


def test_free_space_is_that_of_the_nearest_folder_that_is_there(tmp_path):
    assert files.free_bytes(tmp_path / "not" / "yet") > 0
