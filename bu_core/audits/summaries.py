"""Summaries: one number for how near an unlearned model is to Retrain, and one for the damage beside the class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from ..data import SPLITS, pixels
from ..measures import Outputs, accuracy, agreement
from ..training import at_once, autocast
from ..unlearning.boundary_shrink import cross_samples
from .evidence import Evidence
from .neighbours import divergence

EPSILON, STEP_SIZE, STEPS = 0.03, 1 / 3, 3  # of OU@eps: pixel units, share of epsilon, steps
CROSSED = 500  # images of D_f around which it is measured


@dataclass(frozen=True)
class Summaries:
    """What one model comes to.

    `tug_of_war`: 0 to 1, 1 like Retrain. `agreement`: the share of each set on which the model and Retrain name the
    same class, in percent. `over_unlearning`: OU@eps in nats, 0 to log 2. What needs Retrain is None without it.
    """

    tug_of_war: float | None
    agreement: dict[str, float] | None
    over_unlearning: float


def summaries(model: Evidence, original: Evidence, retrain: Evidence | None) -> Summaries:
    """All summaries of a model; of D_r those images that the evidence holds."""
    if retrain is None:
        return Summaries(None, None, over_unlearning(model, original))
    said, expected = ({part: each.outputs(part) for part in SPLITS} for each in (model, retrain))
    agreed = {part: agreement(said[part], expected[part]) for part in SPLITS}
    return Summaries(tug_of_war(said, expected), agreed, over_unlearning(model, original))


def tug_of_war(outputs: Mapping[str, Outputs], retrain: Mapping[str, Outputs]) -> float:
    """ToW (Zhao et al. 2024, arXiv 2406.01257): the product of 1 - |accuracy - Retrain's| over D_f, D_r and test data.

    Accuracies are shares, 0 to 1. As in the paper the test set is whole, D_rt and D_ft in one.
    """
    product = 1.0
    for parts in (("forget_train",), ("remain_train",), ("remain_test", "forget_test")):
        found, expected = (accuracy(_joined([said[part] for part in parts])) for said in (outputs, retrain))
        product *= 1 - abs(found - expected) / 100
    return product


def over_unlearning(model: Evidence, original: Evidence) -> float:
    """OU@eps (Ha et al. 2026, arXiv 2506.01318): what unlearning does to the images just beside D_f, in nats.

    The mean, over images within EPSILON of D_f's, of the divergence between the original's posterior with the class
    masked out, over the others alone, and the model's whole posterior. The formula is the paper's; the divergence, that
    of Jensen and Shannon, and the constants are those of its code, since the text that gives them was not at hand. Its
    code starts at random and walks up the loss of the runner-up, which leads away from the border to it. Here the walk
    starts at the image and goes up the loss of its own class, across the border of the original.
    """
    data, precision, losses = original.split.forget_train.drawn(CROSSED, original.seed), original.precision, []
    size = at_once(data.images)
    for images, labels in zip(data.images.split(size), data.labels.split(size), strict=True):
        crossed = cross_samples(original.model, pixels(images), labels, EPSILON, precision, STEPS, STEP_SIZE)
        with torch.no_grad(), autocast(crossed.device, precision):
            expected, said = (each.model.eval()(crossed).double() for each in (original, model))
        expected[:, original.forget_class] = -torch.inf
        losses.append(divergence(expected.softmax(1), said.softmax(1)))
    return torch.cat(losses).mean().item()


def _joined(outputs: Sequence[Outputs]) -> Outputs:
    return Outputs(torch.cat([each.logits for each in outputs]), torch.cat([each.labels for each in outputs]))
