"""The real worker, but some trials fall ill: what they do is in the job's own config, as the name of the study.

tiny-hang: trial 1 never ends.   tiny-deaf: nor does it end when asked to.   tiny-segfault: trial 1 reads address 0.
tiny-memory: trial 1 asks for more memory than there is.   tiny-killed: trial 1 is killed, as by the kernel.
The names in ERRORS: trial 1 raises that error; behind "broken" its device is of no more use.
"""

import ctypes
import os
import signal
import sys
import time

from poolsearch import config
from poolsearch.errors import PoolsearchError
from poolsearch.sweep.engines import worker

healthy = worker.run_trial
ERRORS = {
    "cuda": RuntimeError("CUDA error: an illegal memory access was encountered"),
    "allocation": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "broken": PoolsearchError("A library's error in our words, behind which the device is of no more use."),
    "refused": PoolsearchError("This Plan can't be."),
}


def sick(job, *more):
    if job.id != 1:
        return healthy(job, *more)
    illness = config.parse(job.config).study.partition("-")[2]
    if illness == "segfault":
        ctypes.string_at(0)
    if illness == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if illness == "memory":
        import torch

        torch.empty(1 << 60)
    if illness in ERRORS:
        worker._broken = lambda device: illness == "broken"
        raise ERRORS[illness]
    if illness == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(0.01)


worker._DO["trial"] = sick

if __name__ == "__main__":
    worker.main(*sys.argv[1:])
