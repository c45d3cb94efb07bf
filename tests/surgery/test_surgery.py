"""Sites, replay and rebuilding, against the real networks of torch and torchvision."""

import copy
import io
import itertools
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from poolsearch.errors import PlanError, PoolsearchError, SiteError
from poolsearch.measure.cost import layer_rows, totals
from poolsearch.networks import backbones
from poolsearch.networks.backbones import BACKBONES
from poolsearch.plan import Plan, PoolSpec
from poolsearch.plan.kinds import KINDS, adaptive, heads, wide
from poolsearch.plan.windows import Window
from poolsearch.pooling import build as build_pooling
from poolsearch.surgery import check, find_sites, open_network, possible_kinds, rebuild, replayed
from poolsearch.surgery.checking import untrainable
from poolsearch.surgery.proving import prove
from poolsearch.surgery.record import record_calls
from poolsearch.surgery.replay import sizes
from poolsearch.surgery.rewriting import Pooled, rewrite
from poolsearch.surgery.standins import STANDINS

SMALL = {"smallnet": "1x20x20", "alexnet": "3x96x96"}
every_backbone = pytest.mark.parametrize("name", BACKBONES)

PLANS = [
    "smallnet/1x20x20: stage1=conv k3 s2 p1; stage3=soft k2 s1; head=gem",
    "smallnet/3x33x27: stage1=max-blur k3 s2 p1; stage2=lp k2 s2; stage3=subsample s2; head=global-max",
    "resnet18/3x64x64: stem=avg k2 s2",
    "resnet18/3x65x65: conv1=avg k2 s2 before; stem=max-blur k3 s2 p1; layer2=max-blur k3 s2 p1; layer3=max k3 s2 p1",
    "resnet18/3x64x64: layer2=conv k3 s1 p1; layer3=avg k2 s2 before; layer4=avg k2 s2 hybrid; head=global-max",
    "resnet18/3x64x64: conv1=conv-depthwise k3 s2 p1; layer2=avg-conv k2 s2; layer3=gated k2 s2 before; head=avg-max",
    "vgg11_bn/3x64x64: stage1=avg k2 s2; stage2=blur k3 s2 p1; stage5=max k2 s1",
    "mobilenet_v2/3x64x64: stage1=blur k3 s2 p1; stage3=max k2 s2; stage4=avg k3 s2 p1 before; stage5=lp k2 s2 hybrid",
    "alexnet/3x96x96: stage1=max-blur k3 s4 p1; stage2=avg k3 s2 same-upper",
]
# VGG has 130 million weights, AlexNet 60: their turn comes with the slow tests
every_plan = pytest.mark.parametrize(
    "text",
    [pytest.param(text, marks=pytest.mark.slow) if text.startswith(("vgg", "alexnet")) else text for text in PLANS],
)


def usual(name):
    return backbones.published(f"{name}/{SMALL.get(name, '3x64x64')}")


def image(plan, batch=2):
    return torch.randn(batch, *plan.size, generator=torch.Generator().manual_seed(1))


def outputs_of_modules(model, x):
    """Run the model and keep the shape of each module's last output: what the replay must have said."""
    shapes = {}

    def keep(name):
        return lambda module, inputs, out: shapes.__setitem__(name, tuple(out.shape[1:]))

    for name, module in model.named_modules():
        module.register_forward_hook(keep(name))
    with torch.no_grad():
        model.eval()(x)
    return shapes


# ------------------------------------------------------------------------------------------------------------ sites


def test_sites_of_resnet18_are_the_stem_and_the_stages():
    sites = find_sites("resnet18", (3, 64, 64))
    assert [site.name for site in sites] == ["conv1", "stem", "layer2", "layer3", "layer4", "head"]
    assert [str(site.published) for site in sites[:3]] == ["conv k7 s2 p3", "max k3 s2 p1", "conv k3 s2 p1"]
    layer2 = sites[2]
    assert [member.path for member in layer2.members] == ["layer2.0.conv1", "layer2.0.downsample.0"]
    assert (layer2.before, layer2.after) == ((16, 16), (8, 8))


