"""What is in a model file: backbones by name, checkpoints with and without their Plan, ONNX graphs, folders."""

import importlib.util
import json
import os
import re
import struct

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from poolsearch.cli.main import app
from poolsearch.errors import PoolsearchError
from poolsearch.measure import inventory as module
from poolsearch.measure.inventory import inventory, plan_of
from poolsearch.modelfiles import checkpoint
from poolsearch.plan import Plan
from poolsearch.records.modelfiles import PoolingRow
from poolsearch.surgery import rebuild


def ask(*words):
    return CliRunner().invoke(app, ["inventory", *map(str, words)])


def specs(found):
    return [row.spec for row in found.poolings]


# ------------------------------------------------------------------------------------------------------- by name


def test_a_backbone_has_its_published_poolings_parameters_and_macs():
    found = inventory("resnet18/3x224x224")
    assert (found.parameters, found.macs) == (11_689_512, 1_814_073_344)  # as torchvision says
    stem = next(row for row in found.poolings if row.name.startswith("stem"))
    assert stem == PoolingRow(
        "stem (maxpool)", "max", (3,), (2,), "1", "max k3 s2 p1", before=(112, 112), after=(56, 56)
    )
    assert specs(found).count("conv k1 s2") == 3  # the shortcuts
    assert found.bytes is None


def test_a_plan_shows_what_it_puts_there_and_the_sizes_behind_it():
    found = inventory("smallnet/1x24x24: stage1=avg k3 s3")
    assert [row.name for row in found.poolings] == [
        "stage1 (stage1.pool)", "stage2 (stage2.pool)", "stage3 (stage3.pool)", "head",
    ]  # fmt: skip
    assert [(row.spec, row.before, row.after) for row in found.poolings] == [
        ("avg k3 s3", (24, 24), (8, 8)),
        ("max k2 s2", (8, 8), (4, 4)),
        ("max k2 s2", (4, 4), (2, 2)),
        ("global-avg", (2, 2), (1, 1)),
    ]


def test_the_parameters_of_a_plan_with_another_number_of_classes_are_those_of_the_model():
    found = module.of_plan(plan_of("smallnet"), classes=3)
    ten = inventory("smallnet")
    assert ten.parameters == sum(one.numel() for one in rebuild(Plan("smallnet", (1, 20, 20))).parameters())
    assert ten.parameters - found.parameters == 7 * 65  # 64 weights and a bias for each class
    assert ten.macs - found.macs == 7 * 64


# ---------------------------------------------------------------------------------------------------- checkpoints


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkpoint of ours, one of someone else's, one that fits nothing, one that is broken, and a text."""
    folder = tmp_path_factory.mktemp("models")
    plan = Plan.parse("smallnet/1x12x12: stage1=avg k2 s2")
    checkpoint.save(rebuild(plan, 10), plan, 10, folder / "ours.safetensors")
    theirs = {f"module.{key}": value for key, value in rebuild(plan.published, 4).state_dict().items()}
    torch.save({"state_dict": theirs}, folder / "theirs.pt")
    save_file({"a.weight": torch.zeros(2, 3), "b": torch.zeros(5, dtype=torch.float16)}, folder / "other.safetensors")
    (folder / "broken.pth").write_text("nothing")
    (folder / "notes.txt").write_text("not looked at")
    return folder


def test_a_checkpoint_of_ours_is_read_as_the_plan_it_keeps(folder):
    found = inventory(str(folder / "ours.safetensors"))
    assert (found.format, found.plan) == ("safetensors", "smallnet/1x12x12: stage1=avg k2 s2")
    assert specs(found) == ["avg k2 s2", "max k2 s2", "max k2 s2", "global-avg"]
    assert found.parameters == 24_058
    assert found.bytes == (folder / "ours.safetensors").stat().st_size
    # beside the parameters two statistics of 16 + 32 + 64 channels in float32, and three counters
    assert dict(found.dtypes) == {"float32": 4 * (24_058 + 2 * 112), "int64": 3 * 8}


def test_another_checkpoint_is_read_as_the_backbone_named_with_its_own_classes(folder):
    found = inventory(str(folder / "theirs.pt"), "smallnet")
    assert (found.format, found.plan) == ("torch", "smallnet/1x20x20")
    assert found.parameters == 24_058 - 6 * 65
    assert found.notes == (
        "Taken from 'state_dict'.",
        "'module.' taken off every key (DataParallel puts it there).",
        "4 classes, by the shape of classifier.bias.",
    )


