"""Commands to a sweep from its page: pause, resume, stop, add trials, change the workers, cancel a trial.

Nothing is remembered here that matters: a command is a file in the sweep's folder. Its id is made of what the visitor
saw, so that the same button pressed in two tabs is one command.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import streamlit as st

from poolsearch.app.controls.plain import as_text
from poolsearch.config import TRIALS_MOST, SweepConfig
from poolsearch.errors import PoolsearchError
from poolsearch.records.sweep import SweepStatus
from poolsearch.sweep.folder import commands
from poolsearch.sweep.folder.folder import SweepFolder
from poolsearch.sweep.running import launch

_SENT, _SAID = "sweep-sent", "sweep-said"
_SHOWN_S = 10.0
PAUSABLE = ("starting", "running")
RESUMABLE = ("pausing", "paused", "stopped", "lost", "failed")
_WORDS = {"pause": "Pause", "resume": "Resume", "retry": "Retry lost trials", "stop": "Stop"}
_ICONS = {"pause": "pause", "resume": "play_arrow", "retry": "replay", "stop": "stop"}
_AGAIN = {"resume": launch.resume, "retry": launch.retry}  # what also starts a sweep that is not at work


def command_id(home: SweepFolder, do: str, number: int = 0) -> str:
    """Return the id of a command as it is seen now: it changes when any command was carried out since."""
    done = home.commands / "done"
    seen = sum(1 for _ in done.iterdir()) if done.is_dir() else 0
    return f"page-{do}-{number}-{seen}"


def buttons(home: SweepFolder, status: SweepStatus) -> None:
    """Draw pause or resume, retry and stop, as far as the state allows; each says what one would type in a shell."""
    shown = ["pause"] if status.state in PAUSABLE else ["resume"] if status.state in RESUMABLE else []
    shown += ["retry"] if status.lost and status.state not in ("queued", "starting", "stopping") else []
    shown += ["stop"] if status.alive else []
    for do in shown:
        st.button(
            _WORDS[do],
            icon=f":material/{_ICONS[do]}:",
            key=f"sweep-{do}",
            help=f"`{launch.in_words(do, status.study)}`",
            on_click=_order,
            args=(home, do, 0, command_id(home, do)),
            disabled=status.state == "stopping",
        )


def changes(home: SweepFolder, status: SweepStatus) -> None:
    """Draw what changes a sweep while it is there: more trials, other workers, one trial cancelled."""
    with st.popover("Change", icon=":material/tune:", key="sweep-change"):
        config = home.config()
        if config.trials < TRIALS_MOST:
            _adding(home, status, config, "trials")
        if config.minutes is not None:
            _adding(home, status, config, "minutes")
        if not status.alive:
            return
        many = int(st.number_input("Workers", 1, 256, max(1, status.workers), key="many-workers", persist_state="page"))
        st.button(
            "Change the workers",
            key="sweep-workers",
            help=f"`{launch.in_words('workers', home.study, many)}`",
            on_click=_order,
            args=(home, "workers", many, command_id(home, "workers", many)),
        )
        _cancelling(home, status)


def _adding(home: SweepFolder, status: SweepStatus, config: SweepConfig, what: launch.Budget) -> None:
    do = "extend" if what == "minutes" else "add"
    label = f"{what.capitalize()} to add"
    more = int(st.number_input(label, 1, TRIALS_MOST, 8, key=f"more-{what}", persist_state="page"))
    flag = ["--minutes"] if what == "minutes" else []
    st.button(
        "Add them" if status.alive else "Add them and go on",
        key=f"sweep-{do}",
        help=f"`{launch.in_words('add', home.study, more, *flag)}`",
        on_click=_add,
        args=(home, more, what, _budget(config), command_id(home, do, more)),
    )


def _budget(config: SweepConfig) -> str:
    minutes = "" if config.minutes is None else f" and {config.minutes:g} minutes"
    return f"{config.trials} trials{minutes}"


def _cancelling(home: SweepFolder, status: SweepStatus) -> None:
    at_work = [trial.number for trial in status.running if trial.number >= 0]  # the timing of all is no trial
    chosen = st.selectbox(
        "Trial at work", at_work, None, key="trial-at-work", placeholder="choose one", disabled=not at_work
    )  # none at first: the one that is chosen may end, and another must not take its place under the button
    number = -1 if chosen is None else int(chosen)
    st.button(
        "Cancel this trial",
        key="sweep-cancel",
        help=f"`{launch.in_words('cancel', status.study, 'TRIAL' if number < 0 else number)}`",
        on_click=_order,
        args=(home, "cancel", number, command_id(home, "cancel", max(number, 0))),
        disabled=number < 0,
    )


def _order(home: SweepFolder, do: str, number: int, id: str) -> None:
    """Send a command, or start again a sweep that is not at work; what is refused is kept for `answer`."""

    def go() -> None:
        if sent := _AGAIN[do](home, id) if do in _AGAIN else commands.send(home, do, number, id):
            st.session_state[_SENT] = (home, sent)

    _say(home, go)


def _add(home: SweepFolder, number: int, what: launch.Budget, seen: str, id: str) -> None:
    """Add trials or minutes to a sweep, unless its budget is no longer the one that the visitor saw."""

    def go() -> None:
        there = _budget(home.config())
        if there != seen:
            raise PoolsearchError(f"The sweep has {there} by now, not {seen}. Nothing was added.")
        if sent := launch.add(home, number, what, id):
            st.session_state[_SENT] = (home, sent)

    _say(home, go)


def _say(home: SweepFolder, go: Callable[[], None]) -> None:
    try:
        go()
    except PoolsearchError as error:
        st.session_state[_SAID] = (home, str(error), True, time.monotonic())


def answer(home: SweepFolder) -> str:
    """Return what came of the last command for ten seconds after it was carried out; draw what was refused.

    It is a line and no toast: a toast would lie over the buttons.
    """
    sent, now = st.session_state.get(_SENT), time.monotonic()
    if sent and (words := commands.outcome(*sent)) is not None:
        del st.session_state[_SENT]
        st.session_state[_SAID] = (sent[0], words, False, now)
    about, words, refused, since = st.session_state.get(_SAID, (None, "", False, 0.0))
    if about != home or now - since > _SHOWN_S:
        return ""
    if refused:
        st.warning(as_text(words), icon=":material/block:")
    return "" if refused else words


def in_a_shell(status: SweepStatus) -> str:
    """Return the command lines that do the same as the buttons, one a line."""
    study = status.study
    lines = [launch.in_words(do, study) for do in ("status", "pause", "resume", "stop", "retry")]
    lines += [launch.in_words("add", study, 8), launch.in_words("workers", study, max(1, status.workers))]
    trial = next((trial.number for trial in status.running if trial.number >= 0), 0)
    return "\n".join([*lines, launch.in_words("cancel", study, trial)])
