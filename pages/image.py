"""Two poolings on a whole photograph, and how much each output changes when the picture moves by single pixels."""

import streamlit as st

from poolsearch import figures
from poolsearch.errors import PoolsearchError
from poolsearch.kinds import KINDS
from poolsearch.widgets import image, variants

variants.head("Real image", caption="Move the picture by one pixel: a good pooling hardly notices.")
try:
    photograph, shift, salt, sides = image.picker()
    curves = [image.changes(photograph, salt, str(side.spec)) for side in sides]
    outputs = [image.output(photograph, salt, shift, str(side.spec)) for side in sides]
except PoolsearchError as error:
    variants.refuse(error)
    st.stop()

for column, side, (picture, size), curve in zip(st.columns(2), sides, outputs, curves, strict=True):
    with column:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(side.letter, color=side.colour)
            st.markdown(f"**{KINDS[side.spec.kind].label}** `{side.spec}`", width="content")
        st.image(picture, width="stretch", alt=f"The photograph under pooling {side.letter}, enlarged")
        st.caption(image.caption(size, curve[shift], shift))

figure = figures.shift_figure([(side.letter, curve) for side, curve in zip(sides, curves)], shift, variants.dark())
st.plotly_chart(figure, key="shifts", config={"displayModeBar": False}, theme=None)
