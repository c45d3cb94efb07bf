"""The three sentences of a lesson, where a link asks for one."""

from __future__ import annotations

import streamlit as st

from poolsearch.lessons import LESSONS


def sentences() -> None:
    """Draw the lesson that the link names at the top of the sidebar; nothing without one."""
    lesson = LESSONS.get(st.query_params.get("lesson", ""))
    if lesson is None:
        return
    st.sidebar.subheader(lesson.title, anchor=False)
    for sentence in lesson.sentences:
        st.sidebar.markdown(sentence)
