"""What does the forgetting: measurements that take a model and its original apart and put them together otherwise.

`swap` says what weights and BatchNorm's running statistics each do; `swapped_in_part`, `class_statistics` and
`returned` say how; `recovered`, `channel_shift` and `forgetting_curve` look at models that were fitted otherwise.
"""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bu_core import attacks, measures, training
from bu_core.audits.channel_shift import shifted
from bu_core.audits.reestimation import reestimated
from bu_core.audits.swap import swapped
from bu_core.data import SPLITS, LabelledImages, load
from bu_core.experiment.experiment import Experiment
from bu_core.experiment.measurement import measurement
from bu_core.experiment.metrics import Evaluation, evaluated
from bu_core.measures import Outputs
from bu_core.models import Classifier, batchnorms
from bu_core.unlearning import METHODS

Accuracy = dict[str, float]  # in percent, by set

# Images of each set, at the most: of a swap, and of a model where many are compared.
SWAPPED_ON = {"forget_train": 5000, "remain_train": 500, "remain_test": 1000}
LOOKED_AT = {"forget_train": 500, "remain_test": 250}
GIVEN = 500  # images, at the most, that give a model their statistics
SEEN_OF_ALL = 500  # test images, as many of each class, on which the statistics of each class are tried
SEEN = (100, 1000)  # images of D_r that re-estimation sees
SHARES = (0.1, 0.5, 1.0)  # of D_f, among the images that it sees
CLASSES_AT_ONCE = (1, 2)  # remaining classes that these are from
DEPTHS = 8  # parts of a network by depth, at the most: each layer of All-CNN
SHIFTED_ON = 1000  # images of D_r, at the most, on which the shift of a channel is measured
REESTIMATED_ON_IN_A_CURVE = 1000  # images of D_r, at the most


def _sets(experiment: Experiment, counts: Mapping[str, int]) -> dict[str, LabelledImages]:
    return {part: getattr(experiment.split, part).drawn(counts[part], experiment.config.seed) for part in counts}


def _accuracies(experiment: Experiment, model: Classifier, sets: Mapping[str, LabelledImages]) -> Accuracy:
    """The accuracy on each set in percent; NaN where an output is not finite, since the fit diverged."""
    return {part: 100 * _right(experiment, model, data).mean().item() for part, data in sets.items()}


def _right(experiment: Experiment, model: Classifier, data: LabelledImages) -> Tensor:
    """1 for each image that is named rightly, else 0, float64, (N,); NaN where an output is not finite."""
    logits = training.predict(model, data.images, experiment.precision)
    right = (logits.argmax(1) == data.labels).double()
    return right if logits.isfinite().all() else torch.full_like(right, math.nan)


# --- weights of one model, statistics of another ------------------------------------------------------------------


@dataclass(frozen=True)
class Swap:
    """Accuracy of the four models that two sets of weights and two of statistics make, on up to SWAPPED_ON images.

    `neither`: the original. `statistics`: its weights with the method's statistics. `weights`: the method's weights
    with the original's statistics. `both`: the method's model. No training stands behind the two in the middle.
    """

    neither: Accuracy
    statistics: Accuracy
    weights: Accuracy
    both: Accuracy

    @property
    def statistics_share(self) -> float | None:
        """The statistics' Shapley share of the fall of D_f in percent, the weights have the rest; None for no fall.

        It is the mean of what they take where they come first and where they come last.
        """
        neither, statistics, weights, both = (
            made["forget_train"] for made in (self.neither, self.statistics, self.weights, self.both)
        )
        return 50 * (neither - statistics + weights - both) / (neither - both) if neither > both else None

    def lost(self, made: Accuracy, part: str = "remain_test") -> float:
        """How many points of accuracy one of the four costs on a set, against the original."""
        return self.neither[part] - made[part]


@measurement(constants=lambda: {"swapped_on": SWAPPED_ON})
def swap(experiment: Experiment, model: str) -> Swap:
    """What a method's weights and its statistics each do, put into the original or the original's into it."""
    original, unlearned = experiment.model("original"), experiment.model(model)
    sets = _sets(experiment, SWAPPED_ON)
    mixed = original, swapped(original, unlearned), swapped(unlearned, original), unlearned
    return Swap(*(_accuracies(experiment, made, sets) for made in mixed))


@dataclass(frozen=True)
class Depth:
    """The BatchNorm layers `first` to `last`, counted from 1, and the accuracy where their statistics are another's."""

    first: int
    last: int
    accuracy: Accuracy


@dataclass(frozen=True)
class SwappedInPart:
    """Accuracy of the original on D_f and D_rt, LOOKED_AT images of each, with some of a method's statistics.

    `nothing` and `everything` of them, `means` or `variances`, those of the `first_half` or the `last_half` of the
    layers, and of each part `by_depth`.
    """

    nothing: Accuracy
    everything: Accuracy
    means: Accuracy
    variances: Accuracy
    first_half: Accuracy
    last_half: Accuracy
    by_depth: list[Depth]


