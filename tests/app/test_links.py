"""Addresses typed by hand: what a link asks for and can't have is said in words, with what is nearest."""
# ruff: noqa: E501 -- the table of addresses reads a line each

import pytest
from streamlit.testing.v1 import AppTest
from test_pages import ROOT
from test_sweep_pages import study

from poolsearch.app.controls import links
from poolsearch.app.lessons import LESSONS, link
from poolsearch.plan import Plan
from poolsearch.plan.kinds import KINDS
from poolsearch.sweep.folder.folder import open_folder

PAGES = {"": "by_hand", "image": "image", "backbone": "backbone", "maps": "maps", "compare": "compare",
         "sweeps": "sweeps", "pareto": "pareto"}  # fmt: skip


def opened(address):
    """Open an address as a browser would, in a session of its own."""
    path, _, query = address.partition("?")
    at = AppTest.from_file(str(ROOT / "poolsearch" / "app" / "shell.py"), default_timeout=60)
    if path:
        at.run().switch_page(f"../pages/{PAGES[path]}.py")
        del at.session_state["link-visit"]
    for pair in filter(None, query.split("&")):
        key, _, value = pair.partition("=")
        there = at.query_params[key] if key in at.query_params else []
        at.query_params[key] = [*([there] if isinstance(there, str) else there), value]
    at.run()
    assert not at.exception
    return at


def refused(at):
    return " ".join(f"{warning.value}" for warning in at.warning).replace("\\", "")


def shown(at, key):
    """Return what a control shows."""
    kinds = ("segmented_control", "selectbox", "slider", "toggle", "number_input", "pills")
    return next(widget.value for kind in kinds for widget in at.get(kind) if widget.key == key)


