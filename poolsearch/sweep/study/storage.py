"""Where a study is kept: SQLite beside the sweep, or PostgreSQL by URL; checked before anything is written.

What is wrong with a file or a server is said in one sentence, and the file's bytes stay as they are. A password is
never part of a URL here: libpq takes it from PGPASSWORD or ~/.pgpass, so that it is in no log and no process list.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from poolsearch import files
from poolsearch.errors import BusyError, StudyError
from poolsearch.sweep.folder.folder import Options, SweepFolder

optuna.logging.set_verbosity(optuna.logging.ERROR)

_BUSY_S = 60  # SQLite waits this long for a lock instead of failing
_MAGIC = b"SQLite format 3\x00"
_POSTGRES = "postgresql+psycopg"
# libpq's: a machine that is gone without a word is noticed within a minute, not after the two hours of TCP
CONNECTING = {
    "connect_timeout": 10,
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
_TABLES = {"studies", "trials", "alembic_version"}  # of every Optuna study since 1.0
_SCHEMA = "v3.2.0.a"  # of the tables that the pinned Optuna writes (a test compares it with a new file's)


class _FlushedConnection(sqlite3.Connection):
    """A connection whose transactions are on the disk when they return."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA synchronous=FULL")


@dataclass(frozen=True)
class StudyLocation:
    """Where the study of a sweep is kept."""

    home: SweepFolder
    url: URL
    name: str  # of the study in the storage: that of the sweep when it was made
    alone: bool  # in a file of its own in the sweep's folder: the one study there is it, whatever its name

    @property
    def file(self) -> Path | None:
        """Return the SQLite file, or None for a server."""
        return sqlite_file(self.url)


def located(home: SweepFolder, options: Options | None = None) -> StudyLocation:
    """Return where the study of a sweep is kept by these options, or by those of its last run.

    Raises StudyError for a storage that can't be, or options that can't be read.
    """
    options = options or home.options()
    url = checked(options.storage) if options.storage else sqlite_url(home.database)
    return StudyLocation(home, url, options.name or home.study, not options.storage)


def checked(url: str) -> URL:
    """Return a storage URL as SQLAlchemy takes it. Raises StudyError for one that can't be or that holds a password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number is a ValueError
        raise StudyError(f"The storage is not a valid URL. {_POSSIBLE}") from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername=_POSTGRES)
    if parsed.drivername not in ("sqlite", _POSTGRES):
        raise StudyError(f"Unknown storage '{parsed.drivername}'. {_POSSIBLE}")
    if parsed.password is not None or {"password", "sslpassword"} & parsed.query.keys():
        raise StudyError(
            "The storage URL holds a password, which would be seen in logs and process lists. "
            "Leave it out and put it into PGPASSWORD (or ~/.pgpass)."
        )
    if not parsed.database:
        raise StudyError(f"The storage URL names no database. {_POSSIBLE}")
    return _checked_sqlite(parsed, url) if parsed.drivername == "sqlite" else parsed


def _checked_sqlite(url: URL, typed: str) -> URL:
    """Return a SQLite URL with the whole path of its file: each process of a sweep has a working folder of its own."""
    if "?" in typed:  # SQLAlchemy drops what it takes for an option without a value
        raise StudyError(
            "A SQLite URL takes no options after a '?'. Where the '?' is part of the path, write it as %3F "
            "(and a '%' as %25)."
        )
    if not url.database or ":memory:" in url.database or url.database.startswith("file:"):
        raise StudyError(
            f"The storage '{typed}' is not a file on disk: a sweep's processes could not share it, "
            f"and it would be gone with them. {_POSSIBLE}"
        )
    return sqlite_url(Path(url.database).absolute())


def sqlite_url(path: Path) -> URL:
    """Return the URL of a SQLite file. Rendered, what would end a URL's path (?, #, %) is quoted."""
    return URL.create("sqlite", database=str(path))


def read_only(path: Path) -> str:
    """Return a SQLite file as the name under which SQLite only reads it: a file: URI with its path quoted."""
    return f"{path.absolute().as_uri()}?mode=ro"


_POSSIBLE = f"Possible: sqlite:////folder/study.db, or {_POSTGRES}://user@host/database."


def sqlite_file(url: URL) -> Path | None:
    """Return the file of a SQLite URL, or None for a server."""
    return Path(url.database) if url.drivername == "sqlite" and url.database else None


def open_storage(url: URL) -> RDBStorage:
    """Return the storage of a URL; a SQLite file is made when missing. Raises StudyError when it can't be used."""
    path = sqlite_file(url)
    if path is not None:
        files.remove_drafts(path.parent, path.name)
    with in_words(url):
        if path is None:
            return _postgres(url)
        if path.exists():
            check_file(path)
        else:
            _make(path)
        return _sqlite(path, checked=True)


def _postgres(url: URL) -> RDBStorage:
    where = url.render_as_string()
    try:  # without a pool: where this fails nothing is left open
        RDBStorage(where, engine_kwargs={"poolclass": NullPool, "connect_args": CONNECTING})
    except RuntimeError:  # what Optuna raises for tables that it does not take
        raise StudyError(
            f"The studies in '{where}' were written by another version of Optuna than {optuna.__version__}; nothing "
            "was changed. Copy the database, then upgrade the copy with: optuna storage upgrade --storage URL."
        ) from None
    return RDBStorage(
        where,
        engine_kwargs={"pool_pre_ping": True, "connect_args": CONNECTING},
        skip_table_creation=True,
        skip_compatibility_check=True,
    )


