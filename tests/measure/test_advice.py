"""The receptive field against gradients of real networks, and what is said of it."""

import pytest
import torch
from torch import nn

from poolsearch.measure.advice import advice, unproductive
from poolsearch.measure.cost import layer_rows
from poolsearch.networks.backbones import backbone
from poolsearch.plan import Plan
from poolsearch.surgery import replayed
from poolsearch.surgery.rebuild import rebuild


def positive(plan):
    """Return a float64 network in which every weight is positive and a norm does nothing: no gradient cancels."""
    model = rebuild(plan).double().eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.reset_parameters()
    return model


def seen_by_the_middle(plan, path):
    """Return the first and last input row with a gradient of the middle unit of a module's output, and that unit."""
    model, maps = positive(plan), []
    model.get_submodule(path).register_forward_hook(lambda module, inputs, out: maps.append(out))
    x = torch.ones(1, *plan.size, dtype=torch.float64, requires_grad=True)
    model(x)
    unit = maps[0].shape[2] // 2
    (gradient,) = torch.autograd.grad(maps[0][:, :, unit].sum(), x)
    rows = gradient.abs().sum((0, 1, 3)).nonzero().flatten()
    return int(rows[0]), int(rows[-1]), unit


@pytest.mark.parametrize(
    ("text", "path", "last"),
    [
        ("smallnet/1x64x24: stage1=avg k2 s2; stage2=avg k2 s2; stage3=avg k2 s2", "stage3", "stage3.pool"),
        ("smallnet/1x96x24: stage1=blur k3 s2 p1; stage2=avg k3 s2 p1; stage3=conv k2 s2", "stage3", "stage3.pool"),
        ("smallnet/1x96x24: stage1=resize s2; stage2=lp k3 s1 p1; stage3=area s3", "stage3", "stage3.pool"),
        ("resnet18/3x512x64: stem=avg k3 s2 p1", "layer4", "layer4.1.relu"),
        (
            "resnet18/3x544x64: conv1=blur k3 s2 p1; stem=avg k2 s2; layer2=avg k3 s2 p1; layer3=avg k2 s2 before",
            "layer4",
            "layer4.1.relu",
        ),
    ],
)
def test_the_replayed_field_is_where_the_gradient_is(text, path, last):
    plan = Plan.parse(text)
    trace, fields = replayed(plan).trace, replayed(plan).fields
    field = fields[max(i for i, call in enumerate(trace.calls) if call.path == last)]
    first, final, unit = seen_by_the_middle(plan, path)
    assert 0 < first
    assert final < plan.size[1] - 1  # the border cuts nothing off
    assert (first, final) == (unit * field.jump + field.low, unit * field.jump + field.high)


def test_a_layer_is_unproductive_once_its_input_has_seen_the_whole_image():
    # smallnet's windows are entered with fields of 1, 3, 4, 8, 10 and 18 pixels (hand: each k3 adds 2 jumps, k2 one)
    plan = Plan.parse("smallnet/1x20x20")
    assert unproductive(layer_rows(plan)) == ()
    assert [row.path for row in unproductive(layer_rows(Plan.parse("smallnet/1x10x10")))] == [
        "stage3.conv", "stage3.pool"
    ]  # fmt: skip
    assert [row.path for row in unproductive(layer_rows(Plan.parse("smallnet/1x8x18")))] == ["stage3.pool"]


def test_shortcuts_and_heads_are_not_on_the_main_path():
    rows = layer_rows(Plan.parse("resnet18/3x32x32"))
    late = [row.path for row in unproductive(rows)]
    # entered with 3 + 8k + ... : conv1 7, maxpool 11, layer1 19, 27, 35 pixels: from layer1.1.conv2 on
    assert late[0] == "layer1.1.conv2"
    assert len(late) == 13
    assert not any("downsample" in path or path == "avgpool" for path in late)
    assert not any(row.main for row in rows if "downsample" in row.path)


