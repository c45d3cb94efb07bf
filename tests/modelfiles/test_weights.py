"""Weights from anywhere: what is read, and every way in which a hostile or broken file is refused in one sentence."""

import importlib
import io
import json
import os
import pickle
import re
import signal
import struct
import subprocess
import sys
import zipfile

import pytest
import torch
from safetensors.torch import save_file

from poolsearch.errors import WeightsError
from poolsearch.modelfiles import confined, weights
from poolsearch.networks import vision
from poolsearch.records.modelfiles import Difference


class Evil:
    """Unpickling this runs a command."""

    def __init__(self, made):
        self.made = made

    def __reduce__(self):
        return os.system, (f"touch {self.made}",)


def one(value=1.0, size=(2,)):
    return torch.full(size, value)


def of_zip(path, full, name="data.pkl"):
    """A zip that torch would open, whose one entry grows to `full` bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"archive/{name}", b"\0" * full)


def of_header(path, header):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)


def cut(path):
    torch.save({"w": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-500])


def lying(path):
    """A file that claims 99 numbers where its entry has one: read as claimed, it would show other memory."""
    torch.save({"w": torch.ones(99), "room": torch.zeros(999)}, path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in parts.items():
            archive.writestr(name, data[:4] if name.endswith("data/0") else data)


def legacy(value, path):
    torch.save(value, path, _use_new_zipfile_serialization=False)


def flipped(path):
    """Two bits of the numbers: torch reads such a file without a word."""
    torch.save({"w": torch.arange(999.0)}, path)
    data = bytearray(path.read_bytes())
    for place in (len(data) // 2, len(data) // 2 + 800):
        data[place] ^= 1
    path.write_bytes(data)
    assert torch.load(path)["w"].shape == (999,)


def nested_in_itself(path):
    outer = {}
    outer["state_dict"] = {"model": outer}
    torch.save(outer, path)


REFUSED = {  # name -> (what makes the file, given its path; what is said)
    "evil.pt": (lambda p: torch.save({"w": Evil(p.parent / "ran")}, p), "asks for the Python object 'posix.system'"),
    "evil-old.pt": (
        lambda p: p.write_bytes(pickle.dumps(Evil(p.parent / "ran"), protocol=2)),
        "asks for the Python object 'posix.system'",
    ),
    "model.pt": (
        lambda p: torch.save(torch.nn.Linear(1, 1), p),
        "asks for the Python object 'torch.nn.modules.linear.Linear', which could run code",
    ),
    "cut.pt": (cut, "is cut short or broken: the directory at its end"),
    "bomb.pt": (lambda p: of_zip(p, 10**8), "and would grow to 100,000,000 when it is read"),
    "script.pt": (lambda p: of_zip(p, 9, "constants.pkl"), "is a TorchScript program, which is code"),
    "flipped.pt": (flipped, "is damaged: 'flipped/data/0' does not have the checksum that was written with it"),
    "ring.pt": (nested_in_itself, "holds a 'state_dict' that lies in itself"),
    "long.pt": (lambda p: torch.save({"k" * 10**5: one(float("nan"))}, p), f"in '{'k' * 77}...'."),
    "lying.pt": (lying, "is broken or cut short"),
    "huge.pt": (lambda p: torch.save({"w": torch.zeros(1).expand(10**9)}, p), "claims 1,000,000,000 numbers in 'w'"),
    "huge-old.pt": (lambda p: legacy({"w": torch.zeros(1).expand(10**9)}, p), "claims 1,000,000,000 numbers in 'w'"),
    "views.pt": (
        lambda p: torch.save(shifted(9999), p),
        "fewer than its tensors claim",
    ),
    "sparse.pt": (
        lambda p: torch.save({"w": torch.sparse_coo_tensor([[0]], [1.0], (10**12,), check_invariants=True)}, p),
        "has a sparse tensor in 'w'",
    ),
    "meta.pt": (lambda p: torch.save({"w": torch.zeros(10**12, device="meta")}, p), "has no numbers in 'w'"),
    "nan.pt": (lambda p: torch.save({"a": one(), "w": one(float("nan"))}, p), "has NaN or infinity in 'w'"),
    "inf.safetensors": (lambda p: save_file({"w": one(float("inf"))}, p), "has NaN or infinity in 'w'"),
    "complex.pt": (lambda p: torch.save({"w": one() * 1j}, p), "has type complex64 in 'w'. Possible: bfloat16, bool"),
    "number.pt": (lambda p: torch.save({"w": one(), "epoch": 3}, p), "holds one int under 'epoch'"),
    "keys.pt": (lambda p: torch.save({7: one()}, p), "has a key of type int"),
    "tensor.pt": (lambda p: torch.save(one(), p), "holds one Tensor. A state_dict is needed"),
    "nothing.pt": (lambda p: torch.save({"state_dict": {}}, p), "holds no tensors"),
    "empty.pt": (lambda p: p.write_bytes(b""), "is empty"),
    "notes.pt": (lambda p: p.write_text("learning rate 0.1"), "is no file that torch.save wrote"),
    "broken.safetensors": (lambda p: of_header(p, b"{" * 40), "is no safetensors file, or is cut short"),
    "claims.safetensors": (
        lambda p: of_header(p, {"w": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}}),
        "is no safetensors file, or is cut short",
    ),
    "short.safetensors": (lambda p: p.write_bytes(b"\1\0\0"), "is no safetensors file, or is cut short"),
    "gone.pt": (lambda p: None, "There is no file"),
    "weights.bin": (lambda p: p.write_bytes(b"1"), "Possible: .safetensors, .pt, .pth"),
}


def shifted(count):
    """Many views of the same numbers, no two the same: each is cheap in the file and dear outside."""
    numbers = torch.zeros(count)
    return {f"v{i}": numbers[i:] for i in range(50)}


@pytest.fixture(scope="module")
def replies(tmp_path_factory):
    """All files that are refused, and some that are not in between, read by one child."""
    folder = tmp_path_factory.mktemp("weights")
    for name, (make, _) in REFUSED.items():
        make(folder / name)
    torch.save({"w": one()}, folder / "good.pt")
    names = [*list(REFUSED)[:8], "good.pt", *list(REFUSED)[8:], "good.pt"]
    found = dict(zip(names, weights.described([folder / name for name in names]), strict=True))
    return folder, found


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_not_plain_weights_is_refused_in_a_sentence(replies, name):
    _, found = replies
    assert isinstance(found[name], WeightsError)
    words = str(found[name])
    assert REFUSED[name][1] in words
    assert name in words
    assert words.endswith(".")
    assert "\n" not in words


def test_no_code_ran_and_the_good_file_among_them_is_read(replies):
    folder, found = replies
    assert not (folder / "ran").exists()
    assert found["good.pt"] == weights.Contents({"w": (2,)}, {"w": "float32"})


def test_the_code_in_the_evil_file_would_have_run(tmp_path):
    torch.save({"w": Evil(tmp_path / "ran")}, tmp_path / "evil.pt")
    torch.load(tmp_path / "evil.pt", weights_only=False)
    assert (tmp_path / "ran").exists()


def test_nestings_prefixes_ties_and_slices_come_out_as_the_plain_tensors(tmp_path):
    numbers = torch.arange(12.0)
    inner = {"a": numbers[:4], "b": numbers[4:].reshape(2, 4).T, "tied": numbers[:4], "n": torch.tensor(3)}
    inner["half"] = torch.nn.Parameter(one(0.5).bfloat16())
    torch.save({"state_dict": {f"module._orig_mod.{k}": v for k, v in inner.items()}, "epoch": 3}, tmp_path / "w.pth")
    got = weights.opened(tmp_path / "w.pth")
    assert list(got.tensors) == ["a", "b", "tied", "n", "half"]
    assert all(torch.equal(got.tensors[key], value) for key, value in inner.items())
    assert got.tensors["half"].dtype == torch.bfloat16
    assert got.tensors["a"].data_ptr() == got.tensors["tied"].data_ptr()
    assert got.contents.notes == (
        "Taken from 'state_dict'; left aside: 1 other.",
        "'module.' taken off every key (DataParallel puts it there).",
        "'_orig_mod.' taken off every key (torch.compile puts it there).",
    )


def test_a_file_written_without_checksums_is_read(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"w": one(7.0)}, tmp_path / "w.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(weights.read(tmp_path / "w.pt")["w"], one(7.0))


def test_a_file_that_nests_on_and_on_is_read_and_says_so_in_four_lines(tmp_path):
    nested = {"w": one()}
    for _ in range(150):
        nested = {"model": nested}
    torch.save(nested, tmp_path / "w.pt")
    assert weights.opened(tmp_path / "w.pt").contents == weights.Contents(
        {"w": (2,)}, {"w": "float32"}, (*["Taken from 'model'."] * 3, "And from 147 more nestings.")
    )


def test_a_reader_that_takes_long_without_resting_is_waited_for_and_one_that_sleeps_is_not(tmp_path, monkeypatch):
    """The limit is on CPU time: on a machine with much to do, a minute is no sign of a bad file."""
    monkeypatch.setattr(confined, "_IDLE", 0.3)
    works = subprocess.Popen(
        [sys.executable, "-c", "import time\nwhile time.process_time() < 1: pass\nprint('done')"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert confined._output(works, "x") == "done\n"
    sleeps = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(999)"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert confined._output(sleeps, "x") == ""
    assert sleeps.returncode == -signal.SIGKILL


def test_a_child_that_dies_names_its_file_and_the_others_are_still_read(tmp_path):
    """The reader here is a stand-in without torch: it ends itself, allocates, loops or writes when a file says so."""
    (tmp_path / "reader.py").write_text(
        "import os, signal\n"
        "from poolsearch.modelfiles import confined\n"
        "confined.SECONDS = 1\n"
        "def handle(path, into):\n"
        "    word = path.read_text()\n"
        "    if word == 'die': os.kill(os.getpid(), signal.SIGSEGV)\n"
        "    if word == 'grow': bytearray(5 << 30)\n"
        "    if word == 'write': (path.parent / 'big').write_bytes(bytes(2 << 20))\n"
        "    while word == 'loop': pass\n"
        "    return {'word': word}\n"
        "confined.serve(handle)\n"
    )
    files = []
    for number, word in enumerate(["good", "die", "grow", "loop", "write", "good"]):
        files.append(tmp_path / f"{number}-{word}.txt")
        files[-1].write_text(word)
    code = f"import sys, runpy; runpy.run_path({str(tmp_path / 'reader.py')!r})"
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {confined.sys.executable} -c "{code}"\n')
    (tmp_path / "python").chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(confined.sys, "executable", str(tmp_path / "python"))
        replies = confined.ask("reader", files)
    assert replies[0] == replies[5] == {"word": "good"}
    assert [str(reply) for reply in replies[1:5]] == [
        "'1-die.txt' can't be read: its reader broke off.",
        "'2-grow.txt' needs more memory than three times its size and 1 GiB.",
        "'3-loop.txt' can't be read: reading it took more than 60 s of CPU time.",
        "'4-write.txt' can't be read: File too large.",
    ]


def small(norm=torch.nn.BatchNorm2d):
    """Four keys of a convolution without bias and a norm, and the norm's counter where it keeps one."""
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, bias=False), norm(2))


