"""Speed as ratios, measured side by side in one run: `bu_core` against plain code written from the paper's text.

The plain code is what a careful reader of sections 4 and 5.1 would write: a DataLoader, float32, cross samples
computed anew in every epoch, and for Fisher's information one image, one label and one backward pass at a time. Of the
attack it is the collecting of posteriors that is compared: the classifier is scikit-learn's on both sides. Images are
random and of CIFAR-10's shape, since speed does not depend on what they show. Boundary Shrink has a second opponent:
what the code does that the paper's authors released, step by step, without its evaluation. Boundary Shrink as
`notebooks/lasting.ipynb` recommends it has none, since nobody published it: it stands beside an epoch of Retrain.
All sides of a method run in turn, after a warm-up, synchronised, several times; the table gives medians.
"""

import copy
import statistics
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from bu_core import models
from bu_core.attacks.own_outputs import from_own_outputs
from bu_core.config import Config
from bu_core.data import SPLITS, ForgetSplit, LabelledImages, pixels
from bu_core.experiment.environment import environment
from bu_core.measures import Outputs
from bu_core.models import Classifier
from bu_core.precision import Precision, Workload
from bu_core.store import write_json
from bu_core.training import Recipe, Stopwatch, fit, predict, resolve_device, resolve_precision
from bu_core.unlearning import UnlearningTask
from bu_core.unlearning.boundary_expanding import boundary_expanding
from bu_core.unlearning.boundary_shrink import boundary_shrink
from bu_core.unlearning.fisher import fisher_diagonal

from .measured.released import crossed_as_released

FORGET = 512  # images of the forgetting class: 8 steps an epoch, where CIFAR-10 has 79; a ratio does not depend on it
EPOCHS = 10  # the paper's; the search for labels weighs the less, the more epochs follow it
RETRAIN_EPOCHS, OTHERS = 50, 9  # Retrain's in the run cifar10; how many remaining images that has for one of D_f
SEEN = 0.2  # unlabelled remaining images for one of D_f that the lasting method sees: 1,000 for 5,000
FISHER = 16  # images; its time grows with their number, on both sides
REPEATS = 5
WIDTH = 0.5
BATCH = 64


