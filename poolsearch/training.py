"""Train one network: batches from memory, channels last, OneCycle SGD, clipped gradients; measured every epoch.

Covers one model on one device. Who trains what, how often and where is decided in `poolsearch.sweep`.
"""

from __future__ import annotations

import math
import random as python_random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import unwrap

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from poolsearch.config import Training
from poolsearch.data.datasets import Dataset, Images
from poolsearch.errors import TrialFailed
from poolsearch.records.sweep import EpochRow

_EVALUATION_BATCH = 250  # larger maps pass the allocator's threshold and are mapped anew at every layer


@dataclass(frozen=True)
class Trained:
    """What a training run ends with; accuracies are top-1, from 0 to 1."""

    curve: tuple[EpochRow, ...]
    test_accuracy: float
    test_loss: float
    seconds: float
    cpu_seconds: float


def train(
    model: nn.Module,
    data: Dataset,
    recipe: Training,
    seed: int = 0,
    device: str = "cpu",
    on_epoch: Callable[[EpochRow], None] = lambda row: None,
) -> Trained:
    """Return the learning curve of a model that is trained in place.

    What it draws (the order of images, dropout, stochastic depth, stochastic poolings) depends on the seed alone, not
    on what ran before it. Raises TrialFailed when the loss stops being a number.
    """
    with _seeded(seed, torch.device(device)):
        return _trained(model, data, recipe, seed, torch.device(device), on_epoch)


@contextmanager
def _seeded(seed: int, place: torch.device) -> Iterator[None]:
    """Fork every generator that a network may draw from, seeded; put each back after.

    The images' order and the first weights have generators of their own. On a GPU cuDNN takes only algorithms that
    add in one order.
    """
    devices = [torch.cuda.current_device()] if place.type == "cuda" else []
    states = python_random.getstate(), np.random.get_state()
    exact, torch.backends.cudnn.deterministic = torch.backends.cudnn.deterministic, True
    # not the seed itself: its first numbers are those of the first weights
    drawn = int(torch.randint(2**32, (), generator=torch.Generator().manual_seed(seed)))
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(drawn)
            python_random.seed(drawn)
            np.random.seed(drawn)
            yield
    finally:
        python_random.setstate(states[0])
        np.random.set_state(states[1])
        torch.backends.cudnn.deterministic = exact


def _trained(
    model: nn.Module,
    data: Dataset,
    recipe: Training,
    seed: int,
    place: torch.device,
    on_epoch: Callable[[EpochRow], None],
) -> Trained:
    started, cpu_started = time.perf_counter(), time.process_time()
    model.to(device=place, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images, validation, test = (part.to(place) for part in (data.train, data.validation, data.test))
    random = torch.Generator().manual_seed(seed)
    steps = max(1, len(images) // recipe.batch)
    optimizer, schedule = _optimizer(model, recipe, steps * recipe.epochs)
    curve = []
    for epoch in range(1, recipe.epochs + 1):
        mean_loss = _epoch(model, images, recipe, optimizer, schedule, random)
        if not math.isfinite(mean_loss):
            raise TrialFailed(f"The training loss was {mean_loss} in epoch {epoch} of {recipe.epochs}.")
        accuracy, loss = evaluate(model, validation, recipe)
        if not math.isfinite(loss):
            raise TrialFailed(f"The validation loss was {loss} after epoch {epoch} of {recipe.epochs}.")
        curve.append(EpochRow(epoch, mean_loss, loss, accuracy))
        on_epoch(curve[-1])
    test_accuracy, test_loss = evaluate(model, test, recipe)
    spent = time.perf_counter() - started, time.process_time() - cpu_started
    return Trained(tuple(curve), test_accuracy, test_loss, *spent)


class _SGD(torch.optim.SGD):
    """torch's SGD without the decorators that import its compiler, 1.3 s in every worker and 90 MB."""

    add_param_group = unwrap(torch.optim.SGD.add_param_group)
    step = torch.no_grad()(unwrap(torch.optim.SGD.step))


def _optimizer(
    model: nn.Module, recipe: Training, steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    decayed = [p for p in model.parameters() if p.dim() > 1]
    free = [p for p in model.parameters() if p.dim() <= 1]  # norms, biases, GeM's exponent: no decay
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": free, "weight_decay": 0.0}]
    optimizer = _SGD(
        [g for g in groups if g["params"]], lr=recipe.rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0
    )
    # OneCycleLR divides by zero when the warm-up is exactly one step: take two steps at least
    warm = min(1.0, max(0.25, 2 / steps))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, recipe.rate, total_steps=max(steps, 3), pct_start=warm, cycle_momentum=False
    )
    return optimizer, schedule


def batches(images: Images, size: int, random: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield shuffled batches of equal size; what is left over waits for the next epoch."""
    order = torch.randperm(len(images), generator=random).to(images.y.device)
    for start in range(0, max(1, len(order) - size + 1), size):
        yield images.batch(order[start : start + size])


def _epoch(
    model: nn.Module,
    images: Images,
    recipe: Training,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    random: torch.Generator,
) -> float:
    model.train()
    total, count = torch.zeros((), device=images.y.device), 0
    for x, y in batches(images, recipe.batch, random):
        with _precision(recipe, x):
            loss = F.cross_entropy(model(x).float(), y, label_smoothing=recipe.label_smoothing)
        model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        # without it 1 of 48 trainings stayed at chance, and seeds agreed less (tau 0.78 by loss; clipped 0.86)
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
        schedule.step()
        total += loss.detach()
        count += 1
    return total.item() / count


def _precision(recipe: Training, x: Tensor) -> torch.autocast:
    return torch.autocast(x.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16")


def evaluate(model: nn.Module, images: Images, recipe: Training | None = None) -> tuple[float, float]:
    """Return (top-1 accuracy from 0 to 1, mean cross-entropy) of a model on images; its mode is put back."""
    was = model.training
    model.eval()
    right, loss = 0, 0.0
    try:
        with torch.inference_mode():
            for start in range(0, len(images), _EVALUATION_BATCH):
                x, y = images.batch(slice(start, start + _EVALUATION_BATCH))
                with _precision(recipe or Training(), x):
                    logits = model(x).float()
                right += int((logits.argmax(1) == y).sum())
                loss += float(F.cross_entropy(logits, y, reduction="sum"))
    finally:
        model.train(was)
    return right / len(images), loss / len(images)
