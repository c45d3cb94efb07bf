"""Networks as others build them: timm's names, maps with the channels last, several outputs, mixed weights, volumes."""

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from poolsearch.errors import PlanError, SiteError
from poolsearch.measure.activations import feature_maps
from poolsearch.measure.cost import layer_rows, totals
from poolsearch.modelfiles.script import as_python
from poolsearch.networks import backbones
from poolsearch.networks.backbones import BACKBONES, Backbone, backbone
from poolsearch.plan import Plan, PoolSpec
from poolsearch.surgery import find_sites, rebuild
from poolsearch.surgery.proving import prove


@pytest.fixture
def opened(monkeypatch):
    """Return what opens a network of this test by a name, for pictures of 3 x 16 x 16."""

    def known(name, build):
        network = Backbone(name, lambda channels, classes: build(), (3, 16, 16), 4, source="test")
        monkeypatch.setitem(BACKBONES, name, network)
        backbone.cache_clear()
        return Plan(name, (3, 16, 16))

    yield known
    backbone.cache_clear()


# ------------------------------------------------------------------------------------------------------ timm's names


@pytest.fixture
def timm(monkeypatch):
    """A stand-in for timm with three networks, four files of weights and a name that it has replaced."""
    tags = ("resnet50.a1_in1k", "resnet50.tv_in1k", "resnetblur50.bt_in1k", "tf_efficientnet_b0.ns_jft_in1k")
    configs = {
        "resnet50": SimpleNamespace(input_size=(3, 224, 224), num_classes=1000),
        "resnet50.tv_in1k": SimpleNamespace(input_size=(3, 288, 288), num_classes=21843),
        "resnetblur50": SimpleNamespace(input_size=(3, 224, 224), num_classes=0),
    }
    library = SimpleNamespace(
        list_models=lambda: ["resnet50", "resnetblur50", "tf_efficientnet_b0"],
        list_pretrained=lambda: list(tags),
        get_pretrained_cfg=configs.__getitem__,
        models=SimpleNamespace(get_deprecated_models=lambda: {"tv_resnet50": "resnet50.tv_in1k"}),
    )
    caches = (backbones.known, backbones._tagged, backbone)
    monkeypatch.setattr(backbones, "find_spec", lambda name: True)
    monkeypatch.setattr(backbones, "import_module", lambda name: library)
    for cache in caches:
        cache.cache_clear()
    yield library
    for cache in caches:
        cache.cache_clear()


def test_a_name_with_a_tag_is_opened_with_the_size_and_the_classes_of_its_weights(timm):
    tagged = backbone("timm.resnet50.tv_in1k")
    assert (tagged.size, tagged.classes, tagged.source) == ((3, 288, 288), 21843, "timm")
    assert backbone("timm.resnet50").size == (3, 224, 224)
    assert backbone("timm.resnetblur50").classes == 1000  # where the weights have no classifier
    assert str(backbones.published("timm.resnet50.tv_in1k")) == "timm.resnet50.tv_in1k/3x288x288"
    assert "timm.resnet50.tv_in1k" not in backbones.known()  # the list of networks has each once


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm.resnet5", "Unknown backbone 'timm.resnet5'. Did you mean 'timm.resnet50'? Possible: timm.resnet50,"),
        ("timm.resnet5", "3 names in all, from timm.list_models()."),
        (
            "timm.resnet50.a2_in1k",
            "Unknown tag 'a2_in1k' in 'timm.resnet50'. Did you mean 'a1_in1k'? Possible: a1_in1k, tv_in1k.",
        ),
        ("resnetblur50", "Did you mean 'timm.resnetblur50'?"),
        ("resnet50.a1_in1k", "Did you mean 'timm.resnet50.a1_in1k'?"),
        ("timm.tv_resnet50", "Did you mean 'timm.resnet50.tv_in1k'?"),  # a name that timm has replaced
        ("resnt18", "Did you mean 'resnet18'?"),
        ("resnt18", "and 3 of timm, as in timm.resnet50."),
    ],
)
def test_the_nearest_name_may_be_one_of_timm(timm, name, message):
    with pytest.raises(PlanError) as refused:
        backbone(name)
    assert message in str(refused.value)


def test_the_list_of_possible_names_has_each_once():
    with pytest.raises(PlanError) as refused:
        backbone("resnt18")
    names = str(refused.value).partition("Possible: ")[2].rstrip(".").split(", ")
    assert len(names) > 60
    assert len(set(names)) == len(names)


# --------------------------------------------------------------------------------------------- one picture, not volumes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("r3d_18", "'r3d_18' takes video: 3d is not supported."),
        ("swin3d_t/3x224x224", "3d is not supported"),
        ("fcn_resnet50", "'fcn_resnet50' is one of torchvision's for segmentation."),
        ("resnet18/3x16x112x112", "'resnet18/3x16x112x112' has an input of four numbers: 3d is not supported."),
    ],
)
def test_networks_of_torchvision_that_take_no_picture_say_what_they_are_for(text, message):
    with pytest.raises(PlanError) as refused:
        backbones.published(text)
    assert message in str(refused.value)


