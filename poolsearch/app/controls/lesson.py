"""The lessons of a page: the three sentences of the one that a link asks for, the way out of it, and all the others."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from poolsearch.app.controls import links
from poolsearch.app.lessons import LESSONS, query

OPENED = "lesson-cell"  # session key: the cell that a lesson opens, once


def sentences(page: str = "") -> None:
    """Draw the lesson that the link names at the top of the sidebar, or the list of all lessons.

    `page` is the address of the page that is drawn.
    """
    name = links.one_of("lesson", "Lesson", list(LESSONS))
    if name is None:
        _all(st.sidebar.container(), page)
        return
    lesson = LESSONS[name]
    st.sidebar.header(lesson.title, anchor=False)
    for sentence in lesson.sentences:
        st.sidebar.markdown(sentence)
    row = st.sidebar.container(horizontal=True)
    row.button("Show all controls", key="leave-lesson", type="tertiary", on_click=_leave, args=(name,))
    _all(row, page, but=name)


def _all(where: DeltaGenerator, page: str, but: str = "") -> None:
    """Draw the list of lessons, and go to the page of the one that was chosen; one of this page is set in place."""
    names = [name for name in LESSONS if name != but]
    chosen = where.menu_button(
        "Lessons", names, key="lessons", type="tertiary", format_func=lambda name: LESSONS[name].title,
        on_click=_open, args=(page,),
    )  # fmt: skip
    if chosen and LESSONS[chosen].page != page:
        st.switch_page(f"../pages/{LESSONS[chosen].page or 'by_hand'}.py", query_params=query(chosen))


def _open(page: str) -> None:
    """Set the controls of this page as a lesson needs them; what it hides, its own state says."""
    name = st.session_state["lessons"]
    lesson = LESSONS[name]
    if lesson.page == page:
        _set({key: value for key, value in lesson.settings.items() if key not in lesson.hide})
        st.query_params["lesson"], st.query_params["hide"] = name, ",".join(lesson.hide)
        st.session_state[OPENED] = lesson.cell or "1-1"


def _leave(name: str) -> None:
    """Show the page as it is now, with all its controls."""
    lesson = LESSONS[name]
    for key in ("lesson", "hide"):
        st.query_params.pop(key, None)
    _set({key: value for key, value in lesson.settings.items() if key in lesson.hide})


def _set(values: Mapping[str, str | int | bool]) -> None:
    for key, value in values.items():
        st.session_state[key] = value
