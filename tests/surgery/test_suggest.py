"""Another kind at a site: one rule for page and sweep, which keeps the published output size."""

import pytest

from poolsearch.config import parse
from poolsearch.networks.backbones import BACKBONES
from poolsearch.plan import Plan, PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.plan.windows import pooled_size
from poolsearch.surgery import check, find_sites, possible_kinds, replayed
from poolsearch.surgery.suggest import follows_rule, keeps_size, other_kind, other_window, suggest
from poolsearch.sweep.search.space import space_of

ZOO = [*BACKBONES, "googlenet", "squeezenet1_1", "densenet121", "inception_v3", "shufflenet_v2_x1_0"]


def site_of(name, site):
    return next(one for one in find_sites(name) if one.name == site)


def open_sites(name):
    return [site for site in find_sites(name) if not site.locked]


@pytest.mark.parametrize(
    ("backbone", "site", "published", "asked", "expected"),
    [
        ("alexnet", "stage2", "max k3 s2", "avg", "avg k3 s2"),  # 55 to 27, not 28
        ("alexnet", "stage2", "max k3 s2", "max-blur", "max-blur k3 s2"),
        ("alexnet", "stage2", "max k3 s2", "wavelet", "wavelet k4 s2 p0:1"),  # 2 can't lose what a 3 loses
        ("alexnet", "stage2", "max k3 s2", "area", "area s2"),
        ("alexnet", "stage1", "conv k11 s4 p2", "avg", "avg k3 s4 p1"),
        ("alexnet", "head", "adaptive-avg size=6", "adaptive-max", "adaptive-max size=6"),
        ("resnet18", "stem", "max k3 s2 p1", "wavelet", "wavelet k2 s2 p0:1"),
        ("resnet18", "stem", "max k3 s2 p1", "avg k2", "avg k2 s2 ceil"),  # as in the shortcut of ResNet-D
        ("resnet18", "stem", "max k3 s2 p1", "blur k2", "blur k2 s2 p0:1"),  # has no ceil mode
        ("resnet18", "stem", "max k3 s2 p1", "avg k2 s1", "avg k2 s1"),
        ("resnet18", "layer2", "conv k3 s2 p1", "conv k2 s1", "conv k3 s1 p1"),
        ("smallnet", "stage1", "max k2 s2", "avg k3", "avg k3 s2 ceil"),
        ("smallnet", "stage1", "max k2 s2", "max-blur k3", "max-blur k3 s2 p0:1"),
        ("smallnet", "stage1", "max k2 s2", "lp k3 s1", "lp k3 s1 p1"),  # another stride: no published size to keep
        ("smallnet", "stage1", "max k2 s2", "lp k2 s1", "lp k2 s1"),
        ("googlenet", "maxpool2", "max k3 s2 ceil", "avg", "avg k3 s2 ceil"),
        ("googlenet", "maxpool2", "max k3 s2 ceil", "blur", "blur k3 s2 p0:1"),
        ("googlenet", "pool1", "max k3 s1 p1", "avg", "avg k3 s1 p1"),
        ("convnext_tiny", "stage1", "conv k4 s4", "max", "max k3 s4 p1"),
    ],
)
def test_the_padding_follows_from_the_published_size(backbone, site, published, asked, expected):
    place, words = site_of(backbone, site), asked.split()
    assert str(place.published) == published
    numbers = {word[0]: (int(word[1:]),) for word in words[1:]}
    assert str(suggest(place, words[0], numbers.get("k", ()), numbers.get("s", ()))) == expected


@pytest.mark.parametrize("name", ZOO)
def test_a_kind_with_a_padding_keeps_the_published_size_of_every_map(name):
    for site in open_sites(name):
        for kind in possible_kinds(site):
            spec = suggest(site, kind)
            if site.form != "convolution" and "padding" in KINDS[kind].takes:
                assert [pooled_size(spec, (n, n + 1)) for n in range(7, 80)] == [
                    pooled_size(site.published, (n, n + 1)) for n in range(7, 80)
                ], (site.name, kind)
                assert keeps_size(site, spec)


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "densenet121", "shufflenet_v2_x1_0"])
@pytest.mark.parametrize("side", [97, 98, 99, 100])
def test_every_kind_leaves_the_whole_network_its_published_sizes(name, side):
    """Strided convolutions too, with all members of their sites; kinds of one window are one Plan here."""
    published = Plan(name, (3, side, side))
    out = replayed(published).shapes[-1], _sizes(published)
    for site in open_sites(name):
        windows = {}
        for kind in possible_kinds(site) if site.role == "trunk" else ():
            spec = suggest(site, kind)
            windows.setdefault((spec.kernel, spec.padding, spec.ceil, "padding" in KINDS[kind].takes), spec)
        for spec in windows.values():
            plan = check(published.put(site.name, spec))
            if keeps_size(site, spec):
                assert (replayed(plan).shapes[-1], _sizes(plan)) == out, str(plan)


