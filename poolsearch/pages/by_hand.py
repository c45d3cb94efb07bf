"""What one pooling does to 64 numbers, window by window."""

import streamlit as st

from poolsearch.app.components import comparison, stepper
from poolsearch.app.controls import lesson, variants
from poolsearch.app.views import by_hand
from poolsearch.errors import PoolsearchError

lesson.sentences()
try:
    choice = by_hand.picker()
    text = str(choice.spec)
    shown = by_hand.stage_of(choice.picture, choice.own, text, choice.view == "Backward", choice.move)
    formula = by_hand.size_formula(choice.picture, choice.own, choice.spec)
    compared = choice.view == "Frameworks"
    grids = by_hand.comparison_of(choice.picture, choice.own, text, choice.move) if compared else None
except PoolsearchError as error:
    variants.head("Pooling by hand")
    variants.refuse(error)
    st.stop()

variants.head("Pooling by hand", *by_hand.badges(shown), caption=formula)
if grids:
    comparison(grids, key="frameworks")
else:
    stepper(by_hand.drawn(shown, choice), key="stage")