def bench(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Run the benchmark; the result is also left in `bench.json` in `folder`."""
    device = resolve_device("auto")
    precision = resolve_precision("auto", device, Workload("allcnn", WIDTH, (3, 32, 32), BATCH))
    task = _task(device, precision)
    sides: dict[str, dict[str, Callable[[], object]]] = {
        "training, one epoch": {"ours": lambda: _ours_epoch(task), "plain": lambda: _plain_epoch(task)},
        "boundary_expanding": {
            "ours": lambda: boundary_expanding(task, epochs=EPOCHS),
            "plain": lambda: plain_boundary_expanding(task, EPOCHS),
        },
        "boundary_shrink": {
            "ours": lambda: boundary_shrink(task, epochs=EPOCHS),
            "plain": lambda: plain_boundary_shrink(task, EPOCHS),
            "released": lambda: released_boundary_shrink(task, EPOCHS),
        },
        "lasting": {"ours": lambda: boundary_shrink(task, **_lasting())},
        "retrain, one epoch": {"ours": lambda: _retrain_epoch(task)},
        "fisher": {
            "ours": lambda: fisher_diagonal(task.original, _fisher_images(task), "model", precision),
            "plain": lambda: plain_fisher(task.original, _fisher_images(task)),
        },
        "attack": {
            "ours": lambda: from_own_outputs(_our_outputs(task), 0),
            "plain": lambda: from_own_outputs(plain_outputs(task), 0),
        },
    }
    seconds: dict[str, dict[str, list[float]]] = {name: {side: [] for side in works} for name, works in sides.items()}
    for repeat in range(REPEATS + 1):
        say(f"round {repeat} of {REPEATS}" if repeat else "warm-up")
        for name, works in sides.items():
            for side, work in works.items():
                with Stopwatch(device) as watch:
                    work()
                if repeat:
                    seconds[name][side].append(watch.seconds)
    medians = {name: {side: statistics.median(runs) for side, runs in found.items()} for name, found in seconds.items()}
    ratios = {
        side: {name: found[side] / found["ours"] for name, found in medians.items() if side in found}
        for side in ("plain", "released")
    }
    for name, ratio in ratios["released"].items():
        say(f"{name}, {EPOCHS} epochs: {ratio:.1f} times faster than the released procedure")
    whole = RETRAIN_EPOCHS * medians["retrain, one epoch"]["ours"]
    faster = {name: whole / medians[name]["ours"] for name in ("boundary_shrink", "boundary_expanding", "lasting")}
    for name, ratio in faster.items():
        say(f"{name}: {ratio:.0f} times faster than {RETRAIN_EPOCHS} epochs of Retrain")
    results = {
        "environment": environment(device, precision),
        "forgetting images": FORGET,
        "epochs": EPOCHS,
        "width": WIDTH,
        "seconds": seconds,
        "medians": medians,
        **{f"times faster than {side}": found for side, found in ratios.items()},
        "times faster than retrain": faster,
        "shrink over expanding": {
            side: medians["boundary_shrink"][side] / medians["boundary_expanding"][side] for side in ("ours", "plain")
        },
    }
    write_json(folder / "bench.json", results)
    return results


def _task(device: torch.device, precision: Precision) -> UnlearningTask:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (FORGET, 32, 32, 3), dtype=torch.uint8, generator=generator).permute(0, 3, 1, 2)
    data = LabelledImages(images, torch.zeros(FORGET, dtype=torch.int64)).to(device)
    split = ForgetSplit(tuple("0123456789"), (0,), data, data, data, data)
    model = models.build("allcnn", 3, 10, WIDTH, seed=0).to(device).eval()
    recipe = Recipe(epochs=1, lr=1e-4, momentum=0.9, batch_size=BATCH, precision=precision, seed=0)
    return UnlearningTask(model, model, split, recipe)


def _lasting() -> dict[str, Any]:
    settings = Config.from_profile("cifar10-lasting").unlearning["boundary_shrink"]
    return {**settings, "remaining": max(2, int(SEEN * FORGET))}


def _retrain_epoch(task: UnlearningTask) -> None:
    data = task.split.forget_train
    others = LabelledImages(data.images.repeat(OTHERS, 1, 1, 1), data.labels.repeat(OTHERS))
    fit(copy.deepcopy(task.original), others, replace(task.recipe, epochs=1), label="bench")


def _ours_epoch(task: UnlearningTask) -> None:
    fit(copy.deepcopy(task.original), task.split.forget_train, replace(task.recipe, epochs=1), label="bench")


def _fisher_images(task: UnlearningTask) -> LabelledImages:
    return task.split.remain_train[torch.arange(FISHER)]


def _our_outputs(task: UnlearningTask) -> dict[str, Outputs]:
    sets = {part: getattr(task.split, part) for part in SPLITS}
    return {
        part: Outputs(predict(task.original, data.images, task.recipe.precision).cpu(), data.labels.cpu())
        for part, data in sets.items()
    }


# --- plain code, from the paper's text ----------------------------------------------------------------------------


def _plain_loader(task: UnlearningTask) -> DataLoader:
    data = task.split.forget_train
    return DataLoader(
        TensorDataset(pixels(data.images.cpu()).contiguous(), data.labels.cpu()), task.recipe.batch_size, shuffle=True
    )


def _plain_fit(
    model: Classifier, task: UnlearningTask, epochs: int, relabel: Callable[[Tensor, Tensor], Tensor]
) -> Classifier:
    device = next(model.parameters()).device
    model = models.laid_out(model, torch.contiguous_format).train()
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


def plain_boundary_shrink(task: UnlearningTask, epochs: int, epsilon: float = 0.1) -> Classifier:
    """Equations 2 to 4 as they stand: the cross samples of a batch are computed whenever the batch comes up."""
    original = models.laid_out(copy.deepcopy(task.original), torch.contiguous_format).eval()

    def nearest(images: Tensor, labels: Tensor) -> Tensor:
        images = images.clone().requires_grad_()
        F.cross_entropy(original(images), labels).backward()
        assert images.grad is not None  # after the backward pass
        crossed = images.detach() + epsilon * images.grad.sign()
        with torch.no_grad():
            return original(crossed).argmax(1)

    return _plain_fit(copy.deepcopy(task.original), task, epochs, nearest)


def plain_boundary_expanding(task: UnlearningTask, epochs: int) -> Classifier:
    """Equation 5 as it stands."""
    shadow = len(task.split.classes)
    widened = models.widened(task.original, seed=0)
    return models.pruned(_plain_fit(widened, task, epochs, lambda images, labels: torch.full_like(labels, shadow)))


def plain_fisher(model: nn.Module, data: LabelledImages) -> dict[str, Tensor]:
    """E_y [ (d log p(y | x) / dw) ** 2 ] as it stands, averaged over the images."""
    model = models.laid_out(copy.deepcopy(model), torch.contiguous_format).eval()
    weights = dict(model.named_parameters())
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for image in pixels(data.images):
        log_probabilities = F.log_softmax(model(image[None])[0], dim=0)
        for log_probability in log_probabilities:
            gradients = torch.autograd.grad(log_probability, list(weights.values()), retain_graph=True)
            for name, gradient in zip(total, gradients, strict=True):
                total[name] += log_probability.detach().exp() * gradient.square() / len(data)
    return total


@torch.no_grad()
def plain_outputs(task: UnlearningTask) -> dict[str, Outputs]:
    """What the model says of each set, batch by batch of a DataLoader."""
    model = models.laid_out(copy.deepcopy(task.original), torch.contiguous_format).eval()
    device = next(model.parameters()).device
    found = {}
    for part in SPLITS:
        data = getattr(task.split, part)
        floats = TensorDataset(pixels(data.images.cpu()).contiguous(), data.labels.cpu())
        batches = [(model(images.to(device)).cpu(), labels) for images, labels in DataLoader(floats, 64)]
        found[part] = Outputs(*map(torch.cat, zip(*batches, strict=True)))
    return found


# --- what the released code does ------------------------------------------------------------------------------------


def released_boundary_shrink(task: UnlearningTask, epochs: int, epsilon: float = 0.1, lr: float = 1e-5) -> Classifier:
    """Boundary Shrink as the authors' code runs it with the fast gradient sign method, its evaluation left out.

    Each image is decoded and normalised to [-1, 1] whenever it comes up, and every step searches anew.
    """
    device = next(task.original.parameters()).device
    searched, model = (models.laid_out(copy.deepcopy(task.original), torch.contiguous_format) for _ in range(2))
    optimiser = torch.optim.SGD(model.parameters(), lr, task.recipe.momentum)
    hits = torch.zeros((), device=device)

    for _ in range(epochs):
        for images, labels in _released_loader(task):
            images, labels = images.to(device), labels.to(device)
            targets = crossed_as_released(searched, images, labels, epsilon).argmax(1)
            hits += (labels != targets).float().sum()
            model.train().zero_grad()
            F.cross_entropy(model.classifier(model.body(images)), targets).backward()
            optimiser.step()
    return model


class _Decoded(Dataset[tuple[Tensor, int]]):
    """Images with their labels; each image goes through PIL to a normalised tensor when it is asked for."""

    def __init__(self, data: LabelledImages):
        from torchvision import transforms  # after bu_core, without which it cannot be imported everywhere

        half = (0.5,) * 3
        self._images, self._labels = data.images.permute(0, 2, 3, 1).cpu().numpy(), data.labels.tolist()
        self._normalised = transforms.Compose([transforms.ToTensor(), transforms.Normalize(half, half)])

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._normalised(Image.fromarray(self._images[index])), self._labels[index]


def _released_loader(task: UnlearningTask) -> DataLoader:
    return DataLoader(_Decoded(task.split.forget_train), task.recipe.batch_size, shuffle=True)