PLAIN = "resnet18/3x64x64"
ADDRESSES = [  # address, words, control, what it shows instead
    ("?image=Cat", "Unknown image 'Cat' in the link. Possible: Temple, Flower, Digit, Sensor trace, Ones.", "image", "Temple"),
    ("?image=digits", "Did you mean 'Digit'? Possible: Temple, Flower", "image", "Temple"),
    ("?image=", "Unknown image '' in the link.", "image", "Temple"),
    ("?pooling=max-blur", "Unknown pooling 'max-blur' in the link. Did you mean 'Max-blur, anti-aliased'?", "pooling", "Max"),
    ("?pooling=average", "Did you mean 'Average'?", "pooling", "Max"),
    ("?kernel=9", "Unknown kernel '9' in the link. Did you mean '5'? Possible: 2, 3, 4, 5. It shows '2' instead.", "kernel", 2),
    ("?kernel=abc", "Unknown kernel 'abc' in the link.", "kernel", 2),
    ("?stride=0", "Unknown stride '0' in the link. Did you mean '1'? Possible: 1, 2, 3, 4.", "stride", 2),
    ("?padding=same", "Did you mean 'same-", "padding", "0"),
    ("?view=Backwards", "Did you mean 'Backward'?", "view", "Forward"),
    ("?across=7", "Unknown kernel width '7' in the link.", "across", "same"),
    ("?kernel=3&padding=1&border=mirror", "Unknown what stands in the padding 'mirror' in the link.", "border", "usual"),
    ("?dilation=4", "Unknown dilation '4' in the link. Did you mean '3'? Possible: 1, 2, 3.", "dilation", 1),
    ("?ceil=maybe", "Possible: true, false.", "ceil", False),
    ("?predict=1", "Unknown predict first '1' in the link. Possible: true, false. It shows 'false'", "predict", False),
    ("?pooling=Soft&beta=abc", "Beta 'abc' in the link is no number. Possible:", "beta", 1),
    ("?pooling=Soft&beta=nan", "Beta 'nan' in the link is no number. Possible:", "beta", 1),
    ("?pooling=Soft&beta=1e9", "Beta '1e9' in the link is out of range. Possible:", "beta", 1),
    ("?beta=abc&pooling=Soft&hide=options", "Beta 'abc' in the link is no number. Possible:", "pooling", "Soft"),
    ("?kernel=9&hide=kernel", "Unknown kernel '9' in the link. Did you mean '5'?", "stride", 2),
    ("?hide=kernal", "There is no control 'kernal' to hide. Did you mean 'kernel'?", "kernel", 2),
    ("?lesson=edges", "Unknown lesson 'edges' in the link. Did you mean 'edge'?", "image", "Temple"),
    ("?kernal=3", "This page has no option 'kernal'. Did you mean 'kernel'?", "kernel", 2),
    ("?photo=Flower", "This page has no option 'photo'.", "image", "Temple"),
    ("?kernel=3&kernel=4", "The link names 'kernel' 2 times, once is possible.", None, None),
    ("?cell=9-9", "Unknown cell (row-column) '9-9' in the link.", None, None),
    ("?cell=one", "Unknown cell (row-column) 'one' in the link.", None, None),
    ("image?photo=Tempel", "Unknown image 'Tempel' in the link. Did you mean 'Temple'?", "photo", "Temple"),
    ("image?shift=99", "Shift '99' in the link is out of range. Possible: 0 to 8, the nearest is 8.", "shift", 0),
    ("image?shift=one", "Shift 'one' in the link is no whole number. Possible: 0 to 8. It shows '0' instead.", "shift", 0),
    ("image?salt=2.5", "Salt noise '2.5' in the link is no whole number.", "salt", 2),
    ("image?salt=-1&hide=salt", "Salt noise '-1' in the link is out of range. Possible: 0 to 20, the nearest is 0.", None, None),
    ("image?left=Maxx", "Unknown pooling A 'Maxx' in the link. Did you mean 'Max'?", "left", "Max"),
    ("image?show=Spectra", "Unknown view 'Spectra' in the link. Did you mean 'Spectrum'?", "show", "Output"),
    ("image?window=7", "Unknown kernel of both '7' in the link. Did you mean '5'?", "window", 3),
    ("image?step=3", "Unknown stride of both '3' in the link. Did you mean", "step", 4),
    ("image?cell=1-1", "This page has no option 'cell'.", None, None),
    ("backbone?a=resnet19/3x64x64", "Unknown backbone 'resnet19'. Did you mean 'resnet18'?", "network", "resnet18"),
    (f"backbone?a={PLAIN}: stm=avg k2 s2", "Unknown site 'stm' in 'resnet18'. Did you mean 'stem'?", None, None),
    (f"backbone?a={PLAIN}: stem=avrg k2 s2", "Unknown pooling 'avrg'", None, None),
    ("backbone?site=layer9", "Unknown site 'layer9' in the link. Did you mean 'layer", "site", "stem"),
    ("backbone?edit=C", "Unknown variant 'C' in the link. Possible: A, B. It shows 'A' instead.", "edit", "A"),
    ("backbone?aw=nothing/3", "The link opens A with the weights of trial 'nothing/3'. Unknown sweep 'nothing'", None, None),
    ("backbone?aw=tiny/9", "Unknown trial '9' in the link. Did you mean '1'? Possible: 0, 1.", None, None),
    ("maps?picture=Tempel", "Unknown image 'Tempel' in the link. Did you mean 'Temple'?", "picture", "Temple"),
    ("maps?behind=layer", "Unknown behind site 'layer' in the link. Did you mean 'layer", "behind", "stem"),
    ("maps?channel=9999", "Channel '9999' in the link is out of range. Possible: 0 to 2048", None, None),
    ("maps?scale=yes", "Unknown same colour scale for A and B 'yes' in the link. Possible: true, false.", "scale", True),
    ("compare?all=on", "Unknown all layers 'on' in the link. Possible: true, false.", "all", False),
    ("compare?c=resnet18", "This page has no option 'c'. Possible: all, a, b, aw, bw.", None, None),
    ("sweeps?sweep=tinny", "Unknown sweep 'tinny' in the link. Did you mean 'tiny'?", "sweep", "other"),
    ("sweeps?pane=Old", "Unknown view 'Old' in the link. Possible: Watch, New, All. It shows 'Watch'", "pane", "Watch"),
    ("sweeps?pane=All&marked=tiny&marked=otter", "Unknown sweep 'otter' in the link. Did you mean 'other'?", None, None),
    ("sweeps?pane=New&network=resnet", "Unknown backbone 'resnet' in the link. Did you mean 'resnet", "new-network", "smallnet"),
    ("sweeps?pane=New&size=7", "Input size '7' in the link is out of range. Possible: 8 to 512, the nearest is 8.", "new-size-smallnet", 8),
    ("sweeps?size=32", "The option 'size' belongs to the view New: write ?pane=New as well.", "pane", "Watch"),
    ("pareto?sweep=nothing", "Unknown sweep 'nothing' in the link.", "sweep", "other"),
    ("pareto?sweep=tiny&trial=99", "Unknown trial '99' in the link. Did you mean '1'? Possible: 0, 1.", "sweep", "tiny"),
    ("pareto?trial=best", "Unknown trial 'best' in the link. Possible: 0, 1.", "sweep", "other"),
    ("pareto?pane=New", "This page has no option 'pane'. Possible: sweep, trial.", "sweep", "other"),
]  # fmt: skip


@pytest.fixture
def two(tiny):
    """Two sweeps: the newest, `other`, is shown where a link names none."""
    study(tiny)
    study(tiny.model_copy(update={"study": "other"}))


@pytest.mark.parametrize(("address", "words", "key", "value"), ADDRESSES, ids=[case[0] for case in ADDRESSES])
def test_what_a_link_can_not_have_is_said(address, words, key, value, two):
    assert len(ADDRESSES) >= 35
    at = opened(address)
    assert words in refused(at)
    if key:
        assert shown(at, key) == value


