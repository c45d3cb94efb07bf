"""What a process keeps is bounded in bytes, networks take turns, and freed memory goes back."""

import ast
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

from poolsearch import memory
from poolsearch.memory import bytes_of, kept

ROOT = Path(__file__).parents[1]


@pytest.fixture
def calls():
    """A list of what was computed; nothing is kept before and after."""
    memory.forget()
    yield []
    memory.forget()


# ------------------------------------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        (np.zeros((3, 100, 100), np.float32), 120_000, 121_000),
        (b"x" * 5000, 5000, 5000),
        ((np.zeros(1000, np.uint8), np.zeros(2000, np.uint8)), 3000, 4500),
        (tuple(range(100)), 500, 3000),
    ],
)
def test_a_value_is_as_large_as_its_arrays(value, low, high):
    assert low <= bytes_of(value) <= high


def test_results_are_kept_until_their_bytes_are_over_the_bound(calls):
    @kept
    def megabytes(number):
        calls.append(number)
        return np.full((10, 2**20), number, np.uint8)

    for number in range(20):
        assert megabytes(number)[0, 0] == number
        assert memory.kept_bytes() <= memory.KEPT_BYTES
    assert megabytes.has(19)
    assert not megabytes.has(7)  # twelve of ten MB fit into 128 MiB
    megabytes(8)
    assert calls == list(range(20))
    megabytes(7)
    assert calls[-1] == 7


def test_all_functions_share_one_bound_and_what_is_larger_than_it_is_not_kept(calls):
    one = kept(lambda n: np.zeros(60 * 2**20, np.uint8))
    two = kept(lambda n: np.zeros(60 * 2**20 + n, np.uint8))
    one(0), two(0), two(1)
    assert not one.has(0)
    assert two.has(0) and two.has(1)
    huge = kept(lambda: np.zeros(memory.KEPT_BYTES + 1, np.uint8))
    assert len(huge()) == memory.KEPT_BYTES + 1
    assert not huge.has()
    assert two.has(0)


def test_arguments_that_begin_with_an_underscore_name_nothing(calls):
    @kept
    def named(name, _pixels, at=0):
        calls.append(name)
        return len(name)

    assert [named("a", [1]), named("a", [2]), named("a", _pixels=None), named("a", [1], at=1)] == [1] * 4
    assert calls == ["a", "a"]


def test_an_error_is_not_kept(calls):
    @kept
    def fails():
        calls.append(1)
        raise ValueError

    for _ in range(2):
        with pytest.raises(ValueError):
            fails()
    assert calls == [1, 1]


# The files that have other caches than `kept`, and what these can hold: nothing that grows with a visitor
SMALL = {
    "poolsearch/networks/backbones.py": "names and a record a name",
    "poolsearch/networks/declared.py": "three names for each backbone that a package declares",
    "poolsearch/plan/costs.py": "a row a kind",
    "poolsearch/networks/sizes.py": "some numbers a network",
    "poolsearch/data/datasets.py": "the scans (0.5 MB) and one set, that memory holds (`check_room`)",
    "poolsearch/figures/network.py": "a palette of 768 bytes",
    "poolsearch/explain/shift.py": "a number a spec",
    "poolsearch/plan/plan.py": "specs",
    "poolsearch/pooling/antialiased.py": "filters of a few taps",
    "poolsearch/pooling/geometry.py": "numbers",
    "poolsearch/pooling/resampled.py": "64 filters of half a MB at most",
    "poolsearch/surgery/checking.py": "Plans and sentences",
    "poolsearch/surgery/edits.py": "a number a spec",
    "poolsearch/modelfiles/script.py": "the syntax trees of our own modules",
    "poolsearch/surgery/sites.py": "specs",
    "poolsearch/surgery/suggest.py": "specs",
    "poolsearch/sweep/study/reader.py": "ten names and values, 256 times",
    "poolsearch/networks/vision.py": "a module",
    "poolsearch/app/controls/cached.py": "16 opened studies: rows of numbers",
    "poolsearch/app/views/sweeps/setup.py": "four numbers",
    "poolsearch/app/views/sweeps/sweep_list.py": "lines of a table",
    "poolsearch/plan/windows.py": "numbers",
}