@every_backbone
def test_every_stride_of_the_network_is_at_some_site(name):
    """The oracle: module hooks on the real network see each module whose output is smaller than its input."""
    plan = usual(name)
    found = {member.path for site in find_sites(name, plan.size) for member in site.members}
    model = backbones.build(plan, device="meta").eval()
    shrinking = set()

    def note(path):
        def hook(module, inputs, out):
            smaller = out.dim() == 4 and out.shape[-1] < inputs[0].shape[-1]
            if smaller and next(module.children(), None) is None:
                shrinking.add(path)

        return hook

    for path, module in model.named_modules():
        module.register_forward_hook(note(path))
    model(torch.empty(1, *BACKBONES[name].size, device="meta"))
    # alexnet's convolutions without stride keep their maps; the only function call is mobilenet's head
    assert shrinking <= found
    assert found - shrinking <= {"forward", "avgpool"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("resnet19/3x64x64", "Unknown backbone 'resnet19'. Did you mean 'resnet18'?"),
        ("resnet18/1x64x64", "resnet18 takes 3 channels, got 1. Write 'resnet18/3x64x64'."),
        ("resnet18/3x64x64: stm=avg k2 s2", "Unknown site 'stm' in 'resnet18'. Did you mean 'stem'? Possible: conv1,"),
        ("resnet18/3x64x64: stem=global-avg", "Site 'stem' of resnet18 keeps a map, so 'global-avg' can't"),
        ("resnet18/3x64x64: head=max k2 s2", "Possible: global-avg, global-max, avg-max, gem, avg-max-cat,"),
        ("resnet18/3x64x64: stem=avg k2 s2 before", "'before' says where a pooling stands beside a strided"),
        ("resnet18/3x64x64: conv1=conv k5 s2 p2", "only its stride can change. Nearest: 'conv k7 s2 p3'."),
        ("resnet18/3x64x64: stem=max k40 s2", "Site 'stem': Kernel 40 is larger than the 32-pixel map"),
        ("resnet18/3x64x64: stem=max k3 s33", "Site 'stem': Stride 33 is larger than the 32-pixel map"),
        ("vgg11_bn/3x64x64: head=statistics", "leaves as many numbers as classifier.0, not the last layer, takes"),
        ("vgg11_bn/3x64x64: head=adaptive-max size=6", "expect 7x7, got size=6. Nearest: 'adaptive-max size=7'."),
        ("efficientnet_b0/3x64x64: gate1=avg k2 s2", "it squeezes a map into a gate that scales the trunk"),
        ("googlenet/3x96x96: pool1=avg k3 s2 p1", "its stride stays 1, got 'avg k3 s2 p1'."),
        ("alexnet/3x32x32", "The smallest input of alexnet is 3x63x63."),
        ("vgg11_bn/3x64x64: stage1=max k2 s32", "larger than the 1x1 map that reaches it"),
    ],
)  # fmt: skip
def test_a_plan_that_cannot_run_is_refused_before_any_weight_exists(text, message):
    with pytest.raises(PoolsearchError) as refused:
        check(Plan.parse(text))
    assert message in str(refused.value)
    assert isinstance(refused.value, SiteError | PlanError)


def test_branches_that_no_longer_meet_name_both_sizes():
    # a 3x3 main path keeps an odd map at stride 1, so that both branches pool the same sizes: this one is legal ...
    assert check(Plan.parse("resnet18/3x65x65: layer2=max k2 s2"))
    # ... and a trace whose branches differ says where and what
    trace = open_network("resnet18").trace
    shortcut = next(i for i, call in enumerate(trace.calls) if call.path == "layer2.0.downsample.0")
    broken = trace.change(shortcut, window=Window((1, 1), (3, 3), ((0, 0), (0, 0)), (1, 1), False))
    with pytest.raises(SiteError, match=r"meet at Layer layer2.0 of resnet18 are 6x6 and 8x8 pixels"):
        sizes(broken, (3, 64, 64))


def test_the_canonical_plan_is_in_network_order_without_what_is_published_anyway():
    plan = Plan.parse("resnet18/3x64x64: layer2=avg k2 s2; conv1=conv k7 s2 p3; stem=avg k2 s2")
    assert str(check(plan)) == "resnet18/3x64x64: stem=avg k2 s2; layer2=avg k2 s2"


# ---------------------------------------------------------------------------------------------------------- rebuild