class Inside(nn.Sequential):
    """A network of volumes that a picture gets through: it is taken for a volume without a batch."""

    def __init__(self):
        super().__init__(nn.Conv3d(1, 1, 3, padding=1), nn.MaxPool3d((1, 2, 2)))

    def forward(self, x):
        return super().forward(x.mean(1, keepdim=True))


@pytest.mark.parametrize(
    ("name", "build", "reason"),
    [
        ("volumes", lambda: nn.Sequential(nn.Conv3d(3, 4, 3), nn.MaxPool3d(2)), "0 is a Conv3d"),
        ("inside", Inside, "0 calls conv3d"),
    ],
)
def test_a_network_of_volumes_says_that_3d_is_not_supported(opened, name, build, reason):
    plan = opened(name, build)
    with pytest.raises(SiteError) as refused:
        find_sites(plan.backbone, plan.size)
    assert f"{name} is a 3d network ({reason}), and 3d is not supported." in str(refused.value)


# --------------------------------------------------------------------------------------------------------- their shapes


class Blur(nn.Module):
    """A fixed filter that pads by itself, as timm's BlurPool2d; its name says what it does."""

    def __init__(self, channels, taps=3):
        super().__init__()
        row = torch.tensor([1.0, 2, 1] if taps == 3 else [1.0] * taps)
        self.register_buffer("filter", (row[:, None] * row / row.sum() ** 2).expand(channels, 1, taps, taps).clone())

    def forward(self, x):
        reach = self.filter.shape[-1] // 2
        x = F.pad(x, (reach,) * 4, "reflect")
        return F.conv2d(x, self.filter, stride=2, groups=x.shape[1])


class Smooth(Blur):
    """The same under a name that no kind goes by, with a filter of its own."""


def blurring(layer):
    return lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), layer(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
    )


def test_what_pads_by_itself_takes_the_map_before_its_padding(opened):
    """timm.resnetblur50 said 114x114 for a map of 112."""
    plan = opened("blurring", blurring(Blur))
    sites = {site.name: site for site in find_sites(plan.backbone, plan.size)}
    (blur,) = (site for site in sites.values() if site.role == "trunk")
    assert (blur.before, blur.after, str(blur.published)) == ((16, 16), (8, 8), "blur k3 s2 p1")
    words = [row.op for row in layer_rows(plan)]
    assert "blur k3 s2 p1" in words
    assert not any("None" in word or "depthwise" in word for word in words)


def test_a_filter_that_is_no_kind_is_named_by_its_window(opened):
    plan = opened("smoothing", blurring(lambda channels: Smooth(channels, 7)))
    assert "fixed filter k7 s2" in [row.op for row in layer_rows(plan)]


class Mixed(nn.Module):
    """A convolution whose weights are mixed for each picture, as CondConv (Yang 2019) in timm's EfficientNet-CC."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2, 6 * 3 * 9) / 5)
        self.route = nn.Linear(3, 2)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        n, _, h, w = x.shape
        chosen = torch.sigmoid(self.route(F.adaptive_avg_pool2d(x, 1).flatten(1)))
        weight = torch.matmul(chosen, self.weight).view(n * 6, 3, 3, 3)
        y = F.conv2d(x.reshape(1, n * 3, h, w), weight, stride=2, padding=1, groups=n)
        return self.head(F.relu(y.view(n, 6, y.shape[-2], y.shape[-1])).mean((2, 3)))


def test_weights_that_follow_from_the_picture_are_no_branch_that_must_meet_it(opened):
    """timm.tf_efficientnet_cc_b0_4e was refused: "the branches are 14x14 and 1x1 pixels; they must be equal"."""
    plan = opened("mixed", Mixed)
    found = [(site.role, str(site.published), site.before, site.after) for site in find_sites(plan.backbone, plan.size)]
    assert found == [
        ("gate", "global-avg", (16, 16), (1, 1)),
        ("trunk", "conv k3 s2 p1", (16, 16), (8, 8)),
        ("head", "global-avg", (8, 8), (1, 1)),
    ]


class Means(nn.Module):
    """The mean of a map with the channels last, in a module of its own."""

    def __init__(self, keepdim=False):
        super().__init__()
        self.keepdim = keepdim

    def forward(self, x):
        return x.mean((1, 2), keepdim=self.keepdim)


class Last(nn.Module):
    """Its head takes maps with the channels last, as timm's Sequencer: a module, or a call in its forward."""

    def __init__(self, head):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, 2, 1)
        self.head = head
        self.classifier = nn.Linear(8, 4)

    def forward(self, x):
        x = self.conv(x).permute(0, 2, 3, 1)
        x = self.head(x) if self.head else x.mean((1, 2))
        return self.classifier(x).flatten(1)


