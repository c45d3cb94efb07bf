"""How much one visitor may leave in the server's memory: files that are uploaded stay there while the session lives."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from poolsearch.app.door import Asgi, Message, Receive, Send

BUDGET = 300_000_000  # bytes of uploads a session
_PATH = re.compile(r"/_stcore/upload_file/([^/]+)/([^/]+)/?$")
_UNSAID = 21 << 20  # bytes that a request without a length may bring: Streamlit stops it behind maxUploadSize


class File(Protocol):
    """An uploaded file."""

    data: bytes


class Stored(Protocol):
    """What holds the uploads: `session id -> file id -> file`, as Streamlit's manager in memory does."""

    file_storage: Mapping[str, Mapping[str, File]]

    def remove_session_files(self, session_id: str) -> None:
        """Forget all files of a session."""


class Uploads:
    """An ASGI middleware: an upload that would take a session beyond its budget gets 413 and is not read.

    `stored()` returns what holds the uploads, once the server runs; `lives(session)` whether a session goes on. A file
    whose session ended while it arrived is forgotten at once: nobody would ask for it again.
    """

    def __init__(
        self, app: Asgi, stored: Callable[[], Stored], lives: Callable[[str], bool], budget: int = BUDGET
    ) -> None:
        self.app = app
        self.stored = stored
        self.lives = lives
        self.budget = budget
        self.under_way: Counter[str] = Counter()  # bytes that are being read, by session

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        found = _PATH.search(scope["path"]) if scope["type"] == "http" and scope["method"] == "PUT" else None
        if not found:
            await self.app(scope, receive, send)
            return
        session, file = found.groups()
        coming = _length(scope)
        if self.held(session, file) + self.under_way[session] + coming > self.budget:
            message = f"A session may keep {self.budget // 1_000_000} MB of uploads. Forget some, or reload the page.\n"
            head = [(b"content-type", b"text/plain"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 413, "headers": head})
            await send({"type": "http.response.body", "body": message.encode()})
            return
        self.under_way[session] += coming
        try:
            await self.app(scope, receive, send)
        finally:
            self.under_way[session] -= coming
            if not self.under_way[session]:
                del self.under_way[session]
            if not self.lives(session):
                self.stored().remove_session_files(session)

    def held(self, session: str, file: str) -> int:
        """Return the bytes of a session's files, without the one that is sent anew."""
        files = self.stored().file_storage.get(session, {})
        return sum(len(record.data) for name, record in list(files.items()) if name != file)


def _length(scope: Message) -> int:
    declared = dict(scope["headers"]).get(b"content-length", b"")
    return int(declared) if declared.isdigit() else _UNSAID
