"""What can be downloaded from the Backbone page: the network as a Python file, a sweep, the layers, the link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import streamlit as st

from poolsearch import memory
from poolsearch.config import SiteSpace, Space, SweepConfig, to_toml
from poolsearch.errors import PoolsearchError
from poolsearch.modelfiles.script import as_python
from poolsearch.plan import Plan
from poolsearch.records.network import LayerRow
from poolsearch.surgery import find_sites
from poolsearch.units import csv_text


@memory.kept
def python_file(plan: str) -> str:
    """Return the Python file of a Plan, or the reason why there is none."""
    try:
        return as_python(Plan.parse(plan))
    except PoolsearchError as error:
        return f"# {error}\n"


def config_file(plan: Plan) -> str:
    """Return a sweep's TOML: at each changed site what is published or what stands there may stand."""
    spaces = {}
    for site in find_sites(plan):
        spec, own = plan.spec(site.name), site.published
        if spec is not None and own is not None:
            kinds = tuple(dict.fromkeys((own.kind, spec.kind)))
            spaces[site.name] = SiteSpace(kinds=kinds, kernel=spec.kernel[:1] or None, stride=spec.stride[:1] or None)
    size = "x".join(map(str, plan.size))
    return to_toml(SweepConfig(study="from-backbone", backbone=f"{plan.backbone}/{size}", space=Space(sites=spaces)))


def layers_csv(rows: Sequence[LayerRow]) -> str:
    """Return the layers as CSV, one line each, with units in the heads' names."""
    names = [field.name for field in fields(LayerRow)]
    return csv_text(names, [[getattr(row, name) for name in names] for row in rows])


def downloads(plan: Plan, rows: Sequence[LayerRow]) -> None:
    """Draw the downloads of a Plan, and its link."""
    with st.popover("Export", icon=":material/download:"):
        name = f"{plan.backbone}-{plan.hash}"
        st.download_button(
            "Python, runs without Poolsearch", python_file(str(plan)), f"{name}.py", key="take-python", width="stretch"
        )
        st.download_button("Sweep config, TOML", config_file(plan), f"{name}.toml", key="take-toml", width="stretch")
        st.download_button("Layers, CSV", layers_csv(rows), f"{name}.csv", key="take-csv", width="stretch")
        st.caption("The Plan as text; in a link it stands behind `/backbone?a=`")
        st.code(str(plan), language=None, wrap_lines=True)
