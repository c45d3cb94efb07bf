"""Every page, run without a browser: what it shows, what it refuses, what the URL says."""

import json
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np
import pytest
from pictures_corpus import good
from streamlit.testing.v1 import AppTest

from poolsearch.app.controls import upload
from poolsearch.app.controls.lesson import OPENED
from poolsearch.app.lessons import LESSONS, link
from poolsearch.app.views import image
from poolsearch.app.views.by_hand import label
from poolsearch.data.pictures import Picture
from poolsearch.errors import PlanError
from poolsearch.plan import Plan
from poolsearch.plan.kinds import KINDS

ROOT = Path(__file__).parents[2]


def page(name="by_hand", **query):
    at = AppTest.from_file(str(ROOT / "poolsearch" / "app" / "shell.py"), default_timeout=60)
    if name != "by_hand":
        at.run().switch_page(f"../pages/{name}.py")
    for key, value in query.items():
        at.query_params[key] = value
    at.run()
    assert not at.exception
    return at


def query(at, name):
    """Return a query parameter as text (AppTest gives a list before a page has written it)."""
    value = at.query_params[name]
    return value if isinstance(value, str) else value[0]


def metric(at, label):
    return next(metric for metric in at.metric if metric.label == label)


def warned(at):
    """Return what all warnings say, without the backslashes that keep it text."""
    return " ".join(warning.value for warning in at.warning).replace("\\", "")


def words(at):
    return " ".join(element.value for element in [*at.markdown, *at.caption])


# -------------------------------------------------------------------------------------------------- pooling by hand


def test_by_hand_follows_the_choices():
    at = page()
    assert "output size = ⌊(8 + 0 − 2) / 2⌋ + 1 = 4" in words(at)
    at.segmented_control(key="kernel").set_value(3).run()
    at.segmented_control(key="padding").set_value("1").run()
    assert "output size = ⌊(8 + 2 − 3) / 2⌋ + 1 = 4" in words(at)
    at.segmented_control(key="dilation").set_value(2).run()
    assert "output size = ⌊(8 + 2 − 5) / 2⌋ + 1 = 3" in words(at)
    at.segmented_control(key="padding").set_value("same-upper").run()
    assert "output size = ⌊(8 + 3 − 5) / 2⌋ + 1 = 4" in words(at)
    at.segmented_control(key="dilation").set_value(1).run()
    at.segmented_control(key="across").set_value(2).run()
    assert "height ⌊(8 + 1 − 3) / 2⌋ + 1 = 4, width ⌊(8 + 0 − 2) / 2⌋ + 1 = 4" in words(at)
    at.selectbox(key="pooling").set_value("Global average, head").run()
    assert "the window is the whole map" in words(at)
    assert not at.exception


@pytest.mark.parametrize(("picture", "view"), [("Temple", "Backward"), ("Sensor trace", "Forward")])
def test_by_hand_shows_every_kind(picture, view):
    at = page(image=picture, view=view)
    for kind in KINDS.values():
        at.selectbox(key="pooling").set_value(label(kind)).run()
        assert not at.exception, kind.label
        assert not at.warning, kind.label
        assert kind.source in words(at)


def test_by_hand_refuses_in_words_what_torch_would_refuse():
    at = page(padding="2")
    assert "Padding 2 is more than half of kernel 2, so PyTorch refuses it." in warned(at)
    at.segmented_control(key="kernel").set_value(4).run()
    assert not at.warning


def test_a_border_of_numbers_is_offered_where_there_is_padding():
    at = page(kernel="3")
    assert not [control for control in at.segmented_control if control.key == "border"]
    at.segmented_control(key="padding").set_value("1").run()
    at.segmented_control(key="border").set_value("circular").run()
    assert not at.exception
    assert not at.warning
    at.selectbox(key="pooling").set_value("Wavelet low-pass, anti-aliased").run()  # has kernels of its own
    assert at.segmented_control(key="kernel").value in (2, 4, 6)
    assert not at.exception


