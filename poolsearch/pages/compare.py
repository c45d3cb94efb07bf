"""What differs between two variants: their totals, how far each layer sees, the sites, and every layer."""

import streamlit as st

from poolsearch.app.controls import plain, variants
from poolsearch.app.controls.controls import toggle
from poolsearch.app.views import compare
from poolsearch.figures import compare as compared

a, b = plans = compare.both()
texts = str(a), str(b)
(rows_a, totals_a), (rows_b, totals_b) = (compare.rows_and_totals(text) for text in texts)
pairs = compare.pairs_of(*texts)
site_rows = compare.site_rows(texts[0]), compare.site_rows(texts[1])
sites = compare.matched(*site_rows) if pairs else []
changed = compared.changed_sites(sites)
dark = variants.dark()

label = f"{len(changed)} of {len(sites)} sites differ" if pairs else "two backbones"
variants.head("Compare", (label, "gray"), caption="A and B, for one image in float32")
if note := compare.sizes_differ(a, b):
    st.warning(plain.as_text(note), icon=":material/aspect_ratio:")
compare.draw_figures(totals_a, totals_b)

st.header("How far each layer sees", anchor=False)
if a == b:
    st.info("A and B are the same network: change one on Backbone.", icon=":material/compare_arrows:")
else:
    names = ("A", "B") if pairs else (f"A, {a.backbone}", f"B, {b.backbone}")
    sides = max(a.size[1:]), max(b.size[1:])
    figure = compared.growth(rows_a, rows_b, pairs, names, sides, changed, dark)
    variants.chart(figure, "growth", "Receptive field of A and B, layer by layer")
    st.caption(f"{compare.reach(plans, (rows_a, rows_b))} Large marks are sites.")

st.header("From the input to the head", anchor=False)
for row, inputs in compare.rows_of_boxes(plans, site_rows, sites):
    st.html(compared.sites_html(row, inputs, dark))

with st.container(horizontal=True, vertical_alignment="center"):
    st.header("Layer by layer", anchor=False, width="content")
    if pairs:
        every = toggle("All layers", "all", where=st.container(width="content"))
        name = f"{a.backbone}-{a.hash}-{b.hash}.csv"
        st.download_button(
            "All layers, CSV", compare.as_csv(*texts), name, key="csv", icon=":material/download:", on_click="ignore"
        )
if pairs:
    compare.draw_table(a, b, every)
else:
    st.caption(
        f"A is {a.backbone}, B is {b.backbone}: layers of different backbones are not aligned. "
        "The totals and the growth above are compared; each network's layers stand on Backbone."
    )