def frozen(channels):
    """torchvision's norm that wants no counter and takes files that have one."""
    vision.models()
    return importlib.import_module("torchvision.ops.misc").FrozenBatchNorm2d(channels)


def without_counters(network):
    return {key: value for key, value in network.state_dict().items() if "tracked" not in key}


def dropped(state, key):
    """Return a state_dict that lacks a key and still says the versions of the modules that wrote it."""
    del state[key]
    return state


STATES = {  # what is given -> (the network, how its file is made, the differences)
    "as it is": (small, lambda: small().state_dict(), []),
    "from before counters": (small, lambda: without_counters(small()), []),
    "a counter lost": (
        small,
        lambda: dropped(small().state_dict(), "1.num_batches_tracked"),
        [Difference("1.num_batches_tracked", (), None)],
    ),
    "a counter too many": (lambda: small(frozen), lambda: small().state_dict(), []),
    "a counter from torch 0.3": (small, lambda: {**small().state_dict(), "1.num_batches_tracked": torch.ones(1)}, []),
    "another shape": (
        small,
        lambda: {**without_counters(small()), "0.weight": torch.ones(2, 1, 5, 5)},
        [Difference("0.weight", (2, 1, 3, 3), (2, 1, 5, 5))],
    ),
    "one for another": (
        small,
        lambda: {**dropped(small().state_dict(), "1.bias"), "more": torch.ones(3)},
        [Difference("1.bias", (2,), None), Difference("more", None, (3,))],
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_weights_fit_where_torchs_strict_load_takes_them(tmp_path, name):
    network, make, wanted = STATES[name]
    torch.save(make(), tmp_path / "w.pt")
    try:
        network().load_state_dict(torch.load(tmp_path / "w.pt"), strict=True)
    except RuntimeError:
        taken = False
    else:
        taken = True
    assert taken == (not wanted)
    held = weights.opened(tmp_path / "w.pt")
    mine = network()
    assert list(weights.put_in(mine, held.tensors)) == wanted
    assert list(weights.differences(network().to("meta"), held.contents)) == wanted  # by the shapes alone
    if not wanted:
        assert torch.equal(mine[0].weight, held.tensors["0.weight"])


def test_versions_lose_a_prefix_with_the_keys(tmp_path):
    """A DataParallel network whose file lost a counter on the way is refused, as torch refuses the network's own."""
    state = dropped(torch.nn.DataParallel(small()).state_dict(), "module.1.num_batches_tracked")
    torch.save({"model": state}, tmp_path / "w.pt")
    held = weights.opened(tmp_path / "w.pt")
    assert dict(held.contents.versions) == {"": 1, "0": 1, "1": 2}
    assert weights.put_in(small(), held.tensors) == (Difference("1.num_batches_tracked", (), None),)


def test_the_file_of_an_averaged_model_is_that_of_its_network(tmp_path):
    averaged = torch.optim.swa_utils.AveragedModel(small())
    torch.save(averaged.state_dict(), tmp_path / "w.pt")
    held = weights.opened(tmp_path / "w.pt")
    assert weights.put_in(small(), held.tensors) == ()
    assert held.contents.notes == (
        "'n_averaged' left aside (AveragedModel counts its averages there).",
        "'module.' taken off every key (DataParallel puts it there).",
    )


def test_one_word_before_every_key_is_named_where_the_file_fits_without_it(tmp_path):
    """As PyTorch Lightning writes the network that a LightningModule keeps as `model` or `net`."""
    state = {f"net.{key}": value for key, value in small().state_dict().items()}
    torch.save({"state_dict": state}, tmp_path / "w.ckpt.pt")
    held = weights.opened(tmp_path / "w.ckpt.pt")
    assert len(weights.put_in(small(), held.tensors)) == 5 + 6  # a counter may be missing
    sentence = "Every key has 'net.' before it; without that word the file fits."
    assert weights.hint(small().to("meta"), held.contents) == weights.hint(small(), held.tensors) == sentence
    for other in ({**state, "more.bias": torch.ones(2)}, {"net.0.weight": torch.ones(2)}, {"net": torch.ones(2)}):
        assert weights.hint(small(), other) == ""


def test_densenet_takes_its_published_files_whose_layers_had_other_names():
    network = vision.models().densenet121()
    names = re.compile(r"(denselayer\d+\.(?:norm|conv))([12])")
    old = {names.sub(r"\1.\2", key): value for key, value in without_counters(network).items()}
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    assert weights.put_in(network, old) == ()


def test_a_network_that_insists_on_a_version_takes_a_file_that_keeps_none():
    """MNASNet alone of torchvision's: torch raises ValueError for what safetensors holds of it."""
    network = vision.models().mnasnet0_5()
    with pytest.raises(ValueError, match="version should be set"):
        network.load_state_dict(without_counters(network))
    assert weights.put_in(network, without_counters(network)) == ()


def test_the_table_of_differences_shows_what_is_wanted_and_given():
    from rich.console import Console

    from poolsearch.cli.tables import differences_table

    console = Console(width=100, record=True, file=io.StringIO())
    many = [Difference(f"k{i}" + "!" * 10**5 * (i == 1), (1,), None) for i in range(40)]
    console.print(differences_table("resnet18", [Difference("fc.bias", (1000,), (3,)), *many]))
    text = console.export_text()
    assert "41 keys do not fit resnet18" in text
    assert re.search(r"fc\.bias +1000 +3", text)
    assert re.search(r"k0 +1 +missing", text)
    assert "and 11 more" in text
    assert len(text) < 9000
