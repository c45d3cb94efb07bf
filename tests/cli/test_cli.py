"""The command line: what it prints, its JSON, its exit codes, its one-sentence refusals."""

import errno
import json
import os
import platform
import tomllib
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
import torch
from typer.testing import CliRunner

import poolsearch
from poolsearch import devices
from poolsearch.cli.main import app
from poolsearch.config import Space, parse
from poolsearch.modelfiles import checkpoint
from poolsearch.plan import Plan
from poolsearch.surgery import rebuild as rebuilt
from poolsearch.sweep.folder.folder import Options, open_folder
from poolsearch.sweep.running import replaying
from poolsearch.sweep.running.run import run
from poolsearch.sweep.study.reader import trial_rows
from tests.conftest import TINY


def ask(*words):
    return CliRunner().invoke(app, list(words))


def test_sites_as_a_table_and_as_json():
    table = ask("sites", "resnet18/3x64x64")
    assert table.exit_code == 0
    assert "stem     max k3 s2 p1    32x32   16x16   maxpool (max k3 s2 p1)" in table.stdout
    document = json.loads(ask("sites", "resnet18/3x64x64", "--json").stdout)
    assert [site["site"] for site in document["sites"]] == ["conv1", "stem", "layer2", "layer3", "layer4", "head"]
    assert document["sites"][2]["members"][1] == {"path": "layer2.0.downsample.0", "published": "conv k1 s2"}


def test_sites_take_the_usual_input_size_when_none_is_given():
    assert json.loads(ask("sites", "alexnet", "--json").stdout)["backbone"] == "alexnet/3x224x224"


def test_poolings_lists_every_kind_with_its_source():
    from poolsearch.plan.kinds import KINDS

    document = json.loads(ask("poolings", "--json").stdout)
    assert [kind["kind"] for kind in document] == list(KINDS)
    assert all(kind["formula"] and kind["source"] for kind in document)
    assert all(kind["cost"]["times"] > 0 for kind in document)
    assert set(document[1]["cost"]) == {"times", "times_nchw", "kept"}
    assert document[1]["cost"]["kept"] == 0.0
    assert document[1]["cost"]["times_nchw"] == pytest.approx(1, abs=0.1)  # torch's average is what all are measured by
    table = ask("poolings").stdout
    assert "norm=2 (1 to 16)" in table
    assert "patent-pending" in table
    assert "avg k3 s2 p1 uncounted" in table  # what soft collapses to
    assert ask("poolings", "--markdown").stdout.startswith("# Every pooling")


def test_rebuild_writes_a_network_and_refuses_weights_of_another(tmp_path):
    plan = "smallnet/1x20x20: stage1=avg k2 s2"
    first = ask("rebuild", plan, "--out", f"{tmp_path}/net.safetensors", "--json")
    assert json.loads(first.stdout)["plan"] == plan
    again = ask("rebuild", plan, "--weights", f"{tmp_path}/net.safetensors", "--out", f"{tmp_path}/two.safetensors")
    assert again.exit_code == 0
    small = f"{tmp_path}/net.safetensors"
    other = ask("rebuild", "alexnet/3x96x96", "--weights", small, "--out", f"{tmp_path}/three.safetensors")
    assert other.exit_code == 1
    assert "classifier.1.weight" in other.stdout  # a table of what differs
    assert ask("rebuild", "smallnet/1x20x20", "--weights", "DEFAULT", "--out", "x").exit_code == 2


def test_rebuild_takes_a_file_from_before_norms_counted_their_batches(tmp_path):
    """Files that torchvision published before torch 0.4.1 lack these keys, and torch's strict load takes them."""
    state = rebuilt(Plan("resnet18", (3, 64, 64)), seed=3).state_dict()
    torch.save({key: value for key, value in state.items() if "num_batches_tracked" not in key}, tmp_path / "old.pt")
    answer = ask(
        "rebuild",
        "resnet18/3x64x64: stem=avg k2 s2",
        "--weights",
        f"{tmp_path}/old.pt",
        "--out",
        f"{tmp_path}/n.safetensors",
    )
    assert answer.exit_code == 0, answer.output
    got = checkpoint.load(tmp_path / "n.safetensors").network().state_dict()
    assert list(got) == list(state)
    assert all(torch.equal(got[key], state[key]) for key in state)
    document = json.loads(ask("inventory", f"{tmp_path}/old.pt", "--backbone", "resnet18", "--json").stdout)
    assert (document["differences"], document["parameters"]) == ([], 11_689_512)