def test_a_gate_is_not_on_the_main_path_though_it_sees_everything():
    rows = layer_rows(Plan.parse("efficientnet_b0/3x64x64"))  # its first block: depthwise, gate, 1x1
    first = [row.path.removeprefix("features.1.0.block.") for row in rows if "features.1.0." in row.path and row.main]
    assert first == ["0.0", "0.1", "0.2", "1", "2.0", "2.1"]  # the "1" is the product; 1.avgpool to 1.fc2 are not here


def test_advice_names_the_border_layer_with_its_numbers():
    border, strides = advice(Plan.parse("resnet18/3x64x64"))
    # 11 px behind the stem, 8 px a convolution in layer1 (43), 8 and 16 px in layer2.0 (67)
    assert border.startswith(
        "After layer2.0.conv2 a unit in the middle already sees the whole 64-pixel input (its receptive field is 67 "
        "pixels); the last 10 convolutions of the main path cannot show it more."
    )
    assert border.endswith("use an input of more than 371 pixels.")  # 435 less the 64 of the last convolution
    assert strides.startswith("5 sites drop pixels without a filter (conv1, stem, layer2, layer3, layer4)")


def test_the_input_that_the_advice_names_is_the_smallest_without_the_sentence():
    assert advice(Plan.parse("resnet18/3x371x371"))[0].startswith("After layer4.1.conv1 ")
    assert not any("already sees" in said for said in advice(Plan.parse("resnet18/3x372x372")))


@pytest.mark.parametrize("name", ["densenet201", "efficientnet_b0", "inception_v3"])
def test_a_published_network_is_never_advised_an_input_of_thousands_of_pixels(name):
    said = advice(Plan(name, backbone(name).size))[0]  # DenseNet-201's last convolution is entered with 3,223 pixels
    assert said.endswith(
        "This network is deeper than any usual input is long: at this size a shallower one sees as much."
    )
    assert "input of more than" not in said


def test_a_filter_at_a_site_takes_it_off_the_list():
    said = advice(Plan.parse("resnet18/3x64x64: conv1=blur k3 s2 p1; stem=avg k2 s2; layer3=max-blur k3 s2 p1"))
    assert said[-1].startswith("2 sites drop pixels without a filter (layer2, layer4)")


def test_a_last_map_of_one_pixel_is_said():
    said = " ".join(advice(Plan.parse("vgg11_bn/3x32x32")))
    assert "The map is 1x1 before the head" in said
    assert "1x1" not in " ".join(advice(Plan.parse("vgg11_bn/3x64x64")))


def test_a_pooling_that_sees_the_whole_map_is_the_border_itself():
    assert advice(Plan.parse("resnet18/3x64x64: stem=spectral s2"))[0] == (
        "After maxpool every unit sees the whole 64-pixel input; the last 16 convolutions of the main path cannot show "
        "it more."
    )


def test_an_input_so_small_that_a_map_vanishes_gets_the_reason():
    (said,) = advice(Plan.parse("alexnet/3x32x32"))
    assert "The smallest input of alexnet is 3x63x63." in said


def test_nothing_to_say_is_one_sentence():
    plan = Plan.parse("smallnet/1x20x20: stage1=avg k2 s2; stage2=avg k2 s2; stage3=avg k2 s2")
    assert advice(plan) == (
        "All 6 convolutions and poolings still gain context: what enters the last one, stage3.pool, has seen 18 of 20 "
        "pixels.",
    )


def test_a_network_whose_auxiliary_head_needs_more_pixels_says_that_it_cannot_be_trained():
    said = advice(Plan.parse("inception_v3/3x128x128"))
    assert any(
        sentence.startswith("It runs, but it can't be trained at this size: Layer AuxLogits") for sentence in said
    )
    assert not any("trained" in sentence for sentence in advice(Plan.parse("inception_v3/3x299x299")))
