"""What anybody must be able to read: contrast of text and captions, names of charts, order of headings."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THEME = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())["theme"]
FADED = 0.6  # of the text's colour: how Streamlit draws a caption


def test_the_settings_of_a_checkout_are_those_of_the_installed_app():
    """Streamlit reads the file beside the script that it runs: app.py in a checkout, entry.py in the package."""
    own, packaged = (ROOT / place / ".streamlit" / "config.toml" for place in (".", "poolsearch/app"))
    assert own.read_text() == packaged.read_text()


def luminance(colour):
    """Return the relative luminance of #RRGGBB (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one, other):
    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def faded(text, background):
    pairs = [(int(text[at : at + 2], 16), int(background[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(FADED * over + (1 - FADED) * under):02X}" for over, under in pairs)


def test_contrast_is_as_in_the_standard():
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)
    assert contrast(faded("#14202B", "#F3F5F7"), "#F3F5F7") < 4.5  # what the captions had


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_captions_and_text_can_be_read(mode):
    theme = THEME[mode]
    for background in (theme["backgroundColor"], theme["sidebar"]["backgroundColor"]):
        assert contrast(faded(theme["textColor"], background), background) >= 4.5
        assert contrast(theme["linkColor"], background) >= 4.5
        assert contrast(theme["primaryColor"], background) >= 4.5


def calls(*names):
    for path in [*ROOT.glob("poolsearch/pages/*.py"), *ROOT.glob("poolsearch/app/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in names:
                yield f"{path.name}:{node.lineno}", {word.arg for word in node.keywords}


def test_every_picture_and_chart_has_an_alternative_text():
    found = list(calls("image", "plotly_chart"))
    assert len(found) >= 5
    assert [where for where, words in found if "alt" not in words] == []


def test_no_heading_skips_a_level():
    assert list(calls("title"))
    assert list(calls("header"))
    assert list(calls("subheader")) == []  # h3, below an h1
