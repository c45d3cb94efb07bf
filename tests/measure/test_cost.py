"""What a layer costs: operations against torch's own counter, bytes and peak memory by hand, layers side by side."""

import weakref
from importlib.util import find_spec

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.surgery import TIMM
from poolsearch import pooling
from poolsearch.cli.tables import console, layers_table, totals_table
from poolsearch.errors import PlanError
from poolsearch.measure.arithmetic import Work, work
from poolsearch.measure.cost import REST, aligned, layer_rows, totals
from poolsearch.measure.inventory import of_plan
from poolsearch.networks import backbones
from poolsearch.networks.sizes import networks
from poolsearch.plan import Plan, PoolSpec
from poolsearch.plan.kinds import KINDS
from poolsearch.surgery import check, rebuild
from poolsearch.units import change, count, size

TEN = [
    "resnet18", "resnet50", "vgg11_bn", "densenet121", "mobilenet_v2", "mobilenet_v3_large", "efficientnet_b0",
    "googlenet", "squeezenet1_1", "shufflenet_v2_x1_0",
]  # fmt: skip
CHANGED = "resnet18/3x64x64: stem=avg k2 s2"


def rows_of(text):
    return {row.path: row for row in layer_rows(Plan.parse(text))}


def counted(model, *size):
    with FlopCounterMode(display=False) as counter:
        out = model.eval()(torch.empty(1, *size, device="meta"))
    return counter.get_total_flops() / 2, tuple(out.shape[1:])


# ------------------------------------------------------------------------------------------------------- operations


@pytest.mark.parametrize("name", [*TEN, "convnext_tiny", "swin_t"])
def test_macs_of_a_backbone_are_those_of_torchs_counter(name):
    try:
        plan = backbones.published(f"{name}/3x224x224")
    except PlanError as unknown:
        pytest.skip(f"no such backbone yet: {unknown}")
    macs, _ = counted(backbones.build(plan, device="meta"), *plan.size)
    assert macs > 1e8
    assert totals(layer_rows(plan)).macs == pytest.approx(macs, rel=1e-3)


def a_spec(kind):
    words = [kind] + ["k4" if kind == "wavelet" else "k3"] * ("kernel" in KINDS[kind].takes)
    return PoolSpec.parse(" ".join(words + ["s2"] * ("stride" in KINDS[kind].takes)))


PADDED = [
    f"{a_spec(kind)}{border}" for kind in KINDS if "padding" in KINDS[kind].takes for border in (" p1", " p1 zeros")
]


@pytest.mark.parametrize("text", [*(str(a_spec(kind)) for kind in KINDS), *PADDED])
def test_macs_of_every_kind_are_those_of_torchs_counter(text):
    spec = PoolSpec.parse(text)
    with torch.device("meta"):
        module = pooling.build(spec, 8)
    macs, out = counted(module, 8, 17, 12)
    weights = sum(p.numel() for p in module.parameters())
    assert work(spec, (8, 17, 12), out, weights).macs == macs