def test_by_hand_opens_a_shared_link():
    at = page(pooling="Average", kernel="3", image="Digit")
    assert at.selectbox(key="pooling").value == "Average"
    assert at.segmented_control(key="kernel").value == 3
    assert at.selectbox(key="image").value == "Digit"


def test_frameworks_refuse_in_words_what_they_do_not_have():
    at = page(pooling="Soft", view="Frameworks")
    assert "do not all have 'soft'. Possible: max, avg, lp, global-avg, global-max." in warned(at)


# ---------------------------------------------------------------------------------------------------------- lessons


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_opens_its_page_as_it_says_and_hides_the_rest(name):
    lesson = LESSONS[name]
    asked = dict(parse_qsl(link(name).partition("?")[2]))
    at = page(lesson.page or "by_hand", **asked)
    assert lesson.title in [heading.value for heading in at.header]
    said = [element.value for element in at.sidebar.markdown]
    assert all(sentence in said for sentence in lesson.sentences)
    assert not at.warning
    kinds = ("segmented_control", "selectbox", "slider", "toggle", "number_input")
    shown = {widget.key: widget.value for kind in kinds for widget in at.get(kind)}
    assert not set(shown) & set(lesson.hide)
    for key, value in lesson.state.items():
        assert key in (*lesson.hide, "beta") or shown[key] == value  # beta shows with Soft


@pytest.mark.parametrize("name", LESSONS)
def test_a_lesson_is_left_for_the_same_state_with_all_controls(name):
    lesson = LESSONS[name]
    at = page(lesson.page or "by_hand", **dict(parse_qsl(link(name).partition("?")[2])))
    at.button(key="leave-lesson").click().run()
    assert not at.exception
    assert not {"lesson", "hide"} & set(at.query_params)
    assert lesson.title not in [heading.value for heading in at.header]
    kinds = ("segmented_control", "selectbox", "slider", "toggle", "number_input")
    shown = {widget.key: widget.value for kind in kinds for widget in at.get(kind)}
    assert {key: shown[key] for key in lesson.state if key != "beta"} == {
        key: value for key, value in lesson.state.items() if key != "beta"
    }
    assert {key: value for key, value in shown.items() if key in lesson.settings} == {
        key: value for key, value in lesson.settings.items() if key in shown
    }


def test_the_salt_lesson_asks_for_nothing_that_its_page_hides():
    at = page("image", **dict(parse_qsl(link("salt").partition("?")[2])))
    assert "Move the picture" not in words(at)
    assert "Changes are in percent of the output's standard deviation." in words(at)


def on_stage(at):
    """Return what the component of the page draws."""
    return json.loads(at.get("bidi_component")[0].proto.json)


def test_a_lesson_opens_its_cell_by_its_link_and_from_the_page():
    at = page(**dict(parse_qsl(link("average").partition("?")[2])))
    assert on_stage(at)["cell"] == [0, 1]
    at.run()
    assert on_stage(at)["cell"] is None  # from then on the visitor steps
    at.session_state[OPENED] = "2-3"
    at.run()
    assert on_stage(at)["cell"] == [1, 2]


def test_the_picture_moves_round_and_its_mean_stays():
    at = page(image="Digit", pooling="Global average, head")
    before = on_stage(at)
    at.slider(key="move").set_value(3).run()
    after = on_stage(at)
    assert [row[-3:] + row[:-3] for row in before["input"]] == after["input"]
    assert before["output"] == after["output"]
    assert before["id"] != after["id"]


def test_the_gradient_of_one_output_or_of_all_together():
    at = page(image="Temple", view="Backward")
    one = on_stage(at)
    at.toggle(key="sum").set_value(True).run()
    together = on_stage(at)
    assert (one["sum"], together["sum"]) == (False, True)
    assert one["id"] != together["id"]
    assert together["captions"][0] == "Input 8 × 8: gradient, value below"


