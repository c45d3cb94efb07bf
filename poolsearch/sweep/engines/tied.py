"""A process that ends with the one that started it: python -m poolsearch.sweep.engines.tied PARENT MODULE ARGUMENT ...

It runs a module as `python -m MODULE ARGUMENT ...` would. That it asks for its end comes before anything else is
imported, for importing torch takes seconds in which its parent may die.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl


def end_with(parent: int) -> None:
    """Let the kernel end this process when its parent ends, also one that is stopped or hangs in a library.

    A parent that died before it was asked is seen by who the parent is now. Elsewhere than on Linux only that is done;
    `poolsearch doctor` says so.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


if __name__ == "__main__":
    _, own_parent, module, *arguments = sys.argv
    end_with(int(own_parent))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
