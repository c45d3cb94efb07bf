"""Compare: what is aligned, what differs, what the figure and the boxes show, and the page run without a browser."""

import csv
import io
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from poolsearch.app.views import compare
from poolsearch.figures import compare as compared, network as figures
from poolsearch.figures.compare import SiteRow
from poolsearch.measure.cost import aligned, layer_rows, totals
from poolsearch.plan import Plan

ROOT = Path(__file__).parents[2]
PUBLISHED = "resnet18/3x64x64"
AVERAGE = "resnet18/3x64x64: stem=avg k3 s2 p1"
WIDER = "resnet18/3x64x64: stem=max k5 s2 p2"
BEHIND = "resnet18/3x64x64: layer2=max k3 s2 p1"
SMALL = "smallnet/1x20x20"


def page(**query):
    at = AppTest.from_file(str(ROOT / "poolsearch" / "app" / "shell.py"), default_timeout=60)
    at.run().switch_page("../pages/compare.py")
    for key, value in query.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception
    return at


def query(at, name):
    """Return a query parameter as text (AppTest gives a list before a page has written it)."""
    value = at.query_params[name]
    return value if isinstance(value, str) else value[0]


def words(at):
    return " ".join(element.value for element in [*at.markdown, *at.caption])


def drawn(a, b, changed=(), dark=False):
    one, two = Plan.parse(a), Plan.parse(b)
    pairs = aligned(one, two) if one.backbone == two.backbone else ()
    sides = max(one.size[1:]), max(two.size[1:])
    return compared.growth(layer_rows(one), layer_rows(two), pairs, ("A", "B"), sides, changed, dark)


# ----------------------------------------------------------------------------------------------------------- figure


def test_the_layers_of_smallnet_that_widen_the_field():
    # conv 3, pool 2 at stride 2, three times: 3, 4, 8, 10, 18, 22
    seen = [(row.path, row.field_px) for row in compared.widening(layer_rows(Plan.parse(SMALL)))]
    assert [field for _, field in seen] == [3, 4, 8, 10, 18, 22]


def test_both_curves_share_an_axis_also_where_one_has_a_layer_more():
    a, b = drawn(PUBLISHED, BEHIND, ["layer2"]).data
    behind = [row[0] for row in b.customdata].index("layer2.0.conv2.pooling")
    assert "layer2.0.conv2.pooling" not in {row[0] for row in a.customdata}
    assert b.x[behind] not in a.x
    assert {row[0]: x for row, x in zip(a.customdata, a.x)}["layer4.1.conv2"] == b.x[-1]
    assert (a.line.dash, b.line.dash) == ("solid", "dot")


def test_a_wider_window_widens_all_that_follows():
    a, b = drawn(PUBLISHED, WIDER, ["stem"]).data
    assert list(a.y)[:3] == [7, 11, 19]  # 7 + (3 - 1) * 2, and (3 - 1) * 4 more
    assert list(b.y)[:3] == [7, 15, 23]  # 7 + (5 - 1) * 2
    assert all(theirs == mine + 4 for mine, theirs in zip(a.y[1:], b.y[1:]))


def test_the_input_is_a_labelled_line_and_two_where_the_sizes_differ():
    figure = drawn(PUBLISHED, AVERAGE)
    assert [note.text for note in figure.layout.annotations] == ["input, 64 px"]
    assert [shape.y0 for shape in figure.layout.shapes] == [64]
    assert figure.layout.annotations[0].y == pytest.approx(1.806, abs=1e-3)  # log10(64): the axis is logarithmic
    figure = drawn(PUBLISHED, "resnet18/3x128x128")
    assert [note.text for note in figure.layout.annotations] == ["input of A, 64 px", "input of B, 128 px"]


def test_sites_are_named_under_the_axis_and_the_changed_ones_shaded():
    figure = drawn(PUBLISHED, AVERAGE, ["stem"])
    names = [name.replace("<br>", "") for name in figure.layout.xaxis.ticktext]
    assert names == ["conv1", "<b>stem</b>", "layer2", "layer3", "layer4"]
    assert [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "rect"] == [(0.5, 1.5)]


