"""Text from outside, shown as it is: of links, files, studies, configs, logs and error messages."""

from __future__ import annotations

import re

LONGEST = 3000  # letters that are shown: more can't be read, and a link may hold half a million
_MARKUP = "\\`*_{}[]()#+-.!|~<>:$&=^"
# What Streamlit makes links and arrows of although each letter is escaped; in code nothing is made of it
_REWRITTEN = re.compile(r"://|www\.|mailto:|xmpp:|@|--|<-|->|[<>~]=", re.IGNORECASE)
_REORDERS = re.compile("[\u202a-\u202e\u2066-\u2069]")  # letters that turn the order of those that follow
_UNSEEN = "\N{REPLACEMENT CHARACTER}"


def as_text(value: object) -> str:
    """Return Markdown that shows a text as it was typed, on one line: nothing in it becomes a link, picture or style.

    A word that looks like an address is shown as code, where it can't become a link.
    """
    text = _REORDERS.sub(_UNSEEN, str(value))
    text = text if len(text) <= LONGEST else f"{text[:LONGEST]} …"
    return " ".join(_word(word) for word in text.split())


def _word(word: str) -> str:
    word = "".join(letter if letter.isprintable() or letter == "\u200d" else _UNSEEN for letter in word)
    if not _REWRITTEN.search(word):
        escaped = "".join(f"\\{letter}" if letter in _MARKUP else letter for letter in word)
        return escaped.replace("\\:material/", "&#58;material/")  # escaped by a backslash it would still be an icon
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", word)), default=0))
    room = " " if "`" in (word[0], word[-1]) else ""
    return f"{fence}{room}{word}{room}{fence}"
