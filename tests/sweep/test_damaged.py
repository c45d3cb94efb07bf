"""Fifty corruptions of each file of a sweep: every look at it is an answer or one sentence, never a traceback."""

import contextlib
import random
import shutil
import sqlite3

import pytest
from typer.testing import CliRunner

from poolsearch.cli.main import app
from poolsearch.config import load, to_toml
from poolsearch.errors import PoolsearchError
from poolsearch.sweep.folder import commands, folder
from poolsearch.sweep.folder.folder import open_folder
from poolsearch.sweep.folder.lease import lease
from poolsearch.sweep.running.run import run
from poolsearch.sweep.study.reader import trial_rows
from tests.conftest import TINY
from tests.sweep.scripted import ScriptedEngine, done

JUNK = [
    b"", b"{", b"[]", b"null", b"5", b'"text"', b"\xff\xfe\x00", b"[" * 5000 + b"]" * 5000, b"9" * 5000, b"{}",
    b'{"do": "add", "number": 1e999}', b'{"do": "add", "number": NaN}', b'{"do": "add", "number": true}',
    b'{"do": "add", "number": "3"}', b'{"do": "add", "number": 2.5}', b'{"do": "add", "number": ' + b"9" * 5000 + b"}",
    b'{"do": ["add"], "number": 1}', b'{"do": "format", "number": 1}', b'{"do": "cancel", "number": -1}',
    b'{"do": "add"}', b"\x00" * 100, b'{"do": "add", "number": null}', b'{"a": ' * 5000 + b"1" + b"}" * 5000,
]  # fmt: skip


