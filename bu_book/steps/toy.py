"""A data set that can be drawn: points of five classes in a square, and a small network, for the steps of the method.

A point is an image of one pixel with two channels, so everything else here works on it as it works on photographs: the
training loop, the methods, the search, the attack. A step size epsilon is a length in this square, whose sides are 1.
"""

import copy
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from bu_core.checks import Range, keyword_settings
from bu_core.data import LabelledImages, split
from bu_core.data.images import dataset
from bu_core.models import Classifier, batchnorms, pruned, widened
from bu_core.training import Recipe, fit, predict
from bu_core.unlearning import METHODS, UnlearningTask, method_settings

from ..measured.mechanism import Watcher

CLASSES = ("middle", "left", "top", "right", "bottom")
FORGOTTEN = 0  # the middle, which borders on all others
_CENTRES = np.array([(0.5, 0.5), (0.22, 0.5), (0.5, 0.78), (0.78, 0.5), (0.5, 0.22)])
_TEST_POINTS = 120  # of each class
GRID = 160  # cells of a map of regions, along each side
ROWS, COLUMNS = 64, 128  # cells of a frame of a figure that moves


def network(seed: int, hidden: int = 32) -> Classifier:
    """Two hidden layers with BatchNorm, of `hidden` units each, freshly initialised."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = nn.Sequential(
            nn.Flatten(),
            *(nn.Linear(2, hidden), nn.BatchNorm1d(hidden), nn.ReLU()),
            *(nn.Linear(hidden, hidden), nn.BatchNorm1d(hidden), nn.ReLU()),
        )
        return Classifier(body, hidden, len(CLASSES))


def points(noise: float, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Normally distributed around the centre of each class with deviation `noise`: uint8, (N, 1, 1, 2), and labels."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(CLASSES)), per_class)
    places = _CENTRES[labels] + noise * generator.standard_normal((len(labels), 2))
    return np.round(255 * places.clip(0, 1)).astype(np.uint8)[:, None, None], labels


def learned(**given: object) -> UnlearningTask:
    """A request to forget the class in the middle, with an original that has learned all five.

    Settings: those of `_learned`. Raises SettingError for one that cannot be.
    """
    return _learned(**keyword_settings("parameters", _learned, given))


def _learned(
    *,
    noise: Annotated[float, Range(0, 0.5)] = 0.08,
    seed: Annotated[int, Range(0, 2**31)] = 0,
    epochs: Annotated[int, Range(1, 1000)] = 40,
    lr: Annotated[float, Range(0, 10, open=True)] = 0.05,
    per_class: Annotated[int, Range(8, 1000)] = 120,
    batch_size: Annotated[int, Range(8, 5000)] = 32,
    hidden: Annotated[int, Range(1, 512)] = 32,
) -> UnlearningTask:
    """`per_class`: how many points of each class are trained on, eight at the least, since an attack needs some."""
    sides = (points(noise, count, 2 * seed + number) for number, count in enumerate((per_class, _TEST_POINTS)))
    data = dataset("toy", "points in a square", CLASSES, *sides)
    recipe = Recipe(epochs=epochs, lr=lr, momentum=0.9, batch_size=batch_size, precision="fp32", seed=seed)
    original = network(seed, hidden)
    fit(original, data.train, recipe, label="original")
    return UnlearningTask(original, network(seed, hidden), split(data, FORGOTTEN, torch.device("cpu")), recipe)


def epochs_of(task: UnlearningTask, method: str, **settings: Any) -> list[Classifier]:
    """The original, and the model after each epoch of an unlearning method; `settings` as in a profile."""
    watcher = Watcher(task.original, copy.deepcopy)
    last = METHODS[method](replace(task, checkpoint=watcher), **method_settings(method, settings))
    return [task.original, *watcher.seen, last]


def with_shadow(task: UnlearningTask, *, remaining: bool, **fit_options: Any) -> list[Classifier]:
    """Boundary Expanding in slow motion: the network with a shadow class before and after each epoch, and pruned last.

    Of `remaining` points, where they are shown as well, the network keeps the labels; equation 5 shows it D_f alone.
    BatchNorm's statistics are held still.
    """
    forget, remain = task.split.forget_train, task.split.remain_train
    data = task.relabelled(torch.full_like(forget.labels, len(CLASSES)))
    if remaining:
        data = LabelledImages(torch.cat([data.images, remain.images]), torch.cat([data.labels, remain.labels]))
    wide = widened(task.original, task.recipe.seed)
    watcher = Watcher(wide, copy.deepcopy)
    last = replace(task, checkpoint=watcher).fitted(wide, data, label="shadow", batchnorm="frozen", **fit_options)
    return [wide, *watcher.seen, last, pruned(last)]


def drifted(model: Classifier, original: Classifier, share: float) -> Classifier:
    """`model` with BatchNorm's statistics on the way from the original's, at a `share` of 0, to its own, at 1."""
    mixed = copy.deepcopy(model)
    for layer, start in zip(batchnorms(mixed), batchnorms(original), strict=True):
        for own, other in ((layer.running_mean, start.running_mean), (layer.running_var, start.running_var)):
            assert own is not None and other is not None  # the toy's layers keep statistics
            own.mul_(share).add_(other, alpha=1 - share)
    return mixed


# A network that learns its points by heart: few of them, overlapping, a wide network, and many epochs in one batch.
BY_HEART = {"noise": 0.25, "per_class": 30, "epochs": 600, "lr": 0.01, "batch_size": 150, "hidden": 128}


def places(data: LabelledImages) -> np.ndarray:
    """Where the points are: float32, (N, 2), x and y from 0 to 1."""
    return data.images[:, :, 0, 0].numpy() / np.float32(255)


def regions(model: Classifier) -> tuple[np.ndarray, np.ndarray]:
    """The class that the model gives each cell of the square, and its probability: (GRID, GRID), rows from the bottom.

    The square is cut into 256 steps a side, as the points are, and every cell is asked at its middle step.
    """
    best = _asked(model, GRID, GRID).softmax(1).max(1)
    return best.indices.reshape(GRID, GRID).numpy(), best.values.reshape(GRID, GRID).numpy()


def _asked(model: Classifier, rows: int, columns: int) -> Tensor:
    """The logits of the cells of the square, row by row from the bottom."""
    sides = [torch.linspace(0, 255, count).round().to(torch.uint8) for count in (rows, columns)]
    y, x = torch.meshgrid(*sides, indexing="ij")
    return predict(model, torch.stack([x, y], -1).reshape(-1, 2, 1, 1), "fp32", batch_size=rows * columns)


def frame(model: Classifier) -> str:
    """The regions of a model as `movable.js` reads them: rows from the bottom, with a comma between two.

    A row is a digit for each run of a class, and after it two hexadecimal digits for where the run ends, from 00 to ff;
    the last ends at the edge. An empty row is the one before it again.
    """
    rows, last = [], ""
    for cells in _asked(model, ROWS, COLUMNS).argmax(1).reshape(ROWS, COLUMNS).numpy():
        starts = np.flatnonzero(np.diff(cells)) + 1
        ends = [f"{round((start - 0.5) * 255 / (COLUMNS - 1)):02x}" for start in starts]
        row = "".join(f"{label}{end}" for label, end in zip(cells[[0, *starts]], [*ends, ""], strict=True))
        rows.append("" if row == last else row)
        last = row
    return ",".join(rows)


def nearest_region(model: Classifier, data: LabelledImages) -> Tensor:
    """For each point the class, other than its own, whose region is nearest on the map: int64, (N,). By looking at all
    cells, which no image of more than two numbers allows."""
    classes, _ = regions(model)
    cells = np.stack(np.meshgrid(*[np.linspace(0, 1, GRID)] * 2), -1).reshape(-1, 2)
    found = []
    for place, own in zip(places(data), data.labels.tolist(), strict=True):
        distance = np.square(cells - place).sum(1)
        distance[classes.reshape(-1) == own] = np.inf
        found.append(int(classes.reshape(-1)[distance.argmin()]))
    return torch.tensor(found)


def accuracy(model: Classifier, data: LabelledImages) -> float:
    """Percent of the points that get their label."""
    return 100 * (predict(model, data.images, "fp32").argmax(1) == data.labels).double().mean().item()


def certainty(model: Classifier, data: LabelledImages) -> float:
    """Mean probability, 0 to 1, of the class that each point is given, right or wrong."""
    return predict(model, data.images, "fp32").softmax(1).amax(1).mean().item()


def share_given(model: Classifier, data: LabelledImages, label: int) -> float:
    """Percent of the points that are given this class."""
    return 100 * (predict(model, data.images, "fp32").argmax(1) == label).double().mean().item()