def _sizes(plan):
    """The sizes of all sums and concatenations: what stands behind the sites, not inside them."""
    replay = replayed(plan)
    trace, shapes = replay.trace, replay.shapes
    return [shape for call, shape in zip(trace.calls, shapes) if call.op in ("add", "add_", "cat", "linear")]


@pytest.mark.parametrize("name", [*BACKBONES, "googlenet", "squeezenet1_1"])
def test_what_the_page_puts_at_a_site_is_in_the_space_of_a_sweep(name):
    plan = Plan(name, find_size(name))
    for site in open_sites(name):
        wanted = {kind: other_kind(site, site.published, kind) for kind in possible_kinds(site)}
        kernels = sorted({n for spec in wanted.values() for n in spec.kernel} | {2, 3})
        strides = sorted({*(site.published.stride or (2,)), 1, 2})
        config = parse(
            f'study = "s"\nbackbone = "{plan}"\n[space.{site.name}]\nkinds = {list(wanted)}\n'
            f"kernel = {kernels}\nstride = {strides}\n".replace("'", '"')
        )
        specs = next(specs for one, _, specs in space_of(config).sites if one == site.name)
        assert {kind: spec in specs for kind, spec in wanted.items()} == dict.fromkeys(wanted, True), site.name


def find_size(name):
    return {"smallnet": (1, 20, 20)}.get(name, (3, 128, 128))


@pytest.mark.parametrize("name", BACKBONES)
def test_a_kind_is_the_same_whatever_stood_there_before(name):
    for site in open_sites(name):
        kinds = possible_kinds(site)
        for kind in kinds:
            through = {other_kind(site, other_kind(site, site.published, other), kind) for other in kinds}
            assert through == {suggest(site, kind)}, (site.name, kind)
            assert follows_rule(site, suggest(site, kind))


def test_what_was_asked_for_by_hand_stays_asked_for():
    stem = site_of("resnet18", "stem")
    assert str(other_kind(stem, PoolSpec.parse("max k4 s2 p2"), "avg")) == "avg k4 s2 p2"  # a padding of its own
    assert str(other_kind(stem, PoolSpec.parse("max k4 s2 p1"), "wavelet")) == "wavelet k4 s2 p1"
    assert (
        str(other_kind(stem, PoolSpec.parse("max k2 s4 ceil"), "blur")) == "blur k2 s4 p0:1"
    )  # another stride with another padding than the usual one: chosen by hand, its size rule is kept
    assert str(other_window(stem, stem.published, kernel=(2,))) == "max k2 s2 ceil"
    assert str(other_window(stem, stem.published, stride=(4,))) == "max k3 s4 p1"
    lp = PoolSpec.parse("lp k3x2 s2 p1x0 norm=3")
    assert str(other_window(stem, lp, stride=(3,))) == "lp k3x2 s3 p1x0 norm=3"
    layer2 = site_of("resnet18", "layer2")
    behind = suggest(layer2, "avg", (2,))
    assert (str(behind), str(other_window(layer2, behind, placement="before"))) == (
        "avg k2 s2 ceil", "avg k2 s2 ceil before"
    )  # fmt: skip


def test_a_kind_that_cannot_keep_the_size_is_known():
    stage2 = site_of("alexnet", "stage2")
    assert [kind for kind in possible_kinds(stage2) if not keeps_size(stage2, suggest(stage2, kind))] == [
        kind for kind in possible_kinds(stage2) if KINDS[kind].takes == ("stride",)
    ]
    assert not keeps_size(stage2, PoolSpec.parse("avg k3 s2 p1"))
