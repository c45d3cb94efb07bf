"""Locks on opened files, which the kernel releases when their process is gone: flock on POSIX, msvcrt on Windows.

The package filelock has no lock for looking: two who look at once would each take the other for the holder.
"""

from __future__ import annotations

import os
import sys
from typing import TextIO

from poolsearch.errors import PoolsearchError

_FAR = 1 << 30  # the byte locked on Windows: far behind the name, for a locked byte cannot be read there

if sys.platform == "win32":
    import msvcrt

    POSSIBLE = True

    def take(file: TextIO, shared: bool = False) -> bool:
        """Return whether this process now has the lock on an opened file; a shared one is let go at once."""
        place = os.lseek(file.fileno(), 0, os.SEEK_CUR)
        try:
            os.lseek(file.fileno(), _FAR, os.SEEK_SET)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            if shared:
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(file.fileno(), place, os.SEEK_SET)
        return True

else:
    try:
        import fcntl
    except ImportError:  # a Python for the browser, or a cut-down one
        POSSIBLE = False
    else:
        POSSIBLE = True

    def take(file: TextIO, shared: bool = False) -> bool:
        """Return whether this process now has the lock on an opened file; shared, it is for a look at who has it.

        Raises PoolsearchError where the system has no such locks and one is needed.
        """
        if not POSSIBLE:
            if shared:
                return True  # nobody can hold it
            raise PoolsearchError("This system has no file locks, so no sweep can run here.")
        try:
            fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
