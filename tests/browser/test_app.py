"""What only a browser shows: the stage, clicks on charts, links, themes, and the way through all five pages."""

import re

import pytest
from acts import choose, fill, go, idle, press, stage
from playwright.sync_api import expect

PAGES = {
    "": "Pooling by hand",
    "image": "Real image",
    "backbone": "Backbone",
    "maps": "Feature maps",
    "compare": "Compare",
    "sweeps": "Sweeps",
    "pareto": "Pareto front",
}


# -------------------------------------------------------------------------------------------------- the whole circle


def test_all_five_pages_by_clicking_and_back_to_the_backbone_with_a_front_point(tab):
    tab.goto("/")
    stage(tab)
    expect(tab.locator("#arith")).to_contain_text("max(")
    choose(tab, "pooling", "Average")
    expect(tab.locator("#arith")).to_contain_text("÷ 4")

    go(tab, "Backbone")
    expect(tab.get_by_text("593 M")).to_be_visible()
    press(tab, "set-stride", "4")
    expect(tab.get_by_text("1 of 6 sites changed")).to_be_visible()
    expect(tab.locator(".st-key-strip .bartext").first).to_be_visible()

    go(tab, "Feature maps")
    expect(tab.get_by_text("Published: max k3 s2 p1").or_(tab.get_by_text("Max: max k3 s4 p1"))).to_be_visible()
    expect(tab.locator("[data-testid=stImage] img")).to_have_count(2)

    go(tab, "Sweeps")
    expect(tab.get_by_text("No sweep yet. Set one up here and start it.")).to_be_visible()
    fill(tab, "new-name", "browser")
    choose(tab, "new-data", "digits")
    fill(tab, "new-trials", "4")
    fill(tab, "new-epochs", "1")
    expect(tab.get_by_text(re.compile(r"About 4 trials in .* on this machine"))).to_be_visible()
    idle(tab)
    tab.locator(".st-key-start button").click()
    head = tab.locator(".st-key-sweep-head")
    expect(head.get_by_text("Running")).to_be_visible()
    tab.reload()  # the sweep lives in its own process
    expect(head.get_by_text("Finished")).to_be_visible(timeout=120_000)
    expect(tab.get_by_text("4 of 4 trials.")).to_be_visible()

    go(tab, "Pareto front")
    click_a_front_point(tab)
    expect(tab).to_have_url(re.compile(r"trial=\d"))
    number = re.search(r"trial=(\d+)", tab.url)[1]
    expect(tab.get_by_role("heading", name=f"Trial {number}", exact=True)).to_be_visible()
    tab.locator(".st-key-open-a a").click()
    expect(tab.get_by_role("heading", name="Backbone", exact=True)).to_be_visible()
    expect(tab.locator("code", has_text="smallnet/1x20x20").first).to_be_visible()
    expect(tab.get_by_text("variant A")).to_be_visible()
    expect(tab).to_have_url(re.compile(rf"aw=browser(/|%2F){number}"))


def click_a_front_point(tab):
    """Click the fastest point of the front: the traces are steps, beaten, front, published."""
    expect(tab.locator(".st-key-front .scatterlayer .trace")).to_have_count(4)
    idle(tab)
    point = tab.locator(".st-key-front .scatterlayer .trace").nth(2).locator("path.point").first.bounding_box()
    tab.mouse.click(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)


# --------------------------------------------------------------------------------------------------------- the stage


def test_stepping_scrubbing_and_keys_move_the_window(tab):
    tab.goto("/")
    canvas, label = stage(tab), tab.locator("#lab")
    expect(label).to_have_text("Cell 1 of 16: row 1, column 1")
    tab.get_by_label("Next cell").click()
    expect(label).to_have_text("Cell 2 of 16: row 1, column 2")
    canvas.press("ArrowDown")
    expect(label).to_have_text("Cell 6 of 16: row 2, column 2")
    canvas.press("End")
    expect(label).to_have_text("Cell 16 of 16: row 4, column 4")
    canvas.press("Home")
    tab.get_by_label("Previous cell").click()
    tab.locator("#scrub").fill("4")
    expect(label).to_have_text("Cell 5 of 16: row 2, column 1")
    tab.get_by_label("Play").click()
    expect(tab.get_by_label("Pause")).to_be_visible()
    expect(label).to_have_text("Cell 6 of 16: row 2, column 2")


def test_pointing_at_an_output_cell_shows_its_window_at_once(tab):
    tab.goto("/")
    canvas = stage(tab)
    box = canvas.bounding_box()
    x, y, cell = (float(canvas.get_attribute(f"data-{name}")) for name in ("ox", "oy", "cell"))
    tab.mouse.move(box["x"] + x + 2.5 * cell, box["y"] + y + 1.5 * cell)
    expect(tab.locator("#lab")).to_have_text("Cell 7 of 16: row 2, column 3")
    tab.mouse.move(box["x"] + x - 20, box["y"] + y)
    expect(tab.locator("#lab")).to_have_text("Cell 1 of 16: row 1, column 1")