@pytest.mark.parametrize(("name", "head"), [("last", Means()), ("last-kept", Means(keepdim=True)), ("last-call", None)])
def test_a_head_of_maps_with_the_channels_last_pools_height_and_width(opened, name, head):
    plan = opened(name, lambda: Last(head and Means(head.keepdim)))
    (site,) = (site for site in find_sites(plan.backbone, plan.size) if site.role == "head")
    assert (str(site.published), site.before, site.channels) == ("global-avg", (8, 8), 8)
    x = torch.randn(2, 3, 16, 16)
    published = rebuild(plan, seed=1)
    for kind, pooled in {
        "global-max": torch.amax,
        "avg-max": lambda y, dims: (y.mean(dims) + y.amax(dims)) / 2,
    }.items():
        network = rebuild(Plan.parse(f"{plan}: head={kind}"), seed=1)
        wanted = published.classifier(pooled(published.conv(x), (2, 3)))
        assert torch.allclose(network(x), wanted, atol=1e-6)


class Pyramid(nn.Module):
    """Two outputs, each from a level of its own, as a feature pyramid has them; a dict, as torchvision's return."""

    def __init__(self):
        super().__init__()
        self.level1 = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.level2 = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2))

    def forward(self, x):
        x = self.level1(x)
        return {"fine": x, "coarse": self.level2(x)}


def test_what_only_the_second_output_comes_from_is_no_auxiliary_head(opened):
    plan = opened("pyramid", Pyramid)
    sites = find_sites(plan.backbone, plan.size)
    assert [(site.name, site.role, site.locked) for site in sites] == [
        ("level1", "trunk", ""),
        ("level2", "trunk", ""),
    ]
    changed = rebuild(Plan.parse(f"{plan}: level2=max k2 s2"), seed=1)
    x = torch.randn(1, 3, 16, 16)
    out = changed(x)
    assert torch.equal(out["coarse"], F.max_pool2d(changed.level2[:2](out["fine"]), 2))
    prove(Plan.parse(f"{plan}: level2=max k2 s2"))  # by the gradients of both outputs


def test_copied_python_pools_maps_with_the_channels_last_too(opened):
    plan = opened("last-copied", lambda: Last(Means()))
    assert ", True, True)" in as_python(Plan.parse(f"{plan}: head=global-max"))


class Doubled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, stride=2, padding=1)

    def forward(self, x):
        x = self.conv(x)
        return (x + x).mean((2, 3))


def test_a_map_that_is_added_to_itself_is_read_once(opened):
    rows = {row.op: row for row in layer_rows(opened("doubled", Doubled))}
    assert rows["add"].read_bytes == rows["add"].written_bytes == 4 * 4 * 8 * 8  # 4 channels of 8x8, 4 bytes each


class Tutorial(nn.Module):
    """What tutorials write: two poolings, then a fully connected layer that fits one input size."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.pool, self.fc = nn.MaxPool2d(2), nn.Linear(16 * 4 * 4, 4)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        return self.fc(self.pool(F.relu(self.conv2(x))).flatten(1))


def test_a_network_that_fits_one_input_size_alone_is_recorded_at_that(opened):
    plan = opened("tutorial", Tutorial)
    sites = find_sites(plan.backbone, plan.size)
    assert [(site.before, site.after) for site in sites] == [((16, 16), (8, 8)), ((8, 8), (4, 4))]
    with pytest.raises(SiteError, match="takes exactly 256 numbers, but 1024 reach it"):
        find_sites(plan.backbone, (3, 32, 32))


# ------------------------------------------------------------------------------------- small networks, all by hand


class Twice(nn.Module):
    """Two convolutions, each halved by a call of the same function, then a matrix over all pixels."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.fc = nn.Linear(8 * 4 * 4, 4)

    def forward(self, x):
        x = F.max_pool2d(self.one(x), 2)
        x = F.max_pool2d(self.two(x), 2)
        return self.fc(x.flatten(1))


def test_behind_the_second_call_of_a_function_are_its_own_maps_also_where_the_first_is_another_pooling(opened):
    plan = opened("twice", Twice).put("max_pool2d", PoolSpec.parse("avg k2 s2"))
    image = torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(0))
    model = rebuild(plan).eval()
    with torch.inference_mode():
        wanted = F.max_pool2d(model.two(F.avg_pool2d(model.one(image[None]), 2)), 2)[0]
    assert torch.equal(torch.from_numpy(feature_maps(plan, image.numpy(), "max_pool2d-2")), wanted)


def test_what_stands_behind_the_last_map_does_not_widen_its_field(opened):
    rows = layer_rows(opened("twice", Twice))
    # 3 pixels, 4 behind the pooling; twice that step: 4 + 2 x 2 = 8, 8 + 2 x 1 = 10
    assert [row.field_px for row in rows] == [3, 4, 8, 10, 10, float("inf")]
    assert totals(rows).field_px == 10


def test_attention_is_two_products(opened):
    class Attends(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.fc = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 4)

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            return self.fc(F.scaled_dot_product_attention(x, x, x).mean(1))

    rows = {row.op: row for row in layer_rows(opened("attends", Attends))}
    # 16 patches of 8 numbers: each against each, and their sum of 8 numbers by 16 weights
    assert rows["scaled_dot_product_attention"].macs == 16 * 16 * 8 + 16 * 16 * 8
