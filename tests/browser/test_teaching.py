"""The two pages that teach: the views of the stage, three frameworks, shifts, lessons, and pictures of visitors."""

import re

import pytest
from acts import choose, idle, press, stage
from pictures_corpus import good, refused
from playwright.sync_api import expect

from poolsearch.app.lessons import LESSONS, link
from poolsearch.data.pictures import read
from poolsearch.errors import PictureError

# ------------------------------------------------------------------------------------------------- pooling by hand


def test_the_gradient_goes_to_the_winner_or_is_shared(tab):
    tab.goto("/?image=Ones")
    stage(tab)
    choose(tab, "view", "Backward")
    arithmetic = tab.locator("#arith")
    expect(arithmetic).to_contain_text("∂ output[1, 1] / ∂ input: 1 → 1.00 at [1, 1], sum 1.00")
    choose(tab, "pooling", "Average")
    expect(arithmetic).to_contain_text("1 → 0.25 + 0.25 + 0.25 + 0.25, sum 1.00")
    tab.get_by_label("Next cell").click()
    expect(arithmetic).to_contain_text("∂ output[1, 2]")


def test_soft_gives_a_negative_share(tab):
    tab.goto("/?pooling=Soft&view=Backward&beta=8")
    canvas = stage(tab)
    text = tab.locator("#arith")
    for _ in range(15):
        if "−" in text.inner_text():
            break
        canvas.press("ArrowRight")
    expect(text).to_contain_text("−")


def test_three_frameworks_differ_in_the_corner_of_an_average_of_ones(tab):
    tab.goto("/?image=Ones&pooling=Average&kernel=3&padding=1&view=Frameworks")
    grids = tab.locator("canvas[data-title]")
    expect(grids).to_have_count(3)
    marked = {grid.get_attribute("data-title"): grid.get_attribute("data-differs") for grid in grids.all()}
    assert marked == {"PyTorch": "0", "ONNX": "7", "TensorFlow": "7"}  # the first row and column
    expect(tab.get_by_text("AvgPool2d counts the padding's zeros: the divisor is the whole window.")).to_be_visible()
    choose(tab, "image", "Temple")
    expect(tab.locator("canvas[data-title=TensorFlow]")).to_have_attribute("data-differs", "16")


def test_a_prediction_is_asked_before_the_number_shows(tab):
    tab.goto("/?predict=true&image=Digit")
    canvas = stage(tab)
    expect(tab.locator("#arith")).to_contain_text("= ?")
    expect(canvas).to_have_attribute("data-revealed", "0")
    tab.locator("#show").click()
    expect(canvas).to_have_attribute("data-revealed", "1")
    expect(tab.locator("#arith")).to_contain_text("= 0.00")
    canvas.press("ArrowRight")
    expect(tab.locator("#arith")).to_contain_text("= ?")


def test_a_signal_and_a_kernel_that_is_not_square(tab):
    tab.goto("/?image=Sensor%20trace&kernel=4&stride=4")
    stage(tab)
    expect(tab.locator("#lab")).to_contain_text("of 6")
    expect(tab.get_by_text("24 → 6 numbers")).to_be_visible()
    tab.goto("/?kernel=2&across=4&stride=2")
    stage(tab)
    expect(tab.locator("#lab")).to_contain_text("of 12")  # 4 rows, 3 columns


# ------------------------------------------------------------------------------------------------------- real image


def test_the_shift_slider_changes_the_maximum_more_than_the_blurred_one(tab):
    tab.goto("/image?show=Change")
    expect(tab.get_by_role("heading", name="Real image", exact=True)).to_be_visible(timeout=60_000)
    slider = tab.locator(".st-key-shift").get_by_role("slider")
    slider.press("ArrowRight")
    expect(tab).to_have_url(re.compile("shift=1"))
    idle(tab)
    moved = tab.get_by_text(re.compile(r"Moved by 1:\s[\d.]+\s%"))
    expect(moved).to_have_count(2)
    maximum, blurred = (float(re.search(r"Moved by 1:\s([\d.]+)\s%", text)[1]) for text in moved.all_inner_texts())
    assert maximum > 1.5 * blurred > 0
    expect(tab.locator(".st-key-curve .scatterlayer .trace")).to_have_count(2)
    press(tab, "show", "Spectrum")
    expect(tab.get_by_text("folds back").first).to_be_visible()


# ---------------------------------------------------------------------------------------------------------- lessons


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_opens_with_its_words_and_without_the_rest(tab, name):
    lesson = LESSONS[name]
    tab.goto(link(name))
    expect(tab.get_by_role("heading", name=lesson.title)).to_be_visible(timeout=60_000)
    for sentence in lesson.sentences:
        expect(tab.get_by_text(sentence)).to_be_visible()
    idle(tab)
    if lesson.page:
        expect(tab.locator(".st-key-curve .scatterlayer .trace").first).to_be_visible()
    else:
        expect(tab.locator("canvas").first).to_be_visible()
    for key in lesson.hide:
        expect(tab.locator(f".st-key-{key}")).to_have_count(0)
    expect(tab.get_by_test_id("stAlert")).to_have_count(0)
    expect(tab.get_by_test_id("stException")).to_have_count(0)


# ----------------------------------------------------------------------------------------------- visitors' pictures


def upload(tab, name, content):
    """Choose a file, and wait until the server has it: of two on their way at once, either may win."""
    tab.locator(".st-key-own input[type=file]").set_input_files({"name": name, "mimeType": "", "buffer": content})
    expect(tab.get_by_label(f"Remove {name}", exact=True)).to_be_visible()  # "Cancel upload of ..." until then


def test_every_picture_is_shown_or_refused_in_words(tab):
    tab.goto("/image")
    expect(tab.get_by_role("heading", name="Real image", exact=True)).to_be_visible(timeout=60_000)
    tab.locator(".st-key-own-box summary").click()
    box = tab.locator(".st-key-own-box")
    for name, content in good().items():
        upload(tab, name, content)
        picture = read(content)
        height, width = picture.pixels.shape[:2]
        expect(box.get_by_text(f"{width} × {height} pixels. {picture.words}".strip(), exact=True)).to_be_visible()
        idle(tab)  # the caption may be that of the picture before; a file chosen while the page draws itself is lost
        expect(tab.get_by_test_id("stException")).to_have_count(0)
    choose(tab, "photo", "Yours")
    idle(tab)
    expect(tab.get_by_test_id("stException")).to_have_count(0)
    for name, content in refused().items():
        if not name.endswith((".png", ".jpg", ".jpeg", ".webp")) or len(content) > 1 << 20:
            continue  # the browser's own control stops these
        upload(tab, name, content)
        with pytest.raises(PictureError) as error:
            read(content)
        expect(box.get_by_test_id("stAlert")).to_contain_text(str(error.value)[:40])
        expect(tab.get_by_test_id("stException")).to_have_count(0)


def test_an_own_picture_comes_along_to_the_other_page(tab):
    tab.goto("/")
    stage(tab)
    tab.locator(".st-key-own-box summary").click()
    upload(tab, "colours.png", good()["colours.png"])
    expect(tab.get_by_text("3 × 2 pixels")).to_be_visible()
    expect(tab.locator(".st-key-image [role=combobox]")).to_have_value("Yours")  # an upload is shown at once
    idle(tab)
    expect(tab.locator("#arith")).to_contain_text("max(")
    tab.get_by_test_id("stTopNavLink").filter(has_text="Real image").click()
    choose(tab, "photo", "Yours")
    expect(tab.get_by_text(re.compile("3 × 2 pixels")).first).to_be_visible()
