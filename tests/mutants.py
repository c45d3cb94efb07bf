"""Hand-made faults, each of which a test has to find: `make mutants`.

Each is put into a copy of the tree, one at a time, and the tests named beside it run there: at least one must fail. A
fault whose line is not found any more is a fault of this list, and counts as one that survived.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Mutant:
    """One fault: a line of a file as it is and as it would be wrong, and the tests that must find it."""

    what: str
    file: str
    right: str
    wrong: str
    tests: str


MUTANTS = (
    Mutant(
        "the odd pixel of a shortcut's padding stands at the other end",
        "surgery/edits.py",
        "padding=tuple((n // 2, n - n // 2) for n in amounts)",
        "padding=tuple((n - n // 2, n // 2) for n in amounts)",
        "tests/surgery/test_surgery.py tests/surgery/test_suggest.py",
    ),
    Mutant(
        "the windows of fractional max below a ratio of a half are those of a half",
        "explain/sight.py",
        "_uneven(*values) for values in zip(sizes, outputs, win.kernel, strict=True)",
        "_uneven(*values) for values in zip(sizes, outputs, (2, 2), strict=False)",
        "tests/explain/test_stage.py",
    ),
    Mutant(
        "TensorFlow's SAME average counts its padding",
        "explain/frameworks.py",
        "counted=not average, options=()), rule",
        "counted=True, options=()), rule",
        "tests/explain/test_frameworks.py",
    ),
    Mutant(
        "an average that leaves its padding out counts it",
        "explain/stage.py",
        'counts = "uncounted" in kind.takes and spec.counted and not spec.border',
        "counts = True",
        "tests/explain/test_stage.py",
    ),
    Mutant(
        "a median of an even number of pixels adds nothing",
        "measure/arithmetic.py",
        "additions += 0 if held % 2 else 2 * windows",
        "additions += 0",
        "tests/measure/test_cost.py",
    ),
    Mutant(
        "results are never freed in the peak of memory",
        "measure/cost.py",
        "held -= sum(",
        "held -= 0 * sum(",
        "tests/measure/test_cost.py",
    ),
    Mutant(
        "x + x reads x twice",
        "measure/cost.py",
        "for i in dict.fromkeys(call.inputs))",
        "for i in call.inputs)",
        "tests/networks/test_foreign_networks.py",
    ),
    Mutant(
        "attention has three projections",
        "measure/cost.py",
        "prod(source) * 4 * source[-1]",
        "prod(source) * 3 * source[-1]",
        "tests/measure/test_cost.py",
    ),
    Mutant(
        "a waiting trial can't be cancelled",
        "sweep/running/dispatcher.py",
        "elif self.state.attempts.drop(number):",
        "elif False:",
        "tests/sweep/test_coordinator.py",
    ),
    Mutant(
        "a trial whose answer was lost is added twice",
        "sweep/study/writer.py",
        "id = self._added_already(trial) if tries > 1 else None",
        "id = None",
        "tests/sweep/test_coordinator.py tests/sweep/test_storage.py",
    ),
    Mutant(
        "the blocks of an odd stride overlap by a pixel more",
        "plan/windows.py",
        "field.through(2 * stride - stride % 2, stride, stride // 2)",
        "field.through(2 * stride, stride, stride // 2)",
        "tests/plan/test_windows.py tests/explain/test_stage.py",
    ),
    Mutant(
        "an edit right behind an inserted call finds that call in place of its own",
        "surgery/edits.py",
        "index += index > place",
        "index += index > place + 1",
        "tests/surgery/test_surgery.py",
    ),
)


def survives(mutant: Mutant, tree: Path) -> str:
    """Return why a fault was not found, "" where a test found it."""
    file = tree / "poolsearch" / mutant.file
    text = file.read_text(encoding="utf-8")
    if text.count(mutant.right) != 1:
        return f"its line stands {text.count(mutant.right)} times in {mutant.file}"
    file.write_text(text.replace(mutant.right, mutant.wrong), encoding="utf-8")
    try:
        words = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *mutant.tests.split()]
        done = subprocess.run(words, cwd=tree, capture_output=True, text=True)
    finally:
        file.write_text(text, encoding="utf-8")
    return {0: "every test passed", 1: ""}.get(done.returncode, done.stdout[-500:] + done.stderr[-500:])


def main() -> int:
    """Print a line for each fault; return 0 when every one was found."""
    left = 0
    chosen = [mutant for mutant in MUTANTS if not sys.argv[1:] or sys.argv[1] in mutant.what]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "runs", "node_modules", "__pycache__"))
        for mutant in chosen:
            why = survives(mutant, tree)
            left += bool(why)
            print(f"{'SURVIVED' if why else 'found   '}  {mutant.what}{': ' if why else ''}{why}", flush=True)
    print(f"{len(chosen) - left} of {len(chosen)} faults were found")
    return int(left > 0)


if __name__ == "__main__":
    sys.exit(main())