@every_backbone
@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
def test_the_empty_plan_is_the_published_network_bit_for_bit(name, training):
    plan = usual(name)
    published = backbones.build(plan, classes=10).train(training)
    rebuilt = rebuild(plan, classes=10).train(training)
    outs = []
    for model in (published, rebuilt):
        torch.manual_seed(0)  # dropout
        outs.append(model(image(plan)))
    assert torch.equal(*outs)
    assert list(published.state_dict()) == list(rebuilt.state_dict())


@every_plan
def test_a_changed_plan_keeps_every_other_weight_and_key(text):
    plan = Plan.parse(text)
    before = backbones.build(plan, classes=10).state_dict()
    after = rebuild(plan, classes=10).state_dict()
    assert [key for key in after if key in before] == list(before)
    new = set(after) - set(before)
    learned = (".conv.weight", "head.p", ".pooling.mask")
    assert all(key.endswith(learned) for key in new), new
    hybrid = {path for path, weight in after.items() if path in before and weight.shape != before[path].shape}
    assert bool(hybrid) == ("hybrid" in text)
    assert all(torch.equal(after[key], before[key]) for key in before if key not in hybrid)


@every_plan
def test_the_replay_says_what_the_network_does(text):
    plan = check(Plan.parse(text))
    said = {row.path: row.shape for row in layer_rows(plan)}
    ran = outputs_of_modules(rebuild(plan, classes=1000 if plan.backbone != "smallnet" else 10), image(plan))
    ours = {path for path in said if path in ran}
    assert len(ours) > 10
    # a module that a pooling hangs behind or before is seen by the hook with the pooling in it
    hung = {path.removesuffix(".pooling") for path in said if path.endswith(".pooling")}
    assert {path: said[path] for path in ours - hung} == {path: ran[path] for path in ours - hung}
    assert all(said[f"{path}.pooling"] == ran[f"{path}.pooling"] for path in hung)


@every_plan
def test_macs_and_parameters_are_those_of_torchs_own_counter(text):
    plan = check(Plan.parse(text))
    model = rebuild(plan, device="meta").eval()
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, *plan.size, device="meta"))
    rows = layer_rows(plan)
    assert totals(rows).macs == counter.get_total_flops() // 2
    assert totals(rows).parameters == sum(p.numel() for p in model.parameters())


@every_plan
def test_a_changed_network_trains_copies_and_pickles(text):
    plan = Plan.parse(text)
    model = rebuild(plan, classes=10).train()
    loss = model(image(plan)).square().mean()
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    model.eval()
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    x = image(plan)
    for twin in (copy.deepcopy(model), torch.load(buffer, weights_only=False)):
        assert torch.equal(twin(x), model(x))


def test_subsampling_behind_a_stride_1_convolution_is_the_strided_convolution():
    plan = Plan.parse("mobilenet_v2/3x64x64")
    swapped = rebuild(plan.put("stage2", PoolSpec.parse("subsample s2")), classes=10).eval()
    published = rebuild(plan, classes=10).eval()
    assert torch.allclose(swapped(image(plan)), published(image(plan)), rtol=1e-4, atol=1e-5)


def test_weights_of_another_plan_are_refused_with_the_difference():
    weights = rebuild(Plan.parse("smallnet/1x20x20")).state_dict()
    with pytest.raises(SiteError, match=r"are not those of .*: 1 missing \(stage1.pool.conv.weight ...\)"):
        rebuild(Plan.parse("smallnet/1x20x20: stage1=conv k2 s2"), weights=weights)


def test_recording_a_rebuilt_network_finds_the_calls_of_the_replay():
    plan = check(Plan.parse(PLANS[3]))
    calls, _ = record_calls(rebuild(plan, device="meta").eval(), plan.size)
    shapes = replayed(plan).shapes
    assert [c.shape for c in calls if c.op == "add_"] == [
        s for c, s in zip(replayed(plan).trace.calls, shapes) if c.op == "add_"
    ]
    assert calls[-1].shape == shapes[-1]


