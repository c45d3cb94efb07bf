"""Lessons are found from the page itself, open in their state whatever was set before, and are left again."""

import re

import pytest
from acts import choose, idle, stage
from playwright.sync_api import expect

from poolsearch.app.lessons import LESSONS


def open_lesson(tab, name):
    tab.get_by_role("button", name="Lessons").click()
    tab.get_by_role("menuitem", name=LESSONS[name].title).click()
    expect(tab.get_by_role("heading", name=LESSONS[name].title)).to_be_visible()
    expect(tab).to_have_url(re.compile(f"lesson={name}"))
    idle(tab)


def test_lessons_open_one_after_the_other_and_are_left(tab):
    tab.goto("/?pooling=Average&kernel=3&image=Flower&view=Frameworks")
    expect(tab.locator("canvas[data-title]").first).to_be_visible(timeout=60_000)
    open_lesson(tab, "gradient")
    arithmetic = tab.locator("#arith")
    expect(arithmetic).to_contain_text("∂ output[1, 1] / ∂ input: 1 → 1.00 at [1, 1], sum 1.00")
    tab.get_by_text("All outputs together").click()
    expect(arithmetic).to_contain_text("16 of 64 pixels get a share, 48 none, sum 16.00")
    tab.get_by_role("button", name="Show all controls").click()
    expect(tab.locator(".st-key-kernel")).to_be_visible()
    expect(tab).not_to_have_url(re.compile("lesson="))
    expect(arithmetic).to_contain_text("16 of 64 pixels")  # the page stays as it was
    open_lesson(tab, "global")
    expect(arithmetic).to_contain_text("÷ 64 = 0.33")
    tab.locator(".st-key-move").get_by_role("slider").press("ArrowRight")
    expect(tab).to_have_url(re.compile("move=1"))
    expect(arithmetic).to_contain_text("÷ 64 = 0.33")
    open_lesson(tab, "salt")
    expect(tab.get_by_text(re.compile(r"The salt changes it by")).first).to_be_visible()


@pytest.mark.parametrize("picture", ["Ones", "Digit"])
def test_frameworks_show_the_padding_that_they_read_and_say_what_orange_means(tab, picture):
    tab.goto(f"/?image={picture}&pooling=Average&kernel=3&padding=1&view=Frameworks")
    padded = tab.locator("canvas[data-input]")
    expect(padded).to_have_count(3)
    labels = [canvas.get_attribute("aria-label") for canvas in padded.all()]
    assert labels == [
        "Input of PyTorch with padding of 1:1, 1:1: 10 × 10",
        "Input of ONNX with padding of 1:1, 1:1: 10 × 10",
        "Input of TensorFlow with padding of 0:1, 0:1: 9 × 9",
    ]
    expect(tab.get_by_text("Outlined, with a filled corner: differs from PyTorch.")).to_be_visible()


def test_a_pixel_says_what_it_gets_over_all_outputs(tab):
    tab.goto("/?image=Temple&view=Backward")
    canvas = stage(tab)
    choose(tab, "pooling", "Average")
    idle(tab)
    canvas.hover(position={"x": 30, "y": 60})
    expect(canvas).to_have_attribute("data-readers", "1")
