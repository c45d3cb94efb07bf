"""Patience with a database that is gone or a disk that is full: what it is asked is asked again until it is done."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, SQLAlchemyError
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_exponential

from poolsearch import files
from poolsearch.errors import StudyError
from poolsearch.sweep.study.storage import StudyLock, cause_of, reason_of

T = TypeVar("T")
_KEEP_S = 5.0  # between two looks at whether the study is still ours
_PATIENCE_S = 300  # for a database that does not answer; then the sweep stops, and can be resumed


class Patience:
    """Does what a study's database is asked, once it is sure that the study is still ours."""

    def __init__(self, url: URL, lock: StudyLock) -> None:
        self._url, self._lock, self._kept_s = url, lock, time.monotonic()

    def __call__(self, action: Callable[[], T], on_wait: Callable[[str], None]) -> T:
        """Return what an action returns, tried again while the database is gone or the disk is full.

        `on_wait` hears before each further try, in words, what is waited for, and may raise to end the waiting.
        Raises StudyError after five minutes without a database, BusyError when the study was taken meanwhile.
        """

        def say(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            on_wait(DISK if error and full(error) else GONE)

        def hopeless(state: RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            return not (error and full(error)) and stop_after_delay(_PATIENCE_S)(state)

        def held() -> T:
            self._lock.keep()  # a server that was restarted has forgotten whose the study is
            self._kept_s = time.monotonic()
            return action()

        retrying = Retrying(
            retry=retry_if_exception(lambda error: _gone(error) or full(error)),
            wait=wait_exponential(0.2, max=5), stop=hopeless, before_sleep=say, reraise=True,
        )  # fmt: skip
        try:
            return retrying(held)
        except (SQLAlchemyError, StorageInternalError) as error:
            raise StudyError(
                f"The storage '{self._url.render_as_string()}' can't be used any more: {reason_of(error)}. "
                "The sweep can be resumed when it is back; results that it could not take are kept in the sweep's "
                "folder."
            ) from None

    def keep(self, on_wait: Callable[[str], None]) -> None:
        """Make sure, every few seconds, that no other coordinator has the study. Raises BusyError when one has."""
        if time.monotonic() - self._kept_s > _KEEP_S:
            self(lambda: None, on_wait)


GONE = "The database is not responding. Retrying for five minutes; results are kept on disk meanwhile."
DISK = "The disk is full. Nothing is lost: the sweep continues once there is space."


def full(error: BaseException) -> bool:
    """Return whether an error says that the disk is full: the database's, or the system's."""
    cause = cause_of(error)
    if not isinstance(cause, OperationalError):
        return files.is_full(cause)
    return "disk is full" in str(cause.orig) or getattr(cause.orig, "sqlstate", "") == "53100"  # SQLite's, PostgreSQL's


def _gone(error: BaseException) -> bool:
    cause = cause_of(error)
    if isinstance(cause, DBAPIError) and cause.connection_invalidated:
        return True
    return isinstance(cause, OperationalError | InterfaceError)
