"""Pickers that return values, variants that live in the URL, and the cached calls of the pages."""