def test_rebuild_refuses_a_place_where_no_file_can_be_written_before_it_builds_anything(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    monkeypatch.setattr("poolsearch.surgery.rebuild", None)  # nothing is built
    os.mkfifo(tmp_path / "pipe")
    for out, message in {
        "": "is a folder. Give a file in it:",
        "file/net.safetensors": f"can't be written: '{tmp_path}/file' is a file, not a folder.",
        "pipe": "is a device or a pipe",
        "n" * 300: "can't be written: File name too long.",
    }.items():
        refused = ask("rebuild", "smallnet/1x20x20", "--out", f"{tmp_path}/{out}")
        assert (refused.exit_code, message in refused.stderr) == (2, True), refused.output
        assert "Traceback" not in refused.output
    monkeypatch.setattr(os, "access", lambda *_: False)  # to root nothing is read-only
    refused = ask("rebuild", "smallnet/1x20x20", "--out", f"{tmp_path}/net.safetensors")
    assert f"nothing may be written in the folder '{tmp_path}'" in refused.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "pipe"]


def test_rebuild_says_in_a_sentence_what_the_disk_says_while_it_writes(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    refused = ask("rebuild", "smallnet/1x20x20", "--out", f"{tmp_path}/new/net.safetensors")
    assert (refused.exit_code, "net.safetensors' can't be written: No space left on device." in refused.stderr) == (
        2,
        True,
    )
    monkeypatch.undo()
    assert ask("rebuild", "smallnet/1x20x20", "--out", f"{tmp_path}/new/net.safetensors").exit_code == 0


def test_cost_against_the_published_network():
    document = json.loads(ask("cost", "resnet18/3x224x224", "--json").stdout)
    assert document["totals"] == document["published"]
    # He et al. 2016, table 1: 1.8 billion multiply-adds; torchvision's own count is 1.814 GMAC and 11,689,512 weights
    assert document["totals"]["macs"] == 1_814_073_344
    assert document["totals"]["parameters"] == 11_689_512
    changed = ask("cost", "resnet18/3x64x64: stem=avg k2 s2")
    assert changed.exit_code == 0
    assert "avg k2 s2" in changed.stdout
    assert "433 px      435 px" in changed.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sites", "resnet19"], "Unknown backbone 'resnet19'. Did you mean 'resnet18'?"),
        (["cost", "resnet18/3x64x64: stem=max k2 s2 p2"], "Padding 2 is more than half of kernel 2"),
        (["cost", "resnet18/3x64x64: stm=max k2 s2"], "Unknown site 'stm' in 'resnet18'. Did you mean 'stem'?"),
        (["replay", "nothing", "0"], "There is no sweep called 'nothing'. Sweeps here: none yet."),
    ],
)
def test_a_wrong_request_is_refused_in_one_sentence_with_exit_code_2(words, message):
    refused = ask(*words)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.output


def test_a_trial_replays_bit_for_bit(tiny):
    run(tiny.model_copy(update={"trials": 2}), Options(workers=1))
    answer = ask("replay", "tiny", "1", "--json")
    assert answer.exit_code == 0, answer.output
    document = json.loads(answer.stdout)
    assert document["same"] is True
    assert document["away"] == {"accuracy": 0.0, "loss": 0.0}
    assert document["verdict"] == "The same result, bit for bit."
    assert document["differs"] == {}
    assert "trials 0 to 1, got 9" in ask("replay", "tiny", "9").stderr