GOOD = ["", "?kernel=3&padding=1&border=circular", "?pooling=Soft&beta=8", "?predict=true", "?cell=2-3", "?ceil=True",
        "image?shift=3&left=Average&hide=left", "backbone?edit=B&site=layer2", f"backbone?a={PLAIN}",
        "maps?behind=layer3&channel=5&scale=false", "compare?all=true", "sweeps?sweep=tiny", "sweeps?pane=All&marked=tiny",
        "sweeps?pane=New&network=resnet18&size=64", "pareto?sweep=tiny&trial=1",
        *(link(name, "").replace("%2C", ",").replace("+", " ") for name in LESSONS)]  # fmt: skip


@pytest.mark.parametrize("address", GOOD)
def test_a_link_that_can_be_is_followed_without_a_word(address, two):
    assert refused(opened(address)) == ""


def test_a_refusal_goes_with_the_next_choice_of_its_control_or_the_next_page():
    at = opened("?kernel=9&stride=9")
    assert "kernel '9'" in refused(at) and "stride '9'" in refused(at)
    at.toggle(key="predict").set_value(True).run()  # another control
    assert "kernel '9'" in refused(at) and "stride '9'" in refused(at)
    at.segmented_control(key="kernel").set_value(3).run()
    assert "kernel '9'" not in refused(at) and "stride '9'" in refused(at)
    at.switch_page("../pages/image.py").run()
    assert refused(at) == ""


def test_what_the_page_before_left_in_the_address_is_taken_away_without_a_word(two):
    at = opened("pareto?sweep=tiny&trial=1")
    at.switch_page("../pages/backbone.py").run()
    assert refused(at) == ""
    assert not {"sweep", "trial"} & set(at.query_params)


def one(at, key):
    value = at.query_params[key]
    return value if isinstance(value, str) else value[-1]


def test_the_sweep_and_both_variants_are_always_in_the_address(two):
    for page in ("sweeps", "pareto"):
        at = opened(page)
        assert one(at, "sweep") == "other"
        at.selectbox(key="sweep").set_value("tiny").run()
        assert one(at, "sweep") == "tiny"
    for page in ("backbone", "maps", "compare"):
        at = opened(f"{page}?b={PLAIN}")
        assert (one(at, "a"), one(at, "b")) == ("resnet18/3x128x128", PLAIN)


def test_sweeps_that_are_compared_are_in_the_address(two):
    at = opened("sweeps?pane=All&marked=tiny&marked=other")
    assert len(at.dataframe) == 2  # all sweeps, and what differs
    assert list(at.query_params["marked"]) == ["tiny", "other"]


def test_the_network_and_the_input_size_of_a_new_sweep_are_in_the_address(two):
    at = opened("sweeps?pane=New")
    assert (one(at, "network"), one(at, "size")) == ("smallnet", "20")
    at.selectbox(key="new-network").set_value("resnet18").run()
    assert (one(at, "network"), one(at, "size")) == ("resnet18", "64")
    again = opened("sweeps?pane=New&network=resnet18&size=96")
    assert (shown(again, "new-network"), shown(again, "new-size-resnet18")) == ("resnet18", 96)
    again.segmented_control(key="pane").set_value("Watch").run()
    assert "size" not in again.query_params


def test_weights_of_another_plan_are_not_taken(two):
    number = 1
    path = open_folder("tiny").weights_file(number)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    at = opened(f"maps?aw=tiny/{number}")
    assert "That trial trained another Plan: smallnet/1x12x12" in refused(at)
    assert "aw" not in at.query_params


def test_every_control_of_every_page_is_an_option_that_a_link_may_hold(two):
    everything = {"a": PLAIN, "kernel": "3", "padding": "1"}
    for path in PAGES:
        at = opened(
            f"{path}?"
            + "&".join(f"{key}={value}" for key, value in everything.items() if key in links.possible_options(path))
        )
        assert set(at.query_params) <= set(links.possible_options(path))
    assert {option.name for kind in KINDS.values() for option in kind.options} <= set(links.possible_options(""))


@pytest.mark.parametrize(
    "text",
    [
        "\x00\x1b[31m",
        "9" * 5000,
        *(pytest.param(text, marks=pytest.mark.slow) for text in ("x" * 100_000, "\N{BALLOON}" * 300, "[" * 5000)),
    ],
)
@pytest.mark.parametrize(
    "page", ["?kernel=", "image?shift=", "backbone?a=", "backbone?site=", "sweeps?sweep=", "?cell="]
)
def test_no_value_is_too_strange_for_a_sentence(page, text, two):
    at = opened(f"{page}{text}")
    assert refused(at)
    assert all(len(warning.value) < 8000 for warning in at.warning)


def test_a_plan_stays_a_plan_in_an_address():
    plan = Plan.parse(f"{PLAIN}: stem=max-blur k3 s2 p1")
    assert one(opened(f"compare?b={plan}"), "b") == str(plan)
