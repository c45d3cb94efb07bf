"""Ctrl-C ends a command at once: exit code 130, no traceback, no half-written file. It comes before any heavy import.

Python's own way, an exception wherever the program happens to be, is lost or printed when that is inside an import.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

INTERRUPTED = 130  # the exit code, as shells have it: 128 and the number of the signal
_SHOW_CURSOR = b"\x1b[?25h\n"  # a progress bar hides it


def leave_on_ctrl_c() -> None:
    """Let SIGINT end this process, until something else is made of it (a sweep stops, the server ends its app)."""
    signal.signal(signal.SIGINT, _leave)


def _leave(number: int, frame: FrameType | None) -> None:
    if files := sys.modules.get("poolsearch.files"):
        files.drop_own_drafts()
    if sys.stderr and sys.stderr.isatty():
        os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(INTERRUPTED)
