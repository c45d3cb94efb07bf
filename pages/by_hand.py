"""What one pooling does to 64 numbers, window by window."""

import streamlit as st

from poolsearch.components import stepper
from poolsearch.errors import PoolsearchError
from poolsearch.widgets import by_hand, variants

try:
    picture, spec = by_hand.window_picker()
    stage = by_hand.stage_of(picture, str(spec))
except PoolsearchError as error:
    st.title("Pooling by hand")
    variants.refuse(error)
    st.stop()

with st.container(horizontal=True, vertical_alignment="center"):
    st.title("Pooling by hand", width="content")
    for words, colour in by_hand.badges(stage):
        st.badge(words, color=colour)
    st.caption(by_hand.size_formula(stage, spec), width="content")
stepper(stage, key="stage")
