"""What all commands share: one guard that makes every refusal and fault one sentence with its exit code; text; JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from math import isfinite
from typing import Annotated, Any, ParamSpec

import click
import typer

from poolsearch.errors import TRACEBACK, BusyError, GoneError, PoolsearchError, explained, is_text, printable

P = ParamSpec("P")
Json = Annotated[bool, typer.Option("--json", help="one JSON document instead of the table")]
_EXIT_CODES: dict[type[Exception], int] = {BusyError: 75, GoneError: 1}  # of refusals; 2 of all others
_THEIRS = (typer.Exit, click.exceptions.Exit, click.ClickException, click.Abort, BrokenPipeError)


def refusing(command: Callable[P, None]) -> Callable[P, None]:
    """Return the command with every error said in one sentence on stderr, and its exit code.

    A request that can't be carried out is 2, a study that is held 75, Ctrl-C 130; what the system refuses, what is
    broken in a file or in here, and a sweep whose folder went away are 1.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except _THEIRS:  # an exit that was meant, a wrong word on the command line, a reader that closed the pipe
            raise
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        except Exception as error:
            foreseen = isinstance(error, PoolsearchError)
            if not foreseen and os.environ.get(TRACEBACK):
                raise
            say(explained(error), error=True)
            raise typer.Exit(_EXIT_CODES.get(type(error), 2) if foreseen else 1) from None

    return run


def start(app: typer.Typer, name: str | None = None) -> None:
    """Run a command line; an argument that would steer the terminal when it is quoted is refused before it is."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # of a terminal that has not every letter
    for word in sys.argv[1:]:
        if not is_text(word.translate({9: " ", 10: " ", 13: " "})):
            say(f"The argument {word[:80]!r} holds control characters, or bytes that are no UTF-8.", error=True)
            raise SystemExit(2)
    app(prog_name=name)


def say(text: object, error: bool = False, end: str = "\n") -> None:
    """Print a text on stdout, or on stderr, without what would steer the terminal."""
    lines = str(text).replace("\t", "    ").split("\n")
    print("\n".join(map(printable, lines)), file=sys.stderr if error else sys.stdout, end=end, flush=error)


def show(document: Any) -> None:
    """Print one JSON document on one line, in ASCII; infinity is null, as JSON has none."""
    print(json.dumps(_plain(document)), flush=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