def test_without_a_network_the_keys_say_what_they_can(folder):
    answer = ask(folder / "other.safetensors")
    assert answer.exit_code == 0
    assert "parameters: 11" in answer.stdout
    assert "(float16 10 B, float32 24 B)" in answer.stdout
    assert "keys: a.weight to b" in answer.stdout
    assert "Name the network with --backbone." in answer.stdout


def test_keys_of_100_000_letters_are_cut(tmp_path):
    save_file({"k" * 10**5: torch.zeros(2)}, tmp_path / "long.safetensors")
    for words in ([], ["--markdown"], ["--backbone", "smallnet"], ["--backbone", "smallnet", "--markdown"]):
        answer = ask(tmp_path / "long.safetensors", *words)
        assert "k" * 77 + "..." in answer.stdout
        assert len(answer.stdout) < 5000


def test_a_file_that_does_not_fit_shows_the_differences_and_exits_with_1(folder):
    answer = ask(folder / "other.safetensors", "--backbone", "smallnet")
    assert answer.exit_code == 1
    assert "keys do not fit smallnet/1x20x20" in answer.stdout
    assert re.search(r"stage1.conv.weight +16x1x3x3 +missing", answer.stdout)
    assert "and 0 more" not in answer.stdout
    document = json.loads(ask(folder / "other.safetensors", "--backbone", "smallnet", "--json").stdout)
    assert document["differences"][-2:] == [
        {"key": "a.weight", "wanted": None, "given": [2, 3]},
        {"key": "b", "wanted": None, "given": [5]},
    ]
    assert document["poolings"] is None


@pytest.mark.slow
def test_a_folder_has_a_row_for_each_model_file(folder):
    rows = {row.name: row for row in inventory(str(folder))}
    assert list(rows) == ["broken.pth", "other.safetensors", "ours.safetensors", "theirs.pt"]
    assert (rows["ours.safetensors"].poolings, rows["ours.safetensors"].parameters) == (4, 24_058)
    assert (rows["other.safetensors"].poolings, rows["other.safetensors"].problem) == (None, "")
    assert rows["broken.pth"].parameters is None
    assert "is no file that torch.save wrote" in rows["broken.pth"].problem
    named = {row.name: row for row in inventory(str(folder), "smallnet")}
    assert (
        named["other.safetensors"].problem == "19 keys do not fit smallnet/1x20x20."
    )  # 3 x 6 + 2 of it, and 2 of the file
    assert ask(folder).exit_code == 0


def test_every_backbone_that_can_be_opened_is_known_by_its_name_alone():
    found = inventory("resnet50")
    assert (found.format, found.plan) == ("backbone", "resnet50/3x224x224")
    assert found.parameters == 25_557_032  # as torchvision says
    assert inventory("resnet50/3x64x64: stem=avg k2 s2").plan == "resnet50/3x64x64: stem=avg k2 s2"
    with pytest.raises(PoolsearchError, match=r"backbone 'timm\.nothing'|needs timm"):  # not: no such file
        inventory("timm.nothing")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["resnt18"],
            "There is no such file or folder 'resnt18'. Unknown backbone 'resnt18'. Did you mean 'resnet18'?",
        ),
        (["resnt50"], "Unknown backbone 'resnt50'. Did you mean 'resnet50'?"),
        (["resnet18/gone.pt"], "There is no such file or folder 'resnet18/gone.pt'."),
        (["gone.onnx"], "There is no such file or folder 'gone.onnx'."),
        (["README.md"], "'README.md' is no model file by its name. Possible: .safetensors, .pt, .pth, .onnx."),
        (["docs"], "'docs' holds no model files."),
        (["smallnet/1x" + "9" * 300], "smallnet/1x"),
        (["gone.pt", "--backbone", "smalnet"], "Unknown backbone 'smalnet'"),
    ],
)
def test_a_wrong_request_is_refused_in_one_sentence(words, message):
    refused = ask(*words)
    assert refused.exit_code == 2
    assert message in refused.stderr
    assert "Traceback" not in refused.output


@pytest.mark.slow
def test_as_markdown_the_poolings_are_a_table(folder):
    text = ask(folder / "ours.safetensors", "--markdown").stdout
    assert text.startswith("## 4 poolings and strided convolutions\n\n- ours.safetensors: safetensors\n")
    assert "| stage1 (stage1.pool) | avg | 2 | 2 |  |  | 12x12 | 6x6 | avg k2 s2 |" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    wrong = ask(folder / "other.safetensors", "--backbone", "smallnet", "--markdown").stdout
    assert "| stage1.conv.weight | 16x1x3x3 |  |" in wrong


