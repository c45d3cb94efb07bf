"""Run the tests of the parts that were touched since main: make quick.

poolsearch/X/ is tested by tests/X/, poolsearch/x.py by tests/test_x.py, pages by tests/app/, docs/ by
tests/test_docs.py, its notebooks by tests/test_notebooks.py; floors and README always.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALWAYS = ("tests/test_floors.py", "tests/test_readme.py")


def git(*words: str) -> list[str]:
    """Return the lines that git prints; none where it fails."""
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()


def tests_of(file: str) -> str:
    """Return the test file or folder of a file of the repository; "" where there is none."""
    path = Path(file)
    if path.match("tests/*.py") or path.match("tests/*/*.py"):
        return file if path.name.startswith("test_") else ""
    if path.match("docs/notebooks/*.ipynb"):
        return "tests/test_notebooks.py"
    if path.parts[0] in ("docs", "mkdocs.yml"):
        return "tests/test_docs.py"
    if path.parts[0] != "poolsearch":
        return ""
    part = path.parts[1].removesuffix(".py")
    return f"tests/test_{part}.py" if len(path.parts) == 2 else f"tests/{'app' if part == 'pages' else part}"


def touched() -> list[str]:
    """Return the tests of all files that differ from where this branch left main, or are new."""
    base = git("merge-base", "HEAD", "main") or ["HEAD"]
    files = git("diff", "--name-only", base[0]) + git("ls-files", "--others", "--exclude-standard")
    found = {tests_of(file) for file in files} - {""}
    there = {test for test in found if (ROOT / test).exists()}
    return sorted({*there, *ALWAYS} - {test for test in there if str(Path(test).parent) in there})


if __name__ == "__main__":
    tests = touched()
    print("Tests:", *tests)
    words = ["-m", "pytest", "-q", "-n", "logical", "--maxprocesses", "4", *tests]
    sys.exit(subprocess.run([sys.executable, *words], cwd=ROOT).returncode)