@pytest.mark.parametrize(
    ("spec", "comparisons", "additions"),
    [  # for one channel of 4x4 numbers: four windows of 2x2, or the whole map
        ("max k2 s2", 4 * 3, 0),
        ("min k2 s2", 4 * 3, 0),
        ("avg k2 s2", 0, 4 * (3 + 1)),  # three additions, one division
        ("area s2", 0, 4 * (3 + 1)),
        ("median k2 s2", 4 * 8, 4 * 2),  # 4 log2 4 = 8; the mean of the two middle ones
        ("lp k2 s2", 0, 4 * (4 + 3 + 1)),  # squares, sum, root
        ("mixed k2 s2", 4 * 3, 4 * (4 + 3)),  # a maximum, an average, two shares and their sum
        ("soft k2 s2", 0, 4 * (4 + 4 + 4 + 3 + 3 + 1)),
        ("lse k2 s2", 0, 4 * (4 + 4 + 3 + 1 + 1 + 1)),
        ("gem-window k2 s2", 4 * 4, 4 * (4 + 3 + 1 + 1)),  # each against ε; powers, sum, division, root
        ("stochastic k2 s2", 4 * 4, 4 * (4 + 3 + 3 + 1)),  # each against 0; squares, two sums, a division
        ("mixed-learned k2 s2", 4 * 3, 4 * (4 + 3)),
        ("gated k2 s2", 4 * 3, 4 * (4 + 3 + 2)),  # as mixed, and a sigmoid and 1 - g
        ("lip k2 s2", 0, 4 * (4 + 4 + 3 + 3 + 1)),  # exponentials, products, two sums, a division
        ("avg-conv k2 s2", 0, 4 * (3 + 1)),
        ("conv-blur k3 s2 p1", 16, 0),  # the ReLU between its convolution and its filter
        ("aps s2", 0, 16 + 16),  # the energies: squares and sums
        ("max-blur k3 s2 p1", 16 * 8, 0),  # the maximum at stride 1; the filter is MACs
        ("global-max", 15, 0),
        ("global-avg", 0, 16),
        ("avg-max", 15, 16 + 2),
        ("gem", 16, 16 + 15 + 1 + 1),
        ("avg-max-cat", 15, 16),
        ("statistics", 0, 16 + 16 + 16 + 15 + 1 + 1),  # the mean; differences, squares, their sum, a division, a root
        ("adaptive-avg size=2", 0, 4 * 4),
        ("adaptive-max size=3", 9 * 3, 0),  # bins of 2 numbers an axis overlap: 0:2, 1:3, 2:4
        ("pyramid levels=2", 15 + 4 * 3, 0),
        ("subsample s2", 0, 0),
    ],
)
def test_comparisons_and_additions_by_hand(spec, comparisons, additions):
    spec = PoolSpec.parse(spec)
    out = tuple(pooling.pool(torch.rand(1, 1, 4, 4), spec).shape[1:])
    done = work(spec, (1, 4, 4), out)
    assert (done.comparisons, done.additions) == (comparisons, additions)


@pytest.mark.parametrize(
    ("text", "comparisons", "additions"),
    [("channel-max", 4 * 3, 0), ("channel-avg", 0, 4 * (3 + 1)), ("maxout", 4 * 2, 0), ("maxout group=4", 4 * 3, 0)],
)
def test_poolings_over_channels_by_hand(text, comparisons, additions):  # four channels of 2x2 pixels
    spec = PoolSpec.parse(text)
    done = work(spec, (4, 2, 2), tuple(pooling.pool(torch.rand(1, 4, 2, 2), spec).shape[1:]))
    assert (done.comparisons, done.additions) == (comparisons, additions)


def test_every_kind_has_its_operations_and_none_counts_below_zero():
    for kind in KINDS:
        spec = a_spec(kind)
        done = work(spec, (8, 12, 12), tuple(pooling.build(spec, 8)(torch.rand(2, 8, 12, 12)).shape[1:]), 64)
        assert min(done.macs, done.comparisons, done.additions) >= 0
        assert (done == Work()) == (kind == "subsample")


def test_the_published_poolings_of_resnet18_are_counted():
    rows = rows_of("resnet18/3x64x64")
    assert (rows["maxpool"].comparisons, rows["maxpool"].additions) == (64 * 16 * 16 * 8, 0)
    assert (rows["avgpool"].comparisons, rows["avgpool"].additions) == (0, 512 * 2 * 2)
    assert totals(layer_rows(Plan.parse("resnet18/3x64x64"))).other == 64 * 16 * 16 * 8 + 512 * 2 * 2
    assert rows_of(CHANGED)["maxpool"].other == 64 * 16 * 16 * 4


def test_a_head_that_leaves_no_map_is_counted_as_one_pixel():
    head = next(row for row in layer_rows("shufflenet_v2_x0_5/3x64x64: head=global-max") if row.site == "head")
    assert (head.shape, head.comparisons) == ((1024,), 1024 * (2 * 2 - 1))


