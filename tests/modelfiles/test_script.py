"""A Plan as a Python file: run where Poolsearch can't be imported, it is the rebuilt network, bit for bit."""

import ast
import re
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace

import pytest
import torch

from poolsearch.errors import SiteError
from poolsearch.modelfiles import script
from poolsearch.modelfiles.script import as_python
from poolsearch.plan import Plan
from poolsearch.plan.kinds import KINDS, adaptive, heads, wide, windowed
from poolsearch.surgery import check, rebuild, replayed

TEXTS = {
    "published": "resnet18/3x64x64",
    "stem-and-head": "resnet18/3x64x64: stem=max-blur k3 s2 p1; head=gem",
    "behind-an-activation": "resnet18/3x65x65: conv1=max k3 s2 p1; layer2=blur k3 s2 p1",
    "uncounted": "resnet18/3x64x64: stem=avg k3 s2 p1 uncounted; layer3=lp k2 s2 norm=3",
    "restrided": "resnet18/3x64x64: layer2=conv k3 s1 p1; layer3=avg k2 s2 before; layer4=max k2 s2 hybrid",
    "inverted": "mobilenet_v2/3x64x64: stage1=soft k3 s2 p1; stage4=mixed k3 s2 p1 before; stage5=lp k2 s2 hybrid",
    "listed": "alexnet/3x96x96: stage1=max-blur k3 s4 p1; stage2=avg k3 s2 same-upper",
    "vgg": "vgg11_bn/3x64x64: stage1=spectral s2; stage2=blur k3 s2 p1 circular; stage5=max k2 s1",
    "two-convs": "smallnet/1x20x20: stage1=conv k3 s2 p1; stage2=conv-blur k3 s2 p1; stage3=median k3 s2 p1",
    "odd": "smallnet/3x33x27: stage1=max k2x3 s2 p0:1x1 ceil; stage2=max k3 s1 p1 d2; stage3=aps s2; head=global-max",
    "functions": "shufflenet_v2_x0_5/3x64x64: stem=soft k2 s2; stage3=avg k3 s2 p1; head=gem",
    "averaged": "alexnet/3x96x96: head=global-avg",
    "wider": "shufflenet_v2_x0_5/3x64x64: head=pyramid levels=2",
    "divided": "smallnet/1x20x20: stage1=avg k3x2 s2 divisor=4; stage2=avg k3 s2 p1 ceil; stage3=resize s2",
}


def sample(kind):
    """Return a smallnet's Plan with this kind, padded where it takes a padding."""
    if kind in (*heads(), *wide(), *adaptive()):
        return Plan.parse(f"smallnet/1x21x20: head={kind}")
    takes, kernels = KINDS[kind].takes, KINDS[kind].kernels
    words = [f"k{kernels[0] if kernels else 3}"] * ("kernel" in takes) + ["s2"] + ["p1"] * ("padding" in takes)
    return Plan.parse(f"smallnet/1x21x20: stage1={kind} {' '.join(words)}")


PLANS = {name: check(Plan.parse(text)) for name, text in TEXTS.items()}
PLANS |= {f"kind-{kind}": check(sample(kind)) for kind in (*windowed(), *heads(), *wide(), *adaptive())}
every_plan = pytest.mark.parametrize("name", PLANS)

DRIVER = """
import importlib.util, pathlib, runpy, sys, torch

assert importlib.util.find_spec("poolsearch") is None
torch.set_num_threads(1)
found = {}
for path in sorted(pathlib.Path().glob("network-*.py")):
    given = torch.load(path.with_suffix(".pt"), weights_only=True)
    model = runpy.run_path(str(path))["build"]()
    keys = list(model.state_dict())
    model.load_state_dict(given["weights"])
    with torch.no_grad():
        found[path.stem.removeprefix("network-")] = {"keys": keys, "output": model.eval()(given["image"])}
torch.save(found, "found.pt")
runpy.run_path("network-odd.py", run_name="__main__")
assert not any(name.startswith("poolsearch") for name in sys.modules)
"""


def numbers(model):
    """Return random weights and statistics; none stays at the 0 or 1 that a layer starts from."""
    generator = torch.Generator().manual_seed(2)

    def moved(old):
        if not old.is_floating_point():
            return old
        if old.numel() > 10**7:  # seconds to draw and to write: one row stands for all
            return torch.randn(1, *old.shape[1:], generator=generator).mul(0.02).expand(old.shape)
        return old + 0.05 * torch.randn(old.shape, generator=generator)

    return {key: moved(old) for key, old in model.state_dict().items()}


