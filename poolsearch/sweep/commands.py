"""What one says to a sweep while it runs: small files in its folder, each with an id. A repeated id does nothing.

commands/<id>.json       not read yet
commands/done/<id>.json  carried out, with what came of it in words
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, get_args

from poolsearch import files
from poolsearch.config import TRIALS_MOST
from poolsearch.errors import PoolsearchError, StudyError, unknown
from poolsearch.sweep.folder import folder_of, read_status

Do = Literal["pause", "resume", "stop", "cancel", "add", "extend", "workers", "retry"]
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


@dataclass(frozen=True)
class Command:
    """One thing to do; `number`: the trial to cancel, the trials or minutes to add, the workers there shall be."""

    id: str
    do: Do
    number: int = 0


def send(study: str, do: str, number: int = 0, id: str = "") -> str:
    """Return the id of a command that the sweep's coordinator will read within a second.

    Raises PoolsearchError for a command that can't be, StudyError when no coordinator is at work.
    """
    command = checked(do, number, id)
    folder = _folder(study)
    if outcome(study, command.id) is not None or (folder / f"{command.id}.json").exists():
        return command.id
    status = read_status(study)
    if not status.alive:
        raise StudyError(
            f"The sweep '{study}' is not at work ({status.state}): nothing there can {_WORDS[command.do]}."
        )
    (folder / "done").mkdir(parents=True, exist_ok=True)
    files.replace(folder / f"{command.id}.json", json.dumps(asdict(command)))
    return command.id


_WORDS = {
    "pause": "pause",
    "resume": "go on",
    "stop": "stop",
    "retry": "run again",
    "cancel": "be cancelled",
    "add": "take on trials",
    "extend": "take on minutes",
    "workers": "take on workers",
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
        raise PoolsearchError(f"{id[:40]!r} is no command id: take 1 to 64 letters, digits and hyphens.")
    if do in _RANGES:
        low, high, what = _RANGES[do]
        if not low <= number <= high:
            raise PoolsearchError(f"{what} goes from {low} to {high}, got {number}.")
    return Command(id, do, number)  # type: ignore[arg-type]


def pending(study: str) -> list[Command]:
    """Return the commands that nobody has carried out, oldest first; what is no command is put aside."""
    found = []
    for path in sorted(_folder(study).glob("*.json"), key=lambda path: path.stat().st_mtime_ns):
        try:
            data = json.loads(path.read_text())
            found.append(checked(data["do"], int(data["number"]), path.stem))
        except (ValueError, KeyError, TypeError, OSError):
            path.replace(path.with_suffix(".refused"))
    return found


def finish(study: str, command: Command, words: str) -> None:
    """Put a command aside as carried out, with what came of it."""
    folder = _folder(study)
    (folder / "done").mkdir(parents=True, exist_ok=True)
    files.replace(folder / "done" / f"{command.id}.json", json.dumps({**asdict(command), "words": words}))
    (folder / f"{command.id}.json").unlink(missing_ok=True)


def outcome(study: str, id: str) -> str | None:
    """Return what came of a command, or None while nobody has carried it out."""
    try:
        return str(json.loads((_folder(study) / "done" / f"{id}.json").read_text())["words"])
    except (OSError, ValueError, KeyError):
        return None


def drop_older_than(study: str, moment: float) -> None:
    """Put aside what was sent before a time (in seconds of the epoch): it was meant for an earlier run."""
    for command in pending(study):
        path = _folder(study) / f"{command.id}.json"
        if path.stat().st_mtime < moment:
            finish(study, command, "It came too late: the run it was meant for had ended.")


def _folder(study: str) -> Path:
    return folder_of(study) / "commands"
