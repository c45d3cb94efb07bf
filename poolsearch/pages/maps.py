"""What two variants make of one image: their feature maps behind a site, side by side, and how the values spread."""

import streamlit as st

from poolsearch.app.controls import cached, variants
from poolsearch.app.views import maps
from poolsearch.errors import PoolsearchError
from poolsearch.figures import network as figures

variants.head("Feature maps")

try:
    picture, sites, same_scale, channel, shown = maps.picker()
    requests = tuple((str(view.plan), picture, site, view.weights) for view, site in zip(shown, sites, strict=True))
    arrays = [cached.maps_of(*request) for request in requests]
except PoolsearchError as error:
    variants.refuse(error)
    st.stop()

scales = maps.scales(arrays, same_scale)
for view, site, request, array, (low, high) in zip(shown, sites, requests, arrays, scales, strict=True):
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(view.letter, color=view.colour)
        st.markdown(f"**{view.caption(site)}**", width="content")
        st.caption(maps.caption(array, low, high, view.weights, channel))
    sheet = maps.sheet(request, low, high, channel)
    st.image(sheet, width="stretch", alt=f"Feature maps of variant {view.letter} behind {site}")

st.header("Activations", anchor=False)
histograms = cached.histograms_of(requests)
named = [(view.letter, histogram) for view, histogram in zip(shown, histograms, strict=True)]
variants.chart(figures.histogram_figure(named, variants.dark()), "histogram", "How the activations of A and B spread")
st.caption(maps.spread(named))
