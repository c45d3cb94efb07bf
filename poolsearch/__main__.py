"""python -m poolsearch"""

from poolsearch.cli.interrupt import leave_on_ctrl_c

leave_on_ctrl_c()

from poolsearch.cli.command import start  # noqa: E402
from poolsearch.cli.main import app  # noqa: E402

start(app, "python -m poolsearch")