@pytest.fixture(scope="module")
def drawing(tmp_path_factory):
    """The runs folder of a sweep: the published network, then averages and stochastic poolings."""
    runs, tiny = tmp_path_factory.mktemp("drawing"), parse(TINY)
    space = Space(kinds=("stochastic", "avg"), kernel=(2,), stride=(2,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POOLSEARCH_RUNS", str(runs))
        run(tiny.model_copy(update={"trials": 3, "space": space}), Options(workers=1))
    return runs


@pytest.fixture
def drawn(drawing, monkeypatch):
    """The trial of that sweep that draws at random."""
    monkeypatch.setenv("POOLSEARCH_RUNS", str(drawing))
    return next(row for row in trial_rows(open_folder("tiny")) if "stochastic" in str(row.plan))


def test_a_trial_that_draws_at_random_replays_bit_for_bit(drawn):
    torch.rand(5)
    answer = ask("replay", "tiny", str(drawn.number))
    assert answer.exit_code == 0, answer.output
    assert answer.stdout.endswith("The same result, bit for bit.\n")


def test_a_trial_keeps_what_it_ran_with_and_a_replay_says_what_is_other(drawn, monkeypatch):
    kept = dict(drawn.environment)
    assert kept == devices.environment("cpu")  # one thread in the worker, and in the tests
    assert kept | {"processor": ""} == {
        "poolsearch": poolsearch.__version__, "python": platform.python_version(), "torch": torch.__version__,
        "optuna": optuna.__version__, "device": "cpu", "processor": "", "threads": "1", "dtype": "float32",
        "layout": "channels_last",
    }  # fmt: skip
    monkeypatch.setattr(poolsearch, "__version__", "9.9")
    document = json.loads(ask("replay", "tiny", str(drawn.number), "--json").stdout)
    assert document["differs"] == {"poolsearch": {"recorded": kept["poolsearch"], "now": "9.9"}}
    assert document["same"]  # the version alone changes no bit

    learn = replaying.train_plan
    monkeypatch.setattr(replaying, "train_plan", lambda plan, seed, *rest: learn(plan, seed + 1, *rest))
    words = ask("replay", "tiny", str(drawn.number)).stdout.splitlines()[-1]
    assert words.startswith("Not the same bits, within ")
    assert words.endswith(f" points of accuracy: poolsearch was {kept['poolsearch']}, is 9.9.")


def test_a_trial_of_a_gpu_is_replayed_on_a_gpu_or_where_one_says(drawn, monkeypatch):
    gpu = {**dict(drawn.environment), "device": "cuda", "processor": "NVIDIA H100"}
    monkeypatch.setattr(replaying, "find_trial", lambda study, number: replace(drawn, environment=tuple(gpu.items())))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused = ask("replay", "tiny", str(drawn.number))
    assert refused.exit_code == 2
    assert refused.stderr == (
        f"Trial {drawn.number} of 'tiny' ran on a GPU (NVIDIA H100), and torch has none here. "
        "Replay it on a machine with a GPU, or with --device cpu for a close but not identical result.\n"
    )
    near = json.loads(ask("replay", "tiny", str(drawn.number), "--device", "cpu", "--json").stdout)
    assert near["differs"]["device"] == {"recorded": "cuda", "now": "cpu"}


def test_a_trial_from_before_environments_were_kept_says_so(drawn, monkeypatch):
    old = replace(drawn, environment=(("device", "cpu"),), test_accuracy=0.123)
    monkeypatch.setattr(replaying, "find_trial", lambda study, number: old)
    words = ask("replay", "tiny", str(drawn.number)).stdout.splitlines()[-1]
    assert words == (
        "Not the same bits, within 0.00 points of accuracy: "
        "the trial was recorded before versions and threads were kept with it."
    )


def test_the_doctor_names_each_package_and_the_fix(monkeypatch):
    from poolsearch.cli import doctor

    healthy = ask("doctor")
    assert healthy.exit_code == 0
    assert "torchvision opens its networks" in healthy.stdout
    assert "timm" in healthy.stdout  # there or not, what it opens is said and nothing is wrong
    assert doctor._optional("no-such-package", "1.0", "nothing").what == (
        "no no-such-package: nothing need it (pip install no-such-package==1.0)"
    )
    monkeypatch.setattr(doctor, "version", lambda name: "0.1")
    ill = ask("doctor")
    assert ill.exit_code == 1
    assert 'NO   optuna 0.1, needed is >=5.0,<6\n     fix: pip install "optuna>=5.0,<6"' in ill.stdout


def test_the_doctor_asks_for_what_the_package_asks_for_and_the_pins_are_within():
    from packaging.requirements import Requirement

    from poolsearch.cli.doctor import NEEDED

    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    needed = {found.name: found.specifier for found in map(Requirement, project["dependencies"])}
    assert needed == {name: Requirement(name + versions).specifier for name, versions in NEEDED.items()}
    lines = (root / "requirements.txt").read_text().splitlines()
    pins = dict(line.split("#")[0].strip().split("==") for line in lines if "==" in line)
    assert set(pins) == set(needed)
    assert [name for name, pin in pins.items() if pin not in needed[name]] == []
