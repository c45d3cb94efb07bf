"""Networks of other installed packages: known by the name in their entry points, and never in the way of the others."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from poolsearch.errors import PlanError, PoolsearchError
from poolsearch.modelfiles.published import published_weights
from poolsearch.modelfiles.script import as_python
from poolsearch.networks import declared
from poolsearch.networks.backbones import backbone, known
from poolsearch.plan import Plan
from poolsearch.surgery import find_sites, rebuild

ROOT = Path(__file__).parents[2]
NETS = """
import torch
from torch import nn

def tutorial(classes):
    return nn.Sequential(nn.Conv2d(3, 8, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))

def small(classes):
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(8, classes))
small.size = (1, 28, 28)

def no_network(classes):
    return [classes]

def failing(classes):
    raise RuntimeError("no weights here\\nand more")

def sized(classes):
    return small(classes)
sized.size = "28"

number = 7
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return what installs a package by its entry points, beside the module `nets` above; all is gone afterwards."""
    caches = (declared.declared, known, backbone)
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)

    def installed(*lines, package="mine"):
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("\n".join(["[poolsearch.backbones]", *lines, ""]))
        for cache in caches:
            cache.cache_clear()
        return tmp_path

    yield installed
    sys.modules.pop("nets", None)
    for cache in caches:
        cache.cache_clear()


def refused(name):
    with pytest.raises(PlanError) as refusal:
        rebuild(f"{name}/3x224x224")
    return str(refusal.value)


def test_a_declared_network_is_known_and_opened(install):
    install("small = nets:small")
    assert "small" in known()
    assert [site.name for site in find_sites("small")] == ["stem", "head"]
    network = rebuild("small/1x28x28: stem=avg k2 s2", classes=7)
    assert network(torch.zeros(2, 1, 28, 28)).shape == (2, 7)
    assert backbone("small").source == "mine 1.0"


def test_nothing_is_imported_to_list_it(install):
    install("small = nets:small")
    assert "small" in known() and "nets" not in sys.modules


def test_its_input_is_that_of_its_attribute_or_the_usual_one(install):
    install("small = nets:small", "failing = nets:failing", "sized = nets:sized")
    assert (backbone("small").size, backbone("failing").size) == ((1, 28, 28), (3, 224, 224))
    assert refused("sized") == (
        "The backbone 'sized' has no input size: the attribute size of 'nets:sized' of the package mine 1.0 is '28'. "
        "Write (channels, height, width), each from 1 to 4096."
    )


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (
            "gone:net",
            "can't be imported: 'gone:net' of the package mine 1.0 raises ModuleNotFoundError: No module named",
        ),
        (
            "nets:gone",
            "can't be imported: 'nets:gone' of the package mine 1.0 raises AttributeError: module 'nets' has",
        ),
        ("two words", "can't be imported: 'two words' of the package mine 1.0 raises"),
        ("nets:number", "is no function of the classes: 'nets:number' of the package mine 1.0 is an int."),
        ("nets:no_network", "is no torch.nn.Module: 'nets:no_network' of the package mine 1.0 returns a list."),
        (
            "nets:failing",
            "can't be built: 'nets:failing' of the package mine 1.0 raises RuntimeError: no weights here.",
        ),
    ],
)
def test_a_broken_one_is_refused_in_one_sentence_and_the_others_stay(install, value, sentence):
    install(f"broken = {value}", "small = nets:small")
    assert {"broken", "small", "resnet18"} <= set(known())
    assert refused("broken").startswith(f"The backbone 'broken' {sentence}")
    assert find_sites("small", (1, 28, 28))


@pytest.mark.parametrize(
    ("name", "owner"), [("resnet18", "torchvision"), ("vgg16", "torchvision"), ("smallnet", "Poolsearch")]
)
def test_a_name_that_is_taken_is_refused_with_both(install, name, owner):
    install(f"{name} = nets:small")
    assert known().count(name) == 1
    assert refused(name) == (
        f"The backbone '{name}' is there twice: of {owner} and of 'nets:small' of the package mine 1.0. "
        "Change the name that a package declares in its entry points, or uninstall the package."
    )


def test_a_name_that_two_packages_declare_is_refused_with_both(install):
    install("small = nets:small")
    install("small = nets:tutorial", package="other")
    assert "of 'nets:small' of the package mine 1.0" in refused("small")
    assert "of 'nets:tutorial' of the package other 1.0" in refused("small")


def test_what_can_be_no_name_is_left_out(install):
    install("timm.mine = nets:small", "my net = nets:small", "small = nets:small")
    assert set(declared.declared()) == {"timm.mine", "small"}
    assert "timm.mine" not in known()
    assert "of timm and of 'nets:small' of the package mine 1.0" in refused("timm.mine")


def test_a_package_whose_file_is_broken_leaves_the_others_known(install):
    install("a line without a value", package="broken")
    install("small = nets:small")
    assert list(declared.declared()) == ["small"]


def test_it_is_exported_as_python_that_imports_its_package(install, tmp_path):
    install("small = nets:small")
    plan = Plan.parse("small/1x28x28: stem=avg k2 s2")
    text = as_python(plan, 7)
    assert f"# beside torch {torch.__version__} and mine 1.0." in text
    assert "import nets" in text and "model = nets.small(7)" in text
    made = {"__name__": "made"}
    exec(compile(text, "made.py", "exec"), made)
    assert list(made["build"]().state_dict()) == list(rebuild(plan, 7).state_dict())
    assert made["build"]()(torch.zeros(2, 1, 28, 28)).shape == (2, 7)


def test_its_weights_are_read_from_a_file(install):
    install("small = nets:small")
    with pytest.raises(
        PoolsearchError, match=r"The weights of small are read from a file: \.safetensors, \.pt or \.pth"
    ):
        published_weights(Plan("small", (1, 28, 28)), "DEFAULT")


def test_an_unknown_name_is_guessed_among_declared_ones(install):
    install("tutorial = nets:tutorial")
    assert "Did you mean 'tutorial'?" in refused("tutorail")


def test_the_command_line_opens_it(install):
    folder = install("small = nets:small")
    command = [sys.executable, "-c", "from poolsearch.cli.entry import main; main()", "sites", "small", "--json"]
    path = {"PYTHONPATH": f"{folder}:{ROOT}", "PATH": "/usr/bin:/bin"}
    run = subprocess.run(command, cwd=folder, env=path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert [site["site"] for site in json.loads(run.stdout)["sites"]] == ["stem", "head"]
