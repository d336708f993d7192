"""Relearning: how fast does fine-tuning bring the class back, without its images and with few of them?

Both audits fine-tune a copy of the model with the recipe of its training, learning rate and momentum included. All
draws follow from the evidence's seed, so every model is given the same images in the same order.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from ..data import LabelledImages
from ..measures import Outputs, accuracy
from ..models import Classifier
from ..training import Recipe, predict, stepwise
from .evidence import Evidence

STEPS = (0, 10, 30, 100)  # after how many steps on remaining data the class is looked for
STILL = (0, 10, 30)  # the same at learning rate 0; 30 steps leave 4 % of what BatchNorm's averages held before
LOOKS = (0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100, 128)  # the same on few images of it
FEW, OTHERS = 100, 900  # labelled images of the class, and of the others
SAMPLE = 500  # images of the class that are looked at


@dataclass(frozen=True)
class RelearnedRemaining:
    """Accuracy on D_f in percent by the number of steps of fine-tuning on D_r, without the class.

    `accuracy`: at the learning rate of the training. `still`: at learning rate 0, where no weight moves and BatchNorm's
    running statistics alone do.
    """

    accuracy: dict[int, float]
    still: dict[int, float]

    @property
    def best(self) -> float:
        """The largest accuracy at any step, at either rate: what an auditor who looks on can have."""
        return max(*self.accuracy.values(), *self.still.values())


@dataclass(frozen=True)
class RelearnedFew:
    """How many `steps` on few images brought half of the original's accuracy on D_ft back.

    They are counted at LOOKS. `censored`: none of these was enough, and `steps` is the last of them. `accuracy`: on
    D_ft in percent by the number of steps, up to that. `target`: half of the original's.
    """

    steps: int
    censored: bool
    accuracy: dict[int, float]
    target: float


def relearn_remaining(evidence: Evidence, recipe: Recipe) -> RelearnedRemaining:
    """Fine-tune on D_r with its labels, and look at D_f, of which no image is used.

    PRU (ACML 2024) asks the same of unlearned models.
    """
    seen, data = evidence.split.forget_train.drawn(SAMPLE, evidence.seed), evidence.split.remain_train
    moving, still = (
        dict(zip(looks, _curve(evidence, data, replace(recipe, lr=lr), looks, seen), strict=True))
        for lr, looks in ((recipe.lr, STEPS), (0.0, STILL))
    )
    return RelearnedRemaining(moving, still)


def relearn_few(evidence: Evidence, original: Evidence, recipe: Recipe) -> RelearnedFew:
    """Fine-tune on FEW images of D_f and OTHERS of D_r, all labelled, until half of `original`'s D_ft is back.

    After the relearn time of Chundawat et al. (2023, arXiv 2201.05629): the mini-batches until accuracy on the
    forgotten class is within a margin of the original's. Theirs go through all training data, and the margin is a few
    percent; ours is half, since an auditor with few images does not get all of it back from any model.
    """
    split, seed = evidence.split, evidence.seed
    seen = split.forget_test.drawn(SAMPLE, seed)
    target = _accuracy(original.model, seen, evidence) / 2
    few, others = split.forget_train.drawn(FEW, seed), split.remain_train.drawn(OTHERS, seed)
    data = LabelledImages(torch.cat([few.images, others.images]), torch.cat([few.labels, others.labels]))
    found: dict[int, float] = {}
    for steps, found[steps] in zip(LOOKS, _curve(evidence, data, recipe, LOOKS, seen), strict=True):
        if found[steps] >= target:
            return RelearnedFew(steps, False, found, target)
    return RelearnedFew(LOOKS[-1], True, found, target)


def _curve(
    evidence: Evidence, data: LabelledImages, recipe: Recipe, looks: Sequence[int], seen: LabelledImages
) -> Iterator[float]:
    """Accuracy on `seen` in percent after each of so many steps on `data`; the model of the evidence is left alone."""
    model = copy.deepcopy(evidence.model)
    for taken in stepwise(model, data, replace(recipe, seed=evidence.seed)):
        if taken in looks:
            yield _accuracy(model, seen, evidence)
        if taken == looks[-1]:
            return


def _accuracy(model: Classifier, seen: LabelledImages, evidence: Evidence) -> float:
    """In percent; an image whose logits are not finite, since the fine-tuning diverged, is not recognised."""
    logits = predict(model, seen.images, evidence.precision)
    lost = ~logits.isfinite().all(1)
    return accuracy(Outputs(logits, seen.labels.masked_fill(lost, -1)))