def test_every_control_that_a_lesson_hides_exists():
    at = page(kernel="3", padding="1", pooling="Average")
    kinds = ("segmented_control", "selectbox", "toggle", "slider")
    by_hand = {widget.key for kind in kinds for widget in at.get(kind)}
    by_hand |= {widget.key for kind in kinds for widget in page(view="Backward").get(kind)}
    at = page("image")
    image = {widget.key for kind in ("segmented_control", "selectbox", "slider") for widget in at.get(kind)}
    for lesson in LESSONS.values():
        known = (image if lesson.page else by_hand) | {"own", "options", "dilation"}
        assert set(lesson.hide) <= known, lesson.title


# -------------------------------------------------------------------------------------------------------- real image


def said(at, what):
    """Return the numbers in percent that follow these words in the captions of A and B."""
    found = [caption.value.partition(what)[2] for caption in at.caption if what in caption.value]
    return [float(text.lstrip(" *").split("\u00a0")[0]) for text in found]


def test_a_shifted_photograph_changes_a_maximum_more_than_a_max_blur():
    at = page("image")
    assert words(at).count("48 × 72, 6.2\u00a0% kept") == 2
    assert len(at.get("image")) == 5  # the input, and both outputs enlarged and at their true size
    a, b = said(at, "Mean change over 1 to 8 pixels:")
    assert a > b > 0
    assert not said(at, "Moved by 1:")
    at.slider(key="shift").set_value(1).run()
    a, b = said(at, "Moved by 1:")
    assert a > b > 0
    assert "192 × 288 pixels, moved by 1" in words(at)


def test_salt_moves_a_maximum_more_than_a_median():
    at = page("image", right="Median")
    assert not said(at, "The salt changes it by")
    at.slider(key="salt").set_value(10).run()
    a, b = said(at, "The salt changes it by")
    assert a > 2 * b > 0


def test_a_change_is_black_until_something_has_moved():
    at = page("image", show="Change")
    assert "Nothing has moved yet: the slider Shift moves the picture." in words(at)
    at.slider(key="shift").set_value(2).run()
    assert "White: it changed by 0.25 of full brightness or more." in words(at)


def test_the_spectrum_says_how_much_folds_back():
    at = page("image", show="Spectrum", left="Subsample", photo="Rings")
    none, blurred = said(at, "Folded back:")
    assert none > blurred
    outside = said(at, "Outside it lie")
    assert outside == [none]  # without a filter all that lies outside folds back
    at.selectbox(key="left").set_value("Fractional max").run()
    assert "No fixed stride" in words(at)
    assert said(at, "Folded back:") == [blurred]


@pytest.mark.parametrize("view", ["Output", "Change", "Spectrum"])
def test_every_pooling_that_keeps_a_picture_is_shown_in_every_view(view):
    at = page("image", show=view, shift="3", step="8")
    for name in at.selectbox(key="left").options:
        at.selectbox(key="left").set_value(name).run()
        assert not at.exception and not at.warning, name
        assert f"**{name}**" in words(at)


def test_a_kernel_that_a_pooling_does_not_have_becomes_the_nearest():
    at = page("image", left="Wavelet low-pass", window="5")
    assert "`wavelet k4 s4`" in words(at)
    assert "`max-blur k5 s4`" in words(at)


def test_what_one_side_refuses_leaves_the_other(monkeypatch):
    def refused(side):
        raise PlanError("This pooling has no such kernel.")

    spec = image.Side.spec
    monkeypatch.setattr(image.Side, "spec", lambda side: refused(side) if side.letter == "A" else spec(side))
    for view in ("Output", "Spectrum"):
        at = page("image", show=view)
        assert warned(at) == "This pooling has no such kernel."
        assert "`max-blur k3 s4`" in words(at)
        assert [button.label for button in at.get("download_button")] == ["Output of B, PNG", "Change over shift, CSV"]


def test_a_link_can_hide_the_controls_of_the_image():
    at = page("image", hide="show,shift,left,own", show="Spectrum", left="Average")
    assert said(at, "Folded back:")
    assert "`avg k3 s4`" in words(at)
    assert not [
        control
        for control in (*at.slider, *at.selectbox, *at.segmented_control)
        if control.key in ("show", "shift", "left")
    ]


