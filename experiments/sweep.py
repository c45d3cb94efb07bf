"""Run a sweep without a screen from a checkout; an installed Poolsearch does the same with `poolsearch run`.

python experiments/sweep.py experiments/configs/cluttered-digits.toml --set trials=48 --workers 2 --resume-or-start
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from poolsearch.cli.interrupt import leave_on_ctrl_c

leave_on_ctrl_c()

import typer  # noqa: E402

from poolsearch.cli.command import refusing, start  # noqa: E402
from poolsearch.cli.run import run  # noqa: E402

if __name__ == "__main__":
    app = typer.Typer(add_completion=False)
    app.command()(refusing(run))
    start(app)