def test_two_backbones_have_an_axis_each():
    a, b = drawn(SMALL, PUBLISHED).data
    assert list(a.x) == [1, 2, 3, 4, 5, 6]
    assert len(b.x) > len(a.x)


def test_no_layers_give_a_figure_that_says_so():
    figure = compared.growth([], [], [], ("A", "B"), (8, 8))
    assert figure.layout.annotations[0].text == "Neither network has a receptive field in pixels."


# ------------------------------------------------------------------------------------------------------------ boxes


def test_what_stands_at_a_site_has_the_maps_of_its_own_plan():
    found = {site.name: site for site in compare.site_rows("resnet18/3x64x64: stem=max k3 s4 p1")}
    assert found["stem"] == SiteRow("stem", "max k3 s4 p1", (32, 32), (8, 8))
    assert (found["layer2"].before, found["layer2"].after) == ((8, 8), (4, 4))  # published: 16 and 8
    assert (found["head"].before, found["head"].after) == ((1, 1), (1, 1))
    behind = {site.name: site for site in compare.site_rows(BEHIND)}["layer2"]
    assert (behind.before, behind.after) == ((16, 16), (8, 8))  # the convolution at stride 1 is inside


def test_only_changed_sites_show_both_specs():
    sites = compare.matched(compare.site_rows(PUBLISHED), compare.site_rows(AVERAGE))
    assert compared.changed_sites(sites) == ["stem"]
    html = compared.sites_html(sites, ("3x64x64",))
    assert html.count('class="changed"') == 1
    assert "A max k3 s2 p1" in html
    assert "B avg k3 s2 p1" in html
    assert "A conv k7" not in html
    assert figures.LIGHT["b"] in html
    assert figures.LIGHT["b"] not in compared.sites_html(sites, ("3x64x64",), dark=True)


def test_a_box_shows_text_as_text():
    odd = SiteRow("<b>x</b>", "<script>", (4, 6), (2, 3))
    html = compared.sites_html([(odd, None)], ("<i>",))
    assert "<script>" not in html
    assert "<i>" not in html
    assert "4×6 → 2×3" in html


def test_unchanged_poolings_that_keep_the_size_are_left_out():
    one, two = "googlenet/3x96x96", "googlenet/3x96x96: pool2=avg k3 s1 p1"
    site_rows = compare.site_rows(one), compare.site_rows(two)
    sites = compare.matched(*site_rows)
    ((shown, inputs),) = compare.rows_of_boxes((Plan.parse(one), Plan.parse(two)), site_rows, sites)
    assert [a.name for a, _ in shown if a.keeps_size] == ["pool2"]
    assert inputs == ("3x96x96",)


# ------------------------------------------------------------------------------------------------------------ table


def test_the_table_has_only_rows_that_differ_by_default():
    (line,) = compare.table(PUBLISHED, AVERAGE)
    assert (line["layer"], line["site"], line["does, A → B"]) == ("maxpool", "stem", "max k3 s2 p1 → avg k3 s2 p1")
    assert (line["A shape"], line["B shape"], line["difference"]) == ("64x16x16", "64x16x16", 0)
    assert len(compare.table(PUBLISHED, AVERAGE, True)) == len(layer_rows(Plan.parse(PUBLISHED)))
    assert compare.table(PUBLISHED, PUBLISHED) == []


def test_a_layer_that_only_one_has_counts_as_a_difference():
    lines = {line["layer"]: line for line in compare.table(PUBLISHED, BEHIND)}
    assert lines["layer2.0.conv2.pooling"]["A shape"] is None
    assert lines["layer2.0.conv2.pooling"]["does, A → B"] == "none → max k3 s2 p1"
    assert lines["layer2.0.conv1"]["difference"] == 3 * 128 * 64 * 9 * 8 * 8  # 16 x 16 outputs, not 8 x 8
    macs = [totals(layer_rows(Plan.parse(text))).macs for text in (PUBLISHED, BEHIND)]
    assert sum(line["difference"] for line in lines.values()) == macs[1] - macs[0]