# ------------------------------------------------------------------------------------------------------------ bytes


def test_bytes_read_and_written_by_hand():
    rows = rows_of("smallnet/1x20x20")
    conv, norm, relu, pool = (rows[f"stage1.{part}"] for part in ("conv", "norm", "act", "pool"))
    map_ = 16 * 20 * 20 * 4
    assert (conv.read_bytes, conv.written_bytes) == (4 * (400 + 9 * 16), map_)
    assert (norm.read_bytes, norm.written_bytes) == (map_ + 4 * 4 * 16, map_)  # weight, bias, mean, variance
    assert (relu.read_bytes, relu.written_bytes, relu.bytes) == (map_, map_, 0)  # in place: no new memory, but traffic
    assert (pool.read_bytes, pool.written_bytes) == (map_, map_ / 4)
    flat = rows["forward"]
    assert (flat.op, flat.read_bytes, flat.written_bytes, flat.intensity) == ("flatten", 0, 0, 0)
    assert pool.intensity == (16 * 10 * 10 * 3) / (map_ * 5 / 4)  # 3 comparisons an output
    assert conv.intensity == 2 * 9 * 16 * 400 / (conv.read_bytes + conv.written_bytes)


def test_a_sum_reads_both_of_its_maps():
    add = rows_of("resnet18/3x64x64")["layer1.1"]
    assert add.op == "add"
    assert (add.read_bytes, add.written_bytes) == (2 * 65536, 65536)


def test_the_peak_is_what_lives_at_once():
    rows = layer_rows(Plan.parse("smallnet/1x20x20"))
    map_ = 16 * 20 * 20 * 4
    # the image, which its owner keeps, and: a map; it and its normalised one; in place nothing is added; a quarter more
    assert [row.live_bytes - 1600 for row in rows[:4]] == [map_, 2 * map_, map_, map_ + map_ // 4]
    assert totals(rows).peak_bytes == 1600 + 2 * map_
    # a residual block holds its input until the sum: the input, a convolution's map and its normalised one
    block, picture = rows_of("resnet18/3x64x64"), 3 * 64 * 64 * 4
    assert block["layer1.0.bn2"].live_bytes == picture + 3 * 64 * 16 * 16 * 4
    assert block["layer1.0"].live_bytes == picture + 2 * 64 * 16 * 16 * 4
    # and what entered layer1 is held until layer1 returns: by the variable that was handed to it
    assert block["layer1.1.bn2"].live_bytes == picture + 4 * 64 * 16 * 16 * 4


class Storages(TorchDispatchMode):
    """Counts the bytes of all storages that are alive, operator by operator, as the network really runs."""

    def __init__(self, model, image):
        super().__init__()
        self.held, self.bytes, self.peak = {}, 0, 0
        self.weights = {t.untyped_storage()._cdata for t in [*model.parameters(), *model.buffers()]}
        self.add(image)

    def add(self, tensor):
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.weights and key not in self.held:
            self.held[key] = storage.nbytes()
            self.bytes += storage.nbytes()
            weakref.finalize(storage, self.drop, key)
        self.peak = max(self.peak, self.bytes)

    def drop(self, key):
        self.bytes -= self.held.pop(key)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, torch.Tensor):
                self.add(tensor)
        return out


@pytest.mark.parametrize(
    "text",
    [
        "smallnet/1x20x20",
        "resnet18/3x64x64",
        "resnet18/3x64x64: stem=avg k3 s2 p1; layer3=avg k2 s2 before",
        "densenet121/3x64x64",
        "mobilenet_v2/3x64x64: head=global-max; stage2=avg k3 s2 p1",
        "googlenet/3x96x96",
        "shufflenet_v2_x0_5/3x64x64",
        *(pytest.param(f"{name}/3x224x224", marks=pytest.mark.slow) for name in ("swin_t", "vit_b_16", "inception_v3")),
    ],
)
def test_the_peak_is_that_of_the_storages_of_a_real_run(text):
    plan = check(Plan.parse(text))
    model, image = rebuild(plan).eval(), torch.rand(1, *plan.size)
    storages = Storages(model, image)
    with torch.no_grad(), storages:
        model(image)
    peak = totals(layer_rows(plan)).peak_bytes
    # attention takes indices and masks along, which are no results of the image
    assert peak == storages.peak or (text[:3] in ("swi", "vit") and 0.98 < peak / storages.peak < 1)


