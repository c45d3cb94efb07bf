"""What a pooling at one site does to a whole network: sizes, cost, receptive field, against the published network."""

import streamlit as st

from poolsearch.app.controls import variants
from poolsearch.app.views import backbone, export
from poolsearch.figures import network as figures
from poolsearch.measure.advice import advice
from poolsearch.measure.cost import layer_rows, totals

name, plan, refused = backbone.backbone_picker()
rows, published = layer_rows(plan), layer_rows(plan.published)
mine, theirs = totals(rows), totals(published)

variants.head("Backbone", *backbone.badges(name, plan))
if refused:
    variants.refuse(refused)

with st.grid(5, min_column_width=130):
    for label, value, delta, colour in backbone.metrics(mine, theirs):
        st.metric(label, value, delta, delta_color=colour, delta_arrow="off", border=True, height="stretch")

st.header("Map width, layer by layer", anchor=False)
figure = figures.shape_strip(rows, published, name, variants.dark())
variants.chart(figure, "strip", "Width of the map, layer by layer")

with st.container(horizontal=True, vertical_alignment="center"):
    st.code(str(plan), language=None, wrap_lines=True)
    variants.open_page("compare", "Compare A and B", ":material/compare_arrows:")
    variants.open_page("maps", "Feature maps", ":material/blur_on:")
    export.downloads(plan, rows)
for sentence in advice(plan):
    st.caption(f":material/lightbulb: {sentence}")
with st.expander("Every layer, for one image in float32"):
    st.dataframe(backbone.table(rows), hide_index=True)
    st.caption(f'The same in a shell: `python -m poolsearch cost "{plan}"`')