# ---------------------------------------------------------------------------------------------------- ONNX graphs


def node(operator, output, inputs=("x",), **attributes):
    from onnx import helper

    return helper.make_node(operator, list(inputs), [output], name=output, **attributes)


def graph(path, nodes, initializers=(), functions=()):
    """Write a graph by hand; what flows between the nodes does not matter to what they say."""
    from onnx import TensorProto, helper

    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", "y")]
    made = helper.make_graph(list(nodes), "g", values[:1], values[1:], initializer=list(initializers))
    imports = [helper.make_opsetid("", 22), helper.make_opsetid("own", 1)]
    model = helper.make_model(made, opset_imports=imports, functions=list(functions))
    path.write_bytes(model.SerializeToString())
    return path


def weight(name, *shape):
    from onnx import TensorProto, helper

    count = torch.Size(shape).numel()
    return helper.make_tensor(name, TensorProto.FLOAT, shape, bytes(4 * count), raw=True)


def whole(name, *numbers):
    from onnx import TensorProto, helper

    return helper.make_tensor(
        name, TensorProto.INT64, [len(numbers)], struct.pack(f"<{len(numbers)}q", *numbers), raw=True
    )


def in_a_branch(inner):
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    branch = helper.make_graph([inner], "branch", [], [value])
    return node("If", "choice", ["c"], then_branch=branch, else_branch=branch)


