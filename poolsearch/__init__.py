"""Poolsearch: how does this network throw pixels away?"""

__version__ = "0.1.0"