@measurement(constants=lambda: {"looked_at": LOOKED_AT, "depths": DEPTHS})
def swapped_in_part(experiment: Experiment, model: str) -> SwappedInPart:
    """Which of a method's statistics forget: means or variances, and those of which layers."""
    original, unlearned = experiment.model("original"), experiment.model(model)
    sets = _sets(experiment, LOOKED_AT)
    layers = torch.arange(len(batchnorms(original)))
    parts = [part.tolist() for part in layers.tensor_split(min(DEPTHS, len(layers)))]

    def look(**which: Any) -> Accuracy:
        return _accuracies(experiment, swapped(original, unlearned, **which), sets)

    def of(some: list[list[int]]) -> Accuracy:
        return look(layers=[place for part in some for place in part])

    return SwappedInPart(
        nothing=look(layers=[]), everything=look(), means=look(moments="mean"), variances=look(moments="variance"),
        first_half=of(parts[: len(parts) // 2]), last_half=of(parts[len(parts) // 2 :]),
        by_depth=[Depth(part[0] + 1, part[-1] + 1, of([part])) for part in parts],
    )  # fmt: skip


# --- whose statistics ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ClassStatistics:
    """Accuracy of the original on SEEN_OF_ALL test images in percent, by class.

    `own`: with its own statistics. `of_class[k]`: with those that GIVEN training images of class k give it.
    """

    own: list[float]
    of_class: list[list[float]]


@measurement(constants=lambda: {"given": GIVEN, "seen_of_all": SEEN_OF_ALL})
def class_statistics(experiment: Experiment) -> ClassStatistics:
    """What the statistics of one class do to every class, with no weight moved and whatever class is forgotten."""
    original, dataset, seed = experiment.model("original"), experiment.dataset, experiment.config.seed
    classes = range(len(dataset.classes))

    def of(data: LabelledImages, number: int, count: int) -> LabelledImages:
        return data[data.labels == number].drawn(count, seed).to(experiment.device)

    seen = [of(dataset.test, number, max(1, SEEN_OF_ALL // len(classes))) for number in classes]
    whole = LabelledImages(torch.cat([each.images for each in seen]), torch.cat([each.labels for each in seen]))

    def look(model: Classifier) -> list[float]:
        logits = training.predict(model, whole.images, experiment.precision)
        each = logits.split([len(data) for data in seen])
        return [measures.accuracy(Outputs(said, data.labels)) for said, data in zip(each, seen, strict=True)]

    given = (of(dataset.train, number, GIVEN).images for number in classes)
    return ClassStatistics(
        look(original), [look(reestimated(original, images, experiment.precision)) for images in given]
    )


@dataclass(frozen=True)
class Source:
    """The images that a re-estimation saw, and the accuracy on D_f and D_rt after it.

    `name`: `remaining` training images, `unseen` test images of the remaining classes, remaining images `mixed` with
    the `share` of D_f, training images of `classes` remaining classes, `digits`, or `noise`, every pixel drawn evenly.
    `images`: how many. `share`, `classes`: 0 where the name does not ask for them.
    """

    name: str
    images: int
    share: float
    classes: int
    accuracy: Accuracy


@dataclass(frozen=True)
class Returned:
    """A model re-estimated from several sources; `before`: as it is. Accuracy is on LOOKED_AT images of D_f and D_rt.

    Of several classes there is one source for each run of so many remaining classes, in their order.
    """

    before: Accuracy
    sources: list[Source]

    def of(self, name: str, **which: float) -> list[Source]:
        """The sources of this name, and of these `images`, `share` or `classes`."""
        return [
            each for each in self.sources if each.name == name and all(getattr(each, k) == v for k, v in which.items())
        ]


@measurement(
    of=(),
    constants=lambda: {
        "looked_at": LOOKED_AT,
        "given": GIVEN,
        "seen": SEEN,
        "shares": SHARES,
        "classes_at_once": CLASSES_AT_ONCE,
    },
)
def returned(experiment: Experiment, model: str) -> Returned:
    """From which images the class returns once a model's statistics are estimated anew."""
    unlearned = experiment.model(model)
    sets = _sets(experiment, LOOKED_AT)
    found = []
    for name, share, classes, images in _sources(experiment):
        again = reestimated(unlearned, images.to(experiment.device), experiment.precision)
        found.append(Source(name, len(images), share, classes, _accuracies(experiment, again, sets)))
    return Returned(_accuracies(experiment, unlearned, sets), found)


def _sources(experiment: Experiment) -> Iterator[tuple[str, float, int, Tensor]]:
    """Name, share of D_f, number of classes, and the images: uint8, (N, C, H, W)."""
    split, seed = experiment.split, experiment.config.seed
    remaining, forgotten = split.remain_train, split.forget_train

    def some(data: LabelledImages, count: int) -> Tensor:
        return data.drawn(count, seed).images

    for count in SEEN:
        yield "remaining", 0.0, 0, some(remaining, count)
    yield "unseen", 0.0, 0, some(split.remain_test, GIVEN)
    for share in SHARES:
        count = min(GIVEN, int(len(forgotten) / share))
        there = some(forgotten, round(share * count))
        yield "mixed", share, 0, torch.cat([there, some(remaining, count - len(there))])
    others = split.remaining_classes
    for at_once in CLASSES_AT_ONCE:
        for first in range(0, len(others) - at_once + 1, at_once):
            chosen = torch.tensor(others[first : first + at_once], device=remaining.labels.device)
            yield "classes", 0.0, at_once, some(remaining[torch.isin(remaining.labels, chosen)], GIVEN)
    shape = remaining.images.shape[1:]
    if experiment.dataset.name != "digits":
        grey = load("digits").train.drawn(GIVEN, seed).images.float()
        fitted = F.interpolate(grey, size=shape[1:], mode="bilinear").to(torch.uint8)
        yield "digits", 0.0, 0, fitted.expand(-1, shape[0], -1, -1)
    generator = torch.Generator().manual_seed(seed)
    yield "noise", 0.0, 0, torch.randint(0, 256, (GIVEN, *shape), dtype=torch.uint8, generator=generator)


# --- fitted otherwise ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RecoveredAccuracy:
    """`accuracy`: on forget_train and forget_test, by set, after re-estimation, in percent."""

    accuracy: Accuracy


@measurement(of=())
def recovered(experiment: Experiment, model: str, images: int) -> RecoveredAccuracy:
    """How much of the class a model recognises once BatchNorm's statistics were estimated anew on `images` of D_r."""
    again = reestimated(experiment.model(model), experiment.remaining(images), experiment.precision)
    sets = {part: getattr(experiment.split, part) for part in ("forget_train", "forget_test")}
    return RecoveredAccuracy(_accuracies(experiment, again, sets))


@measurement(
    of=("original",), constants=lambda: attacks.constants() | {"draws": attacks.DRAWS, "shifted_on": SHIFTED_ON}
)
def channel_shift(experiment: Experiment, model: str) -> Evaluation:
    """The original with each channel shifted as a method's model shifts it on average over SHIFTED_ON images of D_r."""
    original, unlearned = (experiment.model(name) for name in ("original", model))
    images = experiment.remaining(SHIFTED_ON)
    return evaluated(experiment, experiment.answers(shifted(original, unlearned, images, experiment.precision)))


@dataclass(frozen=True)
class CurvePoint:
    """A model after some epochs: accuracy on the four sets in percent, `before` and `after` re-estimation.

    NaN where an output is not finite, since the fit diverged. `halves`: `after` on every second image of the sample,
    and on the others, so that a setting can be chosen on one half and looked at on the other; older records have none.
    """

    before: Accuracy
    after: Accuracy
    halves: list[Accuracy] = field(default_factory=list)


@dataclass(frozen=True)
class ForgettingCurve:
    """A method epoch by epoch: the original, then the model after each epoch."""

    points: list[CurvePoint]


@measurement(of=("original",), sampled=True, constants=lambda: {"reestimated_on": REESTIMATED_ON_IN_A_CURVE})
def forgetting_curve(experiment: Experiment, model: str) -> ForgettingCurve:
    """What a method forgets and what it costs after each epoch, on `sample_size` images of each set."""
    sets = {part: experiment.sampled(part) for part in SPLITS}
    remaining = experiment.remaining(REESTIMATED_ON_IN_A_CURVE)

    def look(seen: Classifier) -> CurvePoint:
        before = after = {part: _right(experiment, seen, data) for part, data in sets.items()}
        if batchnorms(seen):
            again = reestimated(seen, remaining, experiment.precision)
            after = {part: _right(experiment, again, data) for part, data in sets.items()}
        whole, *halves = (
            {part: 100 * found[start::step].mean().item() for part, found in after.items()}
            for start, step in ((0, 1), (0, 2), (1, 2))
        )
        return CurvePoint({part: 100 * found.mean().item() for part, found in before.items()}, whole, halves)

    original = experiment.model("original")
    watcher = Watcher(original, look)
    last = METHODS[model](experiment.task(watcher), **experiment.config.unlearning[model])
    return ForgettingCurve([look(original), *watcher.seen, look(last)])


class Watcher:
    """Looks at a model after each epoch of a fit: give it as the fit's checkpoint (`training.Checkpoint`).

    `look(model)` is called with a copy in evaluation mode, of the original's shape: the output neuron that Boundary
    Expanding adds is pruned. The last epoch is not seen, since a fit keeps no state of it; its model is the result.
    """

    def __init__(self, original: Classifier, look: Callable[[Classifier], Any]):
        self._model, self._look = copy.deepcopy(original).eval(), look
        self.seen: list[Any] = []

    def load(self, label: str) -> None:
        """There is never a state to go on from."""
        return None

    def save(self, label: str, state: Mapping[str, Tensor]) -> None:
        """Look at the model whose state a fit would keep."""
        weights = {name.removeprefix("model."): tensor for name, tensor in state.items() if name.startswith("model.")}
        for name, tensor in self._model.classifier.state_dict(prefix="classifier.").items():
            weights[name] = weights[name][: len(tensor)]
        self._model.load_state_dict(weights)
        self.seen.append(self._look(self._model))