def damaged(content, source):
    """Return bytes with one fault: flipped, cut short, doubled, a word in place of another, or other bytes."""
    at = source.randrange(max(1, len(content)))
    kind = source.randrange(6)
    if kind == 0:
        return content[:at] + bytes([content[at] ^ 1 << source.randrange(8)]) + content[at + 1 :]
    if kind == 1:
        return content[:at]
    if kind == 2:
        return content[:at] + content[at // 2 :]
    if kind == 3:
        return content.replace(*source.choice(((b"0", b"1e999"), (b'"', b"5"), (b"null", b"true"), (b"1", b'"x"'))))
    if kind == 4:
        return content[:at] + source.randbytes(8) + content[at + 8 :]
    return source.choice(JUNK)


def ask(*words):
    ended = CliRunner().invoke(app, ["sweep", *words])
    assert ended.exit_code in (0, 1, 2), (words, ended.output, ended.exception)
    assert "Traceback" not in ended.output
    assert "not foreseen" not in ended.output, ended.output
    assert all(letter.isprintable() or letter == "\n" for letter in ended.output)
    return ended


def looks(study):
    for words in (["list"], ["status", study], ["status", study, "--json"], ["log", study], ["pause", study]):
        ask(*words)
    try:
        trial_rows(open_folder(study))
    except PoolsearchError as error:
        assert "\n" not in str(error)


def goes_on(config):
    try:
        return run(config, resume=True, make_engine=lambda *_: ScriptedEngine(lambda job: done()))
    except PoolsearchError as error:
        assert "\n" not in str(error)
        return None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A finished sweep to copy and to damage."""
    from poolsearch.config import parse

    runs = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POOLSEARCH_RUNS", str(runs))
        run(parse(TINY), make_engine=lambda *_: ScriptedEngine(lambda job: done()))
    return runs / "tiny"


@pytest.fixture
def copy(whole, own_runs):
    """Return a fresh copy of it."""

    def fresh():
        shutil.rmtree(own_runs / "tiny", ignore_errors=True)
        return shutil.copytree(whole, own_runs / "tiny")

    return fresh


@pytest.mark.slow
@pytest.mark.parametrize("name", ["config.toml", "options.json", "status.json"])
def test_fifty_corruptions_of_a_file_of_the_folder(copy, tiny, name):
    source, answers = random.Random(name), 0
    content = (copy() / name).read_bytes()
    for _ in range(50):
        (open_folder("tiny").path / name).write_bytes(damaged(content, source))
        looks("tiny")
        answers += ask("status", "tiny").exit_code == 0
    assert 0 < answers
    if name == "options.json":  # a damaged one never lets another study begin
        before = (open_folder("tiny").path / "study.db").read_bytes()
        (open_folder("tiny").path / name).write_bytes(b"{")
        assert goes_on(tiny) is None
        assert (open_folder("tiny").path / "study.db").read_bytes() == before
    assert ask("delete", "tiny", "--yes").exit_code == 0
    assert folder.studies() == ()


@pytest.mark.slow
def test_fifty_corruptions_of_the_bytes_of_a_study(copy, tiny):
    source = random.Random(1)
    place = copy()
    content = (place / "study.db").read_bytes()
    for _ in range(50):
        for left in place.glob("study.db*"):
            left.unlink()
        (place / "study.db").write_bytes(damaged(content, source))
        looks("tiny")


VALUES = ["", "null", "5", '"text"', "9" * 5000, "[" * 5000, '{"accuracy": "x"}', "\x1b[31m"]


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("study_user_attributes", "config"),
        ("study_user_attributes", "latency"),
        ("study_user_attributes", "data"),
        ("trial_user_attributes", "plan"),
        ("trial_user_attributes", "result"),
        ("trial_user_attributes", "seed"),
    ],
)
def test_corruptions_of_the_rows_of_a_study(copy, tiny, table, key):
    for value in VALUES:
        place = copy()
        with sqlite3.connect(place / "study.db") as connection:
            changed = connection.execute(f"update {table} set value_json = ? where key = ?", (value, key)).rowcount
        connection.close()
        assert changed > 0
        with contextlib.suppress(PoolsearchError):
            trial_rows(open_folder("tiny"))
        goes_on(tiny.model_copy(update={"trials": 6}))


def test_a_coordinator_puts_aside_what_is_no_command_and_goes_on(tiny):
    place = open_folder("tiny").path / "commands"
    sent = []

    def script(job):
        if not sent:
            for number, junk in enumerate(JUNK):
                (place / f"junk{number}.json").write_bytes(junk)
            (place / "folder.json").mkdir()
            (place / "loop.json").symlink_to(place / "loop.json")
            sent.append(commands.send(open_folder("tiny"), "add", 1))
        return done() if commands.outcome(open_folder("tiny"), sent[0]) else None

    open_folder(tiny.study).write_config(tiny)
    place.mkdir(parents=True)
    outcome = run(tiny, or_start=True, make_engine=lambda *_: ScriptedEngine(script))
    assert outcome.status.state == "done"
    assert len(outcome.rows) == 6  # the one command that is one: not a trial more
    assert sorted(path.suffix for path in place.iterdir() if path.name.startswith("junk")) == [".refused"] * len(JUNK)


def test_a_command_whose_answer_finds_no_space_is_carried_out_once(tiny, monkeypatch):
    from poolsearch import files

    open_folder(tiny.study).write_config(tiny)
    with lease(open_folder("tiny").path):
        from poolsearch.records.sweep import SweepStatus

        open_folder("tiny").write_status(SweepStatus("tiny", "running", 5))
        sent = commands.send(open_folder("tiny"), "pause")
        (command,) = commands.pending(open_folder("tiny"))

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(files, "replace", full)
        commands.finish(open_folder("tiny"), command, "Paused.")
        assert commands.pending(open_folder("tiny")) == []
        assert "Carried out." in str(commands.outcome(open_folder("tiny"), sent))


def test_two_hundred_corruptions_of_a_config(tiny, tmp_path):
    source, text, taken = random.Random(2), to_toml(tiny).encode(), 0
    path = tmp_path / "a.toml"
    for _ in range(200):
        path.write_bytes(damaged(text, source))
        try:
            load(path)
            taken += 1
        except PoolsearchError as error:
            assert "\n" not in str(error)
            assert len(str(error)) < 1000
    assert 0 < taken < 150
