"""Speed as ratios, measured side by side in one run: this package against plain code written from the paper's text.

The plain code is what a careful reader of sections 4 and 5.1 would write: a DataLoader, float32, cross samples
computed anew in every epoch. Images are random and of CIFAR-10's shape, since speed does not depend on what they show.
Each pair is run in turn, after a warm-up, synchronised, several times; the table gives medians.
"""

import copy
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from . import models
from .data import ForgetSplit, LabelledImages, pixels
from .experiment import environment
from .store import write_json
from .training import Recipe, Stopwatch, fit, resolve_device, resolve_precision
from .unlearning import UnlearningTask
from .unlearning.boundary_expanding import boundary_expanding
from .unlearning.boundary_shrink import boundary_shrink

FORGET = 512  # images of the forgetting class: 8 steps an epoch, where CIFAR-10 has 79; a ratio does not depend on it
EPOCHS = 10  # the paper's; the search for labels weighs the less, the more epochs follow it
REPEATS = 5
WIDTH = 0.5


def bench(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the benchmark; the result is also left in `bench.json` in `folder`."""
    device = resolve_device("auto")
    precision = resolve_precision("auto", device)
    task = _task(device, precision)
    pairs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "training, one epoch": (lambda: _ours_epoch(task), lambda: _plain_epoch(task)),
        "boundary_expanding": (
            lambda: boundary_expanding(task, epochs=EPOCHS),
            lambda: plain_boundary_expanding(task, EPOCHS),
        ),
        "boundary_shrink": (
            lambda: boundary_shrink(task, epochs=EPOCHS),
            lambda: plain_boundary_shrink(task, EPOCHS),
        ),
    }
    seconds: dict[str, dict[str, list[float]]] = {name: {"ours": [], "plain": []} for name in pairs}
    for repeat in range(REPEATS + 1):
        say(f"round {repeat} of {REPEATS}" if repeat else "warm-up")
        for name, (ours, plain) in pairs.items():
            for side, work in (("ours", ours), ("plain", plain)):
                with Stopwatch(device) as watch:
                    work()
                if repeat:
                    seconds[name][side].append(watch.seconds)
    medians = {name: {side: statistics.median(runs) for side, runs in both.items()} for name, both in seconds.items()}
    results = {
        "environment": environment(device, precision),
        "forgetting images": FORGET,
        "epochs": EPOCHS,
        "width": WIDTH,
        "seconds": seconds,
        "medians": medians,
        "times faster than plain": {name: both["plain"] / both["ours"] for name, both in medians.items()},
        "shrink over expanding": {
            side: medians["boundary_shrink"][side] / medians["boundary_expanding"][side] for side in ("ours", "plain")
        },
    }
    write_json(folder / "bench.json", results)
    return results


def _task(device: torch.device, precision: str) -> UnlearningTask:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (FORGET, 32, 32, 3), dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)
    data = LabelledImages(images, torch.zeros(FORGET, dtype=torch.int64)).to(device)
    split = ForgetSplit(tuple("0123456789"), 0, data, data, data, data)
    model = models.build("allcnn", 3, 10, WIDTH, seed=0).to(device).eval()
    recipe = Recipe(epochs=1, lr=1e-4, momentum=0.9, batch_size=64, precision=precision, seed=0)
    return UnlearningTask(model, model, split, recipe)


def _ours_epoch(task: UnlearningTask) -> None:
    fit(copy.deepcopy(task.original), task.split.forget_train, replace(task.recipe, epochs=1), label="bench")


# --- plain code, from the paper's text ----------------------------------------------------------------------------


def _plain_loader(task: UnlearningTask) -> DataLoader:
    data = task.split.forget_train
    return DataLoader(
        TensorDataset(pixels(data.images.cpu()).contiguous(), data.labels.cpu()), task.recipe.batch_size, shuffle=True
    )


def _plain_fit(model: nn.Module, task: UnlearningTask, epochs: int, relabel: Callable) -> nn.Module:
    device = next(model.parameters()).device
    model = model.to(memory_format=torch.contiguous_format).train()
    optimiser = torch.optim.SGD(model.parameters(), task.recipe.lr, task.recipe.momentum)
    for _ in range(epochs):
        for images, labels in _plain_loader(task):
            images, labels = images.to(device), labels.to(device)
            targets = relabel(images, labels)
            optimiser.zero_grad()
            F.cross_entropy(model(images), targets).backward()
            optimiser.step()
    return model


def _plain_epoch(task: UnlearningTask) -> None:
    _plain_fit(copy.deepcopy(task.original), task, 1, lambda images, labels: labels)


def plain_boundary_shrink(task: UnlearningTask, epochs: int, epsilon: float = 0.1) -> nn.Module:
    """Equations 2 to 4 as they stand: the cross samples of a batch are computed whenever the batch comes up."""
    original = copy.deepcopy(task.original).to(memory_format=torch.contiguous_format).eval()

    def nearest(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        images = images.clone().requires_grad_()
        F.cross_entropy(original(images), labels).backward()
        crossed = images.detach() + epsilon * images.grad.sign()
        with torch.no_grad():
            return original(crossed).argmax(1)

    return _plain_fit(copy.deepcopy(task.original), task, epochs, nearest)


def plain_boundary_expanding(task: UnlearningTask, epochs: int) -> nn.Module:
    """Equation 5 as it stands."""
    shadow = len(task.split.classes)
    widened = models.widened(task.original, seed=0)
    return models.pruned(_plain_fit(widened, task, epochs, lambda images, labels: torch.full_like(labels, shadow)))
