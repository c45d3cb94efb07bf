"""The sidebar control for a visitor's own picture, shared by the pages that take one.

The browser's control forgets its file when the page changes; the picture that was read is kept for the session.
"""

from __future__ import annotations

import streamlit as st
from streamlit.typing import UploadedFile

from poolsearch.app.controls.controls import hidden
from poolsearch.app.controls.plain import as_text
from poolsearch.data.pictures import MEGABYTES, MEGAPIXELS, Picture, fitted, read
from poolsearch.errors import PictureError
from poolsearch.records.network import Array

KEPT = "own-picture"  # session key: the last Picture, or the PictureError that refused it
YOURS = "Yours"  # what it is called in the lists of pictures
SHOWN_BY = ("image", "photo")  # the lists of pictures: the one on the page shows what was just uploaded
HELP = f"""PNG, JPEG or WebP, up to {MEGABYTES} MB and {MEGAPIXELS} megapixels.
The picture stays in this server's memory: it is not written to disk and not sent on."""


def kept_picture() -> Picture | None:
    """Return the visitor's own picture; None when there is none, it was refused, or the link hides the control."""
    kept = st.session_state.get(KEPT)
    return kept if isinstance(kept, Picture) and not hidden("own") else None


def own_picture() -> Picture | None:
    """Draw the control at the end of the sidebar, and return the visitor's own picture as `kept_picture` does."""
    if hidden("own"):
        return None
    kept = st.session_state.get(KEPT)
    with st.sidebar.expander("Your own picture", expanded=kept is not None, key="own-box"):
        upload = st.file_uploader(
            "Your own picture",
            ["png", "jpg", "jpeg", "webp"],
            key="own",
            on_change=_changed,
            label_visibility="collapsed",
        )
        st.caption(HELP)
        if isinstance(kept, PictureError) and upload is not None:  # not on the next page, where the control is empty
            st.warning(as_text(kept))
        if isinstance(kept, Picture):
            height, width = kept.pixels.shape[:2]
            st.caption(f"{width} × {height} pixels. {as_text(kept.words)}".strip())
            if upload is None:  # uploaded on another page: here the control has no cross to take it away
                st.button("Forget this picture", key="own-forget", on_click=_forget)
    return kept_picture()


def tile(picture: Picture, height: int, width: int) -> Array:
    """Return the picture's middle as (3, height, width) from 0 to 1."""
    return fitted(picture.pixels, height, width)


def _changed() -> None:
    """Read what was uploaded, once; forget the picture when the visitor takes the file away."""
    upload = st.session_state["own"]
    if not isinstance(upload, UploadedFile):  # nothing, or what the server no longer has after a broken connection
        _forget()
        return
    try:
        st.session_state[KEPT] = read(upload.getvalue())
    except PictureError as error:
        st.session_state[KEPT] = error
        return
    for control in SHOWN_BY:
        if control in st.session_state:
            st.session_state[control] = YOURS


def _forget() -> None:
    st.session_state.pop(KEPT, None)
