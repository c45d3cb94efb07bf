"""Sweeps steered from a shell: a real one in the background, and what is refused."""

import json
import time

import pytest
from typer.testing import CliRunner

from poolsearch.cli.main import app
from poolsearch.config import to_toml
from poolsearch.records.sweep import SweepStatus
from poolsearch.sweep.folder import commands, folder
from poolsearch.sweep.folder.folder import open_folder
from poolsearch.sweep.folder.lease import lease
from poolsearch.units import of_budget


def ask(*words, **more):
    return CliRunner().invoke(app, ["sweep", *words], **more)


def test_an_empty_list_says_how_to_start():
    assert ask("list").stdout == "No sweep yet. Start one: python -m poolsearch sweep start CONFIG.toml\n"
    assert json.loads(ask("list", "--json").stdout) == []


def test_what_is_not_there_is_refused_in_a_sentence(tiny):
    for words in (
        ["status"],
        ["pause"],
        ["resume"],
        ["retry"],
        ["stop"],
        ["cancel"],
        ["add"],
        ["workers"],
        ["delete"],
        ["log"],
    ):
        more = ["1"] if words[0] in ("cancel", "add", "workers") else []
        ended = ask(*words, "nothing", *more)
        assert ended.exit_code == 2, words
        assert ended.stderr == "There is no sweep called 'nothing'. Sweeps here: none yet.\n"
    open_folder(tiny.study).write_config(tiny)
    assert ask("pause", "tiny").stderr == "The sweep 'tiny' is not running (stopped): there is nothing to pause.\n"
    for name in ("../up", "a/b", "\0", "x" * 5000, "<script>alert(1)</script>", "🦊"):
        ended = ask("rename", "tiny", name)
        assert ended.exit_code == 2
        assert ended.stderr.startswith(
            f"{name[:40]!r} is not a valid study name: take 1 to 64 letters of any script, digits"
        )


