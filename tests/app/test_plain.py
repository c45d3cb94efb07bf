"""Text from outside is shown as text: no message of any page renders what a link, file, study or error says."""

import ast
import re
from pathlib import Path

import pytest
from test_pages import page as open_page
from test_sweep_pages import alive, page as open_sweeps, press, study

from poolsearch.app.controls import plain, upload
from poolsearch.app.views import maps
from poolsearch.app.views.sweeps import sweep_list, watch as sweep_watch
from poolsearch.errors import PictureError, StudyError
from poolsearch.sweep.folder import commands, folder
from poolsearch.sweep.folder.folder import open_folder
from poolsearch.sweep.running import launch

ROOT = Path(__file__).parents[2]
HOSTILE = "![a b](http://evil.example/x.png) www.evil.example **c** `d` :material/delete: $e$ <img src=x>"


@pytest.mark.parametrize(
    ("typed", "markdown"),
    [
        ("a_b*c", r"a\_b\*c"),
        ("x [y](z) <b> $m$", r"x \[y\]\(z\) \<b\> \$m\$"),
        ("http://evil.example/a_b", "`http://evil.example/a_b`"),
        ("![x](http://e/`y`)", "``![x](http://e/`y`)``"),
        ("`http://e`", "`` `http://e` ``"),
        ("www.evil.example", "`www.evil.example`"),
        ("me@evil.example", "`me@evil.example`"),
        (":material/delete: a->b", r"&#58;material/delete\: `a->b`"),
        ("    four\n\n# head\n- item", r"four \# head \- item"),
        ("a\x1b[31m", "a\N{REPLACEMENT CHARACTER}\\[31m"),
        ("a\u202eb", "a\N{REPLACEMENT CHARACTER}b"),
        ("1. first", r"1\. first"),
        ("ä 深層 \N{BALLOON}", "ä 深層 \N{BALLOON}"),
        ("", ""),
    ],
)
def test_a_text_is_markdown_for_itself(typed, markdown):
    assert plain.as_text(typed) == markdown


def test_a_text_that_nobody_could_read_is_cut():
    assert len(plain.as_text("x" * 500_000)) < 3100


def rendered(text):
    """Return what of a Markdown text is not code."""
    return re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", str(text))


def active(text):
    """Return what a browser would make of a Markdown text: links, pictures, styles, icons, formulas, tags."""
    return re.findall(r"(?<!\\)(?:!\[|\]\(|\*\*c|\$e|<img)|://|www\.evil|(?<!&#58;)(?<=:)material/d", rendered(text))


def test_the_check_can_fail():
    assert len(active(HOSTILE.replace("`d`", ""))) == 8
    assert not active(plain.as_text(HOSTILE))


def assert_shown(at, somewhere=True):
    """Assert that the hostile text stands on the page as text, and is nowhere rendered."""
    assert not at.exception
    kinds = ("markdown", "caption", "warning", "info", "error", "header", "title", "progress", "button", "metric")
    texts = []
    for kind in kinds:
        for element in at.get(kind):
            for field in ("body", "text", "title", "help", "label"):
                texts.append(getattr(element.proto, field, ""))
    assert not [text for text in texts if active(text)]
    assert not somewhere or any(re.search(r"a b\\*\]|a `b\]", str(text)) for text in texts)


# each: a page, its link, and what the hostile text is
LINKS = {
    "a plan's kind": ("backbone", {"a": f"resnet18/3x64x64: stem={HOSTILE}"}),
    "a plan's site": ("backbone", {"a": f"resnet18/3x64x64: {HOSTILE}=avg k2"}),
    "a plan's backbone": ("compare", {"b": f"{HOSTILE}/3x64x64"}),
    "a plan's size": ("maps", {"b": f"resnet18/{HOSTILE}"}),
}


@pytest.mark.parametrize("name", LINKS)
def test_what_a_link_says_is_shown_as_text(name):
    where, query = LINKS[name]
    at = open_page(where, **query)
    assert at.warning
    assert_shown(at, somewhere=name != "a plan's size")  # its sentence names the first letters only


def refuse(*_, **__):
    raise StudyError(HOSTILE)