def _sqlite(path: Path, checked: bool) -> RDBStorage:
    """Return a file's storage; for one that was checked Optuna does not import alembic (11 MB) to check it again."""
    return RDBStorage(
        sqlite_url(path).render_as_string(),
        engine_kwargs={"connect_args": {"timeout": _BUSY_S, "factory": _FlushedConnection}},
        skip_table_creation=checked,
        skip_compatibility_check=checked,
    )


def _make(path: Path) -> None:
    """Make the file with all its tables beside its place, then rename it: a file of no bytes is never ours."""
    share = files.network_share(path.parent)
    if share:
        raise StudyError(
            f"'{path.parent}' is on a network file system ({share}), where SQLite loses data when two machines write. "
            f"Set POOLSEARCH_RUNS to a local folder, or take PostgreSQL: --storage {_POSTGRES}://user@host/database."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    draft.unlink(missing_ok=True)
    try:
        _sqlite(draft, checked=False).engine.dispose()
        with closing(sqlite3.connect(draft)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # kept in the file: readers read while the coordinator writes
        draft.replace(path)
    finally:
        for left in path.parent.iterdir():
            if left.name.startswith(draft.name):
                left.unlink(missing_ok=True)
    files.sync_folder(path.parent)


def check_file(path: Path) -> None:
    """Raise StudyError when a file is no sound SQLite file with Optuna's tables; nothing in it is changed."""
    with path.open("rb") as file:
        start = file.read(len(_MAGIC))
    if not start:
        raise StudyError(f"'{path}' is empty (0 bytes). Move it away, and the sweep starts over.")
    if start != _MAGIC:
        raise StudyError(f"'{path}' is not a SQLite file; it was left unchanged. Move it away, or use another storage.")
    try:
        with closing(sqlite3.connect(read_only(path), uri=True, timeout=_BUSY_S)) as connection:
            tables = {name for (name,) in connection.execute("select name from sqlite_master where type='table'")}
            ours = tables >= _TABLES
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if ours else "ok"
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            schema = connection.execute("select version_num from alembic_version").fetchone()[0] if ours else ""
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise StudyError(
            f"'{path}' is damaged ({_first_line(error)}); it was left unchanged. Restore a copy, or move it away."
        ) from None
    if not ours:
        holds = ", ".join(sorted(tables)) or "nothing"
        raise StudyError(
            f"'{path}' belongs to another program: it holds {holds[:80]}, not a study. It was left unchanged."
        )
    if schema != _SCHEMA:
        raise StudyError(
            f"The study in '{path}' was written by another version of Optuna (its tables are {schema}; Optuna "
            f"{optuna.__version__} takes {_SCHEMA}). It was left unchanged. Copy it, then upgrade the copy "
            "with: optuna storage upgrade --storage URL."
        )


@contextmanager
def in_words(url: URL) -> Iterator[None]:
    """Say in one sentence what a database or its driver raises."""
    where = url.render_as_string()
    try:
        yield
    except ImportError:
        raise StudyError(
            f"The storage '{where}' needs psycopg. Install it: pip install -r requirements-cluster.txt."
        ) from None
    except (SQLAlchemyError, sqlite3.Error, StorageInternalError, UnicodeDecodeError) as error:
        raise StudyError(f"The storage '{where}' can't be used: {reason_of(error)}.") from None


def reason_of(error: BaseException) -> str:
    """Return what a database says, out of what SQLAlchemy and Optuna make of it."""
    cause = cause_of(error)
    return _first_line(cause.orig if isinstance(cause, DBAPIError) and cause.orig else cause)


def cause_of(error: BaseException) -> BaseException:
    """Return what SQLAlchemy or a driver raised, out of what Optuna makes of it."""
    return error.__cause__ if isinstance(error, StorageInternalError) and error.__cause__ else error


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


class StudyLock:
    """A study in PostgreSQL held against coordinators on other machines, as long as a session of its own lives.

    For SQLite there is nothing to do: a lock on a file beside it does that already.
    """

    def __init__(self, url: URL, name: str) -> None:
        """Take it. Raises BusyError when another session holds it, StudyError when there is no such server."""
        self._url, self._name = url, name
        self._connection: Connection | None = None
        if sqlite_file(url) is None:
            with in_words(url):
                self._engine = create_engine(
                    url, poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=CONNECTING
                )
                self._take()

    def keep(self) -> None:
        """Take it again where the server was restarted.

        Raises BusyError when another coordinator was faster, SQLAlchemyError while the server is gone.
        """
        if self._connection is None:
            return
        try:
            self._connection.execute(text("select 1"))
        except SQLAlchemyError:
            with contextlib.suppress(SQLAlchemyError):
                self._connection.close()
            self._take()

    def _take(self) -> None:
        self._connection = self._engine.connect()
        if not self._connection.execute(_TRY_LOCK, {"name": self._name}).scalar():
            self.release()
            raise BusyError(f"The study '{self._name}' is already being run by another coordinator. Stop it first.")

    def release(self) -> None:
        """Give it back."""
        if self._connection is not None:
            with contextlib.suppress(SQLAlchemyError):
                self._connection.close()


_TRY_LOCK = text("select pg_try_advisory_lock(hashtextextended('poolsearch ' || :name, 0))")
