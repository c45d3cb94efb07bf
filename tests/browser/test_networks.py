"""The page Backbone on networks that are not the default: search, a site of several branches, what is exported."""

import re

from acts import choose, idle
from playwright.sync_api import expect


def test_a_network_is_found_by_name_and_changed_at_a_site_of_three_branches(tab):
    tab.goto("/backbone")
    expect(tab.get_by_text("593 M")).to_be_visible(timeout=60_000)
    choose(tab, "network", "Inception v3 · inception_v3")
    expect(tab.locator("code", has_text="inception_v3/3x128x128").first).to_be_visible()
    choose(tab, "site", "Mixed_6a")
    expect(tab.get_by_text("published: conv k3 s2")).to_be_visible()
    choose(tab, "set-kind", "Max-blur")
    expect(tab.locator("code", has_text="Mixed_6a=max-blur k3 s2").first).to_be_visible()
    expect(tab.get_by_text("1 of 15 sites changed")).to_be_visible()
    expect(tab.locator(".st-key-strip .bartext").first).to_be_visible()
    expect(tab.get_by_test_id("stException")).to_have_count(0)


def test_a_network_without_a_site_to_change_says_so_and_others_stay_open(tab):
    tab.goto("/backbone?a=swin_t/3x224x224")
    expect(tab.locator("code", has_text="swin_t/3x224x224").first).to_be_visible(timeout=60_000)
    expect(tab.get_by_test_id("stException")).to_have_count(0)


def test_the_python_file_that_is_taken_along_needs_no_poolsearch(tab):
    tab.goto("/backbone?a=resnet18/3x64x64:%20stem=max-blur%20k3%20s2%20p1")
    expect(tab.get_by_text("1 of 6 sites changed")).to_be_visible(timeout=60_000)
    idle(tab)
    tab.get_by_text("Export").click()
    with tab.expect_download() as download:
        tab.locator(".st-key-take-python button").click()
    text = download.value.path().read_text()
    assert text.startswith("# Made by Poolsearch from the Plan 'resnet18/3x64x64: stem=max-blur k3 s2 p1'")
    assert not re.search(r"^\s*(from|import) poolsearch", text, re.MULTILINE)