def test_a_broken_config_is_shown_as_text(tiny):
    study(tiny)
    (open_folder("tiny").path / "config.toml").write_text(f'"{HOSTILE}" = 1\nstudy = "tiny"\nbackbone = "smallnet"\n')
    for at in (open_sweeps(), open_sweeps(pane="All"), open_sweeps("pareto", sweep="tiny")):
        assert_shown(at)


def test_a_failed_trial_is_shown_as_text(tiny):
    study(tiny, failed=[(HOSTILE, HOSTILE)])
    assert_shown(open_sweeps("pareto", trial="2"))
    assert_shown(open_sweeps(), somewhere=False)  # its table shows no Markdown


def test_the_status_of_a_sweep_is_shown_as_text(tiny):
    with alive(tiny, message=HOSTILE, device=HOSTILE):
        at = open_sweeps()
        assert_shown(at)
        press(at, "sweep-pause")
        (command,) = commands.pending(open_folder("tiny"))
        commands.finish(open_folder("tiny"), command, HOSTILE)
        assert_shown(at.run())


def test_a_refused_command_is_shown_as_text(tiny, monkeypatch):
    with alive(tiny):
        at = open_sweeps()
        monkeypatch.setattr(commands, "send", refuse)
        press(at, "sweep-pause")
    assert_shown(at)


def test_the_form_for_a_sweep_shows_names_and_refusals_as_text(monkeypatch):
    at = open_sweeps(pane="New")
    at.text_input(key="new-name").set_value(HOSTILE[:64]).run()
    assert_shown(at)
    at.text_input(key="new-name").set_value("sound").run()
    monkeypatch.setattr(launch, "start", refuse)
    press(at, "start")
    assert_shown(at)


def test_sweeps_that_are_compared_show_their_devices_as_text(tiny):
    study(tiny, device=HOSTILE)
    study(tiny.model_copy(update={"study": "second"}), device="H200")
    at = open_sweeps(pane="All")
    at.session_state[f"list-{hash(folder.studies())}"] = {"selection": {"rows": [0, 1], "columns": [], "cells": []}}
    assert_shown(at.run())


def alerts():
    """Return (where, argument) of each alert that a page or a widget draws, and of each progress bar's words."""
    for path in [*ROOT.glob("poolsearch/pages/*.py"), *ROOT.glob("poolsearch/app/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                if node.func.attr in ("warning", "info", "error", "success", "toast"):
                    yield f"{path.name}:{node.lineno}", node.args[0]
                if ast.unparse(node.func) == "st.progress":
                    yield f"{path.name}:{node.lineno}", node.args[1]


def safe(argument):
    """Return whether an argument is ours: a constant, `as_text(...)`, or made of these and of numbers in words."""
    if isinstance(argument, ast.JoinedStr):
        return all(safe(part.value) for part in argument.values if isinstance(part, ast.FormattedValue))
    called = argument.func.id if isinstance(argument, ast.Call) and isinstance(argument.func, ast.Name) else ""
    return (
        isinstance(argument, ast.Constant)
        or called in ("as_text", "duration")
        or "plain.as_text" in ast.unparse(argument)
    )


def test_every_alert_of_every_page_goes_through_the_one_function():
    found = list(alerts())
    assert len(found) > 15
    assert not [where for where, argument in found if not safe(argument)]
    assert not safe(ast.parse("str(error)", mode="eval").body)
    assert not safe(ast.parse("f'{error}'", mode="eval").body)


@pytest.mark.parametrize("name", ["by_hand", "image"])
def test_what_is_said_of_a_picture_is_shown_as_text(name):
    at = open_page(name)
    at.session_state[upload.KEPT] = PictureError(HOSTILE)
    assert_shown(at.run(), somewhere=False)


def test_the_name_of_a_trained_trial_is_shown_as_text():
    import numpy as np

    weights = Path(f"runs/{HOSTILE.replace('/', ' ')}/weights/3.safetensors")
    caption = maps.caption(np.zeros((1, 2, 2), np.float32), 0, 1, weights, 0)
    assert "trial 3" in caption and not active(caption)


def test_states_are_words_of_ours():
    assert all(words.isalpha() for words, _, _ in sweep_watch.STATES.values())
    assert sweep_list.BROKEN[0].isalpha()