def test_status_says_what_is_at_work(tiny):
    open_folder(tiny.study).write_config(tiny)
    with lease(open_folder("tiny").path):
        open_folder("tiny").write_status(
            SweepStatus("tiny", "running", 5, complete=3, failed=1, elapsed_s=12, left_s=8, workers=2, device="CPU")
        )
        said = ask("status", "tiny").stdout
    assert "tiny: running, 4 of 5 trials, 1 failed\n" in said
    assert "12 s at work, about 10 s left" in said
    assert "2 workers on CPU" in said
    assert "tiny: lost, 4 of 5 trials" in ask("status", "tiny").stdout


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"trials": 24, "complete": 11, "failed": 1}, "12 of 24 trials, 1 failed"),
        ({"trials": 24, "complete": 11, "cancelled": 2}, "13 of 24 trials, 2 cancelled"),
        ({"trials": 24, "complete": 12, "minutes": 5.0, "elapsed_s": 50.0}, "12 of 24 trials, 50 s of 5 min"),
        ({"trials": 100_000, "complete": 12, "minutes": 5.0, "elapsed_s": 95.0}, "12 trials, 1 min 35 s of 5 min"),
    ],
)
def test_the_budget_is_said_in_its_own_unit(fields, words):
    assert of_budget(SweepStatus("tiny", "running", **fields)) == words


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("0",), "The number of trials to add must be from 1 to 100000, got 0.\n"),
        (("0", "--minutes"), "The number of minutes to add must be from 1 to 100000, got 0.\n"),
        (("5", "--minutes"), "The budget of 'tiny' is trials, not minutes. Give it more trials.\n"),
        (("99999",), "trials in the config: input should be less than or equal to 100000, got 100004.\n"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(tiny, words, said):
    open_folder(tiny.study).write_config(tiny)
    ended = ask("add", "tiny", *words)
    assert (ended.exit_code, ended.stderr) == (2, said)
    assert open_folder("tiny").config() == tiny


def test_a_command_that_nobody_reads_says_so(tiny, monkeypatch):
    monkeypatch.setattr("poolsearch.cli.sweep._WAIT_S", 0.3)
    open_folder(tiny.study).write_config(tiny)
    with lease(open_folder("tiny").path):
        open_folder("tiny").write_status(SweepStatus("tiny", "running", 5))
        ended = ask("pause", "tiny", "--id", "mine")
    assert ended.exit_code == 2
    assert "has not read the command within 0 s: it is asleep or very busy." in ended.stderr
    assert [command.id for command in commands.pending(open_folder("tiny"))] == ["mine"]


def test_delete_asks_first(tiny):
    open_folder(tiny.study).write_config(tiny)
    assert ask("delete", "tiny", input="n\n").exit_code == 1
    assert folder.studies() == ("tiny",)
    assert ask("delete", "tiny", "--yes").stdout == "'tiny' is deleted.\n"
    assert folder.studies() == ()


def test_a_sweep_whose_files_are_broken_is_deleted_and_read_from_the_shell(tiny):
    open_folder("tiny").write_config(tiny)
    place = open_folder("tiny").path
    (place / "config.toml").write_bytes(b"\xff\x00 [")
    (place / "options.json").write_text("{")
    (place / "log.txt").write_text("a line\n")
    assert ask("log", "tiny").stdout == "a line\n"
    assert ask("status", "tiny").stderr.startswith("The config of the sweep 'tiny' can't be read: ")
    assert ask("delete", "tiny", "--yes").stdout == (
        "'tiny' is deleted. Where its study was kept could not be read: if that was a database elsewhere, the study is "
        "still there.\n"
    )
    assert not place.exists()


def test_a_name_that_is_nearly_right_gets_the_right_one(tiny):
    open_folder(tiny.study).write_config(tiny)
    assert ask("status", "tyni").stderr == (
        "There is no sweep called 'tyni'. Did you mean 'tiny'? Sweeps here: tiny.\n"
    )
    assert ask("delete", "tyni", "--yes").exit_code == 2


@pytest.mark.parametrize("do", ["pause", "stop", "add"])
def test_a_command_on_a_full_disk_is_one_sentence(tiny, monkeypatch, do):
    from poolsearch import files

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    open_folder(tiny.study).write_config(tiny)
    with lease(open_folder("tiny").path):
        open_folder("tiny").write_status(SweepStatus("tiny", "running", 5))
        monkeypatch.setattr(files, "replace", full)
        ended = ask(do, "tiny", *["3"] * (do == "add"))
    assert ended.exit_code == 2
    place = open_folder("tiny").path / "commands"
    assert ended.stderr.startswith(
        f"The command can't be written to '{place}': No space left on device. Free some space and send it again."
    )
    assert ("Without a file: kill " in ended.stderr) == (do == "stop")
    assert ended.stderr.count("\n") == 1


def test_every_change_of_a_sweep_on_a_full_disk_is_one_sentence(tiny, monkeypatch, tmp_path):
    from poolsearch import files

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    open_folder(tiny.study).write_config(tiny)
    path = tmp_path / "a.toml"
    path.write_text(to_toml(tiny))
    monkeypatch.setattr(files, "replace", full)
    for words in (["add", "tiny", "3"], ["rename", "tiny", "other"], ["start", str(path), "--set", "study=new"]):
        ended = ask(*words)
        assert ended.exit_code == 2, words
        assert ended.stderr.endswith("can't be written (No space left on device). Free some space.\n"), ended.stderr
    assert folder.studies() == ("tiny",)
    assert open_folder("tiny").config() == tiny


def wait_for(study, *states):
    deadline = time.monotonic() + 300
    while open_folder(study).status().state not in states:
        assert time.monotonic() < deadline, open_folder(study).status()
        time.sleep(0.1)
    return open_folder(study).status()


@pytest.mark.slow
def test_a_sweep_in_the_background_is_steered_from_the_shell(tiny, tmp_path):
    config = tmp_path / "tiny.toml"
    config.write_text(to_toml(tiny.model_copy(update={"training": tiny.training.model_copy(update={"epochs": 40})})))
    started = ask("start", str(config), "--set", "study=steered", "--workers", "1")
    assert started.stdout == "'steered' is started. Watch it: python -m poolsearch sweep status steered\n"
    assert ask("start", str(config), "--set", "study=steered").stderr == (
        "There is already a sweep called 'steered'. Choose another name.\n"
    )
    wait_for("steered", "running")
    assert ask("pause", "steered").stdout == "Paused.\n"
    wait_for("steered", "paused")
    assert ask("workers", "steered", "2").stdout == "The sweep now has 2 workers.\n"
    assert ask("add", "steered", "2", "--id", "two-more").stdout == "The sweep now has 7 trials.\n"
    assert ask("add", "steered", "2", "--id", "two-more").stdout == "The sweep now has 7 trials.\n"  # done once
    assert open_folder("steered").config().trials == 7
    assert ask("resume", "steered").stdout == "Resumed.\n"
    assert ask("stop", "steered").stdout == "Stopped. Running trials start over when the sweep is resumed.\n"
    wait_for("steered", "stopped")
    assert ask("rename", "steered", "renamed").stdout == "'steered' is 'renamed' now.\n"
    assert ask("resume", "renamed").stdout.startswith("'renamed' is started again.")
    assert wait_for("renamed", "done").complete == 7
    assert "7 of 7 trials             renamed\n" in ask("list").stdout
    assert "7 of 7 trials" in ask("log", "renamed").stdout
