"""Compare in a browser: what is drawn, swapped, changed and downloaded."""

import re
from urllib.parse import quote

from acts import idle
from playwright.sync_api import expect

PUBLISHED, CHANGED = "resnet18/3x64x64", "resnet18/3x64x64: stem=max-blur k3 s2 p1; layer2=max-blur k3 s2 p1"


def open_page(tab, a=PUBLISHED, b=CHANGED):
    tab.goto(f"/compare?a={quote(a)}&b={quote(b)}")
    expect(tab.get_by_role("heading", name="Compare", exact=True)).to_be_visible()


def test_two_variants_side_by_side(tab):
    open_page(tab)
    expect(tab.get_by_text("2 of 6 sites differ")).to_be_visible()
    expect(tab.locator(".st-key-growth .scatterlayer .trace")).to_have_count(2)
    expect(tab.locator(".st-key-growth .shapelayer path")).to_have_count(3)  # the input, two changed sites
    expect(tab.locator(".st-key-growth").get_by_text("input, 64 px")).to_be_visible()
    expect(tab.locator(".sites .changed")).to_have_count(2)
    expect(tab.locator(".sites .changed").first).to_contain_text("A max k3 s2 p1")
    row = tab.locator(".sites").bounding_box()
    tops = {round(box.bounding_box()["y"]) for box in tab.locator(".sites > div").all()}
    assert len(tops) == 1  # seven boxes on one line at 1280 pixels
    assert row["x"] + row["width"] <= 1280


def test_swapping_and_changing_one(tab):
    open_page(tab)
    idle(tab)
    tab.locator(".st-key-swap button").click()
    expect(tab.locator(".sites .changed").first).to_contain_text("B max k3 s2 p1")
    expect(tab).to_have_url(re.compile("a=resnet18(/|%2F)3x64x64(:|%3A)"))
    idle(tab)
    tab.get_by_role("link", name="Change B").click()
    expect(tab.get_by_role("heading", name="Backbone", exact=True)).to_be_visible()
    expect(tab.get_by_text("variant B")).to_be_visible()
    expect(tab.get_by_text("0 of 6 sites changed")).to_be_visible()


def test_every_layer_as_a_file(tab):
    open_page(tab)
    idle(tab)
    with tab.expect_download() as download:
        tab.locator(".st-key-csv button").click()
    lines = download.value.path().read_text().splitlines()
    assert lines[0].startswith("layer,site,a_op,b_op,a_shape,b_shape")
    assert len(lines) > 69
    assert any(line.startswith("maxpool,stem,max k3 s2 p1,max-blur k3 s2 p1") for line in lines)


def test_the_same_network_twice_says_what_to_do(tab):
    open_page(tab, b=PUBLISHED)
    expect(tab.get_by_text("A and B are the same network: change one on Backbone")).to_be_visible()
    expect(tab.locator(".st-key-growth")).to_have_count(0)