@pytest.fixture(scope="module")
def onnx_rows(tmp_path_factory):
    """One graph with every case; name of the node -> its row."""
    helper = pytest.importorskip("onnx").helper
    nodes = [
        node("MaxPool", "max", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("MaxPool", "odd", kernel_shape=[3, 2], strides=[2, 1], pads=[0, 0, 1, 1], dilations=[1, 1], ceil_mode=1),
        node("MaxPool", "unsaid", kernel_shape=[2, 2]),
        node("AveragePool", "onnx", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        node("AveragePool", "torch", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, count_include_pad=1),
        node("AveragePool", "same", kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_LOWER", ceil_mode=1),
        node("AveragePool", "wide", kernel_shape=[2, 2], strides=[2, 2], dilations=[2, 2]),
        node("MaxPool", "valid", kernel_shape=[2, 2], strides=[2, 2], auto_pad="VALID"),
        node("LpPool", "lp", kernel_shape=[2, 2], strides=[2, 2], p=3),
        node("MaxPool", "far", kernel_shape=[2, 2], strides=[2, 2], pads=[2, 2, 2, 2]),
        node("MaxPool", "uneven", kernel_shape=[2, 2], strides=[2]),
        node("MaxPool", "none", strides=[2, 2]),
        node("GlobalAveragePool", "mean"),
        node("GlobalMaxPool", "top"),
        node("Conv", "conv", ["x", "w"], strides=[2, 2], pads=[3, 3, 3, 3]),
        node("Conv", "still", ["x", "w"], pads=[3, 3, 3, 3]),
        node("Conv", "depthwise", ["x", "d"], kernel_shape=[3, 3], strides=[2, 2], group=8),
        node("Conv", "grouped", ["x", "e"], kernel_shape=[3, 3], strides=[2, 2], group=4),
        node("MaxPool", "theirs", domain="own", kernel_shape=[2, 2]),
        node("MaxPool", "dilated", kernel_shape=[3, 3], strides=[2, 2], pads=[2, 2, 2, 2], dilations=[2, 2]),
        node("GlobalLpPool", "norm", p=3),
        node("ReduceMean", "means", ["x", "both"], keepdims=0),
        node("ReduceMax", "tops", axes=[-2, -1]),  # an attribute before opset 18
        node("ReduceL2", "lengths", ["x", "both"]),
        node("SpaceToDepth", "blocks", blocksize=2),
        node("Slice", "skips", ["x", "zeros", "ends", "both", "twos"]),
        node("Slice", "late", ["x", "ones", "ends", "both", "twos"]),
        node("Slice", "crops", ["x", "zeros", "ends", "both", "ones"]),
        node("MaxRoiPool", "regions", ["x", "r"], pooled_shape=[7, 7]),
        node("QLinearAveragePool", "int8", domain="com.microsoft", kernel_shape=[2, 2], strides=[2, 2]),
        node("Relu", "relu"),
        in_a_branch(node("MaxPool", "branch", kernel_shape=[2], strides=[2])),
    ]
    function = helper.make_function(
        "own", "block", ["x"], ["y"], [node("GlobalMaxPool", "y")], [helper.make_opsetid("", 22)]
    )
    weights = [weight("w", 4, 3, 7, 7), weight("d", 8, 1, 3, 3), weight("e", 8, 2, 3, 3)]
    weights += [whole("both", 2, 3), whole("zeros", 0, 0), whole("ones", 1, 1), whole("twos", 2, 2)]
    weights += [whole("ends", 2**60, 2**60)]
    path = graph(tmp_path_factory.mktemp("onnx") / "m.onnx", nodes, weights, [function])
    found = inventory(str(path))
    floats = 4 * 3 * 49 + 8 * 9 + 8 * 2 * 9
    assert found.parameters == floats + 10
    assert dict(found.dtypes) == {"float": 4 * floats, "int64": 8 * 10}
    return {row.name: row for row in found.poolings}


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("max", "max k3 s2 p1"),
        ("odd", "max k3x2 s2x1 p0:1 ceil"),
        ("unsaid", "max k2 s1"),  # ONNX: stride 1 unless said
        ("onnx", "avg k3 s2 p1 uncounted"),  # count_include_pad is 0 unless said
        ("torch", "avg k3 s2 p1"),
        ("same", "avg k2 s2 same-lower uncounted"),
        ("valid", "max k2 s2"),
        ("lp", "lp k2 s2 norm=3"),
        ("mean", "global-avg"),
        ("top", "global-max"),
        ("conv", "conv k7 s2 p3"),  # its kernel is that of its weight
        ("depthwise", "conv-depthwise k3 s2"),
        ("dilated", "max k3 s2 p2 d2"),  # legal in ONNX, and in torch by what the window spans
        ("means", "global-avg"),
        ("tops", "global-max"),
        ("skips", "subsample s2"),
        ("branch", "max k2 s2"),
        ("y", "global-max"),  # in a function
    ],
)
def test_a_node_of_a_graph_is_a_pooling_in_our_words(onnx_rows, name, spec):
    assert (onnx_rows[name].spec, onnx_rows[name].reason) == (spec, "")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("wide", "Pooling 'avg' takes no dilation."),
        ("far", "No PoolSpec says it. Padding 2 is more than half of kernel 2, so PyTorch refuses it."),
        ("uneven", "of different lengths"),
        ("none", "does not say its kernel"),
        ("grouped", "A convolution of 4 groups has no PoolSpec"),
        ("theirs", "Only the domain 'own' says what it does"),
        ("int8", "Only the domain 'com.microsoft' says what it does"),
        ("norm", "The 3-norm of a whole map has no PoolSpec"),
        ("lengths", "No PoolSpec says what ReduceL2 does to a map."),
        ("blocks", "It moves pixels into channels and drops none"),
        ("late", "It does not begin at the first pixel"),
        ("regions", "It pools regions that come in as a second input."),
    ],
)
def test_a_node_that_no_poolspec_says_has_a_reason(onnx_rows, name, reason):
    assert onnx_rows[name].spec == ""
    assert reason in onnx_rows[name].reason


def test_a_node_is_shown_as_the_graph_says_it(onnx_rows):
    assert onnx_rows["odd"] == PoolingRow(
        "odd", "MaxPool", (3, 2), (2, 1), "0:1x0:1", "max k3x2 s2x1 p0:1 ceil", ceil=True
    )
    assert (onnx_rows["same"].padding, onnx_rows["same"].ceil, onnx_rows["same"].counted) == ("SAME_LOWER", True, False)
    assert onnx_rows["torch"].counted is True
    assert (onnx_rows["skips"].kernel, onnx_rows["skips"].stride) == ((1, 1), (2, 2))
    assert onnx_rows["int8"].does == "com.microsoft.QLinearAveragePool"
    assert not {"still", "relu", "choice", "crops"} & set(onnx_rows)


def shaped(name, *axes):
    from onnx import TensorProto, helper

    return helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)