def test_a_dense_block_keeps_every_map_that_a_later_layer_reads():
    try:
        rows = rows_of("densenet121/3x64x64")
    except PlanError as unknown:
        pytest.skip(f"no such backbone yet: {unknown}")
    last = rows["features.denseblock1.denselayer6.conv2"]
    # 64 + 5 x 32 channels of 16x16 wait for the block's end beside the 128 that enter and the 32 that leave
    assert last.live_bytes >= (64 + 5 * 32 + 128 + 32) * 16 * 16 * 4


@pytest.mark.parametrize("text", ["smallnet/1x20x20", CHANGED, "mobilenet_v2/3x64x64: stage4=conv-depthwise k3 s2 p1"])
def test_disk_bytes_are_those_of_the_state(text):
    plan = Plan.parse(text)
    model = rebuild(plan, device="meta")
    disk = totals(layer_rows(plan)).disk_bytes
    numbers, buffers = sum(p.numel() for p in model.parameters()), sum(b.nbytes for b in model.buffers())
    assert disk.float32 == sum(tensor.nbytes for tensor in model.state_dict().values())
    assert (disk.float16, disk.int8) == (2 * numbers + buffers, numbers + buffers)


ZOO = [name for name in backbones.known() if not name.startswith("timm.")]
SOME_TIMM = [
    f"timm.{name}"
    for name in [*TIMM, "sequencer2d_s", "swin_tiny_patch4_window7_224"]
    if find_spec("timm") and f"timm.{name}" in backbones.known()
]
WITNESSES = ["swin_t", "vit_b_32", "googlenet", "regnet_y_128gf", "resnet18", "alexnet"]  # the first two attend


@pytest.mark.parametrize(
    "name",
    [
        *WITNESSES,
        *(pytest.param(name, marks=pytest.mark.slow) for name in [*ZOO, *SOME_TIMM] if name not in WITNESSES),
    ],
)
def test_parameters_and_bytes_are_those_of_the_network_wherever_they_are_said(name):
    plan = Plan(name, backbones.backbone(name).size)
    model, rows = backbones.build(plan, device="meta"), layer_rows(plan)
    sums, numbers = totals(rows), sum(p.numel() for p in model.parameters())
    assert sums.parameters == of_plan(plan).parameters == sum(row.parameters for row in rows) == numbers
    state = {id(tensor): tensor.nbytes for tensor in model.state_dict(keep_vars=True).values()}
    assert sums.disk_bytes.float32 == sum(state.values())
    assert min(row.parameters for row in rows) >= 0
    rest = [row for row in rows if row.path == REST]
    assert sum(row.parameters for row in rest) < numbers * (0.5 if name == "googlenet" else 0.15)
    if not name.startswith("timm."):
        parameters, macs, side = networks()[name]
        assert (parameters, macs, side) == (numbers, sums.macs, plan.size[1]), "python benchmarks/surgery.py --write"


def test_the_weights_of_no_single_layer_have_a_row_of_their_own():
    rest = layer_rows(Plan.parse("googlenet/3x224x224"))[-1]
    heads = [backbones.build(Plan("googlenet", (3, 224, 224)), device="meta").get_submodule(f"aux{n}") for n in (1, 2)]
    assert (rest.path, rest.op) == ("(other weights)", "run in training alone")
    assert rest.parameters == sum(p.numel() for head in heads for p in head.parameters())
    assert layer_rows(Plan.parse("resnet18/3x64x64"))[-1].path == "fc"


