"""What a link asks for: its options are checked, and what can't be is refused in words, with what is nearest.

A refused option is left out of the URL, its control shows its default, and the sentence stays until that control is
changed or another page is opened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches

import streamlit as st

from poolsearch.app.controls.plain import as_text
from poolsearch.app.lessons import BY_HAND, IMAGE, LESSONS, query
from poolsearch.plan.kinds import KINDS

HIDDEN_ONLY = ("own", "options")  # `hide=` takes these beside the options: a visitor's picture, a kind's own options
_VARIANTS = ("a", "b", "aw", "bw")
OPTIONS: dict[str, tuple[str, ...]] = {  # page -> what its link may hold; "" is Pooling by hand, see `possible_options`
    "": (*(key for key in BY_HAND if key not in HIDDEN_ONLY), "cell", "lesson", "hide"),
    "image": (*(key for key in IMAGE if key not in HIDDEN_ONLY), "lesson", "hide"),
    "backbone": ("edit", "site", *_VARIANTS),
    "maps": ("picture", "behind", "behindb", "scale", "channel", *_VARIANTS),
    "compare": ("all", *_VARIANTS),
    "sweeps": ("pane", "sweep", "marked", "network", "size"),
    "pareto": ("sweep", "trial"),
}  # fmt: skip
_MOST = 12  # possible values that a sentence lists
_LONGEST = 60  # letters of a value that a sentence repeats
_VISIT, _ARRIVED, _REFUSED = "link-visit", "link-arrived", "link-refused"  # session keys: of a visit to a page
_ABOVE, _PLACES = "link-above", "link-places"  # and of a run: where refusals stand


# ---------------------------------------------------------------------------------------------------- a visit to a page


@contextmanager
def visit(page: str) -> Iterator[None]:
    """Check the options of the link that opened a page, and run the page below what is refused."""
    st.session_state[_ABOVE], st.session_state[_PLACES] = st.container(), {}
    _arrive(page)
    for key in st.session_state[_REFUSED]:
        _draw(key)
    yield
    st.session_state[_ARRIVED] = True  # where the page stopped, its next run says so


def possible_options(page: str) -> tuple[str, ...]:
    """Return what the link of a page may hold."""
    return OPTIONS[page] if page else (*OPTIONS[page], *_of_kinds())


def _of_kinds() -> tuple[str, ...]:
    return tuple(dict.fromkeys(option.name for kind in KINDS.values() for option in kind.options))


def arriving() -> bool:
    """Return whether this is the first run since a page was opened: what its link says counts now."""
    return not st.session_state.get(_ARRIVED, True)


def _arrive(page: str) -> None:
    before = st.session_state.get(_VISIT)
    if before == page:
        st.session_state[_ARRIVED] = True
        return
    st.session_state[_VISIT], st.session_state[_ARRIVED], st.session_state[_REFUSED] = page, False, {}
    possible = possible_options(page)
    for key in list(st.query_params):
        if key not in possible:
            elsewhere = any(key in options for options in map(possible_options, OPTIONS))
            if before is None or not elsewhere:  # else the page before left it there
                refuse(key, f"This page has no option {quoted(key)}.{_near(key, possible)}")
            del st.query_params[key]
        elif key != "marked" and len(st.query_params.get_all(key)) > 1:
            refuse(key, f"The link names {quoted(key)} {len(st.query_params.get_all(key))} times, once is possible.")
    hidden = [key for key in st.query_params.get("hide", "").split(",") if key]
    for key in hidden:
        if key not in (*possible, *HIDDEN_ONLY):
            refuse(f"hide-{key}", f"There is no control {quoted(key)} to hide.{_near(key, (*possible, *HIDDEN_ONLY))}")


# -------------------------------------------------------------------------------------------------------- one option


def refuse(key: str, sentence: str) -> None:
    """Draw the sentence that refuses an option of the link, and keep it; the first one of an option counts."""
    refused = st.session_state[_REFUSED]
    if key not in refused:
        refused[key] = sentence, None
        _draw(key)


def settle(key: str, shown: object) -> None:
    """Say what is shown instead of a refused option, and forget the refusal once that is changed."""
    refused = st.session_state[_REFUSED]
    if key not in refused:
        return
    sentence, before = refused[key]
    if before is None:
        refused[key] = sentence, str(shown)
        _draw(key)
    elif before != str(shown):
        del refused[key]
        st.session_state[_PLACES][key].empty()


def _draw(key: str) -> None:
    """Draw a refusal at its place above the page: at once, for a page may stop anywhere."""
    sentence, shown = st.session_state[_REFUSED][key]
    places = st.session_state[_PLACES]
    if key not in places:
        places[key] = st.session_state[_ABOVE].empty()
    words = sentence if shown is None else f"{sentence} It shows {quoted(shown)} instead."
    places[key].warning(as_text(words), title="This link can't be followed to the letter", icon=":material/link_off:")


def asked_for(key: str) -> str | None:
    """Return what a control is set to by the lesson that hides it, else by the link; None where by neither.

    A lesson's own word goes first: opened from the page itself its link does not hold what was hidden, for Streamlit
    takes from the URL what belonged to a control that is no longer drawn.
    """
    lesson, hidden = st.query_params.get("lesson", ""), st.query_params.get("hide", "").split(",")
    if lesson in LESSONS and (key in hidden or (key in _of_kinds() and "options" in hidden)):
        return query(lesson).get(key)
    return st.query_params.get(key)


def one_of(key: str, label: str, options: Sequence[object]) -> str | None:
    """Return which option the link names; None for none, or for one that is not there, which is refused."""
    asked = asked_for(key)
    if asked is None or asked in map(str, options):
        return asked
    refuse(key, unknown(label, asked, options))
    return None


def number(key: str, label: str, low: float, high: float, whole: bool = False) -> float | None:
    """Return the number of the link, the nearest possible for one out of range, None without one; or it is refused."""
    asked = asked_for(key)
    if asked is None:
        return None
    try:
        value = (int if whole else float)(asked)
    except ValueError:
        value = math.nan
    between = f"Possible: {low:g} to {high:g}"
    if math.isnan(value):
        what = "whole number" if whole else "number"
        refuse(key, f"{label} {quoted(asked)} in the link is no {what}. {between}.")
        return None
    if not low <= value <= high:
        near = min(max(value, low), high)
        refuse(key, f"{label} {quoted(asked)} in the link is out of range. {between}, the nearest is {near:g}.")
        return near
    return value


def write(key: str, value: str | Sequence[str]) -> None:
    """Write an option into the URL, where it is not there yet; an empty one is left out."""
    now: object = st.query_params.get_all(key)
    if value and now != ([value] if isinstance(value, str) else list(value)):
        st.query_params[key] = value
    elif not value and now:
        del st.query_params[key]


# ------------------------------------------------------------------------------------------------------------- words


def unknown(label: str, asked: str, options: Sequence[object]) -> str:
    """Return the sentence for a value that is not there: the nearest that is, and what is possible."""
    return f"Unknown {label[:1].lower()}{label[1:]} {quoted(asked)} in the link.{_near(asked, options)}"


def _near(asked: str, options: Sequence[object]) -> str:
    words = [str(option) for option in options]
    found = _nearest_number(asked, words) or _nearest_word(asked, words)
    guess = f" Did you mean {quoted(found)}?" if found else ""
    more = f" and {len(words) - _MOST} more" if len(words) > _MOST else ""
    return f"{guess} Possible: {', '.join(words[:_MOST]) or 'none'}{more}."


def _nearest_word(asked: str, words: Sequence[str]) -> str:
    folded = {word.casefold(): word for word in words}
    asked = asked[:_LONGEST].casefold()
    begin = [word for word in folded if asked and word.startswith(asked)]
    close = begin or get_close_matches(asked, folded, n=1, cutoff=0.4)
    return folded[close[0]] if close else ""


def _nearest_number(asked: str, words: Sequence[str]) -> str:
    as_number: Callable[[str], float] = float
    try:
        value, numbers = as_number(asked), {as_number(word): word for word in words}
    except ValueError:
        return ""
    return numbers[min(numbers, key=lambda number: abs(number - value))] if numbers else ""


def quoted(text: object) -> str:
    """Return a value in quotes, cut where it is long."""
    words = str(text)
    return f"'{words if len(words) <= _LONGEST else f'{words[:_LONGEST]} …'}'"
