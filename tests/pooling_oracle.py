"""The slow, obvious pooling: list the pixels under each window, leave out what is no pixel, reduce what is left.

The oracle of tests/test_pooling.py for every kind, border and number of axes. Nothing here is shared with the
operators but the Window's numbers; torch is used for arithmetic alone, so that autograd gives the gradient as well.
"""

import math
from dataclasses import replace
from itertools import product

import torch
import torch.nn.functional as F

from poolsearch.plan.kinds import KINDS
from poolsearch.plan.windows import window


def place(index, size, border):
    """Return where a border's pixel comes from, None for a zero, "nothing" for what is no pixel."""
    if 0 <= index < size:
        return index
    if border == "reflect":
        return -index if index < 0 else 2 * (size - 1) - index
    if border == "circular":
        return index % size
    return None if border == "zeros" else "nothing"


def axis_indices(size, out, kernel, stride, pads, dilation, border):
    """Return, for each output of one axis, (offset in the kernel, pixel, in the padding?) of what its window holds."""
    begin, end = pads
    found = []
    for i in range(out):
        cells = []
        for offset in range(kernel):
            index = i * stride - begin + offset * dilation
            if index >= size + end:
                continue  # what ceil mode hangs over is never counted
            cells.append((offset, place(index, size, border), not 0 <= index < size))
        found.append(cells)
    return found


def windows_of(x, win, border, out=None):
    """Yield (output place, kernel offsets, values (N, C, n), how many of the padding) for each window."""
    sizes = x.shape[2:]
    out = out or win.output(sizes)
    per_axis = [
        axis_indices(*values, border)
        for values in zip(sizes, out, win.kernel, win.stride, win.padding, win.dilation, strict=True)
    ]
    for where in product(*map(range, out)):
        offsets, values, padding = [], [], 0
        for cells in product(*(axis[i] for axis, i in zip(per_axis, where, strict=True))):
            pixel = tuple(cell[1] for cell in cells)
            if "nothing" in pixel:
                padding += 1
                continue
            offsets.append(tuple(cell[0] for cell in cells))
            values.append(x.new_zeros(x.shape[:2]) if None in pixel else x[(slice(None), slice(None), *pixel)])
        yield where, offsets, torch.stack(values, -1), padding


ALSO = {}  # of kinds that a test registers: the number of one window from its values (N, C, n)