def said_of(path, nodes, initializers=(), infer=True):
    """Return the rows and the sentences about a graph whose input is a map of 3 x 16 x 16."""
    from onnx import helper

    made = helper.make_graph(list(nodes), "g", [shaped("x", 1, 3, 16, 16)], [shaped("y", None)], list(initializers))
    opsets = [helper.make_opsetid("", 22), helper.make_opsetid("own", 1)]
    path.write_bytes(helper.make_model(made, opset_imports=opsets).SerializeToString())
    found = inventory(str(path))
    return {row.name: row.spec or row.reason for row in found.poolings}, found.notes[1:]


def test_a_map_that_was_flattened_or_turned_is_pooled_over_its_pixels(tmp_path):
    pytest.importorskip("onnx")
    rows, notes = said_of(
        tmp_path / "m.onnx",
        [
            node("Reshape", "flat", ["x", "pixels"]),
            node("ReduceMean", "pooled", ["flat", "last"]),
            node("Transpose", "tokens", ["flat"], perm=[0, 2, 1]),
            node("LayerNormalization", "normed", ["tokens", "scale"]),
            node("ReduceMean", "averaged", ["normed", "one"]),
            node("ReduceMean", "per token", ["normed", "last"]),  # over channels: no pixel is lost
            node("Transpose", "nhwc", perm=[0, 2, 3, 1]),
            node("ReduceMax", "turned", ["nhwc", "inner"]),
        ],
        [whole("pixels", 1, 3, 256), whole("last", -1), whole("one", 1), whole("inner", 1, 2), weight("scale", 3)],
    )
    assert rows == {
        "pooled": "global-avg",
        "averaged": "global-avg",
        "turned": "It reduces axes 1 and 2: height and width, where the channels come last.",
    }
    assert notes == ()


def test_pixels_that_torch_moves_with_three_nodes_are_one_row(tmp_path):
    """What torch.onnx.export makes of pixel_unshuffle, and of x[:, :, ::2, ::2]."""
    pytest.importorskip("onnx")
    rows, notes = said_of(
        tmp_path / "m.onnx",
        [
            node("Reshape", "split", ["x", "six"]),
            node("Transpose", "turned", ["split"], perm=[0, 1, 3, 5, 2, 4]),
            node("Reshape", "moved", ["turned", "four"]),
            node("Slice", "rows", ["x", "zero", "end", "two", "two"]),
            node("Slice", "both", ["rows", "zero", "end", "three", "two"]),
        ],
        [
            whole("six", 1, 3, 8, 2, 8, 2), whole("four", 1, 12, 8, 8), whole("zero", 0), whole("end", 16),
            whole("two", 2), whole("three", 3),
        ],
    )  # fmt: skip
    assert rows["moved"].startswith("It moves pixels into channels and drops none;")
    assert rows["both"] == "subsample s2"
    assert len(rows) == 2
    assert notes == ()


def test_what_shrinks_a_map_and_has_no_row_is_counted_in_a_sentence(tmp_path):
    pytest.importorskip("onnx")
    rows, notes = said_of(
        tmp_path / "m.onnx",
        [
            node("GridSample", "grid", ["x", "g"]),
            node("Gather", "chosen", ["x", "rows"], axis=2),
            node("Slice", "open", ["x", "zero", "end", "two", "unknown"]),
            node("ReduceMean", "along a row", ["x", "three"]),
            node("Resize", "half", ["x", "", "", "sizes"], mode="linear"),
            node("Resize", "double", ["x", "", "", "larger"], mode="nearest"),
            node("Fold", "theirs", domain="own"),
            node("ReduceMean", "channels", ["x", "one"]),
        ],
        [
            whole("rows", 0, 5, 9), whole("zero", 0), whole("end", 16), whole("one", 1), whole("two", 2),
            whole("three", 3), whole("sizes", 1, 3, 8, 8), whole("larger", 1, 3, 32, 32),
        ],
    )  # fmt: skip
    assert rows == {"half": "It resizes the map to a smaller one (linear); no PoolSpec says how."}
    assert notes == (
        "3 nodes shrink the map, or may, and are not looked into: GridSample 1, Gather 1, Slice 1.",
        "1 node reduces some axes of a map and is not looked into: ReduceMean 1.",
        "1 node belongs to another domain and is not looked into: own.Fold 1.",
    )


def elsewhere(name, *shape, location="../../secret"):
    """A tensor whose numbers lie in another file, as torch.onnx.export writes them when nothing else is asked for."""
    tensor = weight(name, *shape)
    tensor.ClearField("raw_data")
    tensor.data_location = 1
    tensor.external_data.add(key="location", value=location)
    return tensor