def test_an_own_picture_is_one_more_image_until_it_is_forgotten():
    at = page("image")
    assert at.selectbox(key="photo").options == ["Temple", "Flower", "Rings"]
    stripes = np.zeros((40, 40, 3), np.uint8)  # smaller than what is pooled: each pixel is repeated
    stripes[:, ::2] = 255
    at.session_state[upload.KEPT] = Picture(stripes, "", "0123456789ab")
    at.run()
    before = said(at, "Mean change over 1 to 8 pixels:")
    at.selectbox(key="photo").set_value("Yours").run()
    assert not at.exception
    assert said(at, "Mean change over 1 to 8 pixels:") != before
    del at.session_state[upload.KEPT]
    at.run()
    assert not at.exception
    assert said(at, "Mean change over 1 to 8 pixels:") == before


@pytest.mark.parametrize(("name", "key"), [("by_hand", "image"), ("image", "photo")])
def test_a_picture_that_was_just_uploaded_is_shown(name, key):
    at = page(name)
    at.file_uploader(key="own").upload("stripes.png", good()["colours.png"], "image/png").run()
    assert not at.exception
    assert at.selectbox(key=key).value == "Yours"


def test_the_curve_can_be_taken_along_as_a_table():
    table = image.curve_csv([("A-max-k3-s4", (0.0, *(0.125,) * 8)), ("B", tuple(float(n) for n in range(9)))])
    lines = table.splitlines()
    assert lines[:3] == ["shift_pixels,A-max-k3-s4,B", "0,0,0", "1,0.125,1"]
    assert len(lines) == 10


# --------------------------------------------------------------------------------------------------------- backbone


def test_backbone_shows_the_published_network_first():
    at = page("backbone")
    assert metric(at, "MACs").value == "593 M"
    assert metric(at, "Receptive field").value == "435 px"
    assert at.selectbox(key="set-kind").value == "max"
    assert at.segmented_control(key="set-kernel").value == 3


def test_a_setting_changes_the_plan_its_cost_and_the_url():
    at = page("backbone")
    at.segmented_control(key="set-stride").set_value(4).run()
    assert metric(at, "Last map, pixels").value == "2x2"
    assert query(at, "a") == "resnet18/3x128x128: stem=max k3 s4 p1"
    at.selectbox(key="set-kind").set_value("avg").run()
    assert query(at, "a") == "resnet18/3x128x128: stem=avg k3 s4 p1"
    at.button(key="published").click().run()
    assert query(at, "a") == "resnet18/3x128x128"
    assert metric(at, "Last map, pixels").value == "4x4"


def test_a_setting_that_cannot_run_says_why_and_leaves_the_variant():
    at = page("backbone")
    at.segmented_control(key="set-padding").set_value(2).run()
    assert "Padding 2 is more than half of kernel 3" in warned(at)
    assert at.segmented_control(key="set-padding").value == 2  # what was asked stays on the widget
    assert query(at, "a") == "resnet18/3x128x128"
    at.segmented_control(key="set-kernel").set_value(4).run()
    assert not at.warning
    assert query(at, "a") == "resnet18/3x128x128: stem=max k4 s2 p2"


def test_a_strided_convolution_takes_a_pooling_and_gives_it_back():
    at = page("backbone", site="layer2")
    at.pills(key="site").set_value("layer2").run()
    assert at.selectbox(key="set-kind").value == "conv"
    assert at.segmented_control(key="set-kernel").disabled
    at.selectbox(key="set-kind").set_value("max-blur").run()
    assert query(at, "a") == "resnet18/3x128x128: layer2=max-blur k3 s2 p1"
    at.segmented_control(key="set-placement").set_value("before").run()
    assert query(at, "a") == "resnet18/3x128x128: layer2=max-blur k3 s2 p1 before"
    at.selectbox(key="set-kind").set_value("conv").run()
    assert query(at, "a") == "resnet18/3x128x128"