def reduce(kind, values, padding, spec, module, offsets=()):
    """Return the number of one window from its values (N, C, n) and their places in the kernel."""
    n = values.shape[-1]
    largest, mean = values.max(-1).values, values.sum(-1) / n
    if kind in ("max", "max-blur"):
        return largest
    if kind == "min":
        return values.min(-1).values
    if kind == "avg":
        return values.sum(-1) / (spec.option("divisor") or (n + padding if spec.counted and not spec.border else n))
    if kind in ("avg-conv", "lip"):  # LIP as it starts; see by_logits
        return mean
    if kind == "median":
        ordered = values.sort(-1).values
        return (ordered[..., (n - 1) // 2] + ordered[..., n // 2]) / 2
    if kind == "lp":
        return (values.abs() ** spec.option("norm")).sum(-1) ** (1 / spec.option("norm"))
    if kind == "lse":
        return torch.log(torch.exp(spec.option("r") * values).mean(-1)) / spec.option("r")
    if kind == "soft":
        weights = torch.exp(spec.option("beta") * values)
        return (weights * values).sum(-1) / weights.sum(-1)
    if kind in ("gem-window", "gem"):
        return (values.clamp_min(1e-6) ** module.p).mean(-1) ** (1 / module.p)
    if kind == "mixed":
        return spec.option("alpha") * largest + (1 - spec.option("alpha")) * mean
    if kind == "mixed-learned":
        share = torch.sigmoid(module.t)
        return share * largest + (1 - share) * mean
    if kind == "gated":
        mask = module.mask.view(window(spec, (99,) * len(offsets[0])).kernel)
        share = torch.sigmoid(sum(mask[offset] * values[..., i] for i, offset in enumerate(offsets)))
        return share * largest + (1 - share) * mean
    if kind == "stochastic":
        positive = values.clamp_min(0)
        return (positive**2).sum(-1) / positive.sum(-1).clamp_min(1e-300)
    return ALSO[kind](values)


def by_windows(x, spec, module, kind=None, win=None, border=None):
    kind = kind or spec.kind
    win = win or window(spec, x.shape[2:])
    border = border or spec.border or KINDS[spec.kind].border
    out = x.new_empty(*x.shape[:2], *win.output(x.shape[2:]))
    for where, offsets, values, padding in windows_of(x, win, border):
        out[(slice(None), slice(None), *where)] = reduce(kind, values, padding, spec, module, offsets)
    return out


def by_logits(x, spec, module):
    """LIP with torch's own instance normalisation; only where the border holds no numbers."""
    conv = (F.conv1d, F.conv2d, F.conv3d)[x.dim() - 3]
    logits = 12 * torch.sigmoid(F.instance_norm(conv(x, module.conv.weight), weight=module.gain, bias=module.bias))
    win = window(spec, x.shape[2:])
    out = x.new_empty(*x.shape[:2], *win.output(x.shape[2:]))
    pairs = zip(windows_of(x, win, "neutral"), windows_of(logits, win, "neutral"), strict=True)
    for (where, _, values, _), (_, _, theirs, _) in pairs:
        weights = torch.exp(theirs - theirs.max(-1, keepdim=True).values)
        out[(slice(None), slice(None), *where)] = (weights * values).sum(-1) / weights.sum(-1)
    return out


def by_weights(x, weights, win, border):
    """Return x under weights (C out, C in, *kernel), or (1, 1, *kernel) for each channel alone."""
    out = None
    for where, offsets, values, _ in windows_of(x, win, border):
        kernel = torch.stack([weights[(slice(None), slice(None), *offset)] for offset in offsets], -1)
        if weights.shape[:2] == (1, 1):
            number = (values * kernel[0]).sum(-1)
        elif weights.shape[1] == 1:
            number = (values * kernel[:, 0]).sum(-1)
        else:
            number = torch.einsum("ncw,ocw->no", values, kernel)
        if out is None:
            out = x.new_empty(*number.shape, *win.output(x.shape[2:]))
        out[(slice(None), slice(None), *where)] = number
    return out


def outer(x, *axes):
    """Return the product of one filter an axis as (1, 1, *kernel) weights."""
    weights = x.new_ones((1, 1))
    for filter_ in axes:
        weights = weights.unsqueeze(-1) * x.new_tensor(filter_)
    return weights


def pascal(taps):
    return [math.comb(taps - 1, i) / 2 ** (taps - 1) for i in range(taps)]


def slow(x, spec, module):
    """Return what a spec makes of x, (N, C, *sizes) in float64; `module` holds the weights of learned kinds."""
    kind, axes, sizes = spec.kind, x.dim() - 2, x.shape[2:]
    win = window(spec, sizes) if KINDS[kind].reduces == "window" else None
    border = spec.border or KINDS[kind].border
    if kind in ("conv", "conv-depthwise"):
        return by_weights(x, module.conv.weight, win, border)
    if kind == "lip" and not spec.border:
        return by_logits(x, spec, module)
    if kind == "avg-conv":
        return torch.einsum("nc...,oc->no...", by_windows(x, spec, module), module.conv.weight.flatten(1))
    if kind in ("max-blur", "conv-blur"):
        dense = replace(win, stride=(1,) * axes)
        taps = int(spec.option("taps"))
        reach = (((taps - 1) // 2, taps // 2),) * axes
        if kind == "max-blur":
            x = by_windows(x, spec, module, win=dense)
        else:
            x = by_weights(x, module.conv.weight, dense, border).clamp_min(0)
        blur = replace(win, kernel=(taps,) * axes, padding=reach, dilation=(1,) * axes)
        return by_weights(x, outer(x, *[pascal(taps)] * axes), blur, spec.border or "reflect")
    if kind == "blur":
        return by_weights(x, outer(x, *map(pascal, win.kernel)), win, border)
    if kind == "wavelet":
        return by_weights(x, outer(x, *map(daubechies, win.kernel)), win, border)
    if kind == "subsample":
        return x[(slice(None), slice(None), *(slice(None, None, step) for step in win.stride))]
    if kind == "space-to-depth":
        weights = module.conv.weight.flatten(1).unflatten(1, (x.shape[1], *win.stride))
        pads = tuple((0, -n % s) for n, s in zip(sizes, win.stride, strict=True))
        return by_weights(x, weights, replace(win, kernel=win.stride, padding=pads), "zeros")
    if kind == "aps":
        return loudest(x, win.stride)
    if kind in ("resize", "spectral"):
        return resampled(x, win.output(sizes), kind)
    if kind in ("area", "adaptive-avg", "adaptive-max", "fractional-max", "pyramid"):
        return by_bins(x, spec, win)
    if KINDS[kind].reduces == "window":
        return by_windows(x, spec, module)
    return by_map(x, spec, module)


def daubechies(taps):
    """Return the filter from what defines it: orthonormal to its shifts by two, with taps / 2 vanishing moments."""
    r3, r10, r5 = math.sqrt(3), math.sqrt(10), math.sqrt(5 + 2 * math.sqrt(10))
    literal = {
        2: [1, 1],
        4: [(1 + r3) / 4, (3 + r3) / 4, (3 - r3) / 4, (1 - r3) / 4],
        6: [(1 + r10 + r5) / 16, (5 + r10 + 3 * r5) / 16, (10 - 2 * r10 + 2 * r5) / 16,
            (10 - 2 * r10 - 2 * r5) / 16, (5 + r10 - 3 * r5) / 16, (1 + r10 - r5) / 16],
    }[taps]  # fmt: skip
    return [n / math.sqrt(2) for n in literal]


def loudest(x, stride):
    sizes = [math.ceil(n / s) * s for n, s in zip(x.shape[2:], stride, strict=True)]
    for axis, (size, wanted) in enumerate(zip(x.shape[2:], sizes, strict=True), start=2):
        x = x.index_select(axis, torch.arange(wanted) % size)
    result = []
    for image in x:
        phases = [
            image[(slice(None), *(slice(start, None, step) for start, step in zip(where, stride, strict=True)))]
            for where in product(*map(range, stride))
        ]
        result.append(max(phases, key=lambda phase: phase.detach().square().sum().item()))
    return torch.stack(result)


def resampled(x, out, kind):
    """Spectral: crop the Fourier transform, one axis at a time. Resize: weigh by distance."""
    for axis, (size, wanted) in enumerate(zip(x.shape[2:], out, strict=True), start=2):
        if kind == "spectral":
            spectrum = torch.fft.rfft(x, dim=axis, norm="forward").narrow(axis, 0, wanted // 2 + 1)
            x = torch.fft.irfft(spectrum, n=wanted, dim=axis, norm="forward")
        else:
            scale = size / wanted
            rows = []
            for i in range(wanted):
                near = [max(0.0, 1 - abs(j + 0.5 - (i + 0.5) * scale) / scale) for j in range(size)]
                rows.append([weight / sum(near) for weight in near])
            x = torch.tensordot(x, x.new_tensor(rows), dims=([axis], [1])).movedim(-1, axis)
    return x


def bins_of(size, out):
    return [range(i * size // out, math.ceil((i + 1) * size / out)) for i in range(out)]


def by_bins(x, spec, win):
    sizes, axes = x.shape[2:], x.dim() - 2
    if spec.kind == "pyramid":
        levels = [
            over_bins(x, [bins_of(n, level) for n in sizes], "max")
            for level in range(1, int(spec.option("levels")) + 1)
        ]
        found = torch.cat([level.flatten(1) for level in levels], 1)
        return found.view(*found.shape, *[1] * axes)
    if spec.kind == "fractional-max":
        kernel = spec.kernel * axes if len(spec.kernel) == 1 else spec.kernel
        bins = []
        for size, k in zip(sizes, kernel, strict=True):
            out = int(size * spec.option("ratio"))
            alpha = (size - k) / (out - 1) if out > 1 else 0
            starts = [int((i + 0.5) * alpha) - int(0.5 * alpha) for i in range(out - 1)] + [size - k]
            bins.append([range(start, start + k) for start in starts])
        return over_bins(x, bins, "max")
    out = win.output(sizes) if spec.kind == "area" else (int(spec.option("size")),) * axes
    how = "max" if spec.kind == "adaptive-max" else "mean"
    return over_bins(x, [bins_of(n, o) for n, o in zip(sizes, out, strict=True)], how)


def over_bins(x, bins, how):
    out = x.new_empty(*x.shape[:2], *map(len, bins))
    for where in product(*(range(len(axis)) for axis in bins)):
        pixels = product(*(axis[i] for axis, i in zip(bins, where, strict=True)))
        values = torch.stack([x[(slice(None), slice(None), *pixel)] for pixel in pixels], -1)
        out[(slice(None), slice(None), *where)] = values.max(-1).values if how == "max" else values.mean(-1)
    return out


def by_map(x, spec, module):
    values, ones = x.flatten(2), [1] * (x.dim() - 2)
    kind, n = spec.kind, values.shape[-1]
    mean, largest = values.sum(-1) / n, values.max(-1).values
    if kind == "channel-avg":
        return sum(x[:, [c]] for c in range(x.shape[1])) / x.shape[1]
    if kind in ("channel-max", "maxout"):
        group = x.shape[1] if kind == "channel-max" else int(spec.option("group"))
        parts = [x[:, start : start + group].max(1, keepdim=True).values for start in range(0, x.shape[1], group)]
        return torch.cat(parts, 1)
    if kind == "statistics":
        found = torch.cat([mean, ((values - mean[..., None]) ** 2).mean(-1).sqrt()], 1)
    elif kind == "avg-max-cat":
        found = torch.cat([mean, largest], 1)
    elif kind == "avg-max":
        found = (mean + largest) / 2
    elif kind == "gem":
        found = reduce("gem", values, 0, spec, module)
    else:
        found = {"global-avg": mean, "global-max": largest}[kind]
    return found.view(*found.shape, *ones)
