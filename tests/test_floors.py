"""The floors hold: imports point down only, and the heavy libraries stay where they belong."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = [  # from the ground up: a file imports from its own floor and from those before it
    ["errors", "files", "memory", "devices", "study_name", "locks", "processes", "torch_private"],
    ["plan"],
    ["records"],
    ["objectives", "config", "config_words", "units"],
    ["pooling"],
    ["networks", "data"],
    ["surgery"],
    ["training"],
    ["modelfiles"],
    ["explain"],
    ["measure"],
    ["sweep"],
    ["figures"],
    ["cli", "app", "__main__", "__init__"],
    ["pages"],
]
FLOOR_OF = {name: floor for floor, names in enumerate(FLOORS) for name in names}

ALLOWED = {  # library -> who may import it
    "streamlit": ("app.py", "poolsearch/pages/", "poolsearch/app/"),
    "optuna": ("poolsearch/sweep/",),
    "sqlalchemy": ("poolsearch/sweep/",),
    "plotly": ("poolsearch/figures/",),
    "torchvision": (),
    "rich": ("poolsearch/cli/tables.py", "poolsearch/cli/run.py"),
    "typer": ("poolsearch/cli/", "experiments/sweep.py"),
}


def sources():
    files = [
        *ROOT.glob("poolsearch/**/*.py"),
        ROOT / "app.py",
        *ROOT.glob("experiments/*.py"),
    ]
    assert len(files) > 40
    return files


def imports(path):
    """Return every module that a file imports, also inside functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return found


def part(path):
    return path.relative_to(ROOT / "poolsearch").parts[0].removesuffix(".py")


def above(path):
    """Return the imports of a file in poolsearch/ that point up."""
    own = FLOOR_OF[part(path)]
    names = {name.split(".")[1] for name in imports(path) if name.startswith("poolsearch.")}
    return {name for name in names if name in FLOOR_OF and FLOOR_OF[name] > own}


def test_every_module_has_a_floor():
    assert {part(path) for path in (ROOT / "poolsearch").rglob("*.py")} <= set(FLOOR_OF)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "poolsearch").rglob("*.py")), ids=lambda path: f"{path.parent.name}.{path.stem}"
)
def test_imports_point_down(path):
    assert above(path) == set()


SWEEP = ["folder", "search", "study", "engines", "running"]  # floors within sweep/, from the ground up
RUNNING = [  # and within sweep/running/
    ["clock", "attempts", "preflight"],
    ["state"],
    ["status"],
    ["ending", "dispatcher"],
    ["control"],
    ["timing"],
    ["coordinator"],
    ["run", "launch", "replaying"],
]


@pytest.mark.parametrize("path", sorted((ROOT / "poolsearch" / "sweep").rglob("*.py")), ids=lambda path: path.stem)
def test_imports_within_sweep_point_down(path):
    own = path.parent.name
    found = {name.split(".")[2:4][0] for name in imports(path) if name.startswith("poolsearch.sweep.")} & set(SWEEP)
    assert own not in SWEEP or all(SWEEP.index(name) <= SWEEP.index(own) for name in found), found
    if own == "running" and path.stem != "__init__":
        floor = {name: place for place, names in enumerate(RUNNING) for name in names}
        beside = {name.split(".")[3] for name in imports(path) if name.startswith("poolsearch.sweep.running.")}
        assert all(floor[name] < floor[path.stem] for name in beside), beside


PRIVATE = {  # where a library's private names may stand, each file with its test
    "poolsearch/torch_private.py",
    "poolsearch/sweep/study/optuna_private.py",
    "poolsearch/app/sessions.py",
}
PUBLIC = {("os", "_exit"), ("segment", "_replace")}  # documented under these names


def private_names(path):
    """Return (owner, name) of each private name that a file takes from elsewhere: an attribute, a text, an import."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            found += [(ast.unparse(node.value), node.attr)]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "hasattr"):
            found += [(ast.unparse(node.args[0]), ast.unparse(node.args[1]).strip("'"))]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("poolsearch"):
            found += [(node.module, name) for name in node.module.split(".") + [alias.name for alias in node.names]]
    private = [pair for pair in found if re.match("_(?!_)", pair[1]) and pair[0] not in ("self", "cls")]
    return [pair for pair in private if pair not in PUBLIC]


def test_private_names_of_libraries_stand_in_one_module_each():
    assert {str(path.relative_to(ROOT)) for path in sources() if private_names(path)} == PRIVATE


def test_a_private_name_is_found(tmp_path):
    file = tmp_path / "wrong.py"
    file.write_text("from a._b import c\nd._e()\ngetattr(f, '_g', None)\nself._own = h.__name__\n")
    assert sorted(private_names(file)) == [("a._b", "_b"), ("d", "_e"), ("f", "_g")]


def modules():
    """Return the file of each module of poolsearch/ by its name."""
    named = {}
    for path in (ROOT / "poolsearch").rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def circles(arrows):
    """Return the modules that are on a circle of imports: those left when all that lead to nothing are taken away."""
    left = dict(arrows)
    while free := [name for name, to in left.items() if not to & left.keys()]:
        for name in free:
            del left[name]
    return set(left)


def test_no_module_imports_one_that_imports_it():
    """Also not for the type checker alone, nor inside a function."""
    named = modules()
    arrows = {
        name: {found for found in imports(path) if found in named and path_is_module(named[found])} - {name}
        for name, path in named.items()
    }
    assert circles(arrows) == set()


def path_is_module(path):
    """Return whether a file is a module and no package's face, which hands on the names of its modules."""
    return path.name != "__init__.py"


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == {"a", "b", "c"}


def test_the_check_can_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    wrong = tmp_path / "poolsearch" / "plan" / "plan.py"
    wrong.parent.mkdir(parents=True)
    wrong.write_text("def f():\n    from poolsearch.sweep import store\n")
    assert above(wrong) == {"sweep"}


@pytest.mark.parametrize("library", ALLOWED)
def test_a_library_stays_where_it_belongs(library):
    for path in sources():
        name = str(path.relative_to(ROOT))
        used = any(module.split(".")[0] == library for module in imports(path))
        assert not used or name.startswith(ALLOWED[library] or ("-",)), f"{name} imports {library}"


def test_pages_import_neither_torch_nor_optuna_nor_plotly():
    for path in ROOT.glob("poolsearch/pages/*.py"):
        assert not {"torch", "optuna", "plotly"} & {module.split(".")[0] for module in imports(path)}, path.name


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("plan", "torch"),
        ("config", "torch"),
        ("cli.tables", "torch"),
        ("figures.network", "torch"),
        ("figures.network", "streamlit"),
    ],
)
def test_a_light_module_stays_light(module, absent):
    code = f"import sys, poolsearch.{module}; sys.exit('{absent}' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_package_knows_nothing_above_itself():
    for path in (ROOT / "poolsearch").rglob("*.py"):
        depth = len(path.relative_to(ROOT / "poolsearch").parts)  # so many parents up is above the package
        text = path.read_text()
        up = [int(number) for number in re.findall(r"__file__\)(?:\.resolve\(\))?\.parents\[(\d+)\]", text)]
        assert max(up, default=0) < depth, f"{path.name} looks above poolsearch/"
        assert not {"experiments", "app", "tests"} & {name.split(".")[0] for name in imports(path)}, path.name
