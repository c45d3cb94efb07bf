"""What `poolsearch app` lets Streamlit run.

It is no more than this assignment: Streamlit reads the source for a literal `app = st.App(...)`. The frame is another
file, for the heavy imports happen here once, before the first visitor.
"""

import streamlit as st

from poolsearch.app.asgi import SHELL, settings

app = st.App(SHELL, **settings())
