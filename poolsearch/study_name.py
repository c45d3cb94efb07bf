"""The name of a study: it is a folder's name, a row in a database, a word in a shell and a part of a link."""

from __future__ import annotations

import unicodedata

LETTERS_MOST, BYTES_MOST = 64, 240  # a file system takes 255 bytes in a name, and 64 letters may be 256
POSSIBLE = (
    f"take 1 to {LETTERS_MOST} letters of any script, digits, spaces, dots, underscores and hyphens, "
    "a letter or digit first and no dot or space last"
)


def normal(name: str) -> str:
    """Return a name in Unicode's composed form (NFC): two spellings that look alike are one study."""
    return unicodedata.normalize("NFC", name)


def is_possible(name: str) -> bool:
    """Return whether a study may have this name, which is in the composed form."""
    if not 1 <= len(name) <= LETTERS_MOST or name[-1] in ". " or name != normal(name):
        return False
    # marks are the vowels of many scripts; no letter of a script is a separator, a control or a path's
    kinds = [unicodedata.category(letter) for letter in name]
    inside = all(kind[0] in "LM" or kind == "Nd" or letter in " ._-" for kind, letter in zip(kinds, name, strict=True))
    return inside and (kinds[0][0] == "L" or kinds[0] == "Nd") and len(name.encode()) <= BYTES_MOST
