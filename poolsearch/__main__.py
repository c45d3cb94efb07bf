"""python -m poolsearch"""

from poolsearch.cli.entry import main

main("python -m poolsearch")