def a_spec(kind, site):
    """A spec of this kind that may stand at this site."""
    if kind in (*heads(), *wide()):
        return PoolSpec(kind)
    if kind in adaptive():  # the layers behind expect one size
        return PoolSpec(kind, options=site.published.options)
    if kind == "conv" and site.form == "convolution":
        return site.published
    if "kernel" not in KINDS[kind].takes:
        return PoolSpec.parse(f"{kind} s2")
    return PoolSpec.parse(f"{kind} k4 s2 p1" if kind == "wavelet" else f"{kind} k3 s2 p1")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name in ("mobilenet_v2", "vgg11_bn") else name
        for name in BACKBONES
    ],
)
def test_every_kind_runs_in_every_backbone_and_in_the_small_one_at_every_site(name):
    plan = usual(name)
    open_sites = [site for site in find_sites(name, plan.size) if not site.locked]
    for role in ("trunk", "head"):
        sites = [site for site in open_sites if site.role == role]
        for turn, kind in enumerate(possible_kinds(sites[0]) if sites else ()):
            for site in sites if name == "smallnet" else [sites[turn % len(sites)]]:
                model = rebuild(plan.put(site.name, a_spec(kind, site)), device="meta", classes=10)
                assert model(torch.empty(2, *plan.size, device="meta")).shape == (2, 10)


def test_receptive_field_of_resnet18_is_435_pixels():
    # Araujo, Norris, Sim 2019 (distill.pub/2019/computing-receptive-fields) give 435 for ResNet-18 at its last map
    assert totals(layer_rows(Plan.parse("resnet18/3x224x224"))).field_px == 435


# ------------------------------------------------------------------------------------------ any network of the zoos


def test_a_network_is_listed_under_both_of_its_spellings():
    names = ("resnet50", "vgg16_bn", "regnet_y_1_6gf", "timm.resnet26", "timm.dla34")
    assert [backbones.label(name) for name in names] == [
        "ResNet-50 · resnet50", "VGG-16 (BN) · vgg16_bn", "RegNetY-1.6GF · regnet_y_1_6gf", "ResNet-26 · timm.resnet26",
        "timm.dla34",
    ]  # fmt: skip
    torchvisions = [name for name in backbones.known() if not name.startswith("timm.")]
    assert all(backbones.label(name).endswith(f" · {name}") for name in torchvisions)
    with pytest.raises(PlanError, match="Unknown backbone 'ResNet-50'. Did you mean 'resnet50'?"):
        backbones.backbone("ResNet-50")


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "efficientnet_b0", "shufflenet_v2_x1_0", "googlenet"])
def test_the_stand_ins_record_what_torchs_own_kernels_do(name):
    model = backbones.build(Plan(name, (3, 128, 128)), device="meta").eval()
    fast, slow = (record_calls(model, (3, 128, 128), standins=standins)[0] for standins in (True, False))
    assert [(c.op, c.path, c.inputs, c.shape) for c in fast] == [(c.op, c.path, c.inputs, c.shape) for c in slow]


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_the_stand_in_of_a_pooling_has_the_size_that_torch_gives(name):
    asked = 0
    for size, k, s, p, d, up in itertools.product((5, 8, 13), (1, 2, 3), (1, 2, 3), (0, 1), (1, 2), (False, True)):
        options = {"kernel_size": k, "stride": s, "padding": p, "ceil_mode": up}
        options |= {"dilation": d} if name == "max_pool2d" else {}
        said = STANDINS[name](torch.empty(1, 2, size, size, device="meta"), **options)
        if said is None:  # torch is asked, and refuses in its own words
            with pytest.raises(RuntimeError):
                getattr(F, name)(torch.rand(1, 2, size, size), **options)
        else:
            assert said.shape == getattr(F, name)(torch.rand(1, 2, size, size), **options).shape
            asked += 1
    assert asked > 100


@pytest.mark.parametrize(
    ("name", "trunk", "gates"),
    [
        ("densenet121", ["conv0", "pool0", "transition1", "transition2", "transition3"], 0),
        ("efficientnet_b0", ["stage1", "stage2", "stage3", "stage4", "stage5"], 16),  # one squeeze a block
        ("inception_v3", ["Conv2d_1a_3x3", "maxpool1", "maxpool2", "Mixed_6a", "Mixed_7a"], 0),
        ("regnet_y_400mf", ["stem", "block1", "block2", "block3", "block4"], 16),
    ],
)
def test_sites_have_names_that_people_use_and_gates_are_no_trunk(name, trunk, gates):
    sites = find_sites(name)
    assert [site.name for site in sites if site.role == "trunk" and not site.keeps_size] == trunk
    squeezes = [site for site in sites if site.role == "gate"]
    assert len(squeezes) == gates
    assert all(site.locked for site in squeezes)
    assert [site.role for site in sites].count("head") == 1