def caches(path):
    """Return the names of the functions of a file that another cache than ours keeps results of."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        for decorator in getattr(node, "decorator_list", ()):
            words = ast.unparse(decorator).partition("(")[0].split(".")
            if words[-1] in ("cache", "lru_cache", "cache_data", "cache_resource"):
                found.add(node.name)
    return found


def test_every_other_cache_is_one_that_holds_little():
    paths = [*ROOT.glob("poolsearch/**/*.py"), *ROOT.glob("poolsearch/pages/*.py")]
    known = {str(path.relative_to(ROOT)): caches(path) for path in paths}
    assert known["poolsearch/data/datasets.py"] == {"_kept", "_scans"}  # the search does find them
    assert {path for path, names in known.items() if names} <= set(SMALL)


# ------------------------------------------------------------------------------------------- one network at a time


def test_networks_take_turns_and_who_waits_in_vain_leaves():
    held, let_go, order = threading.Event(), threading.Event(), []

    def first():
        with memory.one_network(), memory.one_network():  # a Plan beside its published network: the same turn
            held.set()
            let_go.wait(60)
            order.append("first")

    def second():
        with memory.one_network():
            order.append("second")

    def superseded():
        raise InterruptedError

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    held.wait(60)
    threads[1].start()
    with pytest.raises(InterruptedError), memory.one_network(superseded):
        order.append("never")
    let_go.set()
    for thread in threads:
        thread.join(60)
    assert order == ["first", "second"]
    with pytest.raises(InterruptedError), memory.one_network(superseded):  # nor does it begin when the turn is free
        order.append("never")
    with memory.one_network():  # and the turn was given back
        order.append("third")
    assert order == ["first", "second", "third"]


FREEING = """
import psutil
from poolsearch import memory
rss = lambda: psutil.Process().memory_info().rss / 1e6
before = rss()
blocks = [bytearray(60_000) for _ in range(10_000)]  # 600 MB in blocks that are too small to be mapped one by one
last = blocks.pop()  # at the end of the heap: what lies before it stays with the process
del blocks
after = rss()
memory.give_back()
print(after - before > 500, rss() - before < 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc")
def test_freed_memory_goes_back_to_the_system():
    done = subprocess.run([sys.executable, "-c", FREEING], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "True True\n"


WORKER = """
import re, torch
from pathlib import Path
from poolsearch.data import datasets
from poolsearch.sweep.engines import worker
from poolsearch.training import batches
torch.set_num_threads(1)
worker._import_all()
data = datasets.load("cluttered-digits", (3, 224, 224))
for x, y in batches(data.train, 128, torch.Generator().manual_seed(0)):
    break
x, y = data.test.batch(slice(0, 250))
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())  # ru_maxrss begins at the parent's
print(int(peak[1]) // 1024, tuple(x.shape))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_worker_at_224_pixels_holds_little_beside_its_network_and_activations():
    """Its imports, the whole embedded set, and the largest batch that it makes of it."""
    done = subprocess.run([sys.executable, "-c", WORKER], cwd=ROOT, capture_output=True, text=True, check=True)
    megabytes, _, shape = done.stdout.partition(" ")
    assert shape == "(250, 3, 224, 224)\n"
    assert int(megabytes) < 600  # 6,900 when the set was enlarged as a whole


# ------------------------------------------------------------------------------------------------------ what is free


def group(folder, limit, use, cached):
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{use}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {cached}\n")
    return folder


def test_what_is_free_is_what_the_container_leaves(tmp_path):
    machine = psutil.virtual_memory().available
    assert memory.free_bytes(tmp_path) == pytest.approx(machine, rel=0.5)  # no container
    assert memory.free_bytes(group(tmp_path, "max", 700, 100)) == pytest.approx(machine, rel=0.5)
    assert memory.free_bytes(group(tmp_path, 1000, 700, 100)) == 400
    assert memory.free_bytes(group(tmp_path, 1000, 1200, 100)) == 0