def test_another_kind_or_kernel_leaves_the_published_size():
    at = page("backbone", a="alexnet/3x224x224", site="stage2")
    at.pills(key="site").set_value("stage2").run()
    at.selectbox(key="set-kind").set_value("avg").run()
    assert query(at, "a") == "alexnet/3x224x224: stage2=avg k3 s2"  # 27x27 as published, not 28x28
    assert "can't leave the published size" not in words(at)
    at.selectbox(key="set-kind").set_value("area").run()
    assert "`area s2` can't leave the published size at every input" in words(at)
    at = page("backbone")
    at.segmented_control(key="set-kernel").set_value(2).run()
    assert query(at, "a") == "resnet18/3x128x128: stem=max k2 s2 ceil"
    assert metric(at, "Last map, pixels").value == "4x4"
    at.selectbox(key="set-kind").set_value("blur").run()
    assert query(at, "a") == "resnet18/3x128x128: stem=blur k2 s2 p0:1"
    assert at.segmented_control(key="set-padding").value == "0:1"


def test_a_setting_keeps_what_it_does_not_show():
    at = page("backbone", a="resnet18/3x64x64: stem=lp k3x2 s2 p1x0 norm=3")
    at.segmented_control(key="set-stride").set_value(3).run()
    assert query(at, "a") == "resnet18/3x64x64: stem=lp k3x2 s3 p1x0 norm=3"


@pytest.mark.parametrize("network", ["smallnet", "vgg11_bn", "mobilenet_v2", "alexnet"])
def test_every_network_opens(network):
    at = page("backbone")
    at.selectbox(key="network").set_value(network).run()
    assert not at.exception
    assert Plan.parse(query(at, "a")).backbone == network
    assert metric(at, "MACs").value


def test_a_link_with_a_plan_that_cannot_be_is_refused_in_words():
    at = page("backbone", a="resnet18/3x64x64: stm=avg k2 s2")
    assert "Unknown site 'stm' in 'resnet18'. Did you mean 'stem'?" in warned(at)
    assert metric(at, "MACs").value == "593 M"


# ------------------------------------------------------------------------------------------------------------- maps


def test_maps_compare_two_variants_behind_the_changed_site():
    at = page("maps")
    assert at.pills(key="behind").value == "stem"
    assert "Published: max k3 s2 p1" in words(at)
    assert "Average: avg k3 s2 p1" in words(at)
    assert words(at).count("64 of 64 channels, 32 × 32 pixels") == 2
    assert len(at.get("image")) == 2
    at.number_input(key="channel").set_value(5).run()
    assert "channel 5 of 64" in words(at)


def test_maps_of_two_networks_stand_side_by_side_behind_a_site_each():
    at = page("maps", a="resnet18/3x64x64", b="smallnet/1x20x20")
    assert not at.exception and not at.warning
    a, b = at.pills(key="behind"), at.pills(key="behindb")
    assert (a.value, b.value) == ("conv1", "stage1")  # both halve the map
    assert "Published: conv k7 s2 p3" in words(at) and "Published: max k2 s2" in words(at)
    assert "64 of 64 channels, 32 × 32 pixels" in words(at) and "16 of 16 channels, 10 × 10 pixels" in words(at)
    b.set_value("stage3").run()
    assert "64 of 64 channels, 2 × 2 pixels" in words(at)
    at = page("maps", a="resnet18/3x64x64", b="resnet34/3x128x128")  # the same sites: one choice
    assert not [pills for pills in at.pills if pills.key == "behindb"]
    assert "64 of 64 channels, 32 × 32 pixels" in words(at) and "64 of 64 channels, 64 × 64 pixels" in words(at)


def test_maps_behind_a_function_call_are_maps():
    at = page("maps", a="inception_v3/3x128x128", b="inception_v3/3x128x128: pool1=max k3 s1 p1", behind="pool1")
    assert not at.exception and not at.warning
    assert words(at).count("64 of 192 channels, 13 × 13 pixels") == 2