def test_branches_that_concatenate_are_one_site_with_members_of_every_form():
    site = next(site for site in find_sites("inception_v3") if site.name == "Mixed_6a")
    assert sorted(member.form for member in site.members) == ["convolution", "convolution", "function"]
    still = [site for site in find_sites("inception_v3") if site.keeps_size]
    assert len(still) == 9  # a pooling of stride 1 in each of nine blocks
    assert {str(site.published) for site in still[:3]} == {"avg k3 s1 p1"}


@pytest.mark.parametrize(
    "text",
    [
        "mobilenet_v2/3x64x64: head=gem",  # a function call in the network's own forward
        "densenet121/3x64x64: transition2=max-blur k3 s2 p1; head=avg-max",
        "inception_v3/3x139x139: pool1=max k3 s1 p1; pool4=lp k3 s1 p1; Mixed_6a=blur k3 s2 p1",
        "googlenet/3x96x96: maxpool2=avg k3 s2 ceil; pool3=avg k3 s1 p1",
        pytest.param("vgg11_bn/3x64x64: head=adaptive-max size=7", marks=pytest.mark.slow),
        "efficientnet_b0/3x65x65: stage2=blur k3 s2 p1; stage4=avg k2 s2 before",
    ],
)
def test_swaps_in_other_networks_run_as_replayed_and_keep_every_key(text):
    plan = check(Plan.parse(text))
    model = rebuild(plan).eval()
    theirs = backbones.build(plan)
    assert [key for key in model.state_dict() if not key.endswith("pooling.p")][: len(theirs.state_dict())] == [
        *theirs.state_dict()
    ]
    x = image(plan)
    out = model(x)
    shapes = replayed(plan).shapes
    assert out.shape[1:] == shapes[open_network(plan).trace.outputs[0]][1:] or out.shape[1:] == shapes[-1][1:]
    assert all(spec.kind in repr(model) for _, spec in plan.sites)
    copied = copy.deepcopy(model)
    assert torch.equal(copied(x), out)
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer, weights_only=False)(x), out)
    if plan.backbone == "inception_v3":  # its auxiliary head takes no smaller image than 299 pixels in training
        return
    result = model.train()(x)
    (result if isinstance(result, torch.Tensor) else result[0]).square().mean().backward()
    silent = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert all("aux" in name.lower() for name in silent)


@pytest.mark.parametrize(
    "text", ["resnet18: layer2=blur k3 s2 p1; stem=avg k3 s2 p1", "resnet50: layer3=blur k3 s2 p1"]
)
def test_a_swap_with_the_same_law_leaves_every_size_as_it_was(text):
    name, _, changes = text.partition(":")
    for side in range(97, 130):
        plan = check(Plan.parse(f"{name}/3x{side}x{side}:{changes}"))
        assert totals(layer_rows(plan)).last_map == totals(layer_rows(plan.published)).last_map


