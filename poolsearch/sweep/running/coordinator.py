"""The loop of a sweep: commands are carried out, trials started, answers recorded, until done, stopped or hopeless.

What becomes of a trial is the matter of `dispatcher`, which Plan comes next of `proposals`, what is known of `state`.
Nothing here asks a clock whether a worker lives: its pipe says so.
"""

from __future__ import annotations

from poolsearch.errors import BusyError, GoneError, PoolsearchError
from poolsearch.sweep.running.control import obey
from poolsearch.sweep.running.dispatcher import Dispatcher, Interrupted
from poolsearch.sweep.running.ending import ending
from poolsearch.sweep.running.timing import time_together


def work(sweep: Dispatcher) -> None:
    """Run a sweep until done, stopped or hopeless; then time all finished Plans together.

    Raises GoneError when the sweep's folder is gone, BusyError when another coordinator has taken the study over.
    """
    state = sweep.state
    try:
        sweep.report("running", force=True)
        while _goes_on(sweep):
            sweep.answers = sweep.poll(0.5)
            sweep.handle()
            sweep.enforce_limits()
            sweep.report()
        if not state.stop and not state.hopeless():
            time_together(sweep)
    except GoneError:  # nothing may be written, for it would be in another place, or in none
        raise
    except Interrupted:
        state.stopping()
        sweep.keep_on_disk()
    except BusyError as error:  # another coordinator has taken the study over
        sweep.report("stopped", str(error), force=True)
        raise
    except PoolsearchError as error:  # no worker can be had, or the database does not come back
        sweep.keep_on_disk()
        sweep.report("failed", str(error), force=True)
        return
    sweep.report(*ending(state), force=True)


def _goes_on(sweep: Dispatcher) -> bool:
    """Carry out commands and start trials; return whether anything is at work or may yet be."""
    state = sweep.state
    sweep.check_folder()
    state.tick()
    sweep.writer.keep()
    obey(sweep)
    sweep.look_at_the_disk()
    more = True
    while more and not state.held() and sweep.engine.resources().free:
        more = sweep.start_next()
    if state.stop or state.hopeless():
        return False
    return bool(state.flights) or bool(state.pause or state.disk_full) or more
