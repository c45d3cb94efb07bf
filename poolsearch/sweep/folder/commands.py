"""Commands to a sweep that runs: small files in its folder, each with an id. A repeated id does nothing.

commands/<id>.json       not read yet
commands/done/<id>.json  carried out, with its outcome as a sentence
"""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from poolsearch import files
from poolsearch.config import TRIALS_MOST
from poolsearch.errors import PoolsearchError, StudyError, unknown
from poolsearch.sweep.folder.folder import SweepFolder

Do = Literal["pause", "resume", "stop", "cancel", "add", "extend", "workers", "retry"]
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True)
class Command:
    """One thing to do; `number`: the trial to cancel, the trials or minutes to add, the workers there shall be."""

    id: str
    do: Do
    number: int = 0


def send(home: SweepFolder, do: str, number: int = 0, id: str = "") -> str:
    """Return the id of a command that the sweep's coordinator will read within a second.

    Raises PoolsearchError for a command that can't be, StudyError when no coordinator is at work.
    """
    command = checked(do, number, id)
    path = home.commands / f"{command.id}.json"
    if outcome(home, command.id) is not None or path.exists():
        return command.id
    status = home.status()
    if not status.alive:
        raise StudyError(f"The sweep '{home.study}' is not running ({status.state}): {_IN_VAIN[command.do]}.")
    try:
        _make_folders(home)
        files.replace(path, json.dumps(asdict(command)))
    except OSError as error:
        raise StudyError(_unwritten(home, command, error)) from None
    return command.id


def _unwritten(home: SweepFolder, command: Command, error: OSError) -> str:
    """Say that a command could not be written, and what reaches the coordinator without a file."""
    message = f"The command can't be written to '{home.commands}': {error.strerror}. "
    message += "Free some space and send it again." if files.is_full(error) else "Nothing was changed."
    who = home.holder() or ""
    if command.do == "stop" and (process := re.match(r"process (\d+) on", who)):
        message += f" Without a file: kill {process[1]} ({who}) stops it as well."
    return message


_IN_VAIN = {
    "pause": "there is nothing to pause",
    "resume": "there is nothing to resume",
    "stop": "there is nothing to stop",
    "retry": "there is nothing to retry",
    "cancel": "there is no trial to cancel",
    "add": "trials can't be added",
    "extend": "minutes can't be added",
    "workers": "it has no workers",
}
_RANGES = {
    "cancel": (0, 1_000_000, "The trial's number"),
    "add": (1, TRIALS_MOST, "The number of trials to add"),
    "extend": (1, 100_000, "The number of minutes to add"),
    "workers": (1, 256, "The number of workers"),
}


def checked(do: str, number: int, id: str = "") -> Command:
    """Return a command, with an id of its own where none is named. Raises PoolsearchError for one that can't be."""
    id = id or uuid.uuid4().hex
    if do not in get_args(Do):
        raise PoolsearchError(unknown("command", do, get_args(Do)))
    if not _ID.fullmatch(id):
        raise PoolsearchError(f"{id[:40]!r} is not a valid command id: use 1 to 64 letters, digits and hyphens.")
    if do in _RANGES:
        low, high, what = _RANGES[do]
        if not low <= number <= high:
            raise PoolsearchError(f"{what} must be from {low} to {high}, got {number}.")
    return Command(id, do, number)  # type: ignore[arg-type]


def in_words(do: str, study: str, *more: object) -> str:
    """Return what one would type to do the same in a shell: `pause`, `resume`, `stop`, `cancel`, `add`, ..."""
    return shlex.join(["python", "-m", "poolsearch", "sweep", do, study, *map(str, more)])


def pending(home: SweepFolder) -> list[Command]:
    """Return the commands that nobody has carried out, oldest first; what is no command is put aside."""
    commands = []
    for path in sorted(home.commands.glob("*.json"), key=_sent_ns):
        try:
            if not path.is_file():
                raise ValueError("it is not a file")  # reading a pipe would wait for its writer
            data = files.read_json(path)
            if not isinstance(data["number"], int) or isinstance(data["number"], bool):
                raise TypeError
            commands.append(checked(data["do"], data["number"], path.stem))
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError, OSError):
            with contextlib.suppress(OSError):
                path.replace(path.with_suffix(".refused"))
    return commands


def _sent_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # gone just now
        return 0


def finish(home: SweepFolder, command: Command, outcome: str) -> None:
    """Put a command aside as carried out, with its outcome; on a full disk without."""
    sent = home.commands / f"{command.id}.json"
    done = sent.parent / "done" / sent.name
    with contextlib.suppress(OSError):
        _make_folders(home)
        try:
            files.replace(done, json.dumps({**asdict(command), "words": outcome}))
        except OSError:
            sent.replace(done)  # a rename takes no space; nobody may carry it out a second time
    with contextlib.suppress(OSError):
        sent.unlink(missing_ok=True)


def outcome(home: SweepFolder, id: str) -> str | None:
    """Return what came of a command, or None while nobody has carried it out."""
    try:
        done = files.read_json(home.commands / "done" / f"{id}.json")
        return str(done.get("words") or "Carried out. Its outcome could not be recorded: the disk was full.")
    except (OSError, ValueError, AttributeError):
        return None


def drop_older_than(home: SweepFolder, moment: float) -> None:
    """Put aside what was sent before a time (in seconds of the epoch): it was meant for an earlier run."""
    for command in pending(home):
        path = home.commands / f"{command.id}.json"
        if _sent_ns(path) < moment * 1e9:
            finish(home, command, "It came too late: the run it was meant for had ended.")


def _make_folders(home: SweepFolder) -> None:
    """Make the folders of commands in the sweep's own, which is not made anew when it was removed."""
    for place in (home.commands, home.commands / "done"):
        place.mkdir(exist_ok=True)