class Branching(torch.nn.Module):
    """A forward that no symbolic trace can follow, and that reads its training flag."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        x = self.conv(x)
        if x.shape[-1] > 4 and not self.training:
            x = torch.nn.functional.max_pool2d(x, 2)
        x = torch.nn.functional.max_pool2d(x, 2)
        return x.mean((2, 3))


def test_a_call_in_a_forward_that_cannot_be_traced_is_replaced_as_it_runs():
    model, x = Branching().eval(), torch.randn(1, 3, 8, 8)
    features = model.conv(x)
    expected = torch.nn.functional.avg_pool2d(torch.nn.functional.max_pool2d(features, 2), 2).mean((2, 3))
    patches = {("max_pool2d", 1): Pooled(build_pooling(PoolSpec.parse("avg k2 s2"), 4), False)}
    changed = rewrite(copy.deepcopy(model), "", patches)
    assert torch.allclose(changed(x), expected)
    assert torch.allclose(copy.deepcopy(changed)(x), expected)
    with pytest.raises(RuntimeError):
        changed(x[:, :2])  # an error inside must not leave the mode open
    assert torch.equal(model(x), model(x))
    assert list(changed.state_dict()) == list(model.state_dict())


def test_published_weights_are_loaded_before_the_network_is_changed():
    plan = check(Plan.parse("smallnet/1x20x20: stage1=conv k3 s2 p1; stage2=max-blur k2 s2"))
    weights = {
        key: torch.rand_like(value, dtype=torch.float32) for key, value in rebuild(plan.published).state_dict().items()
    }
    state = rebuild(plan, published=weights).state_dict()
    assert all(torch.equal(state[key], value.to(state[key].dtype)) for key, value in weights.items())
    assert sorted(set(state) - set(weights)) == ["stage1.pool.conv.weight"]  # what learns starts as it does
    del weights["classifier.bias"]
    with pytest.raises(SiteError, match=r"are not those of 'smallnet/1x20x20': 1 missing \(classifier.bias ...\)"):
        rebuild(plan, published=weights)


def test_weights_that_cannot_be_fetched_say_where_to_get_them(monkeypatch):
    from poolsearch.modelfiles.published import published_weights

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", no_network)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    plan = Plan.parse("resnet18/3x224x224")
    with pytest.raises(PoolsearchError, match=r"could not be fetched from https://.*pth .*give its path instead"):
        published_weights(plan, "DEFAULT")
    with pytest.raises(PoolsearchError, match="Unknown weights 'IMAGENET1K_V9' in 'resnet18'. Possible: IMAGE"):
        published_weights(plan, "IMAGENET1K_V9")


def no_network(*_, **__):
    raise OSError("no network")


def test_auxiliary_heads_are_listed_and_locked_and_say_when_they_need_a_larger_image():
    aux = [site for site in find_sites("googlenet") if site.role == "aux"]
    assert [str(site.published) for site in aux] == ["adaptive-avg size=4", "adaptive-avg size=4"]
    assert all("auxiliary head" in site.locked for site in aux)
    inception = Plan.parse("inception_v3/3x299x299: pool1=max k3 s1 p1; Mixed_6a=max-blur k3 s2 p1")
    assert untrainable(inception) == ""
    assert "AuxLogits" in untrainable(Plan.parse("inception_v3/3x128x128"))
    assert untrainable(Plan.parse("resnet18/3x64x64")) == ""


@pytest.mark.parametrize(
    "text", ["resnet18/3x64x64: stem=max-blur k3 s2 p1; layer3=blur k3 s2 p1", "mobilenet_v2/3x64x64: head=gem"]
)
def test_a_plan_is_proved_by_its_own_network(text):
    prove(Plan.parse(text))


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "resnet18/3x64x64: stem=max-blur k3 s2 p1; layer2=blur k3 s2 p1; head=gem",
        "mobilenet_v2/3x64x64: stage2=avg k2 s2 before; head=avg-max",
        "densenet121/3x64x64: transition1=soft k2 s2",
    ],
)
def test_a_changed_network_compiles_into_one_graph_and_exports(text):
    plan = Plan.parse(text)
    model, x = rebuild(plan).eval(), image(plan)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = model(x)
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        assert torch.allclose(compiled(x), expected, atol=1e-5)
        assert torch.allclose(torch.export.export(model, (x,)).module()(x), expected, atol=1e-5)


def test_an_odd_pixel_of_padding_stands_at_the_same_end_of_the_shortcut():
    """Both branches of a residual stage pad one pixel at the end: padded elsewhere, their windows would not line up."""
    poolings = {
        edit.path: edit.spec.padding
        for edit in replayed("resnet18/3x64x64: layer2=max k2 s2 p0:1").edits
        if hasattr(edit, "side")
    }
    assert poolings == {"layer2.0.conv2": ((0, 1),), "layer2.0.downsample.0": ((0, 1),)}


def test_two_edits_side_by_side_are_each_in_their_place():
    """The pooling behind the first convolution stands right before the max pooling, which is another one now, too."""
    rows = layer_rows("resnet18/3x64x64: conv1=avg k3 s2 p1; stem=avg k2 s2")
    assert [(row.path, row.op, row.shape) for row in rows[:5]] == [
        ("conv1", "conv k7 s1 p3", (64, 64, 64)),
        ("bn1", "norm", (64, 64, 64)),
        ("relu", "relu", (64, 64, 64)),
        ("relu.pooling", "avg k3 s2 p1", (64, 32, 32)),
        ("maxpool", "avg k2 s2", (64, 16, 16)),
    ]
