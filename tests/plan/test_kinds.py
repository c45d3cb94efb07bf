"""No list of kinds stands beside the records: what code wants to know of a kind it asks its record."""

import ast
from pathlib import Path

import pytest

import poolsearch
from poolsearch.errors import unknown
from poolsearch.plan.kinds import KINDS, adaptive, by_class, by_function, by_operator, convolution, heads, same_as, wide

ROOT = Path(poolsearch.__file__).parent
NAMED_IN = ("plan/kinds.py", "pooling/__init__.py")  # the records, and the functions that compute them
ALLOWED = {
    "config.py": {"max", "avg", "lp", "max-blur", "conv"},  # what a sweep tries unless its config says otherwise
    "app/views/sweeps/setup.py": {"max", "avg", "lp", "max-blur", "conv"},  # the same, in the form
    "app/lessons.py": {"blur"},  # a lesson's name
    "config_words.py": {"mixed"},  # mixed precision
    "explain/stage.py": {"min", "median"},  # what a pick takes, as `Explainer.picks` says it
    "surgery/layout.py": {"max", "min"},  # reductions of torch
    "surgery/record.py": {"max", "min"},
}


def names_in(text):
    """Return the names of kinds that a program holds as texts."""
    nodes = ast.walk(ast.parse(text))
    return {n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str) and n.value in KINDS}


def test_only_the_records_name_kinds():
    found = {
        path.relative_to(ROOT).as_posix(): names_in(path.read_text(encoding="utf-8")) for path in ROOT.rglob("*.py")
    }
    assert {file: names for file, names in found.items() if names and file not in NAMED_IN} == ALLOWED


def test_the_scan_finds_a_comparison():
    assert names_in('"""A max."""\nif spec.kind in ("max", "gem"): pass') == {"max", "gem"}


def test_records_say_what_is_at_odds_nowhere():
    for name, kind in KINDS.items():
        assert len(kind.explainers) == (2 if kind.channels == "double" else 1), name
        options = {option.name for option in kind.options}
        assert {explainer.exponent for explainer in kind.explainers} <= {"", *options}, name
        assert kind.dense == "" or "kernel" not in kind.takes, name
        assert kind.in_bins or kind.reduces != "bins", name
        assert not kind.convolution or kind.multiplies == "weights", name
        assert not kind.in_bins or kind.explainers[0].form in ("mean", "pick"), name


def test_no_word_from_elsewhere_means_two_kinds():
    words = [word for kind in KINDS.values() for word in kind.also]
    assert len(words) == len(set(words))
    assert not {name.replace("-", "") for name in KINDS} & set(words)
    operators = [operator for kind in KINDS.values() for operator in kind.onnx]
    assert len(operators) == len(set(operators))


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        (by_function("boolean_dispatch", "window"), "max"),
        (by_function("lp_pool2d", "window"), ""),  # torch's takes x itself, ours |x|
        (by_function("adaptive_avg_pool2d", "map"), "global-avg"),
        (by_function("adaptive_avg_pool2d", "bins"), "adaptive-avg"),
        (by_operator("ReduceMax"), "global-max"),
        (by_operator("Relu"), ""),
        (by_class("BlurPool2d"), "blur"),
        (convolution(depthwise=True), "conv-depthwise"),
        (same_as("keras.layers.GlobalAveragePooling2D"), "global-avg"),
        (same_as("torch.nn.PixelUnshuffle"), "space-to-depth"),
    ],
)
def test_a_kind_is_found_by_what_others_call_it(found, kind):
    assert found == kind


def test_lists_of_kinds_are_in_display_order():
    assert heads() == ("global-avg", "global-max", "avg-max", "gem")
    assert wide() == ("avg-max-cat", "statistics", "pyramid")
    assert adaptive() == ("adaptive-avg", "adaptive-max")


def test_of_many_words_the_nearest_are_named():
    assert unknown("letter", "b", "abc", most=3) == "Unknown letter 'b'. Did you mean 'b'? Possible: a, b, c."
    words = ["red", "green", "blue", "black"]
    assert unknown("colour", "blak", words, most=2) == (
        "Unknown colour 'blak'. Did you mean 'black'? Nearest of 4: black, blue."
    )
    assert unknown("colour", "rouge", words, meant="red", most=2).startswith(
        "Unknown colour 'rouge'. Did you mean 'red'? Nearest of 4: red, "
    )
