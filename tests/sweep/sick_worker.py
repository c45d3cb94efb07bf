"""The real worker, but some trials fall ill: what they do is in the job's own config, as the name of the study.

tiny-hang: trial 1 never ends.   tiny-deaf: nor does it end when asked to.   tiny-segfault: trial 1 reads address 0.
tiny-memory: trial 1 asks for more memory than there is.   tiny-killed: trial 1 is killed, as by the kernel.
"""

import ctypes
import os
import signal
import sys
import time

from poolsearch import config
from poolsearch.sweep import worker

healthy = worker.run_trial


def sick(job, *more):
    if job["id"] != 1:
        return healthy(job, *more)
    illness = config.parse(job["config"]).study.partition("-")[2]
    if illness == "segfault":
        ctypes.string_at(0)
    if illness == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if illness == "memory":
        import torch

        torch.empty(1 << 60)
    if illness == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(0.01)


worker._DO["trial"] = sick

if __name__ == "__main__":
    worker.main(*sys.argv[1:])
