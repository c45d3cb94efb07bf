"""The frame that every page stands in: window title, logo, navigation. Pages draw themselves.

Streamlit runs this file from the top for every visitor and every click, so nothing here may be slow.
"""

from pathlib import Path

import streamlit as st

import poolsearch
from poolsearch.app.controls.links import visit
from poolsearch.app.lessons import LESSONS, link

PAGES = Path(poolsearch.__file__).parent / "pages"
STATIC = Path(__file__).parent / "static"
ABOUT = """\
**Poolsearch** shows how a network throws pixels away: choose a pooling by hand, put it into a real backbone,
and search for the places where it pays.

Lessons, each a page in the state that it needs:

"""


def page(name: str, title: str, default: bool = False) -> st.Page:
    """Return the page in `poolsearch/pages/`, whose file name is its address. No icon: seven titles fit 1280 pixels."""
    return st.Page(PAGES / f"{name}.py", title=title, default=default)


shown = st.navigation(
    [
        page("by_hand", "Pooling by hand", default=True),
        page("image", "Real image"),
        page("backbone", "Backbone"),
        page("maps", "Feature maps"),
        page("compare", "Compare"),
        page("sweeps", "Sweeps"),
        page("pareto", "Pareto front"),
    ],
    position="top",
)
st.set_page_config(
    page_title=f"{shown.title} · Poolsearch",
    page_icon=STATIC / "icon.png",  # a Material icon here would be fetched from the web
    layout="wide",
    initial_sidebar_state=290,
    menu_items={"About": ABOUT + "\n".join(f"- [{LESSONS[name].title}]({link(name)})" for name in LESSONS)},
)
st.logo(STATIC / "logo.svg", size="large", icon_image=STATIC / "icon.png")
with visit(shown.url_path):
    shown.run()
