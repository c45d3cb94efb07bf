"""The README tells the truth: its tree names every file, its Python runs, its commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import torch

from poolsearch.app.lessons import LESSONS, link
from poolsearch.cli.tables import kinds_markdown
from poolsearch.plan import PLACEMENTS
from poolsearch.plan.kinds import KINDS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
TREE = (ROOT / "CONTRIBUTING.md").read_text().split("## Where things are")[1].split("```")[1]


def test_the_tree_names_every_folder():
    folders = {path.parent for path in (ROOT / "poolsearch").glob("*/*.py")} | {
        ROOT / "experiments",
        ROOT / "benchmarks",
    }
    for folder in folders:
        assert re.search(rf"^ *{folder.name}/ {{2,}}\S", TREE, re.MULTILINE), f"{folder.name} is missing in the tree"


def test_the_tree_names_nothing_that_is_not_there():
    names = re.findall(r"^ *([\w.]+\.(?:py|md)|\w+/)", TREE, re.MULTILINE)
    there = {path.name for path in ROOT.rglob("*") if ".venv" not in path.parts}
    assert len(names) > 15
    assert {name.rstrip("/") for name in names} - there == set()


def test_the_page_on_the_house_says_what_the_files_say():
    assert subprocess.run([sys.executable, "docs/architecture.py"], cwd=ROOT).returncode == 0


def test_the_python_of_the_readme_runs():
    code = TEXT.split("```python")[1].split("```")[0]
    torch.manual_seed(0)
    exec(compile(code, "README.md", "exec"), {})


def test_every_kind_and_placement_is_in_the_table():
    table = (ROOT / "docs" / "plans.md").read_text()
    assert all(f"`{word}`" in table for word in (*KINDS, *PLACEMENTS))


def test_every_lesson_is_linked_as_the_app_links_it():
    links = re.findall(
        r"^- \[([^]]+)\]\((http://localhost:8501/[^)]*)\)", (ROOT / "docs" / "lessons.md").read_text(), re.MULTILINE
    )
    assert links == [(LESSONS[name].title, link(name, "http://localhost:8501/")) for name in LESSONS]
    assert len(links) == 8


def test_the_page_on_poolings_is_made_from_the_records():
    assert (ROOT / "docs/poolings.md").read_text() == kinds_markdown(KINDS)


def test_every_make_target_is_there():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", TEXT, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_the_picture_is_there():
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", TEXT):
        assert (ROOT / picture).stat().st_size > 10_000


def test_every_link_leads_to_a_file():
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links {target}"
