"""The command `poolsearch`, and `python -m poolsearch`."""

from __future__ import annotations

from poolsearch.cli.interrupt import leave_on_ctrl_c


def main(name: str = "poolsearch") -> None:
    """Run the command line. Ctrl-C is seen to first, for the imports behind it take a while."""
    leave_on_ctrl_c()

    from poolsearch.cli.command import start
    from poolsearch.cli.main import app

    start(app, name)