def test_weights_beside_a_graph_are_counted_by_their_shapes_and_never_opened(tmp_path):
    """Wherever a tensor can stand: a weight, the axes of a reduction, a constant in a branch or in a function."""
    helper = pytest.importorskip("onnx").helper
    from poolsearch.modelfiles import graph as reader

    os.mkfifo(tmp_path / "secret")  # who opens it waits for ever
    places = [f"{tmp_path}/secret", "secret", "../../secret", "file:///etc/passwd", "m.data" * 10**4]
    weights = [elsewhere(f"w{n}", 4, 3, 7, 7, location=place) for n, place in enumerate(places)]
    constant = [node("Constant", "c", [], value=elsewhere("c", 2, location="secret"))]
    axes = elsewhere("axes", 2, location="secret")
    axes.data_type = 7  # int64
    nodes = [
        node("Conv", "conv", ["x", "w0"], strides=[2, 2]),
        node("ReduceMean", "mean", ["x", "axes"]),
        in_a_branch(*constant),
    ]
    function = helper.make_function("own", "f", ["x"], ["c"], constant, [helper.make_opsetid("", 22)])
    path = graph(tmp_path / "m.onnx", nodes, [*weights, axes], [function])
    found = inventory(str(path))
    assert [(row.name, row.spec) for row in found.poolings] == [("conv", "conv k7 s2")]
    assert found.parameters == 5 * 4 * 3 * 49 + 2
    assert dict(found.dtypes) == {"float": 4 * 5 * 4 * 3 * 49, "int64": 16}
    assert found.notes[1].startswith(
        f"The numbers of 6 of 6 tensors are in '{str(tmp_path)[:50]}"
    )  # a long one is shortened
    assert found.notes[1].endswith("and 2 more, which is not opened.")
    assert len(found.notes[1]) < 400
    model = onnx_of(path)
    assert len(reader._unlinked(model)) == 9  # the branch stands twice
    assert b"secret" not in model.SerializeToString()
    assert b"passwd" not in model.SerializeToString()


def onnx_of(path):
    import onnx

    return onnx.load_model(path, load_external_data=False)


def claiming(path, tensor=None):
    tensor = tensor or weight("w", 2)
    tensor.dims[0] = 10**16
    graph(path, [node("Relu", "y")], [tensor])


def sparse_file(path):
    with path.open("wb") as file:
        file.truncate((2 << 30) + 1)


def test_a_graph_that_is_none_or_claims_too_much_is_refused_and_the_others_are_read(tmp_path):
    pytest.importorskip("onnx")
    claiming(tmp_path / "claims.onnx")
    claiming(tmp_path / "far.onnx", elsewhere("w", 2))
    sparse_file(tmp_path / "huge.onnx")
    (tmp_path / "text.onnx").write_text("learning rate 0.1")
    (tmp_path / "empty.onnx").write_bytes(b"")
    good = graph(tmp_path / "good.onnx", [node("GlobalMaxPool", "[bold]\x1b[31m")])
    (tmp_path / "cut.onnx").write_bytes(good.read_bytes()[:-7])
    rows = {row.name.partition(".")[0]: row for row in inventory(str(tmp_path))}
    assert rows["good"].poolings == 1
    assert {name: row.problem for name, row in rows.items() if row.problem} == {
        "claims": f"'claims.onnx' has {rows['claims'].bytes:,} bytes, fewer than its initializers claim.",
        "far": "'far.onnx' claims more than 1,125,899,906,842,624 numbers for one tensor in another file.",
        "huge": "'huge.onnx' has 2,147,483,649 bytes. Possible: 1 to 2,147,483,648, in one file.",
        "text": "'text.onnx' is no ONNX graph, or is cut short.",
        "empty": "'empty.onnx' has 0 bytes. Possible: 1 to 2,147,483,648, in one file.",
        "cut": "'cut.onnx' is no ONNX graph, or is cut short.",
    }
    shown = ask(good).stdout
    assert "[bold]?[31m" in shown  # neither markup nor a code for the terminal


def test_without_the_library_the_line_that_installs_it_is_said(tmp_path, monkeypatch):
    (tmp_path / "m.onnx").write_bytes(b"1")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(PoolsearchError, match="pip install -r requirements-release.txt"):
        inventory(str(tmp_path / "m.onnx"))
    monkeypatch.undo()
    assert module.find_spec is importlib.util.find_spec
