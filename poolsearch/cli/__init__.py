"""The command line: `python -m poolsearch`."""