def test_the_csv_has_every_layer_with_both_sides():
    lines = list(csv.DictReader(io.StringIO(compare.as_csv(PUBLISHED, BEHIND))))
    assert len(lines) == len(compare.table(PUBLISHED, BEHIND, True))
    found = {line["layer"]: line for line in lines}
    assert (found["layer2.0.conv1"]["a_shape"], found["layer2.0.conv1"]["b_shape"]) == ("128x8x8", "128x16x16")
    assert found["layer2.0.conv2.pooling"]["a_macs"] == ""
    assert found["maxpool"]["a_field_px"] == "11"


# ------------------------------------------------------------------------------------------------------------- words


def test_the_row_of_figures_says_the_difference_in_percent():
    a, b = (totals(layer_rows(Plan.parse(text))) for text in (PUBLISHED, "resnet18/3x64x64: stem=max k3 s4 p1"))
    rows = {label: rest for label, *rest in compare.figures_row(a, b)}
    assert rows["Last map, pixels"] == ["2x2", "1x1", "-75.0 %"]  # one pixel of four
    assert rows["Parameters"][2] == "same"
    assert rows["MACs"][2].startswith("-")


def test_from_where_on_each_sees_its_whole_image():
    def said(*texts):
        plans = tuple(Plan.parse(text) for text in texts)
        return compare.reach(plans, tuple(layer_rows(plan) for plan in plans))

    # 43 px behind layer1; layer2 adds 8, then 16: 51, 67
    words = "From `layer2.0.conv2` on, both see the length of the image."
    assert said(PUBLISHED, AVERAGE) == f"Both curves are the same: each layer sees as far in B as in A. {words}"
    assert said(PUBLISHED, BEHIND) == words
    # 20 px: the last convolution sees 18, the last pooling 22
    assert said(SMALL, PUBLISHED).startswith("A sees the length of its image from `stage3.pool` on. B sees")
    assert said("smallnet/1x24x24", "smallnet/1x24x24").endswith("From `head` on, both see the length of the image.")


# -------------------------------------------------------------------------------------------------------------- page


def test_the_page_compares_the_first_two_variants():
    at = page()
    assert at.title[0].value == "Compare"
    assert "1 of 6 sites differ" in words(at)
    assert "1 of 69 layers differ" in words(at)
    assert list(at.dataframe[0].value["layer"]) == ["maxpool"]
    at.toggle(key="all").set_value(True).run()
    assert len(at.dataframe[0].value) == 69


def test_the_page_swaps_a_and_b_and_the_link_follows():
    at = page(a=WIDER, b=PUBLISHED)
    assert [code.value for code in at.sidebar.get("code")] == [WIDER, PUBLISHED]
    at.button(key="swap").click().run()
    assert not at.exception
    assert [code.value for code in at.sidebar.get("code")] == [PUBLISHED, WIDER]
    assert (query(at, "a"), query(at, "b")) == (PUBLISHED, WIDER)
    assert at.dataframe[0].value["A field, px"].iloc[0] == 11


def test_the_same_network_twice_is_said_in_words():
    at = page(a=PUBLISHED, b=PUBLISHED)
    assert "A and B are the same network: change one on Backbone" in at.info[0].value
    assert "No layer differs." in words(at)
    assert not at.get("plotly_chart")


def test_two_backbones_compare_totals_and_growth_but_no_layers():
    at = page(a=PUBLISHED, b=SMALL)
    assert "layers of different backbones are not aligned" in words(at)
    assert len(at.get("plotly_chart")) == 1
    assert not at.dataframe
    assert len(at.get("html")) == 2


def test_a_link_that_can_not_be_is_refused_in_words():
    at = page(b="resnet18/3x64x64: nowhere=avg k2 s2")
    assert "nowhere" in at.warning[0].value
    assert not at.error


def test_inputs_of_two_sizes_are_said():
    at = page(a="resnet18/3x64x64", b="resnet18/3x96x96")
    assert "A has an input of 3x64x64, B one of 3x96x96" in at.warning[0].value
    assert not page(a="resnet18/3x64x64", b="resnet18/3x64x64: stem=avg k3 s2 p1").warning
