"""What the browser runs, run by node: its own tests, where node is there."""

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = sorted((Path(__file__).parent / "javascript").glob("*.test.mjs"))


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_the_scripts_of_the_pages_pass_their_own_tests(path):
    done = subprocess.run(["node", "--test", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_there_are_tests_to_run():
    assert len(TESTS) >= 3
