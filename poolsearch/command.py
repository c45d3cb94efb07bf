"""What all commands of python -m poolsearch share: refusals in one sentence with their exit code, and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import wraps
from math import isfinite
from typing import Annotated, Any, ParamSpec

import typer

from poolsearch.errors import BusyError, PoolsearchError

P = ParamSpec("P")
Json = Annotated[bool, typer.Option("--json", help="one JSON document instead of the table")]


def refusing(command: Callable[P, None]) -> Callable[P, None]:
    """Return the command with every PoolsearchError said in one sentence on stderr, and its exit code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except PoolsearchError as error:
            print(error, file=sys.stderr)
            raise typer.Exit(75 if isinstance(error, BusyError) else 2) from None

    return run


def show(document: Any) -> None:
    """Print one JSON document on one line; infinity is null, as JSON has none."""
    print(json.dumps(_plain(document)))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value
