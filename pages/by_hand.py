"""What one pooling does to 64 numbers, window by window."""

import streamlit as st

from poolsearch.components import stepper
from poolsearch.errors import PoolsearchError
from poolsearch.widgets import by_hand, variants

try:
    picture, spec = by_hand.window_picker()
    stage = by_hand.stage_of(picture, str(spec))
except PoolsearchError as error:
    variants.head("Pooling by hand")
    variants.refuse(error)
    st.stop()

variants.head("Pooling by hand", *by_hand.badges(stage), caption=by_hand.size_formula(stage, spec))
stepper(stage, key="stage")