def test_the_whole_grid_fits_the_window(tab):
    tab.goto("/?kernel=3&padding=1")
    box = stage(tab).bounding_box()
    assert box["y"] + box["height"] <= 720
    assert tab.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight") <= 720


def test_a_refusal_is_words_not_a_traceback(tab):
    tab.goto("/?padding=2")
    expect(tab.get_by_text("Padding 2 is more than half of kernel 2, so PyTorch refuses it.")).to_be_visible()
    expect(tab.get_by_test_id("stException")).to_have_count(0)


# ------------------------------------------------------------------------------------------- links, tabs and themes


def test_a_shared_link_a_reload_and_a_new_tab_agree(tab):
    tab.goto("/")
    stage(tab)
    press(tab, "kernel", "3")
    expect(tab.locator("#lab")).to_contain_text("of 9")
    expect(tab).to_have_url(re.compile("kernel=3"))
    tab.reload()
    stage(tab)
    expect(tab.locator("#lab")).to_contain_text("of 9")
    other = tab.context.new_page()
    other.goto(tab.url)
    stage(other)
    expect(other.locator("#lab")).to_contain_text("of 9")


def test_a_variant_is_in_the_url_and_survives_other_pages(tab):
    tab.goto("/backbone?a=resnet18/3x64x64:%20stem=avg%20k2%20s2")
    expect(tab.locator("code", has_text="resnet18/3x64x64: stem=avg k2 s2").first).to_be_visible(timeout=60_000)
    go(tab, "Feature maps")
    expect(tab.get_by_text("Average: avg k2 s2")).to_be_visible()
    go(tab, "Backbone")
    expect(tab.locator("code", has_text="resnet18/3x64x64: stem=avg k2 s2").first).to_be_visible()
    tab.reload()
    expect(tab.locator("code", has_text="resnet18/3x64x64: stem=avg k2 s2").first).to_be_visible()


def test_back_undoes_a_page_change_and_controls_make_no_entries(tab):
    tab.goto("/")
    stage(tab)
    before = tab.evaluate("history.length")
    press(tab, "kernel", "3")
    expect(tab).to_have_url(re.compile("kernel=3"))
    tab.get_by_label("Next cell").click()
    expect(tab).to_have_url(re.compile("cell=1-2"))
    go(tab, "Backbone")
    expect(tab).to_have_url(re.compile("/backbone.*3x128x128"))
    idle(tab)
    press(tab, "set-stride", "4")
    expect(tab).to_have_url(re.compile(r"max(\+|%20)k3(\+|%20)s4"))
    idle(tab)
    tab.get_by_role("link", name="Compare A and B").click()
    expect(tab.get_by_role("heading", name="Compare", exact=True)).to_be_visible()
    idle(tab)
    tab.locator(".st-key-swap button").click()
    expect(tab).to_have_url(re.compile(r"/compare\?a=[^&]*avg[^&]*&b=[^&]*max"))
    idle(tab)
    assert tab.evaluate("history.length") == before + 2
    expect(tab).to_have_title("Compare · Poolsearch")
    tab.go_back()
    expect(tab.get_by_role("heading", name="Backbone", exact=True)).to_be_visible()
    expect(tab).to_have_url(re.compile(r"/backbone.*max(\+|%20)k3(\+|%20)s4"))
    expect(tab.locator("code", has_text="stem=max k3 s4 p1").first).to_be_visible()
    tab.go_back()
    expect(tab.get_by_role("heading", name="Pooling by hand", exact=True)).to_be_visible()
    expect(tab.locator("#lab")).to_have_text("Cell 2 of 9: row 1, column 2")
    expect(tab).to_have_url(re.compile(r"/\?kernel=3&cell=1-2$"))
    tab.go_forward()
    expect(tab.get_by_role("heading", name="Backbone", exact=True)).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_a_cold_link_to_each_page_keeps_the_shell_and_its_width(chromium, server, path, theme):
    context = chromium.new_context(viewport={"width": 1280, "height": 720}, color_scheme=theme)
    page = context.new_page()
    page.goto(f"{server}/{path}")
    expect(page.get_by_role("heading", name=PAGES[path], exact=True)).to_be_visible(timeout=60_000)
    expect(page.get_by_role("link", name="Pareto front")).to_be_visible()
    expect(page.get_by_test_id("stException")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    dark = page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor")
    assert dark == ("rgb(16, 23, 30)" if theme == "dark" else "rgb(255, 255, 255)")
    context.close()
