"""python -m poolsearch"""

from poolsearch.interrupt import leave_on_ctrl_c

leave_on_ctrl_c()

from poolsearch.cli import app  # noqa: E402
from poolsearch.command import start  # noqa: E402

start(app, "python -m poolsearch")