def prepare(folder, name, plan, source):
    """Write a script with its weights and image; return the keys and the output of the rebuilt network."""
    model = rebuild(plan, classes=10).eval()
    keys, weights = list(model.state_dict()), numbers(model)
    image = torch.randn(2, *plan.size, generator=torch.Generator().manual_seed(1))
    model.load_state_dict(weights)
    (folder / f"network-{name}.py").write_text(source)
    torch.save({"weights": weights, "image": image}, folder / f"network-{name}.pt")
    with torch.no_grad():
        return {"keys": keys, "output": model(image)}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Every script run in one fresh process without Poolsearch: what it gave, what was expected, what it printed."""
    folder = tmp_path_factory.mktemp("scripts")
    expected = {name: prepare(folder, name, plan, as_python(plan, 10)) for name, plan in PLANS.items()}
    wrong = as_python(PLANS["restrided"], 10).replace("nn.AvgPool2d(2, 2)", "nn.MaxPool2d(2, 2)")
    expected["wrong"] = prepare(folder, "wrong", PLANS["restrided"], wrong)
    (folder / "driver.py").write_text(DRIVER)
    done = subprocess.run([sys.executable, "-I", "driver.py"], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder, torch.load(folder / "found.pt", weights_only=True), expected, done.stdout


@every_plan
def test_the_script_is_the_rebuilt_network(ran, name):
    _, found, expected, _ = ran
    assert found[name]["keys"] == expected[name]["keys"]
    assert torch.equal(found[name]["output"], expected[name]["output"])
    assert found[name]["output"].isfinite().all() and found[name]["output"].std() > 1e-3


def test_the_comparison_can_fail(ran):
    _, found, expected, _ = ran
    assert found["wrong"]["keys"] == expected["wrong"]["keys"]
    assert not torch.equal(found["wrong"]["output"], expected["wrong"]["output"])


def test_run_as_a_program_it_prints_the_output_shape(ran):
    assert ran[3] == "(1, 10)\n"


def test_no_name_is_undefined_and_no_import_unused(ran):
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", "--no-cache"]
    done = subprocess.run([*command, *ran[0].glob("network-*.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    (ran[0] / "undefined.py").write_text(as_python(PLANS["odd"]).replace("def axes_of", "def sizes_of"))
    assert subprocess.run([*command, ran[0] / "undefined.py"], capture_output=True).returncode == 1


@every_plan
def test_poolsearch_is_named_in_the_head_alone(name):
    lines = as_python(PLANS[name]).splitlines()
    head = next(number for number, line in enumerate(lines) if not line.startswith("#"))
    assert str(PLANS[name]) in lines[0]
    assert not [line for line in lines[head:] if "poolsearch" in line.lower()]


@every_plan
def test_the_head_names_the_lines_that_change_each_site(name):
    lines = as_python(PLANS[name]).splitlines()
    named = re.findall(
        r"^# Lines (\d+) to (\d+) change ([^:]+): (.+) \(published: .+\)$", "\n".join(lines), re.MULTILINE
    )
    assert [site for _, _, site, _ in named] == [site for site, _ in PLANS[name].sites]
    for first, last, site, spec in named:
        assert lines[int(first) - 1] == f"    # {site}: {spec}"
        assert lines[int(last)].startswith(("    # ", "    for path in ", "    return model"))
    changed = sum(int(last) - int(first) + 1 for first, last, *_ in named)
    start = max(number for number, line in enumerate(lines) if line.startswith(("    model = ", "    calls = ")))
    assert lines[start + changed + 1].startswith(("    for path in ", "    return model"))  # no other line in between


@pytest.mark.parametrize(
    ("site", "line"),
    [
        ("stage1=avg k3 s2 p1 uncounted", "model.stage1.pool = nn.AvgPool2d(3, 2, 1, count_include_pad=False)"),
        ("stage1=max k3x2 s2 p1x0 ceil", "model.stage1.pool = nn.MaxPool2d((3, 2), 2, (1, 0), ceil_mode=True)"),
        ("stage1=max k3 s1 p1 d2", "model.stage1.pool = nn.MaxPool2d(3, 1, 1, dilation=2)"),
        ("head=global-max", "model.head = nn.AdaptiveMaxPool2d(1)"),
        ("stage1=max k3 s2 p0:1", "model.stage1.pool = Pooling(max_pool, spec)"),
        ("stage1=avg k3 s2 p1 reflect", "model.stage1.pool = Pooling(avg_pool, spec)"),
        ("stage1=avg k3 s2 divisor=4", "model.stage1.pool = Pooling(avg_pool, spec)"),
        ("head=gem", "model.head = GeM(spec, 64)"),
    ],
)
def test_what_torch_says_exactly_is_written_as_torch(site, line):
    text = as_python(Plan.parse(f"smallnet/1x20x20: {site}"))
    assert f"    {line}\n" in text
    assert ("class PoolSpec" in text) == ("spec" in line)


def test_only_what_a_plan_needs_is_written():
    """A maximum alone needs no window arithmetic, an Lp no filter; smallnet needs no torchvision."""
    names = {
        node.name
        for node in ast.parse(as_python(Plan.parse("smallnet/1x20x20: stage1=max k3 s2 p1"))).body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
    }
    assert names == {"SmallNet", "_stage", "build"}
    text = as_python(Plan.parse("smallnet/1x20x20: stage1=lp k2 s2"))
    assert "def gather" in text and "def filtered" not in text and "torchvision" not in text


def test_an_edit_it_does_not_know_is_refused_in_words(monkeypatch):
    Hidden = namedtuple("Hidden", "site path")
    hidden = replace(replayed("smallnet/1x20x20"), edits=(Hidden("stage1", "stage1.pool"),))
    monkeypatch.setattr(script, "replayed", lambda plan: hidden)
    with pytest.raises(SiteError, match="Site 'stage1' of smallnet is changed by a Hidden, which can't be written"):
        as_python(Plan.parse("smallnet/1x20x20: stage1=avg k2 s2"))
