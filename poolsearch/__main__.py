"""python -m poolsearch"""

from poolsearch.cli import app
from poolsearch.command import start

start(app, "python -m poolsearch")
