"""Write docs/architecture.md: a line on every file, from the first line of its docstring.

python docs/architecture.py --write    make the page anew
python docs/architecture.py            exit code 1 where the page is not what the files say
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "architecture.md"
FOLDERS = ("poolsearch", "experiments", "benchmarks", "docs")
HEAD = """\
# The house

Made by `python docs/architecture.py --write` from the docstrings. Imports point down only: `tests/test_floors.py` holds
every file to the table of floors there. One value goes all the way round: a Plan becomes a network, is measured, is a
trial, is drawn, and on the front it is a Plan again.
"""


def first_line(path: Path) -> str:
    """Return the first line of a file's docstring; "" where it has none."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def page() -> str:
    """Return the page: a heading for each folder with Python files, a row for each file."""
    lines = [HEAD]
    for top in FOLDERS:
        for folder in sorted({path.parent for path in (ROOT / top).rglob("*.py")}):
            init = folder / "__init__.py"
            lines += [f"\n## {folder.relative_to(ROOT).as_posix()}/\n"]
            lines += [f"{first_line(init)}\n"] if init.exists() and first_line(init) else []
            files = [path for path in sorted(folder.glob("*.py")) if path != init]
            lines += ["| file | |\n| --- | --- |"] if files else []
            lines += [f"| `{path.name}` | {first_line(path)} |" for path in files]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Return 0 when the page says what the files say, or was written."""
    if "--write" in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
        return 0
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    print("docs/architecture.md is out of date. Write it anew: python docs/architecture.py --write", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