def test_a_network_that_attends_sees_the_whole_image():
    vit = totals(layer_rows(Plan.parse("vit_b_16/3x224x224")))
    assert (vit.field_px, vit.last_map) == (float("inf"), (14, 14))
    first, *_ = layer_rows(Plan.parse("vit_b_16/3x224x224"))
    assert (first.path, first.field_px) == ("conv_proj", 16)
    assert totals(layer_rows(Plan.parse("vgg11_bn/3x64x64"))).field_px == 150


# -------------------------------------------------------------------------------------------------- layer by layer


def test_layers_of_two_plans_stand_side_by_side():
    plan = Plan.parse("resnet18/3x64x64: layer2=max-blur k3 s2 p1")
    pairs = aligned(plan.published, plan)
    assert [pair.a for pair in pairs if pair.a] == list(layer_rows(plan.published))
    assert [pair.b for pair in pairs if pair.b] == list(layer_rows(plan))
    alone = [pair for pair in pairs if pair.a is None]
    assert len(alone) == 2
    assert all(pair.path.endswith(".pooling") and pair.site == "layer2" for pair in alone)
    assert all(pair.b and pair.a.op.split(" s")[0] == pair.b.op.split(" s")[0] for pair in pairs if pair.a)
    dense = next(pair for pair in pairs if pair.path == "layer2.0.conv1")
    assert (dense.a.shape, dense.b.shape) == ((128, 8, 8), (128, 16, 16))
    turned = aligned(plan, plan.published)
    assert [(pair.path, pair.a, pair.b) for pair in turned] == [(pair.path, pair.b, pair.a) for pair in pairs]


def test_a_pooling_that_both_plans_hang_is_a_pair():
    a, b = (Plan.parse(f"resnet18/3x64x64: layer2={kind} k3 s2 p1") for kind in ("max-blur", "blur"))
    assert all(pair.a and pair.b for pair in aligned(a, b))


def test_layers_of_two_backbones_are_refused():
    with pytest.raises(PlanError, match="within one backbone, got resnet18 and vgg11_bn"):
        aligned(Plan.parse("resnet18/3x64x64"), Plan.parse("vgg11_bn/3x64x64"))


# ----------------------------------------------------------------------------------------------------------- tables


def test_the_last_map_is_the_one_before_the_head_also_where_every_unit_sees_everything():
    spectral = totals(layer_rows(Plan.parse("resnet18/3x64x64: stem=spectral s2")))
    assert (spectral.last_map, spectral.field_px) == ((2, 2), float("inf"))
    assert totals(layer_rows(Plan.parse("vgg11_bn/3x64x64"))).last_map == (2, 2)


def test_no_layer_has_a_field_that_is_no_number():
    for text in ("mobilenet_v3_large/3x64x64", "resnet18/3x64x64: stem=spectral s2"):
        try:
            rows = layer_rows(Plan.parse(text))
        except PlanError as unknown:
            pytest.skip(f"no such backbone yet: {unknown}")
        assert all(row.field_px == row.field_px for row in rows)


def test_the_tables_fit_120_columns(capsys):
    plan = Plan.parse(CHANGED)
    rows, published = layer_rows(plan), layer_rows(plan.published)
    console().print(layers_table(str(plan), rows))
    console().print(totals_table(totals(rows), totals(published)))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 120
    stem = next(line for line in lines if line.strip().startswith("maxpool"))
    assert stem.split() == "maxpool avg k2 s2 stem 64x16x16 65.5 k 64 KiB 320 KiB 0.2 9 px".split()
    assert any("on disk, float32" in line and "44.6 MiB" in line for line in lines)


def test_numbers_in_words_have_no_exponents():
    assert [size(n) for n in (1023 * 1024, 1024, 999)] == ["1023 KiB", "1 KiB", "999 B"]
    assert [count(n) for n in (999_999, 999_400, 1e6)] == ["1000 k", "999 k", "1 M"]
    assert [change(*pair) for pair in ((1, 1), (11, 10), (10_001, 10_000), (1, 0))] == [
        "same", "+10.0 %", "below 0.1 %", "new"
    ]  # fmt: skip
