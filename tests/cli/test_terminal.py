"""Nothing that stands in a file or an argument steers the terminal, and no fault is a traceback."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from poolsearch.cli import main as cli, run as cli_run, sweep as cli_sweep
from poolsearch.cli.command import refusing, say
from poolsearch.cli.tables import PlainConsole, cells_table
from poolsearch.errors import BusyError, PoolsearchError, explained
from poolsearch.records.sweep import SweepStatus
from poolsearch.sweep.folder.folder import open_folder
from poolsearch.sweep.folder.lease import lease

ROOT = Path(__file__).parents[2]
RED = "\x1b[31m\x1b]0;title\x07\x9b2J\x08\r\u202e"


def ask(*words):
    return CliRunner().invoke(cli.app, list(words))


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (PoolsearchError("No such site."), 2, "No such site."),
        (BusyError("Another one has it."), 75, "Another one has it."),
        (
            OSError(28, "No space left on device", "/a/b"),
            1,
            "The system refused this: No space left on device ('/a/b').",
        ),
        (
            PermissionError(13, "Permission denied", f"/a{RED}"),
            1,
            "The system refused this: Permission denied ('/a?[31m?]",
        ),
        (RecursionError("maximum depth"), 1, "Something that was given is nested too deeply to be read."),
        (MemoryError(), 1, "There is not enough memory for this."),
        (KeyError("plan"), 1, "This failed in a way that was not foreseen (KeyError: 'plan'). POOLSEARCH_TRACEBACK=1"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_whatever_goes_wrong_is_one_sentence_and_an_exit_code(error, code, words):
    app = typer.Typer()

    @app.command()
    @refusing
    def fail() -> None:
        raise error

    ended = CliRunner().invoke(app)
    assert ended.exit_code == code
    assert ended.stderr.startswith(words)
    assert ended.stderr.count("\n") == bool(words)
    assert ended.stderr.strip().isprintable()


def test_a_bug_can_be_looked_at(monkeypatch):
    monkeypatch.setenv("POOLSEARCH_TRACEBACK", "1")

    @refusing
    def fail() -> None:
        raise KeyError("plan")

    with pytest.raises(KeyError):
        fail()


def test_an_error_quotes_what_it_was_given_without_its_control_characters():
    assert str(PoolsearchError(f"Unknown '{RED}'.")) == "Unknown '?[31m?]0;title??2J???'."
    assert len(str(PoolsearchError("a" * 1_000_000))) == 2000
    assert explained(PoolsearchError("a\nb")) == "a\nb"


def test_what_is_printed_is_printable(capsys):
    say(f"a\tb\u00a0c{RED}\nd")
    assert capsys.readouterr().out == "a    b\u00a0c?[31m?]0;title??2J???\nd\n"


def test_a_table_shows_a_text_as_it_is(capsys):
    PlainConsole(width=80).print(cells_table("[bold]title[/bold] :smile:", ("a", "b"), [(f"x{RED}", "[red]y[/red]")]))
    shown = capsys.readouterr().out
    assert "[bold]title[/bold] :smile:" in shown
    assert "x?[31m?]0;title??2J" in shown
    assert "[red]y[/red]" in shown
    assert "\x1b" not in shown


def test_a_status_and_a_log_do_not_steer_the_terminal(tiny):
    open_folder(tiny.study).write_config(tiny)
    place = open_folder("tiny").path
    (place / "log.txt").write_text(f"bad {RED}\nnext\n")
    with lease(place):
        open_folder("tiny").write_status(SweepStatus("tiny", "running", 5, message=RED, device=RED, workers=1))
        shown = ask("sweep", "status", "tiny").stdout + ask("sweep", "log", "tiny").stdout
    assert {letter for letter in shown if not letter.isprintable()} == {"\n"}
    assert "next\n" in shown


@pytest.mark.parametrize("script", [("-m", "poolsearch"), ("experiments/sweep.py",)])
def test_an_argument_with_control_characters_is_refused_before_anything_quotes_it(script, own_runs):
    for words in ([RED], ["sites", RED], [f"--{RED}"], ["sweep", f"x{RED}"]):
        ended = subprocess.run([sys.executable, *script, *words], cwd=ROOT, capture_output=True, text=True)
        assert ended.returncode == 2
        assert ended.stderr.endswith("holds control characters, or bytes that are no UTF-8.\n")
        assert ended.stderr.strip().isprintable()
        assert ended.stdout == ""


def test_a_terminal_without_unicode_is_no_fault(tiny):
    open_folder(tiny.study).write_config(tiny)
    ended = subprocess.run(
        [sys.executable, "-m", "poolsearch", "sweep", "status", "日本"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert ended.returncode == 2
    assert "There is no sweep called '\\u65e5\\u672c'." in ended.stderr


def test_nothing_is_printed_beside_the_one_function_that_makes_it_printable():
    for path in (cli.__file__, cli_sweep.__file__, cli_run.__file__):
        calls = [node for node in ast.walk(ast.parse(Path(path).read_text())) if isinstance(node, ast.Call)]
        assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"], path


def test_json_is_ascii(tiny):
    open_folder(tiny.study).write_config(tiny)
    with lease(open_folder("tiny").path):
        open_folder("tiny").write_status(SweepStatus("tiny", "running", 5, message=RED))
        shown = ask("sweep", "status", "tiny", "--json").stdout
    assert shown.isascii()
    assert json.loads(shown)["message"] == RED
