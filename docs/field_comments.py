"""For the API pages: a table of a record's fields, from their annotations and the comments where their units stand."""

from __future__ import annotations

from typing import Any

from griffe import Attribute, Class, Extension


class FieldComments(Extension):
    """Adds to each dataclass's docstring what its fields are, and hides them as members with a heading each."""

    def on_class_members(self, *, cls: Class, **_: Any) -> None:
        """Extend the docstring of a dataclass by a section on its fields."""
        if cls.docstring is None or all(mark.callable_path != "dataclasses.dataclass" for mark in cls.decorators):
            return
        fields = [one for one in cls.attributes.values() if one.annotation and "property" not in one.labels]
        lines = [f"    {field.name} ({field.annotation}): {comment(field)}" for field in fields]
        cls.docstring.value += "\n".join(["\n\nAttributes:", *lines])
        for field in fields:
            field.public = False


def comment(field: Attribute) -> str:
    """Return the comment at the end of a field's line; "" where there is none."""
    assert field.lineno is not None and not isinstance(field.filepath, list)
    return field.lines_collection[field.filepath][field.lineno - 1].partition("  # ")[2].strip()
