"""python -m poolsearch"""

from poolsearch.cli import app

app(prog_name="python -m poolsearch")
