"""Two poolings on a whole photograph, and how much each output changes when the picture moves by single pixels."""

import streamlit as st

from poolsearch.app.controls import lesson, variants
from poolsearch.app.views import image
from poolsearch.errors import PoolsearchError

lesson.sentences("image")
with st.container(horizontal=True, vertical_alignment="center"):
    st.title("Real image", width="content", anchor=False)
    view = image.shown()
    scene, sides = image.picker()
    looks = [image.look(scene, side, view) for side in sides]
    st.space("stretch")
    image.take_along(looks, sides)

columns = st.columns(3)
with columns[0]:
    picture, spectrum, caption = image.input_look(scene, sides, view)
    st.badge("Input", color="gray")
    st.image(picture, width="stretch", alt="The picture that is pooled")
    st.caption(caption)

for column, side, look in zip(columns[1:], sides, looks, strict=True):
    with column:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(side.letter, color=side.colour)
            st.markdown(f"**{side.label}**", width="content")
        if isinstance(look, PoolsearchError):
            variants.refuse(look)
            continue
        st.image(look.picture, width="stretch", alt=f"{view} of pooling {side.letter}, enlarged")
        narrow = look.width < 100  # the words have room beside it in the narrowest column
        with st.container(horizontal=True, wrap=not narrow):
            st.image(look.output, width=look.width, alt=f"Output of pooling {side.letter} at its true size")
            st.caption(look.caption, width="stretch" if narrow else "content")

figure = image.figure(sides, looks, scene.shift, spectrum, variants.dark())
variants.chart(figure, "curve", "Change of both outputs over the shift, or their spectra")
