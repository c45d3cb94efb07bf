"""The entry of a checkout: `python app.py` (as `python -m poolsearch app`), `streamlit run app.py`, `uvicorn app:app`.

What it serves is in poolsearch/app/; Streamlit reads this source for a literal `app = st.App(...)`.
"""

import sys

if __name__ == "__main__":
    from poolsearch.cli.interrupt import leave_on_ctrl_c

    leave_on_ctrl_c()

    from poolsearch.cli.main import app as command_line

    command_line(["app", *sys.argv[1:]])

import streamlit as st

from poolsearch.app.asgi import SHELL, settings

app = st.App(SHELL, **settings())
